"""What is defined and who may do what: definitions, grants, and the chains they form.

Rule 1. A chain is derived from grants and definitions and cached by (leaf, kind); whatever changes
        one of them empties the cache.
Rule 2. A name once revoked is never used again. The last that were stand in `revoked`; of those before them,
        which are forgotten (`forgetting.py`), only the hashes of their names do.
"""

from typing import NamedTuple

from splittally.core.abi import CheckTemplate, check_template
from splittally.core.callers import Principal, Token
from splittally.core.canonical import decode, encode_record
from splittally.core.caps.names import NO_NAMES, has_name
from splittally.core.events import Authority
from splittally.core.hashing import hash_terms
from splittally.core.limits import CHAIN_GRANTS_MAX, PRICE_TABLES_KEPT_MAX
from splittally.core.overlay import Overlay
from splittally.core.periods import is_keyed
from splittally.core.prices import PriceTable, read_table
from splittally.core.rows import grant_row
from splittally.core.types import (
    CAP_ALL,
    CAP_ANY_TYPE,
    CAP_NATIVE,
    CAP_NATIVE_TYPE,
    LIFE,
    AdapterDef,
    CapDef,
    EffectDef,
    Grant,
    Leg,
    Limit,
    Payer,
    Rule,
    covers_account,
)

NO_PARAMS = b"\xa0"  # the canonical bytes of an empty map
DELEGATION_KINDS = ("grant.issue", "grant.revoke")
GRANTS = "grants"  # the row of `forgotten`


class NativeLists(NamedTuple):
    """The accounts and resources to which a grant of cap `sys/native@1` is bound; empty for all of them."""

    accounts: tuple[str, ...]
    resources: tuple[str, ...]

    def holds_account(self, name: str) -> bool:
        """Whether this account, or entry of a list of payees, is covered."""
        return not self.accounts or any(covers_account(entry, name) for entry in self.accounts)

    def holds_resource(self, name: str) -> bool:
        """Whether this resource is covered."""
        return not self.resources or name in self.resources


class Link(NamedTuple):
    """One grant of a chain as a decision needs it: leaf first, root last.

    `template` is None for a grant that asks nobody for this kind. `leg` is the leg of an intent that reserves
    nothing: what each intent adds is its reserve and its windows. `lists` are those of a native grant,
    `counted` the dimensions that it limits for life, `keyed` the periods of its limits that count by a value.
    """

    grant: Grant
    cap: CapDef
    limits: tuple[Limit, ...]
    terms_hash: bytes
    authority: Authority
    covers: bool
    template: CheckTemplate | None
    leg: Leg
    lists: NativeLists | None
    counted: frozenset[str]
    keyed: tuple[str, ...]


class Chain(NamedTuple):
    """The grants above an intent, leaf first, the earliest expiry among them and the shortest time that
    they let an intent be held (0 for none).

    `pays_to` is the list of the leafmost grant that has one, less what a list above it does not cover.
    `payers` are the accounts that its grants draw on, the nearest first: place in the chain, resource,
    accounts in the order of their use.
    `is_sound` says that every grant covers the kind and none is revoked.
    """

    links: tuple[Link, ...]
    expiry_ns: int
    hold_ns_max: int
    asked: tuple[Link, ...]
    pays_to: list[str]
    payers: tuple[tuple[int, str, list[Payer]], ...]
    is_sound: bool

    def is_live(self, principal: str, now_ns: int) -> bool:
        """Whether it authorises this principal now; `check_chain` says why it does not."""
        is_early = not self.expiry_ns or now_ns < self.expiry_ns
        return self.is_sound and is_early and self.links[0].grant.holder == principal


class Caps:
    """The tables of definitions and grants."""

    __slots__ = ("active", "adapters", "bearers", "blobs", "caps", "chains", "effects", "forgotten", "grants",
                 "manifests", "modules", "price_tables", "principals", "revoked", "revoked_at", "rules",
                 "stated", "token_names", "uids")  # fmt: skip

    def __init__(self) -> None:
        self.adapters: dict[str, AdapterDef] = {}  # who signs receipts
        self.blobs: dict[bytes, bytes] = {}
        self.modules: dict[str, bytes] = {}
        self.manifests: dict[str, dict[str, bytes]] = {}  # hash in hex -> the modules it names
        self.stated: dict[str, dict[str, bytes]] = {}  # `caps NAME` -> stated by which name, and which it was
        self.effects: dict[str, EffectDef] = {}
        self.caps: dict[str, CapDef] = {}
        self.grants: dict[str, Grant] = {}
        self.revoked: dict[str, str] = {}  # name -> by which order
        self.revoked_at: dict[str, int] = {}  # of the last of these, in which frame
        self.forgotten: dict[str, bytes] = {}  # `grants` -> the names of those that are (`names.py`)
        self.rules: dict[str, list[Rule]] = {}
        self.bearers: dict[str, Token] = {}  # token by name
        self.token_names: dict[bytes, str] = {}  # hash of a token's secret -> its name, derived
        self.principals: dict[str, Principal] = {}
        self.uids: dict[int, str] = {}  # uid -> the principal that has it, derived
        self.chains: dict[tuple[str, str], Chain] = {}
        self.active: dict[tuple[str, tuple[str, ...]], list[int]] = {}  # derived (`active.py`)
        self.price_tables: dict[bytes, PriceTable] = {}

    def fork(self) -> "Caps":
        """What is derived, for a fork; its tables are laid over these by `State.fork`."""
        child = Caps()
        child.chains = self.chains.copy()
        child.price_tables = self.price_tables  # by hash, so they are the same in every fork
        child.token_names, child.uids = Overlay(self.token_names), Overlay(self.uids)
        return child

    def renew(self) -> None:
        """Forgets what was derived from grants and definitions that are others now."""
        self.chains.clear()
        self.active.clear()

    def chain(self, leaf: str, kind: str) -> Chain:
        """The chain from grant `leaf` to the root for an effect of `kind`; both must exist."""
        key = (leaf, kind)
        chain = self.chains.get(key)
        if chain is None:
            chain = self.chains[key] = self._derive_chain(leaf, self.effects[kind])
        return chain

    def cap_params(self, grant: Grant | Leg) -> bytes:
        """The canonical cap params that a grant or a pinned leg names."""
        return self.blobs[grant.params] if grant.params else NO_PARAMS

    def price_table(self, digest: bytes) -> PriceTable | None:
        """The price table with this hash, read once; None where the world has none."""
        table = self.price_tables.get(digest)
        if table is None and digest in self.blobs:
            table = read_table(digest, self.blobs[digest])
            if table is not None:
                if len(self.price_tables) >= PRICE_TABLES_KEPT_MAX:
                    self.price_tables.clear()
                self.price_tables[digest] = table
        return table

    def ancestors(self, name: str) -> list[Grant]:
        """The grant of this name and those above it, leaf first."""
        grants = []
        while name:
            grants.append(self.grants[name])
            name = grants[-1].parent
        return grants

    def payers(self, name: str, resource: str) -> list[Payer]:
        """The accounts from which a chain takes a resource, as its nearest grant has them."""
        drawn = (grant.paid_by for grant in self.ancestors(name))
        return next((paid_by[resource] for paid_by in drawn if resource in paid_by), [])

    def bearer(self, name: str, resource: str) -> str:
        """The account that owes what a chain owes: its last, which has no end; empty for none."""
        payers = self.payers(name, resource)
        return payers[-1].account if payers else ""

    def descends(self, name: str, ancestor: str) -> bool:
        """Whether `name` is `ancestor` or stands below it."""
        return any(grant.name == ancestor for grant in self.ancestors(name))

    def is_revoked(self, name: str) -> bool:
        """Whether the grant or one above it was revoked, also where it is forgotten."""
        if name not in self.grants:
            return self.is_forgotten(name)
        return any(grant.name in self.revoked for grant in self.ancestors(name))

    def is_live(self, name: str, now_ns: int) -> bool:
        """Whether neither the grant nor one above it was revoked, forgotten or has expired."""
        return name in self.grants and all(
            grant.name not in self.revoked and not (grant.expiry_ns and now_ns >= grant.expiry_ns)
            for grant in self.ancestors(name)
        )

    def is_forgotten(self, name: str) -> bool:
        """Whether a grant of this name was revoked so long ago that nothing else of it stands."""
        return has_name(self.forgotten.get(GRANTS, NO_NAMES), name)

    def was_revoked(self, name: str) -> bool:
        """Whether the grant itself was revoked, so that nobody uses its name again."""
        return name in self.revoked or self.is_forgotten(name)

    def _derive_chain(self, leaf: str, effect: EffectDef) -> Chain:
        links = tuple(self._derive_link(grant, effect) for grant in self.ancestors(leaf))
        assert len(links) <= CHAIN_GRANTS_MAX
        expiries = [link.grant.expiry_ns for link in links if link.grant.expiry_ns]
        holds = [link.grant.hold_ns_max for link in links if link.grant.hold_ns_max]
        asked = tuple(link for link in links if link.template is not None)
        is_sound = all(link.covers and link.grant.name not in self.revoked for link in links)
        payees = _payees([link.grant for link in links])
        payers = [(at, *drawn) for at, link in enumerate(links) for drawn in link.grant.paid_by.items()]
        return Chain(
            links=links,
            expiry_ns=min(expiries, default=0),
            hold_ns_max=min(holds, default=0),
            asked=asked,
            pays_to=payees,
            payers=tuple(payers),
            is_sound=is_sound,
        )

    def _derive_link(self, grant: Grant, effect: EffectDef) -> Link:
        cap = self.caps[grant.cap]
        terms_hash = hash_terms(encode_record([grant_row(grant), cap.enforcer, effect.params_schema]))
        delegates = grant.delegations > 0 and effect.kind in DELEGATION_KINDS
        asks_nobody = grant.cap == CAP_ALL or delegates
        template = None
        if not asks_nobody:
            template = check_template(grant.cap, self.cap_params(grant), grant.name, effect.kind)
        leg = Leg(
            grant=grant.name,
            grant_hash=grant.grant_hash,
            terms_hash=terms_hash,
            enforcer_ref=b"" if template is None else cap.enforcer,
            cap=grant.cap,
            params=grant.params,
            reserve={},
            windows=[],
            above=grant.above,
        )
        limits = limits_of(grant)
        return Link(
            grant=grant,
            cap=cap,
            limits=limits,
            terms_hash=terms_hash,
            authority=Authority(grant.name, grant.grant_hash, terms_hash),
            covers=asks_nobody or covers_type(cap.cap_type, effect.cap_type),
            template=template,
            leg=leg,
            lists=native_lists(self.cap_params(grant)) if grant.cap == CAP_NATIVE else None,
            counted=frozenset(limit.dim for limit in limits if limit.per == LIFE),
            keyed=tuple(dict.fromkeys(limit.per for limit in limits if is_keyed(limit.per))),
        )


def native_lists(params: bytes) -> NativeLists:
    """The lists in the params of a native grant; what is no text in them covers nothing."""
    stated = decode(params)
    return NativeLists(*(tuple(map(str, stated.get(name) or ())) for name in NativeLists._fields))


def limits_of(grant: Grant) -> tuple[Limit, ...]:
    """Every limit of a grant: its budget, dimension by dimension, then the others as stated."""
    budget = grant.budget or {}
    return tuple(Limit(dim, LIFE, budget[dim]) for dim in sorted(budget)) + tuple(grant.limits)


def _payees(grants: list[Grant]) -> list[str]:
    lists = [grant.pays_to for grant in grants if grant.pays_to]
    return [
        payee
        for payee in (lists[0] if lists else [])
        if all(any(covers_account(entry, payee) for entry in above) for above in lists[1:])
    ]


def covers_type(cap_type: str, effect_type: str) -> bool:
    """Whether caps of one type cover effects of another: their own, or `*` all but native."""
    return cap_type == effect_type or (cap_type == CAP_ANY_TYPE and effect_type != CAP_NATIVE_TYPE)
