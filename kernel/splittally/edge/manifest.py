"""Manifests as people write them (TOML, JSON or a mapping) to the typed manifest of the core.

Rule 1. Only the spelling changes here: units, durations, file names, schemas. What is allowed is
        decided by the core.
Rule 2. An unknown key is refused by name, with the keys that are known.
Rule 3. A manifest that is unchanged means what it meant: a name by which a module was stated is that module
        until the one which it means now is accepted.
"""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path, PurePath
from typing import Any

import msgspec
from msgspec import to_builtins
from msgspec.structs import asdict

from splittally.core.calendars import Calendar
from splittally.core.caps.rules import require_rules
from splittally.core.errors import InvalidManifest, SplittallyError
from splittally.core.findings import Finding, find
from splittally.core.native.manifest_terms import Manifest
from splittally.core.state import State
from splittally.core.types import CAP_ANY_TYPE, CapDef, Limit, is_name
from splittally.core.zones import Zone
from splittally.edge.adapter_terms import spelled_adapters
from splittally.edge.amounts import Amounts, scales_of
from splittally.edge.caller_terms import spelled_principals, spelled_tokens
from splittally.edge.cap_params import require_known
from splittally.edge.governor_terms import spelled_governor
from splittally.edge.grant_terms import SchemaOf
from splittally.edge.json_values import parse_json
from splittally.edge.limit_terms import spelled_limit
from splittally.edge.manifest_files import Carried, is_by_people, table_in
from splittally.edge.manifest_names import refuse_misspelt
from splittally.edge.manifest_places import Beside, Place, Stated
from splittally.edge.payers import spelled_payers
from splittally.edge.permission import complete_terms
from splittally.edge.plans import spelled_budgets
from splittally.edge.policy_terms import spelled_rules
from splittally.edge.priced_params import Priced
from splittally.edge.prices import read_snapshots
from splittally.edge.quantities import (
    array,
    instant,
    natural,
    refuse_unknown,
    scale_of,
    span,
    table,
)
from splittally.edge.world_terms import read_world

# A path to `.toml` or `.json`, a mapping of the same shape, or a manifest that came with its files.
Source = str | Path | Mapping[str, Any] | Stated
TABLES = (
    "resources",
    "accounts",
    "effects",
    "caps",
    "modules",
    "grants",
    "policy",
    "governor",
    "budgets",
    "prices",
    "tokens",
    "principals",
    "world",
    "adapters",
)
EFFECT_KEYS = ("cap_type", "params_schema", "receipt_schema", "adapters", "params_bytes_max", "price_key")
CAP_KEYS = ("enforcer", "params_schema", "cap_type")
GRANT_KEYS = (
    "cap", "params", "budget", "limits", "expiry", "expiry_ns", "parent", "holder", "draws_on", "pays_to",
    "delegations", "hold_ns_max", "approval_ns", "unknown_ns", "doubt", "above", "permission",
    "dispatch",
)  # fmt: skip
NO_CAP = CapDef("", "", b"", b"")


def read_manifest_document(
    source: Source, state: State, schema_of: SchemaOf, accept_modules: bool = False
) -> tuple[dict[str, Any], list[Finding]]:
    """The params of `manifest.apply`, and the names that mean other modules now (`module_renamed`).

    `source` is a path to `.toml` or `.json`, a mapping of the same shape, or either with a place for its
    files. `accept_modules` takes the modules that names mean now. `InvalidManifest` says what is wrong and
    where.
    """
    if not isinstance(source, Mapping | str | PathLike | Stated):
        raise InvalidManifest(f"a manifest is a path or a mapping, not {type(source).__name__}")
    place, stated = source if isinstance(source, Stated) else _stated(source)
    if isinstance(stated, Mapping):
        document, by_people = dict(stated), False
    else:
        document, by_people = table_in(place, stated), is_by_people(PurePath(stated))
    reader = _Reader(document, place, state, schema_of, accept_modules, by_people)
    return reader.read(), reader.renamed


def _stated(source: str | Path | Mapping[str, Any]) -> Stated:
    """A manifest of this machine, with the files beside it; for a mapping those of the current folder."""
    if isinstance(source, Mapping):
        return Stated(Beside(Path()), source)
    path = Path(source)
    return Stated(Beside(path.parent), path.name)


class _Reader:
    def __init__(
        self,
        document: dict[str, Any],
        place: Place,
        state: State,
        schema_of: SchemaOf,
        accept_modules: bool,
        by_people: bool,
    ) -> None:
        self.document = document
        self.place = place
        self.state = state
        self.schema_of = schema_of
        self.accept_modules = accept_modules
        self.by_people = by_people
        self.carried = Carried(place, state)
        self.zones: dict[str, Zone] = {}
        self.stated: dict[str, str] = {}
        self.renamed: list[Finding] = []

    def read(self) -> dict[str, Any]:
        refuse_unknown("the manifest", self.document, TABLES)
        resources = {name: scale_of(name, value) for name, value in self._table("resources").items()}
        self.amounts = Amounts(scales_of(self.state) | resources, self.by_people)
        world = read_world(self._table("world"), self.zones)
        calendar = Calendar(world["offset_ns"], self.zones.get(""))
        snapshots = read_snapshots(self._table("prices"), self.amounts, calendar, self._prices_file)
        for name, source in self._table("modules").items():
            self.carried.modules[name] = self._module("modules", name, f"modules.{name}", source)
        effects = {kind: self._effect(kind, entry) for kind, entry in self._table("effects").items()}
        caps = {name: self._cap(name, entry, effects) for name, entry in self._table("caps").items()}
        kinds = [(effect["cap_type"], str(effect.get("price_key", ""))) for effect in effects.values()]
        self.priced = Priced(self.state, snapshots, kinds)
        params: dict[str, Any] = {
            "resources": resources,
            "accounts": {name: self._account(name, value) for name, value in self._table("accounts").items()},
            "effects": effects,
            "caps": caps,
            "modules": self.carried.modules,
            "grants": {name: self._grant(name, x, caps) for name, x in self._table("grants").items()},
            "policy": spelled_rules(self._rules(), self.state.rules, self._limits),
            **world,
            "wasm": [self.carried.wasm[digest] for digest in sorted(self.carried.wasm)],
            "schemas": [self.carried.schemas[digest] for digest in sorted(self.carried.schemas)],
            **({"stated": self.stated} if self.stated else {}),
            **({"zones": {key: to_builtins(x) for key, x in self.zones.items()}} if self.zones else {}),
        }
        if "adapters" in self.document:
            params["adapters"] = spelled_adapters(self._table("adapters"))
        if "budgets" in self.document:
            params["budgets"] = spelled_budgets(self._table("budgets"), self.amounts)
        if "tokens" in self.document:
            params["tokens"] = spelled_tokens(self._table("tokens"))
        if "principals" in self.document:
            params["principals"] = spelled_principals(self._table("principals"))
        if self.priced.tables:
            params["prices"] = [self.priced.tables[digest] for digest in sorted(self.priced.tables)]
        try:
            if "governor" in self.document:
                params["governor"] = spelled_governor(self.document["governor"], self.amounts)
            msgspec.convert(params, Manifest, strict=True)
        except InvalidManifest:
            raise
        except (msgspec.ValidationError, UnicodeError, SplittallyError) as error:
            raise InvalidManifest(f"the manifest cannot be read: {error}") from error
        refuse_misspelt(self.state, params)
        return params

    def _table(self, name: str) -> dict[str, Any]:
        table = self.document.get(name, {})
        if not isinstance(table, Mapping):
            raise InvalidManifest(f"`{name}` is a table", field=name)
        return dict(table)

    def _rules(self) -> list[Any]:
        return array("policy", self.document.get("policy", []))

    def _account(self, name: str, value: Any) -> int:
        entry = value if isinstance(value, Mapping) else {"debt_limit": value}
        refuse_unknown(f"account `{name}`", entry, ("debt_limit",))
        where = f"accounts.{name}.debt_limit"
        return natural(where, self._said(where, lambda: self.amounts.debt_limit(entry.get("debt_limit", 0))))

    def _prices_file(self, path: str) -> tuple[dict[str, Any], bool]:
        return table_in(self.place, path), is_by_people(PurePath(path))

    def _effect(self, kind: str, entry: Any) -> dict[str, Any]:
        where = f"effects.{kind}"
        entry = table(where, entry)
        refuse_unknown(f"effect `{kind}`", entry, EFFECT_KEYS)
        return {
            "cap_type": entry.get("cap_type", kind),
            "params_schema": self.carried.params_schema(where, entry),
            "receipt_schema": self.carried.schema(f"{where}.receipt_schema", entry.get("receipt_schema")),
            "adapters": array(f"{where}.adapters", entry.get("adapters", [])),
            **{key: entry[key] for key in ("params_bytes_max", "price_key") if key in entry},
        }

    def _cap(self, name: str, entry: Any, effects: Mapping[str, Any]) -> dict[str, Any]:
        where = f"caps.{name}"
        entry = table(where, entry)
        refuse_unknown(f"cap `{name}`", entry, CAP_KEYS)
        if "enforcer" not in entry:
            raise InvalidManifest(f"cap `{name}` names no `enforcer`", field=where)
        enforcer = self._module("caps", name, f"{where}.enforcer", entry["enforcer"])
        return {
            "cap_type": entry.get("cap_type") or self._cap_type(name, enforcer, effects),
            "enforcer": enforcer,
            "params_schema": self.carried.params_schema(where, entry),
        }

    # Example. The cap `acme/llm@1` is stated as the module `acme/llm@1`, which is A. Then B is installed
    # under that name. The same manifest again means A, and `module_renamed` says it. It means B where it
    # carries B in its own `modules` or as a file, where it states B by hash, and once B is accepted.
    def _module(self, table: str, name: str, where: str, source: Any) -> bytes:
        """The module of an entry; stated by the same name as before, it is what that name meant then."""
        digest = self.carried.module(where, source)
        stated = source if isinstance(source, str) and is_name(source) else ""
        key = f"{table} {name}"
        self.stated[key] = stated
        if not stated or stated in self.carried.modules or self.accept_modules:
            return digest
        caps = self.state.caps
        standing = caps.caps[name].enforcer if name in caps.caps else digest
        had = caps.modules.get(name, digest) if table == "modules" else standing
        meant = caps.stated.get(key, {stated: had}).get(stated, digest)
        if meant != digest:
            self.renamed.append(find("module_renamed", entry=key, name=stated, module=meant, means=digest))
        return meant

    def _cap_type(self, name: str, enforcer: bytes, effects: Mapping[str, Any]) -> str:
        """The type a cap that states none has: its enforcer's in the release, else the one its name
        gives where an effect has it, else any, because an enforcer denies a foreign kind itself."""
        for cap in self.state.caps.caps.values():
            if cap.enforcer == enforcer and cap.name.startswith("sys/"):
                return cap.cap_type
        middle = name.rsplit("/", maxsplit=1)[-1].split("@", maxsplit=1)[0]
        known = {effect["cap_type"] for effect in effects.values()}
        known |= {effect.cap_type for effect in self.state.caps.effects.values()}
        return middle if middle in known else CAP_ANY_TYPE

    def _grant(self, name: str, entry: Any, caps: Mapping[str, Any]) -> dict[str, Any]:
        where = f"grants.{name}"
        entry = table(where, entry)
        refuse_unknown(f"grant `{name}`", entry, GRANT_KEYS)
        entry = self._completed(where, entry, caps)
        terms = {
            key: value for key, value in entry.items() if key not in ("expiry", "params", "budget", "limits")
        }
        for key in ("hold_ns_max", "approval_ns", "unknown_ns"):
            if key in terms:
                terms[key] = span(f"{where}.{key}", terms[key])
        if "draws_on" in terms:
            terms["draws_on"] = spelled_payers(f"{where}.draws_on", terms["draws_on"])
        expiry = entry.get("expiry", entry.get("expiry_ns"))
        if expiry is not None:
            terms["expiry_ns"] = instant(f"{where}.expiry", expiry)
        if entry.get("params") is not None:
            terms["params"] = self._cap_params(
                f"{where}.params", str(entry.get("cap")), entry["params"], caps
            )
        if entry.get("budget") is not None:
            budget = table(f"{where}.budget", entry["budget"])
            terms["budget"] = {
                dim: self._amount(f"{where}.budget.{dim}", dim, x) for dim, x in budget.items()
            }
        if "limits" in entry:
            grant = self.state.caps.grants.get(name)
            terms["limits"] = self._limits(f"{where}.limits", entry["limits"], grant.limits if grant else [])
        return terms

    def _completed(self, where: str, entry: Mapping[str, Any], caps: Mapping[str, Any]) -> dict[str, Any]:
        types = {name: cap.cap_type for name, cap in self.state.caps.caps.items()}
        types |= {name: cap["cap_type"] for name, cap in caps.items()}
        try:
            return complete_terms(entry, self.amounts.scales, types, self._permission)
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error

    def _permission(self, text: str) -> Any:
        return parse_json(text) if text.lstrip().startswith("{") else table_in(self.place, text)

    def _cap_params(self, where: str, cap: str, params: Any, caps: Mapping[str, Any]) -> bytes:
        stated = caps.get(cap) or asdict(self.state.caps.caps.get(cap, NO_CAP))
        digest, enforcer, cap_type = stated["params_schema"], stated["enforcer"], stated["cap_type"]
        schema = self.carried.loaded.get(digest) or self.schema_of(self.state, digest)
        priced = self.priced.params(f"{where}.prices", params, cap_type, enforcer)
        require_known(self.state.caps, enforcer, where, priced)
        try:
            data = schema.seal(priced)
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error
        try:
            require_rules(self.state.caps, enforcer, where, data)
        except SplittallyError as error:
            raise InvalidManifest(str(error), **error.facts) from error
        return data

    def _limits(self, where: str, limits: Any, now: list[Limit]) -> list[dict[str, Any]]:
        standing = {(limit.dim, limit.per) for limit in now}
        return [
            spelled_limit(place, table(place, limit), standing, self._amount, self.zones)
            for at, limit in enumerate(array(where, limits))
            for place in [f"{where}[{at}]"]
        ]

    def _amount(self, where: str, dim: str, value: Any) -> Any:
        return natural(where, self._said(where, lambda: self.amounts.minor_units(value, dim)))

    def _said(self, where: str, read: Callable[[], Any]) -> Any:
        """What `read` gives, whose refusal says where it stands."""
        try:
            return read()
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error
