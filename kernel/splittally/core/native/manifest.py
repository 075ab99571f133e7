"""The manifest: one effect that makes a world what a document says, all or nothing.

Rule 1. What stands already and is equal writes nothing; a difference is journaled and counters carry
        over. A grant that a manifest made and the next one lacks is revoked.
Rule 2. Names in `sys/`, and the kinds of the release, belong to the release. A parent, a resource's
        scale and an account's kind cannot change.
Rule 3. Modules and schemas travel inside: the journal needs nothing beside itself.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from splittally.core.canonical import decode, encode
from splittally.core.caps.grants import build_grant, check_terms, grant_events
from splittally.core.caps.prices import check_price_keys, check_prices, check_tables
from splittally.core.caps.rules import check_rules, recorded_terms
from splittally.core.events import Defined, Event, GrantRevoked
from splittally.core.evolve import evolve, governed_windows
from splittally.core.findings import Finding, find
from splittally.core.hashing import hash_manifest, hash_module, hash_prices, hash_schema
from splittally.core.native.callers import caller_events, check_callers
from splittally.core.native.grants import change_events, check_accounts, check_change, revoke_events
from splittally.core.native.manifest_adapters import adapter_events, check_adapters
from splittally.core.native.manifest_budgets import (
    check_budgets,
    stated_budget_events,
    stated_budgets,
    told_budgets,
)
from splittally.core.native.manifest_rules import governor_events, policy_events
from splittally.core.native.manifest_terms import Manifest
from splittally.core.native.money import account_value, check_debts, check_scales, resource_value
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.native.zones import check_zones, moved_windows, zone_events
from splittally.core.release_kinds import RELEASE_KINDS
from splittally.core.rows import effect_row
from splittally.core.state import DEFINITIONS, State
from splittally.core.types import CAP_ANY_TYPE, CAP_NATIVE_TYPE, POLICY_SCOPE, ROOT, SYS

MANIFEST = "manifest"
_OF_THE_WORLD = ("clock_jump_ns", "offset_ns")


def _check_manifest(state: State, call: NativeCall, manifest: Manifest) -> list[Finding]:
    """Everything that keeps a manifest from being applied."""
    findings = [
        find("not_admitted", module=module, failed=failed)
        for module, failed in sorted(call.admitted.items())
        if failed
    ]
    findings += _check_reserved(state, manifest)
    findings += _check_fixed(state, manifest)
    findings += _check_governor(state, manifest)
    findings += check_debts(state, manifest.accounts)
    findings += _check_references(state, manifest)
    findings += check_tables(manifest.prices or ())
    findings += check_callers(state, manifest, call.now_ns)
    if findings:
        return findings
    defined = _defined(state, manifest)
    findings = check_adapters(defined, manifest.adapters or {})
    findings += check_zones(defined, [rate.limit() for rule in manifest.policy for rate in rule.rates])
    for name in _vanishing(defined, manifest):
        evolve(defined, GrantRevoked(name, MANIFEST), "", 0)
    findings += check_budgets(defined, call, manifest)
    return findings + _check_grants(defined, manifest, call)


def _check_reserved(state: State, manifest: Manifest) -> list[Finding]:
    names = [name for name in (*manifest.caps, *manifest.modules) if name.startswith(SYS)]
    names += [name for name in manifest.grants if name == ROOT or name.startswith(POLICY_SCOPE)]
    native = {kind for kind, now in state.caps.effects.items() if now.cap_type == CAP_NATIVE_TYPE}
    names += [
        kind
        for kind, terms in manifest.effects.items()
        if terms.cap_type == CAP_NATIVE_TYPE or kind in RELEASE_KINDS or kind in native
    ]
    return [find("name_reserved", name=name) for name in names]


def _check_governor(state: State, manifest: Manifest) -> list[Finding]:
    """Whether the resources that the governor caps exist."""
    caps = [] if isinstance(manifest.governor, UnsetType) else manifest.governor.caps
    known = {*manifest.resources, *state.ledger.resources}
    return [
        find("not_found", resource=cap.resource, field="governor")
        for cap in caps
        if cap.resource not in known
    ]


def _check_fixed(state: State, manifest: Manifest) -> list[Finding]:
    findings = check_scales(state, manifest.resources.items())
    for name, terms in manifest.grants.items():
        grant = state.caps.grants.get(name)
        if state.caps.was_revoked(name):
            findings.append(find("name_taken", grant=name, revoked=True))
        elif grant is not None and grant.parent != terms.parent:
            findings.append(find("cannot_change", grant=name, field="parent", needed=grant.parent))
    return findings + check_price_keys(
        state.caps, {kind: x.price_key or "" for kind, x in manifest.effects.items()}
    )


def _vanishing(state: State, manifest: Manifest) -> list[str]:
    """The grants that a manifest made and this one no longer has, by name."""
    return [
        name
        for name in sorted(state.caps.grants)
        if state.caps.grants[name].made_by == MANIFEST
        and name not in manifest.grants
        and name not in state.caps.revoked
    ]


def _check_references(state: State, manifest: Manifest) -> list[Finding]:
    """Whether every module and schema that is named by its hash is there, and is one."""
    wasm = {hash_module(data) for data in manifest.wasm}
    schemas = {hash_schema(data) for data in manifest.schemas} | {b""}
    blobs = state.caps.blobs
    named_modules = [(cap.enforcer, {"cap": name}) for name, cap in manifest.caps.items()]
    named_modules += [(digest, {"name": name}) for name, digest in manifest.modules.items()]
    findings = [
        find("not_found", **facts, enforcer=digest)
        for digest, facts in named_modules
        if digest not in wasm and (digest not in blobs or hash_module(blobs[digest]) != digest)
    ]
    named = [(name, cap.params_schema) for name, cap in manifest.caps.items()]
    for kind, effect in manifest.effects.items():
        named += [(kind, effect.params_schema), (kind, effect.receipt_schema)]
    findings += [
        find("not_found", name=name, schema=schema)
        for name, schema in named
        if schema not in schemas and (schema not in blobs or hash_schema(blobs[schema]) != schema)
    ]
    types = {cap.cap_type for cap in state.caps.caps.values()} | {
        cap.cap_type for cap in manifest.caps.values()
    }
    findings += [
        find("not_found", kind=kind, cap_type=effect.cap_type)
        for kind, effect in manifest.effects.items()
        if effect.cap_type not in types and CAP_ANY_TYPE not in types
    ]
    return findings


def _check_grants(defined: State, manifest: Manifest, call: NativeCall) -> list[Finding]:
    """Check grants parents first, on a fork in which the definitions stand already."""
    findings: list[Finding] = []
    for name in _parents_first(manifest, findings):
        terms = manifest.grants[name]
        grant = build_grant(name, terms, MANIFEST)
        old = defined.caps.grants.get(name)
        found = check_change(defined, old, grant) if old else check_terms(defined.caps, grant)
        found += check_rules(defined.caps, terms, f"grants.{name}")
        found += check_prices(defined.caps, terms, f"grants.{name}") + check_accounts(defined, call, grant)
        found += check_zones(defined, grant.limits)
        findings += found
        if not found:
            defined.caps.grants[name] = grant
            if terms.params is not None:
                defined.caps.blobs[grant.params] = terms.params
    return findings


def _parents_first(manifest: Manifest, findings: list[Finding]) -> list[str]:
    order: list[str] = []
    done: set[str] = set()
    for name in sorted(manifest.grants):
        path: list[str] = []
        while name in manifest.grants and name not in done and name not in path:
            path.append(name)
            name = manifest.grants[name].parent
        if name in path:
            findings.append(find("not_found", grant=name, field="parent", cycle=path))
            continue
        order += reversed(path)
        done.update(path)
    return order


def manifest_events(state: State, call: NativeCall, manifest: Manifest) -> list[Event]:
    """What applying a checked manifest changes; empty when everything stands already."""
    now_ns = call.now_ns
    events = definition_events(state, manifest)
    fork = _with(state, events)
    _extend(fork, events, moved_windows(state, fork, now_ns))
    for name in _vanishing(fork, manifest):
        _extend(fork, events, revoke_events(fork, name, MANIFEST))
    for stated in stated_budgets(manifest):
        _extend(fork, events, stated_budget_events(fork, call, stated))
    for name in _parents_first(manifest, []):
        terms = recorded_terms(fork.caps, manifest.grants[name])
        grant = build_grant(name, terms, MANIFEST)
        old = fork.caps.grants.get(name)
        if old is None:
            _extend(fork, events, grant_events(fork.caps, grant, terms.params, None))
        else:
            _extend(fork, events, change_events(fork, old, grant, terms.params, now_ns))
    _extend(fork, events, adapter_events(fork, manifest.adapters or {}))
    _extend(fork, events, policy_events(fork, manifest, now_ns))
    _extend(fork, events, governor_events(fork, manifest, now_ns, governed_windows(state, now_ns)))
    _extend(fork, events, caller_events(fork, manifest))
    if events and manifest.modules:
        digest = hash_manifest(encode(msgspec.to_builtins(manifest, builtin_types=(bytes,))))
        events.append(Defined("manifests", digest.hex(), encode(manifest.modules)))
    return events


def definition_events(state: State, manifest: Manifest) -> list[Event]:
    """The definitions that are new or differ."""
    events: list[Event] = []
    for data in manifest.wasm:
        define_blob(state, events, hash_module(data), data)
    for data in manifest.schemas:
        define_blob(state, events, hash_schema(data), data)
    for data in manifest.prices or ():
        define_blob(state, events, hash_prices(data), data)
    wanted: dict[str, dict[str, bytes]] = {
        "modules": {name: encode(module) for name, module in manifest.modules.items()},
        "resources": {name: resource_value(name, scale) for name, scale in manifest.resources.items()},
        "accounts": {name: account_value(name, debt) for name, debt in manifest.accounts.items()},
        "effects": {kind: encode(effect_row(x.effect(kind))) for kind, x in manifest.effects.items()},
        "caps": {
            name: encode([name, x.cap_type, x.enforcer, x.params_schema]) for name, x in manifest.caps.items()
        },
    }
    for table, entries in wanted.items():
        for name in sorted(entries):
            now = state.table(DEFINITIONS[table]).get(name)
            if now is None or encode(_plain(table, now)) != entries[name]:
                events.append(Defined(table, name, entries[name]))
    made = {(event.table, event.key) for event in events if isinstance(event, Defined)}
    for key, name in sorted((manifest.stated or {}).items()):
        table, _, entry = key.partition(" ")
        means = manifest.modules[entry] if table == "modules" else manifest.caps[entry].enforcer
        row, now = {name: means} if name else {}, state.caps.stated.get(key)
        if row != now and (now is not None or (table, entry) in made):
            events.append(Defined("stated", key, encode(row)))
    for name in _OF_THE_WORLD:
        if getattr(manifest, name) != getattr(state, name):
            events.append(Defined("world", name, encode(getattr(manifest, name))))
    return events + zone_events(state, manifest.zones or {})


def _plain(table: str, row: Any) -> Any:
    """A row of a table of definitions as it is recorded."""
    if table == "effects":
        return effect_row(row)
    return row if table == "modules" else msgspec.to_builtins(row, builtin_types=(bytes,))


def release_events(state: State, release: Manifest) -> list[Event]:
    """The definitions of a release that are new or differ; what the world chose itself stands."""
    chosen = {name: getattr(state, name) for name in _OF_THE_WORLD}
    world = state.ledger.zones.get("")
    zones = {"": world} if world is not None else UNSET
    return definition_events(state, msgspec.structs.replace(release, **chosen, zones=zones))


def define_blob(state: State, events: list[Event], digest: bytes, data: bytes) -> None:
    """Add the definition of some bytes to `events` where nobody has defined them yet."""
    event = Defined("blobs", digest.hex(), data)
    if digest not in state.caps.blobs and event not in events:
        events.append(event)


def _defined(state: State, manifest: Manifest) -> State:
    return _with(state, definition_events(state, manifest))


def _with(state: State, events: list[Event]) -> State:
    fork = state.fork()
    for event in events:
        evolve(fork, event, "", 0)
    return fork


def _extend(fork: State, events: list[Event], more: list[Event]) -> None:
    for event in more:
        evolve(fork, event, "", len(events))
        events.append(event)


def _touches(state: State, call: NativeCall, manifest: Manifest) -> Touches:
    return Touches(accounts=[*manifest.accounts], resources=[*manifest.resources])


def _check(state: State, call: NativeCall, manifest: Manifest) -> list[Finding]:
    if call.grant != ROOT:
        return [find("root_only", grant=call.grant)]
    return _check_manifest(state, call, manifest)


def _make(state: State, call: NativeCall, manifest: Manifest) -> list[Event]:
    return manifest_events(state, call, manifest)


def read_manifest(data: bytes) -> Manifest:
    """The manifest in canonical bytes."""
    return msgspec.convert(decode(data), Manifest, strict=True)


ROWS = {
    "manifest.apply": Native(
        Manifest,
        _touches,
        _check,
        _make,
        "make the world what a manifest says",
        modules=lambda manifest: manifest.wasm,
        tell=told_budgets,
    ),
}
