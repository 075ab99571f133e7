"""Bad money: each kind is refused with a code of its own, and nothing has changed."""

import pytest
import splittally
from splittally import Intent

from tests.rows.worlds import codes

TEAM, SHOP, JANE, MINT = "budgets/team", "accounts/shop", "accounts/jane", "accounts/mint"


@pytest.fixture
def kernel():
    """A budget of 10.00 USD with a card of 5.00 below it, and a mint that has nothing."""
    with splittally.open(None, clock="given") as kernel:
        accounts = {SHOP: {}, JANE: {}, MINT: {}}
        assert kernel.apply({"resources": {"USD": 2, "Stars": 0}, "accounts": accounts}).allowed
        plan = {"resources": {"USD": 2, "Stars": 0}}
        assert kernel.native("budget.create", budget=TEAM, schema=plan, pays_to=[JANE]).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=1_000, to=TEAM).allowed
        card = {
            "draws_on": {"USD": TEAM},
            "delegations": 1,
            "permission": {"properties": {"USD": {"type": "number", "maximum": 5}}},
        }
        assert kernel.native("grant.issue", grant=TEAM, name="card", terms=card).allowed
        yield kernel


def post(amounts, **params):
    return lambda k: k.submit(Intent("task.post", {"result": "r", "amounts": amounts, **params}, "card"))


def native(kind, grant=None, **params):
    return lambda k: k.native(kind, grant=grant, **params)


def move(amount, source=TEAM):
    return native("ledger.transfer", resource="USD", amount=amount, to=JANE, **{"from": source})


def split(shares):
    return native("budget.split", budget=TEAM, resource="USD", shares=shares)


def convert(amount, rate):
    moved = {"from": TEAM, "to": TEAM, "counter": MINT}
    return native("ledger.convert", resource="USD", amount=amount, gets="Stars", rate=rate, **moved)


def card_below(**terms):
    return native("grant.issue", "card", name="below", terms={"cap": "sys/spend@1", **terms})


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (post({"USD": -1}), "amount.negative"),
        (post({"USD": "-0.01 USD"}), "amount.negative"),
        (post({"USD": 0.5}), "amount.fractional"),
        (post({"USD": "1.005 USD"}), "amount.fractional"),
        (post({"USD": 2**64}), "amount.too_large"),
        (move(-1), "amount.negative"),
        (move(1.5), "amount.fractional"),
        (native("ledger.issue", resource="USD", amount=2**64, to=TEAM), "amount.too_large"),
        (native("ledger.issue", resource="USD", amount=2**63, to=TEAM), "amount_overflow"),
        (post({"Stars": 1}), "resource_not_permitted"),
        (post({"USD": 501}), "budget_exceeded"),
        (post({"USD": 100}, payee=SHOP), "payee_unlisted"),
        (move(1, "external/issuer"), "external_account"),
        (card_below(draws_on={"USD": "external/issuer"}), "external_account"),
        (card_below(draws_on={"USD": SHOP}), "account_not_yours"),
        (card_below(budget={"USD": 501}), "wider_than_parent"),
        (card_below(pays_to=[SHOP]), "wider_than_parent"),
        (convert(100, [1, 1]), "conversion_uncovered"),
        (convert(1, [1, 2]), "conversion_too_small"),
        (split({"a": 60, "b": 41}), "allocations_unequal"),
    ],
)  # fmt: skip
def test_bad_money_is_refused_by_its_own_code_and_changes_nothing(kernel, ask, code):
    before = kernel.state.tables()
    decision = ask(kernel)
    assert (decision.outcome, codes(decision)[0]) == ("deny", code)
    after = kernel.state.tables()
    for table in ("balances", "holds", "inflight", "counters", "grants", "budgets", "accounts"):
        assert after.get(table) == before.get(table)
