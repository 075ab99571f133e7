"""What the policy and the governor of a manifest change; what was counted under the old ones is kept."""

import msgspec
from msgspec import UNSET

from splittally.core.canonical import encode
from splittally.core.events import Defined, Event
from splittally.core.evolve import governed_windows
from splittally.core.governor.cap_changes import spent_rows
from splittally.core.governor.state import GOVERNOR, SPENT
from splittally.core.hashing import hash_manifest
from splittally.core.ledger.limit_changes import Moment, open_window_events
from splittally.core.native.manifest_terms import Manifest
from splittally.core.rows import rules_row
from splittally.core.state import POLICY, State
from splittally.core.types import POLICY_SCOPE


def policy_events(state: State, manifest: Manifest, now_ns: int) -> list[Event]:
    """The rules as stated; the windows of their rates that are open take the new amounts."""
    rules = [rule.rule() for rule in manifest.policy]
    if rules == state.rules:
        return []
    value = encode(rules_row(rules))
    events: list[Event] = [
        Defined("rules", POLICY, value if rules else b""),
        Defined("world", "policy_hash", encode(hash_manifest(value) if rules else b"")),
    ]
    old, new = ({rule.name: rule.rates for rule in each} for each in (state.rules, rules))
    at = Moment(now_ns, state.offset_ns)
    for name in sorted({**old, **new}):
        scope = POLICY_SCOPE + name
        events += open_window_events(state.ledger, scope, old.get(name, []), new.get(name, []), at)
    return events


def governor_events(state: State, manifest: Manifest, now_ns: int, began: dict[str, int]) -> list[Event]:
    """The governor is the manifest's, as the policy is: one without takes it away. What was spent is kept.

    `began` says where the windows of now began before this manifest: another zone begins them elsewhere.
    """
    terms = None if manifest.governor is UNSET else manifest.governor
    starts = governed_windows(state, now_ns)
    if terms == state.governed.terms and starts == began:
        return []
    events: list[Event] = []
    if terms != state.governed.terms:
        events.append(
            Defined(GOVERNOR, GOVERNOR, encode(msgspec.to_builtins(terms)) if terms is not None else b"")
        )
    rows = spent_rows(state.governed, terms, began, starts)
    return [*events, Defined(SPENT, GOVERNOR, encode(rows))] if rows else events
