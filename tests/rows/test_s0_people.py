"""What people and budgets ask of each other: requests, answers, votes, drafts and reviews."""

import msgspec
import pytest
from splittally import Intent
from splittally_tools.testing import assert_conserved

from tests.rows.budgets import BOTH, done, held
from tests.rows.people import KID, TOP, allowed, by, company, row, said
from tests.rows.worlds import codes

RUNWAY = {"name": "runway", "resource": "USD", "minimum": 500, "description": "six months of rent"}
PRICE = {"price": {"description": "USD for an article", "nature": "output", "unit": "USD"}}
NEEDED = {"needed": {"value": "50 * metric.price", "unit": "USD"}}
BOARD = {"quorum": {"agree": 2, "of": ["ann", "bob", "carl"]}}


def task(kernel, amount, under, who="operator"):
    params = {"result": "a sign", "amounts": {"USD": amount}}
    return kernel.as_principal(who).submit(Intent("task.post", params, under))


# --- requests ---------------------------------------------------------------------------------------


@pytest.mark.req("S0-48")
def test_a_gap_becomes_a_request_with_its_amount_its_constraint_and_why():
    with company({"constraints": [RUNWAY]}) as kernel:
        done(kernel, "ledger.transfer", resource="USD", amount=120, to=KID, **{"from": TOP})
        allowed(kernel, "ann", "budget.request", name="rent", constraint="runway", description="rent is due")
        asked = row(kernel, "rent")
        assert (asked["amount"], asked["resource"], asked["description"]) == (380, "USD", "rent is due")
        assert asked["basis"]["constraint"] == "runway"
        assert asked["basis"]["description"] == "six months of rent"
        assert asked["basis"]["missing"] == 380
        allowed(kernel, "bob", "budget.reply", name="rent", act="grant")
        assert held(kernel, KID) == 500
        again = by(kernel, "ann", "budget.request", name="more", constraint="runway")
        assert codes(again) == ["nothing_missing"]


@pytest.mark.req("S0-122", "S0-123", "S0-124")
def test_recorded_prices_project_a_shortfall_that_the_parent_sees_and_the_child_asks_for():
    with company({"metrics": PRICE, "formulas": NEEDED}, funds=20_000) as kernel:
        done(kernel, "ledger.transfer", resource="USD", amount=10_000, to=KID, **{"from": TOP})
        done(kernel, "metric.record", budget=KID, metric="price", value=230)
        (short,) = kernel.state.budgets[TOP].shortfalls
        assert (short["budget"], short["needed"], short["has"], short["missing"]) == (
            KID,
            11_500,
            10_000,
            1_500,
        )
        allowed(kernel, "ann", "budget.request", name="articles", formula="needed", title="50 articles")
        asked = row(kernel, "articles")
        assert (asked["title"], asked["amount"], asked["resource"]) == ("50 articles", 1_500, "USD")
        read = asked["basis"]["reads"]["metric.price"]
        assert (read["value"], read["count"]) == (230, 1)
        assert kernel.state.budgets[KID].metrics["price"]["value"] == 230
        assert read["seq"] < kernel.state.seq
        done(kernel, "metric.record", budget=KID, metric="price", value=210)
        assert row(kernel, "articles")["now"] == {"needed": 10_500, "has": 10_000, "missing": 500}
        assert row(kernel, "articles")["basis"]["reads"]["metric.price"]["value"] == 230
        assert kernel.state.budgets[TOP].shortfalls[0]["missing"] == 500
        done(kernel, "metric.record", budget=KID, metric="price", value=200)
        assert kernel.state.budgets[TOP].shortfalls == []


@pytest.mark.req("S0-125")
def test_a_request_is_granted_refused_or_answered_with_another_amount_step_by_step():
    with company() as kernel:
        for name in ("a", "b", "c"):
            allowed(kernel, "ann", "budget.request", name=name, resource="USD", amount=1_500)
        allowed(kernel, "bob", "budget.reply", name="a", act="grant", note="go on")
        assert said(kernel, "a") == [("bob", "grant", 1_500)]
        assert (row(kernel, "a")["status"], row(kernel, "a")["granted"]) == ("done", 1_500)
        assert (held(kernel, KID), held(kernel, TOP)) == (1_500, 8_500)
        allowed(kernel, "bob", "budget.reply", name="b", act="refuse", note="not this year")
        assert row(kernel, "b")["status"] == "refused"
        allowed(kernel, "bob", "budget.reply", name="c", act="offer", amount=900)
        allowed(kernel, "ann", "budget.reply", name="c", act="comment", note="1,000 would do")
        allowed(kernel, "bob", "budget.reply", name="c", act="offer", amount=1_000)
        assert held(kernel, KID) == 1_500
        allowed(kernel, "ann", "budget.reply", name="c", act="accept")
        assert said(kernel, "c") == [
            ("bob", "offer", 900), ("ann", "comment", 0), ("bob", "offer", 1_000), ("ann", "accept", 1_000),
        ]  # fmt: skip
        assert held(kernel, KID) == 2_500
        assert_conserved(kernel)


@pytest.mark.req("S0-114")
def test_five_complaints_halve_what_a_request_is_granted():
    limits = {"funding_limits": [{"when": "metric.complaints >= 5", "percent": 50}]}
    metrics = {"metrics": {"complaints": {"description": "complaints", "nature": "capped"}}}
    with company({**metrics, **limits}) as kernel:
        for count, granted in ((4, 1_000), (5, 500)):
            done(kernel, "metric.record", budget=KID, metric="complaints", value=count)
            before = held(kernel, KID)
            allowed(kernel, "ann", "budget.request", name=f"r{count}", resource="USD", amount=1_000)
            decision = allowed(kernel, "bob", "budget.reply", name=f"r{count}", act="grant")
            assert ("funding_limited" in codes(decision)) == (granted == 500)
            assert held(kernel, KID) - before == granted == row(kernel, f"r{count}")["granted"]


def test_a_limit_of_nothing_refuses_and_a_condition_that_faults_limits_nothing():
    never = [{"when": "balance.USD >= 0", "percent": 0}]
    fault = [{"when": "metric.unknown > 1", "percent": 0}, {"when": "1 / 0 > 1", "percent": 0}]
    for limits, expected in ((never, ["funding_limited"]), (fault, [])):
        with company({"funding_limits": limits}) as kernel:
            allowed(kernel, "ann", "budget.request", name="r", resource="USD", amount=10)
            decision = by(kernel, "bob", "budget.reply", name="r", act="grant")
            assert [x for x in codes(decision) if x != "proposal_answered"] == expected
            assert held(kernel, KID) == (0 if expected else 10)


def test_nothing_is_granted_twice_beyond_what_was_asked_or_by_whom_may_not_pay():
    poor = {"accounts": [KID]}
    with company(dora=poor) as kernel:
        allowed(kernel, "ann", "budget.request", name="r", resource="USD", amount=100)
        much = by(kernel, "bob", "budget.reply", name="r", act="grant", amount=101)
        assert codes(much) == ["more_than_asked"]
        assert codes(by(kernel, "bob", "budget.reply", name="r", act="offer", amount=101)) == [
            "more_than_asked"
        ]
        stranger = by(kernel, "dora", "budget.reply", name="r", act="grant")
        assert codes(stranger) == ["account_not_covered"]
        assert codes(by(kernel, "dora", "budget.reply", name="r", act="refuse")) == ["authority_lacking"]
        assert codes(by(kernel, "bob", "budget.reply", name="r", act="withdraw")) == ["not_proposer"]
        assert codes(by(kernel, "ann", "budget.reply", name="r", act="accept")) == ["act_unfit"]
        allowed(kernel, "dora", "budget.reply", name="r", act="comment", note="please")
        allowed(kernel, "bob", "budget.reply", name="r", act="grant", amount=60)
        for act in ("grant", "refuse", "comment"):
            assert codes(by(kernel, "bob", "budget.reply", name="r", act=act)) == ["proposal_ended"]
        assert (held(kernel, KID), row(kernel, "r")["granted"]) == (60, 60)


def test_an_offer_is_worth_what_its_authority_and_its_account_are_when_it_is_accepted():
    with company(bob={"accounts": ["budgets/"]}, parent={"constraints": [RUNWAY]}) as kernel:
        allowed(kernel, "ann", "budget.request", name="r", resource="USD", amount=9_800)
        allowed(kernel, "bob", "budget.reply", name="r", act="offer", amount=9_600)
        assert codes(by(kernel, "ann", "budget.reply", name="r", act="accept")) == ["constraint_unmet"]
        allowed(kernel, "bob", "budget.reply", name="r", act="offer", amount=9_500)
        done(kernel, "grant.revoke", name="bob/native")
        refused = by(kernel, "ann", "budget.reply", name="r", act="accept")
        assert set(codes(refused)) == {"authority_lacking"}
        assert (held(kernel, KID), row(kernel, "r")["status"]) == (0, "open")


def test_a_budget_without_a_parent_is_funded_from_the_account_that_is_stated():
    with company() as kernel:
        allowed(kernel, "ann", "budget.request", TOP, name="r", resource="USD", amount=100)
        assert codes(by(kernel, "bob", "budget.reply", TOP, name="r", act="grant")) == ["not_found"]
        allowed(kernel, "bob", "budget.reply", TOP, name="r", act="offer", amount=40, **{"from": KID})
        assert codes(by(kernel, "ann", "budget.reply", TOP, name="r", act="accept")) == [
            "insufficient_balance"
        ]
        allowed(kernel, "bob", "budget.reply", TOP, name="r", act="refuse")


def test_who_holds_no_native_grant_over_a_budget_writes_nothing_to_it():
    with company(dora={"accounts": [TOP]}) as kernel:
        assert codes(by(kernel, "dora", "budget.request", name="r", resource="USD", amount=1)) == [
            "account_not_covered"
        ]
        assert codes(by(kernel, "eve", "budget.vote", vote="agree")) == ["not_holder"]


# --- planning, votes, reviews -----------------------------------------------------------------------


@pytest.mark.req("S0-50")
def test_a_budget_in_planning_posts_nothing_and_is_talked_about():
    with company({"constraints": [{**RUNWAY, "tier": "partial"}]}) as kernel:
        done(kernel, "ledger.transfer", resource="USD", amount=120, to=KID, **{"from": TOP})
        refused = task(kernel, 1, KID)
        assert codes(refused) == ["planning_stage"]
        assert refused.findings[0].facts["stage"] == "planning"
        allowed(kernel, "ann", "budget.reply", act="comment", note="who pays?")
        allowed(kernel, "bob", "budget.request", name="start", resource="USD", amount=10)
        allowed(kernel, "ann", "budget.reply", name="start", act="comment", note="ten is little")
        assert said(kernel, "version/1") == [("ann", "comment", 0)]
        assert row(kernel, "start")["steps"][0]["note"] == "ten is little"


@pytest.mark.req("S0-51")
def test_votes_are_counted_for_each_version_of_a_plan_and_begin_anew_with_the_next():
    with company() as kernel:
        done(kernel, "budget.amend", budget=KID, schema={"resources": BOTH, "title": "second"})
        for name, vote in (("ann", "agree"), ("bob", "agree"), ("carl", "object")):
            allowed(kernel, name, "budget.vote", vote=vote)
        assert codes(by(kernel, "ann", "budget.vote", vote="object")) == ["already_voted"]
        agreed = kernel.state.budgets[KID].agreement
        assert [agreed[x] for x in ("version", "agree", "object", "abstain")] == [2, 2, 1, 0]
        done(kernel, "budget.amend", budget=KID, schema={"resources": BOTH, "title": "third"})
        agreed = kernel.state.budgets[KID].agreement
        assert [agreed[x] for x in ("version", "agree", "object", "abstain")] == [3, 0, 0, 0]
        old = row(kernel, "version/2")
        assert old["votes"] == {"ann": "agree", "bob": "agree", "carl": "object"}
        assert codes(by(kernel, "dora", "budget.vote", name="version/2", vote="agree")) == ["proposal_ended"]
        allowed(kernel, "ann", "budget.vote", vote="abstain")
        assert kernel.state.budgets[KID].agreement["abstain"] == 1


@pytest.mark.req("S0-192")
def test_a_part_of_a_treasury_is_spent_once_the_quorum_agrees_and_not_before():
    with company(parent=BOARD) as kernel:
        spend = {"what": "spend", "part": "mural", "holder": "dora", "resource": "USD", "amount": 400}
        allowed(kernel, "dora", "budget.propose", TOP, name="mural", **spend)
        assert codes(by(kernel, "dora", "budget.vote", TOP, name="mural", vote="agree")) == ["not_in_quorum"]
        allowed(kernel, "ann", "budget.vote", TOP, name="mural", vote="agree")
        assert codes(by(kernel, "ann", "budget.vote", TOP, name="mural", vote="agree")) == ["already_voted"]
        assert codes(task(kernel, 400, f"{TOP}/mural", "dora")) == ["unknown_grant"]
        allowed(kernel, "carl", "budget.vote", TOP, name="mural", vote="agree")
        assert row(kernel, "mural", TOP)["status"] == "done"
        assert codes(by(kernel, "bob", "budget.vote", TOP, name="mural", vote="object")) == ["proposal_ended"]
        assert codes(task(kernel, 401, f"{TOP}/mural", "dora")) == ["budget_exceeded"]
        assert task(kernel, 400, f"{TOP}/mural", "dora").allowed
        assert kernel.state.budgets[TOP].parts == [f"{TOP}-kid", f"{TOP}/mural"]


def test_a_quorum_that_can_no_longer_be_reached_ends_the_proposal():
    with company(parent=BOARD) as kernel:
        spend = {"what": "spend", "part": "p", "holder": "dora", "resource": "USD", "amount": 400}
        allowed(kernel, "dora", "budget.propose", TOP, name="p", **spend)
        allowed(kernel, "ann", "budget.vote", TOP, name="p", vote="object")
        assert row(kernel, "p", TOP)["status"] == "open"
        allowed(kernel, "bob", "budget.vote", TOP, name="p", vote="abstain")
        assert row(kernel, "p", TOP)["status"] == "refused"
        assert f"{TOP}/p" not in kernel.state.grants


def test_what_the_pool_no_longer_holds_is_not_voted_into_a_part():
    with company(parent=BOARD) as kernel:
        spend = {"what": "spend", "part": "p", "holder": "dora", "resource": "USD", "amount": 9_000}
        allowed(kernel, "dora", "budget.propose", TOP, name="p", **spend)
        allowed(kernel, "ann", "budget.vote", TOP, name="p", vote="agree")
        done(kernel, "ledger.transfer", resource="USD", amount=5_000, to=KID, **{"from": TOP})
        assert codes(by(kernel, "bob", "budget.vote", TOP, name="p", vote="agree")) == ["allocations_unequal"]
        assert row(kernel, "p", TOP)["votes"] == {"ann": "agree"}
        without = by(kernel, "ann", "budget.propose", name="p", **{**spend, "amount": 1})
        assert codes(without) == ["quorum_missing"]


@pytest.mark.req("S0-113")
def test_a_review_is_talked_about_and_answered_once():
    with company() as kernel:
        allowed(kernel, "ann", "budget.propose", name="care", what="review", title="three complaints")
        allowed(kernel, "bob", "budget.reply", name="care", act="comment", note="I called them")
        allowed(kernel, "carl", "budget.reply", name="care", act="accept", note="mended")
        assert (row(kernel, "care")["status"], row(kernel, "care")["title"]) == ("done", "three complaints")
        assert said(kernel, "care") == [("bob", "comment", 0), ("carl", "accept", 0)]
        assert codes(by(kernel, "bob", "budget.reply", name="care", act="refuse")) == ["proposal_ended"]
        assert codes(by(kernel, "bob", "budget.vote", name="care", vote="agree")) == ["act_unfit"]


def test_who_may_vote_is_told_how_the_votes_stand():
    with company(parent=BOARD, bob={"operations": ["budget.vote"]}) as kernel:
        spend = {"what": "spend", "part": "p", "holder": "dora", "resource": "USD", "amount": 400}
        allowed(kernel, "ann", "budget.propose", TOP, name="p", **spend)
        allowed(kernel, "ann", "budget.vote", TOP, name="p", vote="agree")
        told = allowed(kernel, "bob", "budget.vote", TOP, name="p", vote="object").findings[0].facts
        assert (told["agree"], told["object"], told["needed"], told["became"]) == (1, 1, 2, "open")


def test_who_may_only_act_tactically_speaks_and_votes_and_decides_nothing():
    with company(bob={"rank": "tactical"}) as kernel:
        allowed(kernel, "ann", "budget.request", name="r", resource="USD", amount=10)
        schema = {"resources": BOTH, "title": "new"}
        allowed(kernel, "bob", "budget.propose", name="new", what="amend", schema=schema)
        allowed(kernel, "bob", "budget.reply", name="r", act="comment", note="fine")
        allowed(kernel, "bob", "budget.vote", vote="agree")
        for name, act in (("r", "grant"), ("r", "refuse"), ("new", "accept"), ("new", "refuse")):
            refused = by(kernel, "bob", "budget.reply", name=name, act=act)
            assert codes(refused) == ["authority_lacking"]
            assert refused.findings[0].facts["rank"] == "tactical"
        assert codes(by(kernel, "bob", "budget.amend", schema=schema)) == ["rank_too_low"]


@pytest.mark.req("S0-113")
def test_a_review_that_a_rule_opened_without_a_word_is_shown_and_answered():
    with company() as kernel:
        allowed(kernel, "ann", "budget.propose", name="care", what="review", title="three complaints")
        rows = kernel._world.state.plans.proposals
        (key,) = rows
        rows[key] = msgspec.structs.replace(rows[key], by="", steps=[])
        assert (row(kernel, "care")["description"], row(kernel, "care")["steps"]) == ("", [])
        allowed(kernel, "bob", "budget.reply", name="care", act="refuse", note="no")
        assert (said(kernel, "care"), row(kernel, "care")["status"]) == ([("bob", "refuse", 0)], "refused")
