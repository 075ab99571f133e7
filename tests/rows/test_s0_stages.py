"""Stages and hard constraints: what a budget lacks, what that stops, and what goes on meanwhile."""

import pytest
from splittally import Intent, Receipt

from tests.cli_tools import run
from tests.rows.budgets import done, held
from tests.rows.worlds import applied, codes, tally

B, BANK, JANE = "budgets/b", "accounts/bank", "accounts/jane"
RESOURCES = {"USD": 0, "GPU-Hours": 0, "Engineers": 0, "Permits": 0, "Transit": 0}
ACCOUNTS = {BANK: {}, JANE: {}, "accounts/ann": {}, "accounts/ben": {}}
BURN = {"description": "what a month costs", "nature": "spend", "unit": "USD"}


def world(path=None):
    return applied({"resources": RESOURCES, "accounts": ACCOUNTS}, path)


def create(kernel, constraints=(), parts=(), **plan):
    schema = {"resources": RESOURCES, "constraints": list(constraints), **plan}
    done(kernel, "budget.create", budget=B, schema=schema, pays_to=[JANE])
    for part in parts:
        issue(kernel, f"{B}/{part}")


def issue(kernel, name, parent=B, holder="operator", **terms):
    """A grant that draws on the budget as the charter does; a part of the budget where it is named so."""
    terms = {"cap": "sys/spend@1", "holder": holder, "delegations": 3, "pays_to": [JANE], **terms}
    by = kernel.as_principal(kernel.state.grants[parent].holder)
    return done(by, "grant.issue", grant=parent, name=name, terms=terms)


def fund(kernel, amount, resource="USD", **more):
    return done(kernel, "ledger.issue", resource=resource, amount=amount, to=B, **more)


def record(kernel, metric, value):
    return done(kernel, "metric.record", budget=B, metric=metric, value=value)


def post(kernel, amount, part="", resource="USD", **more):
    grant = f"{B}/{part}" if part else B
    params = {"result": "work", "amounts": {resource: amount}, **more}
    return kernel.submit(Intent("task.post", params, grant))


def row(kernel):
    return kernel.state.budgets[B]


def least(name, minimum, resource="USD", **more):
    return {"name": name, "resource": resource, "minimum": minimum, **more}


SALARIES = least("salaries", 30_000, tier="partial", opens=["salaries"])


def gaps(kernel):
    return {x["constraint"]: x.get("missing", (x.get("have"), x.get("needed"))) for x in row(kernel).missing}


# --- what an unsolvable budget is -------------------------------------------------------------------


@pytest.mark.req("S0-39", "S0-40", "S0-41")
def test_80_of_100_gpu_hours_are_a_state_in_which_everything_but_spending_works(folder):
    with world(folder / "w") as kernel:
        create(kernel, [least("baseline", 100, "GPU-Hours")], lines={"x": {"resource": "USD", "amount": 9}})
        fund(kernel, 80, "GPU-Hours")
        fund(kernel, 9)
        assert row(kernel).schema["constraints"][0]["minimum"] == 100
        done(kernel, "budget.solve", budget=B)
        assert (row(kernel).state, row(kernel).stage, gaps(kernel)) == (
            "unsolvable",
            "planning",
            {"baseline": 20},
        )
        cells = row(kernel).solution["cells"] if row(kernel).solution else {}
        assert cells == {}
        assert kernel.decide(Intent("task.post", {"result": "x", "amounts": {"USD": 1}}, B)).outcome == "deny"
        with kernel.fork() as simulated:
            fund(simulated, 20, "GPU-Hours")
            assert row(simulated).state == "solvable"
    for words in (("budgets", B), ("budgets",), ("verify",)):
        assert tally(folder / "w", *words)[0] == 0, words
    funded = ("native", "ledger.issue", "--resource", "GPU-Hours", "--amount", "20 GPU-Hours", "--to", B)
    assert tally(folder / "w", *funded)[0] == 0
    assert tally(folder / "w", "budgets", B)[1]["state"] == "solvable"


@pytest.mark.req("S0-43")
def test_99_of_100_gpu_hours_lack_1_and_100_are_enough():
    with world() as kernel:
        create(kernel, [least("baseline", 100, "GPU-Hours")])
        fund(kernel, 99, "GPU-Hours")
        assert (row(kernel).state, gaps(kernel)) == ("unsolvable", {"baseline": 1})
        fund(kernel, 1, "GPU-Hours")
        assert (row(kernel).state, gaps(kernel)) == ("solvable", {})


@pytest.mark.req("S0-44", "S0-45")
def test_4000_of_5000_for_reach_lack_1000_and_two_of_three_engineers_lack_one_whole_engineer():
    with world() as kernel:
        create(kernel, [least("reach", 5_000), least("team", 3, "Engineers")])
        fund(kernel, 4_000)
        fund(kernel, 2, "Engineers")
        assert gaps(kernel) == {"reach": 1_000, "team": 1}
        fund(kernel, 1_000)
        assert gaps(kernel) == {"team": 1}
        assert type(gaps(kernel)["team"]) is int


@pytest.mark.req("S0-45")
def test_three_engineers_may_also_be_three_people_with_a_live_permission():
    with world() as kernel:
        create(kernel, [{"name": "team", "participants": 3}])
        fund(kernel, 10)
        for name, holder in (("cards/a", "ann"), ("cards/b", "ben"), ("cards/c", "ben")):
            issue(kernel, name, holder=holder)
        assert row(kernel).missing == [{"constraint": "team", "have": 2, "needed": 3, "description": ""}]
        assert codes(post(kernel, 1)) == ["planning_stage"]
        issue(kernel, "cards/d", parent="cards/a", holder="cem")
        assert row(kernel).stage == "full"
        assert post(kernel, 1).allowed


@pytest.mark.req("S0-46", "S0-47")
def test_the_message_names_every_missing_amount_and_what_it_is_for(folder):
    with world(folder / "w") as kernel:
        create(
            kernel, [least("runway", 150_000, description="six months"), least("baseline", 100, "GPU-Hours")]
        )
        fund(kernel, 100_000)
        fund(kernel, 80, "GPU-Hours")
        refused = post(kernel, 1)
        assert codes(refused) == ["planning_stage"]
        assert "50000 USD missing for runway (six months)" in refused.reason
        assert "20 GPU-Hours missing for baseline" in refused.reason
        assert [(x["resource"], x["missing"]) for x in row(kernel).missing] == [
            ("USD", 50_000),
            ("GPU-Hours", 20),
        ]
    shown = run("-w", str(folder / "w"), "budgets", B)
    lines = [line for line in shown.out.splitlines() if " missing for " in line]
    assert (shown.code, lines) == (0, [
        "50000 USD missing for runway (six months)", "20 GPU-Hours missing for baseline",
    ])  # fmt: skip


# --- parts that a constraint stops ------------------------------------------------------------------

RUNWAY = {"name": "runway", "resource": "USD", "needs": "6 * metric.burn", "blocks": ["hiring"]}


@pytest.mark.req("S0-42")
def test_six_months_of_runway_come_before_hiring_and_other_work_goes_on():
    with world() as kernel:
        create(kernel, [RUNWAY], parts=["hiring", "work"], metrics={"burn": BURN})
        fund(kernel, 100_000)
        record(kernel, "burn", 20_000)
        (gap,) = row(kernel).missing
        assert (gap["missing"], gap["needed"], gap["have"], gap["blocks"]) == (
            20_000,
            120_000,
            100_000,
            ["hiring"],
        )
        assert (row(kernel).stage, row(kernel).blocked) == ("full", {"hiring": ["runway"]})
        (found,) = post(kernel, 5_000, "hiring").findings
        assert (found.stage, found.code) == ("plan", "part_blocked")
        assert {x: found.facts[x] for x in ("budget", "stage", "part", "constraint", "shortage")} == {
            "budget": B, "stage": "full", "part": "hiring", "constraint": "runway", "shortage": 20_000,
        }  # fmt: skip
        fund(kernel, 20_000)
        assert row(kernel).blocked == {}
        assert post(kernel, 5_000, "hiring").allowed  # 115,000 are left, and the next must wait
        assert post(kernel, 1, "hiring").findings[0].facts["shortage"] == 5_000
        assert post(kernel, 90_000, "work").allowed
        assert post(kernel, 10).allowed  # the charter is no part


def test_a_card_below_a_part_is_of_that_part_and_one_beside_it_is_not():
    with world() as kernel:
        create(kernel, [RUNWAY], parts=["hiring"], metrics={"burn": BURN})
        fund(kernel, 10)
        record(kernel, "burn", 20_000)
        issue(kernel, "cards/x", parent=f"{B}/hiring")
        issue(kernel, "cards/hiring")
        answers = [
            kernel.submit(Intent("task.post", {"result": "w", "amounts": {"USD": 1}}, grant))
            for grant in ("cards/x", "cards/hiring")
        ]
        assert [codes(x) for x in answers] == [["part_blocked"], []]


def test_who_does_not_hold_the_charter_hears_which_constraint_stops_a_part_and_no_figure():
    with world() as kernel:
        create(kernel, [RUNWAY, SALARIES, least("launch", 10**6)], metrics={"burn": BURN})
        fund(kernel, 50_000)
        record(kernel, "burn", 20_000)
        issue(kernel, f"{B}/hiring", holder="eve")
        intent = Intent("task.post", {"result": "w", "amounts": {"USD": 30_001}}, f"{B}/hiring")
        found = kernel.as_principal("eve").submit(intent).findings
        assert [x.code for x in found] == ["part_closed", "part_blocked", "constraint_unmet"]
        assert all(type(value) is str for x in found for value in x.facts.values())
        assert {x.facts.get("constraint") for x in found} == {None, "runway", "salaries"}


def test_what_an_expression_cannot_say_is_unmet_and_its_fault_stands_in_the_gap():
    with world() as kernel:
        holds = {"name": "soil", "holds": "metric.carbon > 3", "blocks": ["shared"]}
        carbon = {"description": "carbon in the soil", "nature": "maximise"}
        create(kernel, [RUNWAY, holds], parts=["hiring", "shared"], metrics={"burn": BURN, "carbon": carbon})
        fund(kernel, 1_000_000)
        assert [(x["constraint"], x["fault"], "missing" in x) for x in row(kernel).missing] == [
            ("runway", "missing_key", False), ("soil", "missing_key", False),
        ]  # fmt: skip
        for part in ("hiring", "shared"):
            (found,) = post(kernel, 1, part).findings
            assert (found.code, found.facts["fault"]) == ("part_blocked", "missing_key")
        assert post(kernel, 1).allowed


@pytest.mark.req("S0-216")
def test_shared_resources_rest_while_soil_carbon_is_below_its_floor():
    soil = {
        "name": "soil",
        "holds": "metric.carbon >= 40",
        "blocks": ["shared"],
        "description": "the land rests",
    }
    carbon = {"description": "tonnes of carbon a hectare", "nature": "maximise"}
    with world() as kernel:
        create(kernel, [soil], parts=["shared", "seeds"], metrics={"carbon": carbon})
        fund(kernel, 1_000)
        for value, expected in ((40, []), (39, ["part_blocked"]), (41, [])):
            record(kernel, "carbon", value)
            assert codes(post(kernel, 10, "shared")) == expected
            assert post(kernel, 10, "seeds").allowed
            assert row(kernel).blocked == ({"shared": ["soil"]} if expected else {})
        record(kernel, "carbon", 39)
        assert "metric.carbon >= 40" in str(row(kernel).missing)


@pytest.mark.req("X0-24")
@pytest.mark.parametrize(("asked", "expected"), [(8, []), (10, ["condition_unmet"])])
def test_permits_may_not_grow_faster_than_transit(asked, expected):
    """100 of each are there at first; so many of them are spent as growth in percent."""
    pace = {"name": "pace", "holds": 'spent["Permits"] <= spent["Transit"]'}
    with world() as kernel:
        create(kernel, [pace])
        fund(kernel, 100, "Permits")
        fund(kernel, 100, "Transit")
        assert post(kernel, 8, resource="Transit").allowed
        told = post(kernel, asked, resource="Permits")
        assert codes(told) == expected
        if expected:
            assert told.findings[0].facts["constraint"] == "pace"
            assert 'spent["Permits"]' in told.reason
            assert post(kernel, 2, resource="Transit").allowed  # what would restore it is let through
            assert post(kernel, 10, resource="Permits").allowed
        assert row(kernel).stage == "full"


@pytest.mark.req("X0-27")
def test_four_of_five_participants_stop_their_category_and_a_fifth_opens_it():
    five = {"name": "five", "participants": 5, "blocks": ["research"]}
    with world() as kernel:
        create(kernel, [five], parts=["research", "sales"])
        fund(kernel, 1_000)
        for name in ("ann", "ben", "cem"):
            issue(kernel, f"cards/{name}", parent=f"{B}/research", holder=name, expiry_ns=10**9)
        issue(kernel, "cards/dan", parent=f"{B}/sales", holder="dan")
        (gap,) = row(kernel).missing
        assert (gap["have"], gap["needed"], row(kernel).blocked) == (4, 5, {"research": ["five"]})
        (found,) = post(kernel, 1, "research").findings
        assert (found.code, found.facts["have"], found.facts["needed"]) == ("part_blocked", 4, 5)
        assert post(kernel, 1, "sales").allowed
        issue(kernel, "cards/eva", parent="cards/ann", holder="eva")
        assert post(kernel, 1, "research").allowed
        done(kernel, "grant.revoke", name="cards/ann")  # and eva's below it
        assert codes(post(kernel, 1, "research")) == ["part_blocked"]
        assert row(kernel).missing[0]["have"] == 3
        done(kernel, "account.open", account="accounts/later", now_ns=10**9)
        assert row(kernel).missing[0]["have"] == 1  # the others' permissions have ended


# --- stages -----------------------------------------------------------------------------------------


@pytest.mark.req("S0-49", "S0-67")
def test_a_plan_for_2027_stands_without_funds_and_its_first_deposit_comes_on_day_30(folder):
    day = 86_400 * 10**9
    starts, ends = 20_819 * day, 21_184 * day  # 2027
    with world(folder / "w") as kernel:
        create(kernel, title="2027", starts_ns=starts, ends_ns=ends, goals=["ten articles"])
        assert (row(kernel).stage, row(kernel).schema["title"]) == ("planning", "2027")
        assert (row(kernel).schema["starts_ns"], row(kernel).balances["USD"]) == (starts, 0)
        fund(kernel, 500, now_ns=30 * day)
        assert (row(kernel).stage, held(kernel, B)) == ("full", 500)
        assert kernel.state.seq > 0
    assert tally(folder / "w", "verify")[0] == 0


@pytest.mark.req("S0-50")
def test_in_planning_a_task_is_refused_with_the_stage_and_simulations_work():
    with world() as kernel:
        create(kernel, [least("runway", 100)], formulas={"half": {"value": "balance.USD / 2"}})
        fund(kernel, 60)
        refused = post(kernel, 10)
        assert [(x.code, x.facts["stage"]) for x in refused.findings] == [("planning_stage", "planning")]
        with kernel.fork() as simulated:
            fund(simulated, 50)
            assert post(simulated, 10).allowed
        assert kernel.state.budgets[B].stage == "planning"
        assert kernel.decide(Intent("task.post", {"result": "x", "amounts": {"USD": 1}}, B)).outcome == "deny"
        done(kernel, "budget.solve", budget=B)


@pytest.mark.req("S0-52")
def test_founding_salaries_are_paid_as_soon_as_they_are_funded_and_nothing_else_is():
    with world() as kernel:
        create(kernel, [SALARIES, least("launch", 100_000)])
        fund(kernel, 30_000)
        split(kernel, salaries=30_000)
        issue(kernel, f"{B}/ads")
        assert (row(kernel).stage, gaps(kernel)) == ("partial", {"launch": 70_000})
        for part in ("ads", ""):
            found, floor = post(kernel, 1_000, part).findings
            assert (found.code, found.facts["part"], found.facts["available"]) == (
                "part_closed",
                part,
                ["salaries"],
            )
            assert (floor.code, floor.facts["constraint"]) == ("constraint_unmet", "salaries")
            assert [x["missing"] for x in found.facts["missing"]] == [70_000]
        assert post(kernel, 20_000, "salaries").allowed
        assert (row(kernel).stage, held(kernel, B)) == ("partial", 10_000)  # what they used counts as there
        assert post(kernel, 10_000, "salaries").allowed
        assert row(kernel).stage == "partial"


@pytest.mark.req("S0-53")
def test_with_the_last_constraint_met_the_stage_is_full_and_every_category_may_act():
    with world() as kernel:
        create(kernel, [SALARIES, least("launch", 100_000)])
        fund(kernel, 30_000)
        split(kernel, salaries=30_000)
        for part in ("ads", "travel"):
            issue(kernel, f"{B}/{part}")
        assert codes(post(kernel, 1, "ads"))[0] == "part_closed"
        fund(kernel, 69_999)
        assert row(kernel).stage == "partial"
        fund(kernel, 10_001)
        assert (row(kernel).stage, row(kernel).missing, row(kernel).blocked) == ("full", [], {})
        assert all(post(kernel, 10, part).allowed for part in ("ads", "travel", "salaries", ""))


def split(kernel, **amounts):
    done(kernel, "budget.split", budget=B, resource="USD", amounts=amounts)


def test_who_did_not_open_a_stage_leaves_what_opened_it():
    with world() as kernel:
        create(kernel, [SALARIES])
        fund(kernel, 40_000)
        split(kernel, salaries=30_000)
        paid = post(kernel, 25_000, "salaries")
        assert paid.allowed
        assert kernel.settle(Receipt(paid.intent_hash, "ok", "desk", {})).status == "settled"
        (found,) = post(kernel, 10_001).findings  # 15,000 are there, 5,000 of them still for salaries
        told = ("minimum", "balance", "used", "available", "shortage")
        assert [found.facts[x] for x in told] == [30_000, 15_000, 25_000, 10_000, 1]
        assert post(kernel, 10_000).allowed
        assert post(kernel, 5_000, "salaries").allowed
        assert row(kernel).stage == "full"


def test_an_opened_part_that_nobody_counts_leaves_what_opened_it_too():
    with world() as kernel:
        create(kernel, [SALARIES], parts=["salaries"])
        fund(kernel, 40_000)
        assert codes(post(kernel, 10_001, "salaries")) == ["constraint_unmet"]
        assert post(kernel, 10_000, "salaries").allowed
        assert row(kernel).stage == "full"


@pytest.mark.req("S0-56")
def test_three_parties_fund_on_three_days_three_entries_and_one_balance(folder):
    day = 86_400 * 10**9
    with world(folder / "w") as kernel:
        create(kernel)
        for name, amount in (("ann", 100), ("ben", 250), ("bank", 650)):
            done(kernel, "ledger.issue", resource="USD", amount=amount, to=f"accounts/{name}")
        for at, (name, amount) in enumerate((("ann", 100), ("ben", 250), ("bank", 650)), 1):
            move = {"resource": "USD", "amount": amount, "from": f"accounts/{name}", "to": B}
            done(kernel, "ledger.transfer", now_ns=at * day, **move)
        assert held(kernel, B) == 1_000
    code, lines = tally(folder / "w", "ledger", "--entries", "--account", B)
    assert (code, [x["amount"] for x in lines], [x["direction"] for x in lines]) == (
        0, [100, 250, 650], ["credit"] * 3,
    )  # fmt: skip


@pytest.mark.req("S0-65")
def test_a_missed_goal_lowers_progress_only_and_a_missed_constraint_blocks():
    goal = {"description": "articles", "nature": "output", "target": 10}
    line = {"resource": "USD", "amount": 1_000}
    with world() as kernel:
        create(kernel, [least("runway", 50)], metrics={"articles": goal}, lines={"all": line}, goals=["ten"])
        fund(kernel, 400)
        record(kernel, "articles", 1)
        assert (row(kernel).stage, row(kernel).lines["all"]["share"]) == ("full", "2/5")
        assert row(kernel).metrics["articles"]["progress"]["share"] == "1/10"
        assert post(kernel, 350).allowed
        (found,) = post(kernel, 1).findings
        assert (found.code, found.facts["constraint"]) == ("constraint_unmet", "runway")


@pytest.mark.req("S0-68")
def test_a_budget_with_40_percent_of_its_funds_is_valid_and_in_stage_partial(folder):
    with world(folder / "w") as kernel:
        line = {"all": {"resource": "USD", "amount": 100_000}}
        create(kernel, [least("start", 30_000, tier="partial"), least("whole", 100_000)], lines=line)
        fund(kernel, 40_000)
        assert (row(kernel).stage, row(kernel).state, row(kernel).lines["all"]["share"]) == (
            "partial", "solvable", "2/5",
        )  # fmt: skip
    code, shown = tally(folder / "w", "budgets", B)
    assert (code, shown["stage"], tally(folder / "w", "verify")[0]) == (0, "partial", 0)


# --- what is asked again, and by whom ---------------------------------------------------------------


def test_an_approval_is_stale_where_its_part_was_blocked_meanwhile():
    with world() as kernel:
        create(kernel, [RUNWAY], metrics={"burn": BURN})
        fund(kernel, 100)
        record(kernel, "burn", 1)
        asks = [{"dim": "USD", "per": "intent", "amount": 5, "over": "ask"}]
        issue(kernel, f"{B}/hiring", limits=asks)
        waits = post(kernel, 10, "hiring")
        assert waits.outcome == "require_approval"
        record(kernel, "burn", 1_000)
        told = kernel.approve(waits.intent_hash)
        assert "part_blocked" in codes(told) + codes(kernel.outcome(waits.intent_hash))
        assert held(kernel, B) == 100


@pytest.mark.parametrize("floor", ['balance["Transit"] * 10', "100 / (balance.USD - 40)"])
def test_a_floor_by_an_expression_holds_after_the_commitment_whatever_it_reads(floor):
    """It reads what would be left: a fault there is a refusal, too."""
    with world() as kernel:
        create(kernel, [{"name": "floor", "resource": "USD", "needs": floor}])
        fund(kernel, 50)
        fund(kernel, 1, "Transit")
        assert post(kernel, 9).allowed == ("Transit" in floor)
        (found,) = post(kernel, 41 if "Transit" in floor else 10).findings
        if "Transit" in floor:
            assert found.code == "constraint_unmet"
        else:
            assert (found.code, found.facts["fault"]) == ("constraint_fault", "zero_divisor")


def test_a_request_rests_on_a_gap_that_is_an_amount_and_on_no_other():
    soil = {"name": "soil", "holds": "metric.burn < 0", "blocks": ["x"]}
    with world() as kernel:
        create(
            kernel,
            [RUNWAY, soil, {"name": "two", "participants": 9, "blocks": ["x"]}],
            metrics={"burn": BURN},
        )
        fund(kernel, 100)
        asked = {"budget": B, "name": "more"}
        for name in ("runway", "soil", "two"):  # nobody measured what a month costs
            told = kernel.native("budget.request", constraint=name, **asked)
            assert codes(told) == ["nothing_missing"]
        record(kernel, "burn", 50)
        assert kernel.native("budget.request", constraint="runway", **asked).allowed
        assert row(kernel).proposals["more"]["amount"] == 200


HOSTILE = [
    ({"needs": "1 +"}, "at character"),
    ({"needs": "true"}, "at character"),
    ({"needs": "1", "minimum": 1}, "stands in the place of a `minimum`"),
    ({"needs": "balance.USD", "resource": ""}, "has a `name` and a `resource`"),
    ({"holds": "metric.x", "resource": ""}, "at character"),
    ({"holds": "true"}, "or `holds`, or `participants`"),
    ({"participants": -1, "resource": ""}, "a natural"),
    ({"participants": 1, "resource": "", "minimum": 1}, "a `minimum` is of a `resource`"),
    ({"blocks": ["a/b"]}, "by their names"),
    ({"blocks": [""]}, "by their names"),
    ({"opens": ["a"]}, "of the tier `partial`"),
    ({"opens": ["a"], "blocks": ["b"], "tier": "partial"}, "`blocks` parts or `opens` parts"),
]


@pytest.mark.parametrize(("stated", "why"), HOSTILE)
def test_what_a_constraint_may_not_say_is_refused_when_it_is_stated(stated, why):
    with world() as kernel:
        schema = {"resources": RESOURCES, "constraints": [{"name": "c", "resource": "USD", **stated}]}
        told = kernel.native("budget.create", budget=B, schema=schema)
        assert codes(told) == ["params.invalid"]
        assert why in told.findings[0].facts["message"]


def test_a_constraint_may_ask_for_the_largest_amount_and_more_than_there_can_be():
    with world() as kernel:
        most = "9223372036854775807 * metric.m"
        metric = {"description": "m", "nature": "output"}
        create(
            kernel,
            [{"name": "c", "resource": "USD", "needs": most, "blocks": ["x"]}],
            ["x"],
            metrics={"m": metric},
        )
        fund(kernel, 10)
        for value in (1, 2, 3, 0, -1):
            record(kernel, "m", value)
            gap = row(kernel).missing[0] if row(kernel).missing else {}
            assert ("fault" in gap) == (value == 3)
            assert codes(post(kernel, 1, "x")) == ([] if value <= 0 else ["part_blocked"])
