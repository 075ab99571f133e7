"""A world as a manifest states it, in types that cannot hold the wrong thing."""

from msgspec import UNSET, Struct, UnsetType

from splittally.core.caps.grants import GrantTerms, LimitTerms
from splittally.core.errors import ExpressionError
from splittally.core.governor.terms import GovernorTerms
from splittally.core.limits import (
    ADAPTERS_MAX,
    APPROVERS_MAX,
    CLOCK_JUMP_NS,
    CLOCK_JUMP_NS_MIN,
    PARAMS_BYTES_MAX,
    POLICY_RULES_MAX,
    TIME_NS_MAX,
    ZONES_MAX,
)
from splittally.core.native.budgets import CreateBudget
from splittally.core.native.caller_terms import PrincipalTerms, TokenTerms, require_apart
from splittally.core.native.manifest_adapters import AdapterTerms
from splittally.core.native.money import SCALE_MAX
from splittally.core.policy import ATTEMPTS, condition
from splittally.core.types import (
    ALLOW,
    DENY,
    LIFE,
    ORIGIN_KINDS,
    PER_INTENT,
    REQUIRE_APPROVAL,
    EffectDef,
    Rule,
    is_id,
    is_kind,
    is_name,
    is_principal,
)
from splittally.core.zones import Zone

RULE_DECISIONS = (ALLOW, DENY, REQUIRE_APPROVAL)


class EffectTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of effect: which type of cap covers it, its schemas by hash, who else may settle it.

    `price_key` is the param that names a row of a price table, such as `model`.
    """

    cap_type: str
    params_schema: bytes = b""
    receipt_schema: bytes = b""
    adapters: list[str] = []
    params_bytes_max: int = PARAMS_BYTES_MAX
    price_key: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require(self.price_key is UNSET or is_id(self.price_key), "`price_key` is the name of a param")

    def effect(self, kind: str) -> EffectDef:
        """The record of this kind."""
        return EffectDef(
            kind=kind,
            cap_type=self.cap_type,
            params_schema=self.params_schema,
            receipt_schema=self.receipt_schema,
            adapters=self.adapters,
            params_bytes_max=self.params_bytes_max,
            price_key=self.price_key or "",
        )


class CapTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of capability: its enforcer by module hash, and the schema of its params by hash."""

    cap_type: str
    enforcer: bytes
    params_schema: bytes = b""


class RuleTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy rule; an empty field matches anything."""

    name: str
    decision: str
    effect_kind: str = ""
    cap_name: str = ""
    cap_type: str = ""
    origin_kind: str = ""
    origin_name: str = ""
    when: str = ""
    rates: list[LimitTerms] = []
    approvers: list[str] = []
    approvals: int = 1

    def __post_init__(self) -> None:
        if not is_id(self.name):
            raise ValueError("a rule's `name` is a name")
        if self.decision not in RULE_DECISIONS:
            raise ValueError(f"`decision` is one of {', '.join(RULE_DECISIONS)}")
        if self.origin_kind not in ("", *ORIGIN_KINDS):
            raise ValueError("`origin_kind` is plan or reducer")
        if any(rate.dim != ATTEMPTS or rate.per in (LIFE, PER_INTENT) for rate in self.rates):
            raise ValueError(f"a rate counts `{ATTEMPTS}` in a window such as 60s or day")
        if self.when:
            try:
                condition(self.when)
            except ExpressionError as error:
                raise ValueError(f"the `when` of rule `{self.name}`: {error}") from error
        if self.approvers or self.approvals != 1:
            self._require_approvals()

    def _require_approvals(self) -> None:
        """A rule that asks may say of whom, and how many of them must approve."""
        where, named = f"rule `{self.name}`", len(self.approvers)
        asks = self.decision == REQUIRE_APPROVAL or any(rate.over == "ask" for rate in self.rates)
        _require(asks, f"{where} asks nobody, so it has no `approvers` and no `approvals`")
        _require(all(map(is_principal, self.approvers)), f"the `approvers` of {where} are principals")
        _require(named == len(set(self.approvers)), f"{where} names one of its `approvers` twice")
        most = named or APPROVERS_MAX
        _require(named <= APPROVERS_MAX, f"at most {APPROVERS_MAX} `approvers`")
        _require(0 < self.approvals <= most, f"the `approvals` of {where} are 1 to {most}")

    def rule(self) -> Rule:
        """The record of this rule."""
        return Rule(
            name=self.name,
            decision=self.decision,
            effect_kind=self.effect_kind,
            cap_name=self.cap_name,
            cap_type=self.cap_type,
            origin_kind=self.origin_kind,
            origin_name=self.origin_name,
            when=self.when,
            rates=[rate.limit() for rate in self.rates],
            approvers=self.approvers,
            approvals=0 if self.approvals == 1 else self.approvals,
        )


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A world as stated. `wasm`, `schemas` and `prices` hold bytes that the other parts name by hash.

    `stated` maps `caps NAME` and `modules NAME` to the name by which the module is stated, empty for none.
    `zones` are by name, the world's own by none; where it has one `offset_ns` is 0.
    """

    modules: dict[str, bytes] = {}
    wasm: list[bytes] = []
    schemas: list[bytes] = []
    resources: dict[str, int] = {}
    accounts: dict[str, int] = {}
    effects: dict[str, EffectTerms] = {}
    caps: dict[str, CapTerms] = {}
    grants: dict[str, GrantTerms] = {}
    policy: list[RuleTerms] = []
    governor: GovernorTerms | UnsetType = UNSET
    offset_ns: int = 0
    clock_jump_ns: int = CLOCK_JUMP_NS
    stated: dict[str, str] | UnsetType = UNSET
    prices: list[bytes] | UnsetType = UNSET
    zones: dict[str, Zone] | UnsetType = UNSET
    budgets: list[CreateBudget] | UnsetType = UNSET
    tokens: dict[str, TokenTerms] | UnsetType = UNSET
    principals: dict[str, PrincipalTerms] | UnsetType = UNSET
    adapters: dict[str, AdapterTerms] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require(all(0 <= scale <= SCALE_MAX for scale in self.resources.values()), "a scale is 0 to 18")
        _require(all(map(is_id, [*self.resources, *self.accounts, *self.grants])), "names are printable text")
        _require(all(map(is_kind, self.effects)), "an effect's kind is like mail.send")
        _require(all(map(is_name, [*self.caps, *self.modules])), "a cap's name is like acme/mail@1")
        _require(len(self.policy) <= POLICY_RULES_MAX, f"at most {POLICY_RULES_MAX} policy rules")
        if self.governor is not UNSET:
            self.governor.require_valid()
        names = [rule.name for rule in self.policy]
        _require(len(names) == len(set(names)), "two policy rules have one name")
        entries = {*(f"caps {name}" for name in self.caps), *(f"modules {name}" for name in self.modules)}
        for entry, name in (self.stated or {}).items():
            _require(entry in entries, f"`stated` names `{entry}`, which the manifest does not have")
            _require(name == "" or is_name(name), "a module is stated by a name like acme/mail@1")
        self._require_zones()
        self._require_budgets()
        require_apart(self.tokens or {}, self.principals or {})
        adapters = self.adapters or {}
        _require(len(adapters) <= ADAPTERS_MAX, f"at most {ADAPTERS_MAX} adapters")
        _require(all(map(is_id, adapters)), "an adapter's name is printable text")
        _require(abs(self.offset_ns) <= 14 * 3600 * 10**9, "the offset from UTC is at most 14 hours")
        jump_ns = self.clock_jump_ns
        is_span = jump_ns == 0 or CLOCK_JUMP_NS_MIN <= jump_ns <= TIME_NS_MAX
        _require(is_span, "`clock_jump` is at least one second, or 0 for any")

    def _require_zones(self) -> None:
        zones = self.zones or {}
        _require(len(zones) <= ZONES_MAX, f"at most {ZONES_MAX} zones")
        for name, zone in zones.items():
            zone.require_valid()
            _require(name in ("", zone.name), f"the zone `{zone.name}` stands under the name `{name}`")
        _require("" not in zones or not self.offset_ns, "a world has a zone or an offset from UTC")

    def _require_budgets(self) -> None:
        """A budget's name is its account's and its charter's, so nothing else in the manifest has it."""
        names = [budget.budget for budget in self.budgets or ()]
        _require(len(names) == len(set(names)), "two budgets have one name")
        twice = sorted(set(names) & {*self.accounts, *self.grants})
        _require(not twice, f"`{''.join(twice[:1])}` is a budget, and so no account or grant beside it")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
