"""What budgets hold and how it changes: any quantity, by one record each, from an escrow to a treasury."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.types import is_id

from tests.rows.budgets import done, held
from tests.rows.worlds import applied, codes, few, tally

B, TREASURY, JANE = "budgets/b", "accounts/treasury", "accounts/jane"
DAY = 86_400 * 10**9


def world(path=None):
    accounts = {TREASURY: {}, JANE: {}}
    return applied({"resources": {"USD": 0}, "accounts": accounts}, path)


def create(kernel, plan, budget=B, **params):
    return done(kernel, "budget.create", budget=budget, schema=plan, pays_to=[JANE], **params)


def deposit(kernel, amount, resource="USD", to=B, **more):
    return done(kernel, "ledger.issue", resource=resource, amount=amount, to=to, **more)


def transfer(kernel, amount, debit, to):
    return kernel.native("ledger.transfer", resource="USD", amount=amount, to=to, **{"from": debit})


def post(kernel, amounts, grant=B, **times):
    return kernel.submit(Intent("task.post", {"result": "work", "amounts": amounts}, grant), **times)


def settle(kernel, decision, **times):
    return kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}), **times)


def spend(kernel, amounts, grant=B, **times):
    """Posts a task and, where it is allowed, settles it; the decision."""
    decision = post(kernel, amounts, grant, **times)
    if decision.allowed:
        settle(kernel, decision, **times)
    return decision


def row(kernel, budget=B):
    return kernel.state.budgets[budget]


# --- one record for each change ---------------------------------------------------------------------


@pytest.fixture
def changes(folder):
    """The eight changes by name: the sequence and the intent of the frame that each of them made."""
    with world(folder / "w") as kernel:
        deposit(kernel, 1_000, to=TREASURY)
        made = {"create": create(kernel, {"resources": {"USD": 0}})}
        plan = {"resources": {"USD": 0}, "goals": ["grow"]}
        made["amend"] = done(kernel, "budget.amend", budget=B, schema=plan)
        made["fund"] = transfer(kernel, 100, TREASURY, B)
        made["split"] = done(kernel, "budget.split", budget=B, resource="USD", shares={"ads": 60, "rest": 40})
        terms = {"cap": "sys/spend@1", "budget": {"USD": 30}}
        made["delegate"] = done(kernel, "grant.issue", grant=f"{B}/ads", name="card", terms=terms)
        made["post"] = post(kernel, {"USD": 20}, "card")
        made["settle"] = settle(kernel, made["post"])
        gone = post(kernel, {"USD": 7}, "card")
        made["cancel"] = kernel.release(gone.intent_hash)
        yield folder / "w", made, kernel


ASKED = {
    "create": ("budget.create", {"budget": B, "schema": {"resources": {"USD": 0}}}, ["root"]),
    "amend": ("budget.amend", {"budget": B}, ["root"]),
    "fund": ("ledger.transfer", {"from": TREASURY, "to": B, "amount": 100, "resource": "USD"}, ["root"]),
    "split": ("budget.split", {"budget": B, "shares": {"ads": 60, "rest": 40}}, ["root"]),
    "delegate": ("grant.issue", {"name": "card"}, [f"{B}/ads", B, "root"]),
    "post": ("task.post", {"result": "work", "amounts": {"USD": 20}}, ["card", f"{B}/ads", B, "root"]),
}
POSTED = {
    "fund": (TREASURY, B, 100, "root"),
    "post": (B, "", 20, f"{B}/ads"),
    "settle": ("", JANE, 20, f"{B}/ads"),
    "cancel": ("", B, 7, f"{B}/ads"),
}


@pytest.mark.req("S0-12")
def test_each_change_is_one_frame_that_names_instructions_targets_and_authority(changes):
    where, made, _ = changes
    code, frames = tally(where, "log")
    by_seq = {frame["seq"]: frame for frame in frames}
    assert code == 0
    assert sorted({decision.seq for decision in made.values()}) == [3, 4, 5, 6, 7, 8, 9, 11]
    for name, decision in made.items():
        frame = by_seq[decision.seq]
        command, events = frame["command"], {event["type"]: event for event in frame["events"]}
        assert frame["by"] == "operator"
        if name in ASKED:
            kind, instructions, chain = ASKED[name]
            (member,) = command["members"]
            assert (command["type"], member["kind"], member["grant"]) == ("submit", kind, chain[0])
            assert member["params"].items() >= instructions.items()
            authority = events["held"]["legs"] if name == "post" else events["decided"]["authority"]
            assert [level["grant"] for level in authority] == chain
            assert events["decided"]["outcome"] == "allow"
        else:
            assert command["type"] == {"settle": "settle", "cancel": "release"}[name]
            assert command["intent_hash"] == decision.intent_hash.hex()
            levels = events["settled"]["legs"] if name == "settle" else events["released"]["authority"]
            assert [level["grant"] for level in levels] == ["card", f"{B}/ads", B, "root"]
        posted = [event for event in frame["events"] if event["type"] == "posted"]
        told = [tuple(event[key] for key in ("debit", "credit", "amount", "grant")) for event in posted]
        assert told == ([POSTED[name]] if name in POSTED else [])
        assert all(event["intent_hash"] == decision.intent_hash.hex() for event in posted)
        parts = [event["grant"]["name"] for event in frame["events"] if event["type"] == "grant_set"]
        assert parts == {"create": [B], "split": [f"{B}/ads", f"{B}/rest"], "delegate": ["card"]}.get(
            name, []
        )


@pytest.mark.req("S0-12")
def test_nothing_moves_but_by_a_frame_that_tells_its_intent(changes):
    where, made, kernel = changes
    code, shown = tally(where, "show", made["post"].intent_hash.hex())
    assert (code, [frame["seq"] for frame in shown["frames"]]) == (0, [made["post"].seq, made["settle"].seq])
    assert (held(kernel, TREASURY), held(kernel, B), held(kernel, JANE)) == (900, 80, 20)
    _, lines = tally(where, "ledger", "--entries", "--account", B)
    signs = {"credit": 1, "debit": -1}
    assert sum(signs[line["direction"]] * line["amount"] for line in lines) == 80


# --- from an escrow to a treasury -------------------------------------------------------------------


@pytest.mark.req("S0-13")
def test_an_escrow_of_one_task_and_a_treasury_of_three_levels_pass_the_same_checks(folder):
    usd = {"resources": {"USD": 0}}
    funded = {"resource": "USD", "from": TREASURY}
    top, middle, leaf = "budgets/treasury", "budgets/company", "budgets/team"
    back = {"kind": "transfer", "to": top, "amount": "cause.amount * 3 / 10"}
    reinvests = {**usd, "rules": [{"name": "reinvest", "on": "deposit", "of": "USD", "do": [back]}]}
    with world(folder / "w") as kernel:
        deposit(kernel, 2_000, to=TREASURY)
        create(kernel, usd, "budgets/escrow", amount=100, **funded)
        create(kernel, usd, top, amount=1_000, **funded)
        create(kernel, usd, middle, parent=top)
        create(kernel, reinvests, leaf, parent=middle)
        assert kernel.state.grants[leaf].chain == [leaf, middle, top, "root"]
        assert transfer(kernel, 500, top, middle).allowed
        assert transfer(kernel, 200, middle, leaf).allowed
        balances = [held(kernel, name) for name in (top, middle, leaf)]
        assert balances == [560, 300, 140], "30% of what the team got was reinvested"
        for name, left in (("budgets/escrow", 100), (leaf, 140)):
            assert codes(post(kernel, {"USD": left + 1}, name)) == ["insufficient_balance"]
            assert set(codes(post(kernel, {"GPU-Hours": 1}, name))) == {"resource_not_permitted"}
            assert spend(kernel, {"USD": left}, name).allowed
            assert (held(kernel, name), codes(post(kernel, {"USD": 1}, name))) == (
                0,
                ["insufficient_balance"],
            )
        assert held(kernel, JANE) == 240
        assert kernel.state.resources["USD"].imbalance == kernel.state.resources["USD"].in_flight == 0
    code, verified = tally(folder / "w", "verify")
    assert (code, verified["sound"], verified["problems"]) == (0, True, [])


# --- any quantity -----------------------------------------------------------------------------------


@pytest.mark.req("S0-58")
def test_8_of_400_engineer_hours_leave_392():
    with world() as kernel:
        create(kernel, {"resources": {"Engineer-Hours": 0}})
        deposit(kernel, 400, "Engineer-Hours")
        assert spend(kernel, {"Engineer-Hours": 8}).allowed
        assert row(kernel).balances == {"Engineer-Hours": 392}
        assert codes(spend(kernel, {"Engineer-Hours": 393})) == ["insufficient_balance"]


@pytest.mark.req("S0-59")
@few
@given(start=st.integers(0, 10**6), hours=st.lists(st.integers(1, 30), max_size=3))
def test_on_day_10_of_30_project_days_20_are_left_whatever_is_spent(start, hours):
    lines = {"deadline": {"resource": "Project-Days", "amount": 30, "calendar": True}}
    with world() as kernel:
        create(kernel, {"resources": {"Hours": 0}, "lines": lines, "starts_ns": start})
        deposit(kernel, 400, "Hours")

        def left(now_ns):
            deposit(kernel, 1, "Hours", now_ns=now_ns)  # so that the world has seen this time
            return row(kernel).lines["deadline"]["left"]

        assert left(start) == 30
        for amount in hours:
            assert spend(kernel, {"Hours": amount}, now_ns=start + DAY // 2).allowed
        assert left(start + 10 * DAY - 1) == 21
        assert left(start + 10 * DAY) == 20
        assert left(start + 31 * DAY) == -1


def earning(kernel, resource, goal):
    create(kernel, {"resources": {resource: 0}, "lines": {"goal": {"resource": resource, "amount": goal}}})


@pytest.mark.req("S0-61")
def test_three_articles_make_3_of_a_goal_of_10_mentions():
    with world() as kernel:
        earning(kernel, "Positive-Media-Mentions", 10)
        for article in ("The Times", "a blog", "a post"):
            deposit(kernel, 1, "Positive-Media-Mentions", note=article)
        line = row(kernel).lines["goal"]
        assert (line["filled"], line["planned"], line["share"]) == (3, 10, "3/10")


@pytest.mark.req("S0-62")
def test_twelve_merges_are_12_on_their_line_and_none_on_the_other():
    resources = ("Pull-Requests-Merged", "Helpful-Forum-Answers")
    lines = {name: {"resource": name, "amount": 20} for name in resources}
    with world() as kernel:
        create(kernel, {"resources": dict.fromkeys(resources, 0), "lines": lines})
        for _ in range(12):
            deposit(kernel, 1, "Pull-Requests-Merged")
        assert {name: line["filled"] for name, line in row(kernel).lines.items()} == {
            "Pull-Requests-Merged": 12,
            "Helpful-Forum-Answers": 0,
        }


@pytest.mark.req("S0-63")
@pytest.mark.parametrize("resource", ["GPU-Hours", "LLM-Tokens"])
def test_what_infra_deposits_a_data_scientist_spends_under_a_permission(resource):
    native = {"cap": "sys/native@1", "holder": "infra", "params": {"operations": ["ledger.issue"]}}
    with world() as kernel:
        create(kernel, {"resources": {resource: 0}})
        done(kernel, "grant.issue", name="infra", terms=native)
        deposit(kernel.as_principal("infra"), 1_000, resource)
        terms = {"cap": "sys/spend@1", "budget": {resource: 50}, "holder": "data-scientist"}
        done(kernel, "grant.issue", grant=B, name="card", terms=terms)
        scientist = kernel.as_principal("data-scientist")
        assert codes(spend(scientist, {resource: 40}, B)) == ["not_holder"]
        assert spend(scientist, {resource: 40}, "card").allowed
        assert row(kernel).balances == {resource: 960}
        assert codes(spend(scientist, {resource: 11}, "card")) == ["budget_exceeded"]


@pytest.mark.req("S0-126")
@few
@given(
    name=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20).filter(is_id),
    earned=st.integers(1, 2**62),
    data=st.data(),
)
def test_a_metric_of_any_name_is_a_currency_that_is_earned_and_spent(name, earned, data):
    spent = data.draw(st.integers(0, earned))
    for currency, gain, cost in (("QualityScore", 7, 3), (name, earned, spent)):
        metric = {currency: {"description": "how good it was", "nature": "maximise"}}
        with world() as kernel:
            create(kernel, {"resources": {currency: 0}, "metrics": metric})
            deposit(kernel, gain, currency)
            assert row(kernel).balances == {currency: gain}
            assert spend(kernel, {currency: cost}).allowed
            assert row(kernel).balances == {currency: gain - cost}
            assert codes(spend(kernel, {currency: gain - cost + 1})) == ["insufficient_balance"]
