"""Row X6-09: whom a chain pays first is a plain account that exists; older records are read as they are."""

import pytest
from splittally import Intent, Receipt
from splittally.core.events import Posted
from splittally.core.evolve import evolve
from splittally.core.ledger.settle import payee_of
from splittally.core.types import Draw

from tests.rows.worlds import applied, codes

PAYER = "accounts/a"
CARD = {"cap": "sys/spend@1", "holder": "ann"}
ABOVE = CARD | {"delegations": 2, "draws_on": {"USD": PAYER}}


def world():
    accounts = {name: {} for name in (PAYER, "vendors/x", "vendors/y", "vendors/y/z")}
    grants = {"p": ABOVE | {"pays_to": ["vendors/x", "vendors/"]}}
    return applied({"resources": {"USD": 0}, "accounts": accounts, "grants": grants}, a=100)


def task(kernel, **more):
    asked = {"result": "x", "amounts": {"USD": 5}, **more}
    return kernel.as_principal("ann").submit(Intent("task.post", asked, "c"))


@pytest.mark.req("X6-09")
@pytest.mark.parametrize(
    ("child", "above", "expected"),
    [
        (["vendors/x", "vendors/y/"], ["vendors/y", "vendors/y/"], ["payee_unlisted"]),
        (["vendors/x", "vendors/y/*"], ["vendors/y", "vendors/y/"], ["payee_unlisted"]),
        (["vendors/x", "vendors/none"], ["vendors/y", "vendors/none"], ["payee_unlisted"]),
        (["vendors/x"], ["vendors/y"], ["payee_missing"]),
        (["vendors/x", "vendors/y"], ["vendors/y"], []),
        (["vendors/x", "vendors/y/"], ["vendors/x", "vendors/y/"], []),
    ],
)
@pytest.mark.parametrize("middle", [None, {}, {"pays_to": ["vendors/x", "vendors/"]}], ids=repr)
def test_a_list_that_lost_its_first_entries_pays_nobody_who_is_not_there(child, above, expected, middle):
    """Lost to a list of its parent, or of a grant above that."""
    with world() as kernel:
        ann = kernel.as_principal("ann")
        if middle is not None:
            terms = CARD | {"delegations": 1} | middle
            assert ann.native("grant.issue", grant="p", name="m", terms=terms).allowed
        under = "p" if middle is None else "m"
        assert ann.native("grant.issue", grant=under, name="c", terms=CARD | {"pays_to": child}).allowed
        assert kernel.native("grant.amend", name="p", terms=ABOVE | {"pays_to": above}).allowed
        decision = task(kernel)
        assert codes(decision) == expected
        if decision.allowed:
            ann.settle(Receipt(decision.intent_hash, "ok"))
        paid = {name for name, row in kernel.state.accounts.items() if row.balances.get("USD", 0) > 0}
        assert paid <= {PAYER, "vendors/x", "vendors/y"}


@pytest.mark.req("X6-09")
def test_who_names_a_payee_of_a_prefix_that_is_left_may_pay_it():
    with world() as kernel:
        ann = kernel.as_principal("ann")
        pays = {"pays_to": ["vendors/x", "vendors/y/"]}
        assert ann.native("grant.issue", grant="p", name="c", terms=CARD | pays).allowed
        assert kernel.native(
            "grant.amend", name="p", terms=ABOVE | {"pays_to": ["vendors/y", "vendors/y/"]}
        ).allowed
        assert codes(task(kernel)) == ["payee_unlisted"]
        assert codes(task(kernel, payee="vendors/y/")) == ["payee_unlisted"]
        decision = task(kernel, payee="vendors/y/z")
        ann.settle(Receipt(decision.intent_hash, "ok"))
        assert kernel.state.accounts["vendors/y/z"].balances == {"USD": 5}


@pytest.mark.req("X6-09")
@pytest.mark.parametrize("first", ["vendors/y/", "vendors/y/*", "vendors/none"])
@pytest.mark.parametrize("named", ["", "vendors/nobody", "vendors/y/z"])
def test_settling_a_hold_that_was_recorded_with_a_prefix_first_gives_back_to_the_payer(first, named):
    """Such holds stand in worlds that an older release wrote."""
    with world() as kernel:
        draw = Draw(
            resource="USD", account=PAYER, amount=5, leg=0, pays_to=[first, "vendors/y/"], doubt="payer"
        )
        violations = []
        payee = payee_of(draw, named, kernel._world.state.ledger, violations)
        assert payee == ("vendors/y/z" if named == "vendors/y/z" else PAYER)
        assert [x.code for x in violations] == (["payee_not_permitted"] if named == "vendors/nobody" else [])


@pytest.mark.req("X6-09")
def test_views_answer_for_a_world_that_credited_a_name_without_an_account():
    with world() as kernel:
        posted = Posted(
            debit=PAYER, credit="vendors/y/", resource="USD", amount=5, grant="p", intent_hash=bytes(32)
        )
        fork = kernel.fork()
        evolve(fork._world.state, posted, "", 0)
        row = fork.state.accounts["vendors/y/"]
        assert (row.kind, row.balances, row.spendable) == ("undefined", {"USD": 5}, {"USD": 5})
        assert fork.state.accounts[PAYER].balances == {"USD": 95}
        assert set(fork.state.budgets) == set()
        move = {"resource": "USD", "amount": 1, "from": "vendors/y/", "to": PAYER}
        assert codes(fork.native("ledger.transfer", **move)) == ["not_found"]
