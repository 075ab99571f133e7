"""A patch of a grant's terms: it changes what it names and keeps the rest (D-36).

Rule 1. It is merged over the terms that stand when the effect is decided, so a patch and a change that came
        before it lose nothing of each other. It is recorded as it was stated, so it can be merged again.
Rule 2. As JSON Merge Patch (RFC 7396): a map is merged key by key, any other value replaces the term, and
        null takes a term, or a key of a map, away. Cap params are one term: their enforcer knows what they
        mean.
Rule 3. What does not fit together is found when it is merged; what no grant can have is refused when it is
        read.

Example. A grant has `budget = {requests: 10, bytes: 5}` and a holder. `{budget: {requests: 20, bytes:
null}}` makes it `{requests: 20}`; the holder stays. `{limits: []}` or `{limits: null}` takes every other
limit away.
"""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from splittally.core.caps.grants import GrantTerms, LimitTerms, PayerTerms
from splittally.core.types import CAP_ALL

MAPS = ("budget", "draws_on")  # the terms that are merged key by key
_DEFAULTS = GrantTerms(cap=CAP_ALL)


class TermsPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The terms of a grant that are to be others, by name; null for those to be taken away."""

    cap: str | UnsetType = UNSET
    params: bytes | UnsetType | None = UNSET
    budget: dict[str, int | None] | UnsetType | None = UNSET
    limits: list[LimitTerms] | UnsetType | None = UNSET
    expiry_ns: int | UnsetType | None = UNSET
    parent: str | UnsetType = UNSET
    holder: str | UnsetType | None = UNSET
    draws_on: dict[str, str | list[PayerTerms] | None] | UnsetType | None = UNSET
    pays_to: list[str] | UnsetType | None = UNSET
    delegations: int | UnsetType | None = UNSET
    hold_ns_max: int | UnsetType | None = UNSET
    approval_ns: int | UnsetType | None = UNSET
    unknown_ns: int | UnsetType | None = UNSET
    doubt: str | UnsetType | None = UNSET
    above: str | UnsetType | None = UNSET
    dispatch: bool | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        self.stated()

    def over(self, terms: GrantTerms) -> GrantTerms:
        """These terms with what the patch names; `ValueError` where no grant can have them all."""
        changed = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None:
                changed[name] = getattr(_DEFAULTS, name)
            elif name in MAPS and value is not UNSET:
                merged = {**(getattr(terms, name) or {}), **value}
                kept = {key: item for key, item in merged.items() if item is not None}
                changed[name] = kept or getattr(_DEFAULTS, name)
            elif value is not UNSET:
                changed[name] = value
        return msgspec.structs.replace(terms, **changed)

    def stated(self) -> GrantTerms:
        """What it states, as the terms of a grant that has nothing else."""
        return self.over(_DEFAULTS)

    def alone(self) -> GrantTerms:
        """What it states as the whole terms of a grant; `ValueError` where it states no cap."""
        if self.cap is UNSET:
            raise ValueError("terms that replace all others name a `cap`")
        return self.stated()
