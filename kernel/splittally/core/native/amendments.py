"""The native effect that changes a grant: `grant.amend`.

Rule 1. What it names changes, and the rest stays (`grant_patches.py`); with `replace` nothing else stays.
Rule 2. What the grant is after it is held against its parent, and against the one under which it is asked
        for: also what it kept, for who changes a card hands on all that it has.
"""

import msgspec
from msgspec import Struct, field

from splittally.core.caps.grants import GrantTerms, build_grant, terms_of
from splittally.core.caps.prices import check_prices
from splittally.core.caps.rules import check_rules, recorded_terms
from splittally.core.events import Event
from splittally.core.findings import Finding, find
from splittally.core.native.grant_patches import TermsPatch
from splittally.core.native.grants import (
    change_events,
    check_accounts,
    check_change,
    check_handed,
    check_there,
    touches_terms,
)
from splittally.core.native.row import Native, NativeCall, Touches
from splittally.core.native.zones import check_zones
from splittally.core.state import State


class AmendGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other terms for a grant: those that are named, or with `replace` all of them.

    Its parent cannot change, and its counters carry over.
    """

    name: str
    terms: TermsPatch = field(default_factory=TermsPatch)
    replace: bool = False

    def __post_init__(self) -> None:
        if self.replace:
            self.terms.alone()

    def over(self, terms: GrantTerms) -> GrantTerms:
        """What these terms become; `ValueError` where the parts do not fit together."""
        if not self.replace:
            return self.terms.over(terms)
        return self.terms.alone()


def _check_amend(state: State, call: NativeCall, params: AmendGrant) -> list[Finding]:
    findings = check_there(state, params.name)
    if findings:
        return findings
    old = state.caps.grants[params.name]
    try:
        terms = _amended(state, params)
    except ValueError as error:
        return [find("params.invalid", field="terms", grant=params.name, message=str(error))]
    new = build_grant(params.name, terms, old.made_by)
    findings = check_change(state, old, new) or check_rules(state.caps, terms, "terms")
    findings = findings or check_prices(state.caps, terms, "terms")
    findings = findings + check_zones(state, new.limits)
    return check_handed(state, call, new, findings) + check_accounts(state, call, new)


def _amended(state: State, params: AmendGrant) -> GrantTerms:
    """The terms of a grant that is there after an amendment; `ValueError` where they do not fit together."""
    return params.over(terms_of(state.caps, state.caps.grants[params.name]))


def _make_amend(state: State, call: NativeCall, params: AmendGrant) -> list[Event]:
    old = state.caps.grants[params.name]
    terms = recorded_terms(state.caps, _amended(state, params))
    new = build_grant(params.name, terms, old.made_by)
    return change_events(state, old, new, terms.params, call.now_ns)


def _touches_amend(state: State, call: NativeCall, params: AmendGrant) -> Touches:
    """All that the grant has then, also what is kept: who changes a card hands on what it draws on."""
    there = state.caps.grants.get(params.name)
    try:
        terms = params.over(terms_of(state.caps, there)) if there is not None else params.terms.stated()
    except ValueError:
        return Touches(grants=[params.name])  # it is refused
    handed = build_grant(params.name, terms, "")
    return msgspec.structs.replace(touches_terms(terms), grants=[params.name], handed=[handed])


ROWS = {
    "grant.amend": Native(
        AmendGrant, _touches_amend, _check_amend, _make_amend, "change terms of a grant, or all of them"
    ),
}
