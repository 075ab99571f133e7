"""Every accepted task is funded, and the books balance: claims about all runs, on generated ones."""

from itertools import accumulate
from random import Random
from threading import Thread

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.events import Posted

from tests.rows.test_s0_spending import (
    JANE,
    MARKETING,
    TREASURY,
    USD,
    balance,
    budget,
    complete,
    done,
    move,
    opened,
    post,
)
from tests.rows.worlds import few, recorded

STEPS = st.tuples(st.sampled_from(["settle", "cancel", "leave", "fund"]), st.integers(1, 3_000))


def work(kernel, steps, allowed):
    """Posts, each of which is settled, cancelled or left; now and then somebody funds."""
    for step, amount in steps:
        if step == "fund":
            done(move(kernel, amount, TREASURY, MARKETING))
            continue
        decision = post(kernel, amount)
        if decision.allowed:
            allowed[decision.intent_hash] = amount
            if step == "settle":
                complete(kernel, decision)
            elif step == "cancel":
                kernel.release(decision.intent_hash)


def race(plans):
    """Works through every plan at the same time on one balance; then reads the ledger from its start."""
    with opened() as kernel:
        budget(kernel, amount=10_000, minimum=5_000)
        allowed: dict[bytes, int] = {}
        threads = [Thread(target=work, args=(kernel, steps, allowed)) for steps in plans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        postings = [x for x in recorded(kernel, Posted) if x.resource == "USD"]
        debits = {x.intent_hash: x.amount for x in postings if (x.debit, x.credit) == (MARKETING, "")}
        assert debits == {digest: amount * USD for digest, amount in allowed.items()}
        assert set(kernel.state.reservations) <= set(debits)
        own = [(x.credit == MARKETING) * x.amount - (x.debit == MARKETING) * x.amount for x in postings]
        levels = list(accumulate(own))
        assert levels[-1] == balance(kernel) * USD
        funded = levels.index(10_000 * USD)
        assert min(levels[funded:]) >= 5_000 * USD
        return allowed


@pytest.mark.req("S0-174")
@few
@given(plans=st.lists(st.lists(STEPS, max_size=12), min_size=2, max_size=4))
def test_racing_posts_never_overspend_and_no_task_lacks_its_debit(plans):
    race(plans)


@pytest.mark.req("S0-174")
def test_of_eight_who_post_1000_at_once_five_are_allowed():
    assert len(race([[("leave", 1_000)]] * 8)) == 5


@pytest.mark.soak
@pytest.mark.req("S0-174")
def test_ten_thousand_racing_posts_are_funded_each():
    chance = Random(174)
    kinds = ["settle", "cancel", "leave", "fund"]
    plans = [
        [(chance.choices(kinds, [3, 3, 1, 2])[0], chance.randint(1, 200)) for _ in range(3_500)]
        for _ in range(4)
    ]
    assert sum(step != "fund" for steps in plans for step, _ in steps) >= 10_000
    assert len(race(plans)) > 1_000


@pytest.mark.req("S0-180")
@few
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["issue", "fund", "post", "post", "settle", "cancel", "late", "refund", "expire"]
            ),
            st.sampled_from(["USD", "GPU-Hours"]),
            st.integers(0, 9_000),
        ),
        min_size=12,
        max_size=30,
    )
)
def test_balances_and_what_is_in_flight_are_what_was_issued_after_any_sequence(steps):
    with opened() as kernel:
        budget(kernel, amount=300)
        done(kernel.native("ledger.issue", resource="GPU-Hours", amount=30_000, to=MARKETING))
        issued, tasks, now_ns = {"USD": 1_000_000 * USD, "GPU-Hours": 30_000}, [bytes(32)], 0
        for step, resource, amount in steps:
            digest = tasks[-1 - amount % min(2, len(tasks))]
            now_ns += step == "expire"
            if (
                step == "issue"
                and kernel.native("ledger.issue", resource=resource, amount=amount, to=TREASURY).allowed
            ):
                issued[resource] += amount
            elif step == "fund":
                fields = {"resource": resource, "amount": amount, "from": TREASURY, "to": MARKETING}
                kernel.native("ledger.transfer", **fields)
            elif step == "post":
                params = {"result": "a", "amounts": {resource: amount}, "payee": JANE}
                decision = kernel.submit(
                    Intent("task.post", params, MARKETING, expires_ns=now_ns + 2), now_ns=now_ns
                )
                tasks += [decision.intent_hash] if decision.allowed else []
            elif step in ("settle", "late"):
                usage = {"amounts": {resource: amount // 2}} if step == "settle" else {}
                kernel.settle(Receipt(digest, "ok", "desk", usage))
            elif step == "cancel":
                kernel.release(digest)
            elif step == "refund":
                kernel.native("settlement.refund", intent_hash=digest, amounts={resource: amount // 4})
            elif step == "expire":
                kernel.tick(now_ns=now_ns)
            held = {
                name: sum(
                    row.balances.get(name, 0) for row in kernel.state.accounts.values() if row.kind == "plain"
                )
                for name in issued
            }
            in_flight = {
                name: sum(row.in_flight.get(name, 0) for row in kernel.state.accounts.values())
                for name in issued
            }
            assert in_flight == {name: kernel.state.resources[name].in_flight for name in issued}
            assert {name: held[name] + in_flight[name] for name in issued} == issued
