"""A child's charter: provisions and work order in one document, what it limits, and what is posted of it."""

import pytest
import splittally
from splittally import InvalidInput, Receipt, post_work

from tests.rows.budgets import LOG, create, deposit, done, held, world
from tests.rows.worlds import codes

PARENT, CHILD = "budgets/magazine", "budgets/content"
ARTICLES = "high_quality_articles_written"
EXAMPLE = {
    "description": "Ten articles for at most 10,000 dollars.",
    "metrics": {
        "USD": {"target": -10_000, "description": "Maximum spend."},
        ARTICLES: {"target": 10, "description": "Minimum output."},
    },
}
WORK = {"article": {"metric": ARTICLES, "resource": "USD", "pays": 1_000, "result": "an article on tea"}}


def charter(kernel, schema=EXAMPLE, base=10_000, name=CHILD, **more):
    funds = {"resource": "USD", "amount": base, "from": PARENT} if base else {}
    about = {"budget": name, "parent": PARENT, "pays_to": [LOG], "schema": schema}
    return done(kernel, "budget.create", **about, **funds, **more)


def magazine(kernel, funds=30_000):
    create(kernel, {}, PARENT)
    deposit(kernel, funds, PARENT)


def spend(kernel, amount, by=CHILD):
    return kernel.submit(splittally.Intent("task.post", {"result": "r", "amounts": {"USD": amount}}, by))


def written(kernel, count):
    done(kernel, "metric.record", budget=CHILD, metric=ARTICLES, value=count)


@pytest.mark.req("S0-104")
def test_a_child_without_a_schema_is_refused():
    with world() as kernel:
        magazine(kernel)
        refused = kernel.native("budget.create", budget=CHILD, parent=PARENT)
        assert (refused.outcome, codes(refused)) == ("deny", ["params.invalid"])
        assert "`schema`" in refused.reason
        assert CHILD not in kernel.state.budgets


@pytest.mark.req("S0-105", "S0-108")
def test_the_example_charter_loads_as_given_and_yields_both_targets():
    with world() as kernel:
        magazine(kernel)
        charter(kernel)
        row = kernel.state.budgets[CHILD]
        assert row["schema"]["metrics"].keys() == {"USD", ARTICLES}
        assert row["schema"]["resources"] == {"USD": 0}
        targets = row["targets"]
        assert (targets["USD"]["nature"], targets["USD"]["target"]) == ("spend", -10_000)
        assert (targets[ARTICLES]["nature"], targets[ARTICLES]["target"]) == ("output", 10)


@pytest.mark.req("S0-107")
def test_a_target_below_0_is_the_most_that_is_spent_and_one_above_0_the_least_that_comes_out():
    with world() as kernel:
        magazine(kernel)
        charter(kernel, base=15_000)
        refused = spend(kernel, 10_001)
        assert codes(refused) == ["budget_exceeded"]
        assert (refused.findings[0].facts["needed"], refused.findings[0].facts["available"]) == (
            10_001,
            10_000,
        )
        assert spend(kernel, 10_000).allowed
        assert codes(spend(kernel, 1)) == ["budget_exceeded"]
        written(kernel, 9)
        told = kernel.state.budgets[CHILD]["targets"][ARTICLES]
        assert (told["is_met"], told["missing"]) == (False, 1)
        written(kernel, 10)
        told = kernel.state.budgets[CHILD]["targets"]
        assert (told[ARTICLES]["is_met"], told[ARTICLES]["missing"]) == (True, 0)
        assert (told["USD"]["spent"], told["USD"]["left"]) == (10_000, 0)


@pytest.mark.parametrize("target", ["-100.00 USD", -10_000])
def test_a_spending_target_has_the_decimals_of_the_world_and_may_name_its_unit(target):
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"resources": {"USD": 2}, "accounts": {LOG: {}}}, now_ns=1)
        metrics = {"USD": {"target": target, "description": "Maximum spend."}}
        done(kernel, "budget.create", budget=CHILD, pays_to=[LOG], schema={"metrics": metrics})
        deposit(kernel, 20_000, CHILD)
        assert codes(spend(kernel, 10_001)) == ["budget_exceeded"]
        assert spend(kernel, 10_000).allowed


def test_a_stated_nature_limits_nothing_and_a_resource_that_is_not_listed_is_no_limit():
    metrics = {
        "USD": {"target": -5, "nature": "spend", "description": "d"},
        "effort": {"target": -5, "description": "d"},
    }
    with world() as kernel:
        create(kernel, {"metrics": metrics}, CHILD, pays_to=[LOG])
        deposit(kernel, 10, CHILD)
        assert spend(kernel, 10).allowed


def test_an_amended_charter_spends_less_and_never_more():
    def with_target(amount):
        return {"metrics": EXAMPLE["metrics"] | {"USD": {"target": amount, "description": "Maximum spend."}}}

    with world() as kernel:
        magazine(kernel)
        charter(kernel)
        stated = {"nature": "spend", "target": -10_000, "description": "d"}
        for wider in (
            with_target(-10_001),
            {"resources": {"USD": 0}, "metrics": EXAMPLE["metrics"] | {"USD": stated}},
        ):
            refused = kernel.native("budget.amend", budget=CHILD, schema=wider)
            assert [(x.code, x.facts["name"]) for x in refused.findings] == [("plan_widened", "USD")]
        done(kernel, "budget.amend", budget=CHILD, schema=with_target(-4_000))
        assert codes(spend(kernel, 4_001)) == ["budget_exceeded"]
        assert spend(kernel, 4_000).allowed


def test_a_manifest_states_charters_and_tightens_them_with_the_holder():
    def stated(target, holder):
        schema = {"metrics": {"USD": {"target": target, "description": "Maximum spend."}}, "overdraft": {
            "resource": "USD", "amount": 5, "when": "balance.USD >= 0",
        }}  # fmt: skip
        parent = {"schema": {"resources": {"USD": 0}}}
        child = {"schema": schema, "parent": PARENT, "holder": holder, "pays_to": [LOG]}
        return {"budgets": {PARENT: parent, CHILD: child}, "resources": {"USD": 0}, "accounts": {LOG: {}}}

    with world() as kernel:
        assert kernel.apply(stated(-100, "ann")).allowed
        assert kernel.state.grants[CHILD].budget == {"USD": 105}
        assert kernel.apply(stated(-60, "eve")).allowed
        grant = kernel.state.grants[CHILD]
        assert (grant.budget, grant.holder) == ({"USD": 65}, "eve")
        assert kernel.apply(stated(-60, "eve")).seq is None
        refused = kernel.apply(stated(-61, "eve"))
        assert codes(refused) == ["plan_widened"]


# --- work orders --------------------------------------------------------------------------------------


@pytest.mark.req("S0-109")
def test_an_agent_that_reads_its_budget_sees_what_is_wanted_and_what_is_paid():
    with world() as kernel:
        magazine(kernel)
        charter(kernel, EXAMPLE | {"work": WORK}, holder="agent")
        row = kernel.as_principal("agent").state.budgets[CHILD]
        assert row["work"]["article"] == {
            "name": "article", "metric": ARTICLES, "result": "an article on tea", "resource": "USD",
            "pays": 1_000, "part": "", "wanted": 10, "done": 0, "posted": 0, "missing": 10, "affordable": 10,
        }  # fmt: skip
        assert row["targets"]["USD"]["left"] == 10_000


@pytest.mark.req("S0-110")
def test_a_child_posts_one_task_for_each_missing_article_ten_within_funds_and_none_twice():
    with world() as kernel:
        magazine(kernel)
        charter(kernel, EXAMPLE | {"work": WORK}, holder="agent")
        agent = kernel.as_principal("agent")
        posted = post_work(agent, CHILD, "article")
        assert [x.allowed for x in posted] == [True] * 10
        assert held(kernel, CHILD) == 0
        assert post_work(agent, CHILD, "article") == []
        order = kernel.state.budgets[CHILD]["work"]["article"]
        assert (order["posted"], order["missing"]) == (10, 0)
        labels = {dict(x["labels"])["work"] for x in kernel.state.reservations.values()}
        assert labels == {"article"}
        for decision in posted[:3]:
            agent.settle(Receipt(decision.intent_hash, "ok", payload={}))
        written(kernel, 3)
        assert post_work(agent, CHILD) == []
        assert held(kernel, LOG) == 3_000


def test_no_more_is_posted_than_is_affordable_and_a_cancelled_task_is_posted_anew():
    with world() as kernel:
        magazine(kernel)
        charter(kernel, EXAMPLE | {"work": WORK}, base=4_200)
        posted = post_work(kernel, CHILD)
        assert len(posted) == 4
        kernel.release(posted[1].intent_hash, "cancel")
        again = post_work(kernel, CHILD, "article")
        assert [x.allowed for x in again] == [True]
        assert again[0].intent_hash not in {x.intent_hash for x in posted}
        assert held(kernel, CHILD) == 200


def test_work_is_posted_from_the_part_that_it_names_and_what_is_refused_ends_it():
    work = {"article": WORK["article"] | {"part": "writers", "pays": 100}}
    with world() as kernel:
        magazine(kernel)
        charter(kernel, EXAMPLE | {"work": work, "resources": {"USD": 0}}, base=1_000)
        assert post_work(kernel, CHILD) == []  # there is no such part yet
        done(kernel, "budget.split", budget=CHILD, resource="USD", amounts={"writers": 250})
        assert [x.allowed for x in post_work(kernel, CHILD)] == [True, True]
        assert {row["legs"][0]["grant"] for row in kernel.state.reservations.values()} == {f"{CHILD}/writers"}
        done(kernel, "grant.topup", name=f"{CHILD}/writers", dim="USD", amount=500)
        done(kernel, "grant.revoke", name=f"{CHILD}/writers")
        refused = post_work(kernel, CHILD)
        assert [x.allowed for x in refused] == [False]
        assert codes(refused[0]) == ["revoked"]


def test_posting_names_what_is_not_there_and_what_pays_nothing():
    with world() as kernel:
        magazine(kernel)
        charter(kernel)
        wrong = ((("budgets/x",), "no budget"), ((CHILD, "tea"), "no work"), ((CHILD, ARTICLES), "pays"))
        for words, needle in wrong:
            with pytest.raises(InvalidInput, match=needle):
                post_work(kernel, *words)
        assert kernel.state.budgets[CHILD]["work"][ARTICLES]["missing"] == 10


def test_a_label_of_another_budget_is_no_work_of_this_one():
    with world() as kernel:
        magazine(kernel)
        charter(kernel, EXAMPLE | {"work": WORK}, base=1_000)
        charter(kernel, EXAMPLE | {"work": WORK}, base=1_000, name="budgets/other")
        post_work(kernel, "budgets/other")
        assert kernel.state.budgets[CHILD]["work"]["article"]["posted"] == 0
        assert kernel.state.budgets["budgets/other"]["work"]["article"]["posted"] == 1
