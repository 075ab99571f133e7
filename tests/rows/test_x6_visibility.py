"""Row X6-30: figures of what a principal does not hold are hidden wherever they would appear."""

import json
import re

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from msgspec.structs import replace
from splittally import Intent
from splittally.runtime.reader import open_reader
from splittally_tools.audit.explanation import explain

from tests.rows.worlds import applied, bodies, codes, held, reserves, settle, tally, uses
from tests.rows.worlds import manifest as rows_manifest
from tests.rows.worlds import world as rows_world

# Every figure that is not eve's own; none of them may be told to her.
BALANCE, LIMIT, TOLD, CAP, SPENT, MINIMUM = 123_456, 777_777, 400_001, 1_003, 321, 4_007
SECRET = (BALANCE, LIMIT, TOLD, CAP, SPENT, MINIMUM, *(x - SPENT for x in (BALANCE, LIMIT, TOLD, CAP)))
ACCOUNTS = {f"accounts/{name}": {} for name in ("e", "rich", "s", "treasury")}


def world(top, **more):
    top = {"cap": "sys/spend@1", "draws_on": {"USD": "accounts/treasury"}, "pays_to": ["accounts/s"], **top}
    kid = {"cap": "sys/spend@1", "parent": "top", "holder": "eve"}
    manifest = {
        "resources": {"USD": 0},
        "accounts": ACCOUNTS,
        "grants": {"top": top | {"delegations": 1}, "kid": kid},
        **more,
    }
    return applied(manifest, treasury=BALANCE)


def task(amount, grant="kid", **more):
    return Intent("task.post", {"result": "x", "amounts": {"USD": amount}, **more}, grant)


def told(decision):
    """Every number in the findings of a decision, and in those that stand in its record."""
    text = json.dumps([finding.facts for finding in decision.findings], default=str)
    return {int(number) for number in re.findall(r"\d+", text)}


def shortfalls(secrets):
    """A secret is told as it is, and by what is missing to it."""
    return {abs(x - y) for x in secrets for y in (0, *ASKED)} - set(ASKED)


ASKED = (900, 700_000, 900_000, 10**9)
DAY_CAP = {"governor": {"caps": [{"resource": "USD", "per": "day", "amount": CAP}]}}
CASES = {
    "insufficient_balance": ({}, {}, task(10**9)),
    "limited_above": ({"budget": {"USD": LIMIT}}, {}, task(10**9)),
    "shadow_exceeded": (
        {"limits": [{"dim": "USD", "per": "life", "amount": TOLD, "over": "shadow"}]}, {}, task(900_000),
    ),
    "limit_approaching": (
        {"limits": [{"dim": "USD", "per": "day", "amount": TOLD, "over": "tell"}]}, {}, task(900_000),
    ),
    "over_daily_cap": ({}, DAY_CAP, task(900)),
    "payee_unlisted": ({}, {}, task(900, payee="accounts/e")),
}  # fmt: skip


@pytest.mark.req("X6-30")
@pytest.mark.parametrize("code", CASES)
def test_a_child_is_told_no_figure_of_what_is_above_it_and_the_operator_every_one(code):
    top, more, asked = CASES[code]
    with world(top, **more) as kernel:
        assert kernel.submit(task(SPENT, "top")).allowed
        eve = kernel.as_principal("eve")
        for decision in (eve.decide(asked), eve.submit(asked)):
            assert code in codes(decision)
            assert not told(decision) & shortfalls(SECRET), decision.findings
            assert "accounts/s" not in str(decision.findings)
        outcome = kernel.outcome(decision.intent_hash)
        assert outcome.findings == list(decision.findings)  # what is recorded is what was told
        (body,) = [body for seq, body in enumerate(bodies(kernel)) if seq == decision.seq]
        assert body.out[0].findings == list(decision.findings)


@pytest.mark.req("X6-30")
def test_who_holds_the_grant_above_sees_its_account_and_limit_under_their_own_card():
    """The same intent by a holder of both grants, and by the operator."""
    kid = {"cap": "sys/spend@1", "parent": "top", "holder": "eve"}
    for holder in ("eve", "operator"):
        with world({"budget": {"USD": LIMIT}, "holder": holder}) as kernel:
            if holder == "operator":
                assert kernel.native("grant.amend", name="kid", terms=kid | {"holder": "operator"}).allowed
            found = kernel.as_principal(holder).submit(task(10**9)).findings
            assert [x.code for x in found] == ["budget_exceeded", "insufficient_balance"]
            assert (found[0].facts["available"], found[1].facts["available"]) == (LIMIT, BALANCE)


@pytest.mark.req("X6-30")
def test_a_budget_tells_its_figures_to_who_holds_its_charter():
    plan = {"resources": {"USD": 0}, "constraints": [{"name": "c", "resource": "USD", "minimum": MINIMUM}]}
    with world({}) as kernel:
        made = kernel.native(
            "budget.create", budget="budgets/b", schema=plan, pays_to=["accounts/s"], holder="ann",
            resource="USD", amount=5000, **{"from": "accounts/treasury"},
        )  # fmt: skip
        ann, eve = kernel.as_principal("ann"), kernel.as_principal("eve")
        assert made.allowed
        card = {"cap": "sys/spend@1", "holder": "eve"}
        assert ann.native("grant.issue", grant="budgets/b", name="card", terms=card).allowed
        (mine,) = ann.submit(task(1000, "budgets/b")).findings
        assert (mine.code, mine.facts["minimum"], mine.facts["available"]) == (
            "constraint_unmet",
            MINIMUM,
            993,
        )
        (hers,) = eve.submit(task(1000, "card")).findings
        assert hers.facts == {"budget": "budgets/b", "constraint": "c", "resource": "USD", "next": "top_up"}


@pytest.mark.req("X6-30")
def test_a_native_grant_sees_what_it_may_take_from_and_nothing_of_what_is_above():
    may = {"operations": ["ledger.transfer"], "accounts": ["accounts/treasury", "accounts/e"]}
    grants = {"cap": "sys/native@1", "holder": "eve"}
    with world({}) as kernel:
        for name, params in (("n", may), ("m", {"operations": ["ledger.issue", "settlement.refund"]})):
            assert kernel.native("grant.issue", name=name, terms=grants | {"params": params}).allowed
        eve = kernel.as_principal("eve")
        move = {"resource": "USD", "amount": 10**9, "from": "accounts/treasury", "to": "accounts/e"}
        (finding,) = eve.native("ledger.transfer", grant="n", **move).findings
        assert finding.facts["available"] == BALANCE
        assert eve.native("ledger.issue", grant="m", resource="USD", amount=2**62, to="accounts/e").allowed
        (finding,) = eve.native(
            "ledger.issue", grant="m", resource="USD", amount=2**63, to="accounts/e"
        ).findings
        assert (finding.code, set(finding.facts)) == ("amount_overflow", {"resource", "next"})


@pytest.mark.req("X6-30")
def test_narrowing_tells_ones_own_terms_and_hides_those_of_a_grant_above_that_is_not_ones_own():
    top = {"cap": "sys/spend@1", "unknown_ns": LIMIT, "delegations": 3, "pays_to": ["accounts/s"]}
    with world({}) as kernel:
        assert kernel.native("grant.issue", name="t", terms=top).allowed
        mid = {"cap": "sys/spend@1", "holder": "eve", "delegations": 2, "parent": "t"}
        assert kernel.native("grant.issue", grant="t", name="m", terms=mid | {"parent": "t"}).allowed
        wide = {"cap": "sys/spend@1", "unknown_ns": LIMIT + 1, "delegations": 5, "pays_to": ["accounts/e"]}
        found = kernel.as_principal("eve").native("grant.issue", grant="m", name="c", terms=wide).findings
        shown = [(set(x.facts) - {"next", "grant"}, x.facts["grant"]) for x in found]
        assert shown == [
            ({"delegations", "available"}, "m"),
            ({"pays_to"}, "t"),
            ({"unknown_ns"}, "t"),
        ]


@pytest.mark.req("X6-30")
def test_what_the_enforcer_of_somebody_elses_grant_says_in_words_is_not_told():
    top = {"cap": "sys/llm.basic@1", "params": {"max_tokens": LIMIT}, "delegations": 1}
    with splittally.open(None, clock="given") as kernel:
        kid = {"cap": "sys/llm.basic@1", "parent": "top", "holder": "eve"}
        assert kernel.apply({"grants": {"top": top, "kid": kid}}).allowed
        asked = Intent("llm.generate", {"max_tokens": LIMIT + 1}, "kid")
        (finding,) = kernel.as_principal("eve").submit(asked).findings
        assert (finding.stage, set(finding.facts)) == ("enforcer", {"grant", "next"})
        (finding,) = kernel.submit(Intent("llm.generate", {"max_tokens": LIMIT + 1}, "top")).findings
        assert str(LIMIT) in finding.facts["message"]


@pytest.mark.req("X6-30")
def test_violations_tell_no_figure_of_a_grant_above_and_are_recorded_whole():
    """What the grant above reserves by its own params nobody below it knows."""
    caps = {"acme/meter@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "blob"}}
    top = {"cap": "acme/meter@1", "params": {"reserve": {"units": SPENT}}, "delegations": 1}
    kid = {"cap": "acme/meter@1", "params": {"reserve": {"units": 5}}, "parent": "top", "holder": "eve"}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply({"caps": caps, "grants": {"top": top, "kid": kid}}).allowed
        eve = kernel.as_principal("eve")
        digest = eve.submit(Intent("blob.put", {"size": 1}, "kid")).intent_hash
        settled = eve.settle(splittally.Receipt(digest, "ok", "", {"usage": {"units": 10**6}}))
        shown = {(x.stage, x.facts["grant"]): set(x.facts) - {"grant"} for x in settled.violations}
        assert shown["settle", "top"] == {"dim"}
        assert shown["settle", "kid"] == {"dim", "reserve", "usage"}
        assert str(SPENT) not in str(settled.violations)
        assert str(SPENT) in str(bodies(kernel)[settled.seq].out[0].legs[1].violations)


@pytest.mark.req("X6-30")
def test_explain_shows_a_principal_no_figure_of_a_grant_above(folder):
    params = {"max_tokens": LIMIT}
    manifest = folder / "m.json"
    grants = {
        "top": {"cap": "sys/llm.basic@1", "params": params, "delegations": 1, "budget": {"tokens": 5}},
        "kid": {"cap": "sys/llm.basic@1", "parent": "top", "holder": "eve"},
    }
    manifest.write_text(json.dumps({"grants": grants}))
    world = folder / "w"
    assert tally(world, "init", "--clock", "given")[0] == 0
    assert tally(world, "apply", str(manifest))[0] == 0
    with splittally.open(world) as kernel:
        eve = kernel.as_principal("eve")
        digest = eve.submit(Intent("llm.generate", {"max_tokens": LIMIT + 1}, "kid")).intent_hash.hex()
    for reader, is_shown in (("eve", False), ("operator", True)):
        code, document = tally(world, "explain", digest, "--as", reader)
        assert code == 0
        links = {link["grant"]: link["answer"] for link in document["chain"]}
        assert (links["top"] is not None) == is_shown
        assert links["kid"] is not None
        assert (str(LIMIT) in str(document)) == is_shown


@pytest.mark.req("X6-30")
def test_explain_tells_a_principal_neither_draws_nor_charges_of_a_grant_above(folder):
    money = {"draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]}
    grants = {"team": money, "g": {"parent": "team", "holder": "ann"}}
    accounts = {"accounts/team": {}, "accounts/vendor": {}}
    with rows_world(grants, folder / "w", resources={"USD": 2}, accounts=accounts) as kernel:
        assert kernel.native("ledger.issue", resource="USD", amount=50, to="accounts/team").allowed
        digest = held(kernel.as_principal("ann"), {"USD": 5})
        assert settle(kernel.as_principal("ann"), digest, {"USD": 4}).status == "settled"
    with open_reader(folder / "w") as reader:
        told = {name: explain(reader, digest, name) for name in ("ann", "operator")}
    legs = {
        name: [leg["grant"] for row in document["then"] for leg in row.get("legs", [])]
        for name, document in told.items()
    }
    assert legs == {"ann": ["g"], "operator": ["g", "team", "root"]}
    assert (told["ann"]["draws"], len(told["operator"]["draws"])) == ([], 1)


RATES = [
    {"amount": 2, "per": "60s"},
    {"amount": 1, "per": "60s", "over": "tell"},
    {"amount": 1, "per": "day", "over": "shadow"},
    {"amount": 1, "per": "hour", "over": "defer"},
]


@pytest.mark.req("X6-30")
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(RATES)), min_size=1, max_size=3))
def test_a_rate_tells_its_figures_to_nobody_but_who_holds_root(stated):
    """It counts what everybody does. Its rule's name, its window and the advice are told."""
    rates = [rate | {"amount": amount} for amount, rate in stated]
    rule = {"name": "calls", "decision": "allow", "rates": rates}
    policy = [{"name": "root", "decision": "allow", "cap_name": "mine"}, rule]
    with world({}, policy=policy) as kernel:
        eve, found = kernel.as_principal("eve"), []
        for _ in range(4):
            found += eve.submit(task(1)).findings
        told = [value for x in found for name, value in x.facts.items() if name != "rule"]
        assert found
        assert all(type(value) is str for value in told), found
        figures = [x.facts for _ in range(2) for x in kernel.submit(task(1, "top")).findings]
        for facts in figures:
            assert "name" in facts or "grant" in facts
            assert any(type(value) is int for value in facts.values())


def without_advice(finding):
    """A finding without what to do next: a denial that is told again asks for a new key."""
    facts = {name: value for name, value in finding.facts.items() if name not in ("next", "then")}
    return finding.stage, finding.code, facts


@pytest.mark.req("X6-30")
@pytest.mark.parametrize("code", sorted({*CASES} - {"limited_above"}))
def test_who_holds_a_grant_now_hears_no_figure_of_the_answer_that_another_got_under_it(code):
    """The same key again is told the first answer, as they may see it; the one who asked hears it whole."""
    top, more, asked = CASES[code]
    kid = {"cap": "sys/spend@1", "parent": "top"}
    asked = replace(asked, idempotency_key=b"k" * 32)
    with world(top, **more) as kernel:
        assert kernel.native("grant.amend", name="kid", terms=kid, replace=True).allowed
        assert kernel.submit(task(SPENT, "top")).allowed
        first = kernel.submit(asked)
        again = kernel.submit(asked)
        if not again.duplicate:
            assert first.outcome == "defer"  # judged afresh each time
            return
        said_again = [without_advice(x) for x in again.findings[: len(first.findings)]]
        assert said_again == [without_advice(x) for x in first.findings]
        assert told(first) & shortfalls(SECRET) or code == "payee_unlisted"
        assert kernel.native("grant.amend", name="kid", terms=kid | {"holder": "eve"}).allowed
        hers = kernel.as_principal("eve").submit(asked)
        assert (hers.duplicate, hers.seq, codes(hers)[0]) == (True, first.seq, codes(first)[0])
        assert not told(hers) & shortfalls(SECRET), hers.findings
        assert "accounts/s" not in str(hers.findings)


@pytest.mark.req("X6-30")
def test_an_adapter_hears_no_figure_of_the_grants_whose_intent_it_settles():
    with rows_world({"g": {"holder": "ann"}}) as kernel:
        effects = {"test.act": {"cap_type": "test", "adapters": ["bot"]}}
        assert kernel.apply(rows_manifest({"g": {"holder": "ann"}}) | {"effects": effects}).allowed
        asked = Intent("test.act", {"a": reserves({"tokens": LIMIT})}, "g")
        for who, is_hers in (("bot", False), ("ann", True)):
            digest = kernel.as_principal("ann").submit(asked).intent_hash
            receipt = splittally.Receipt(digest, "ok", "", uses({"tokens": LIMIT + 1}))
            settled = kernel.as_principal(who).settle(receipt)
            assert [x.code for x in settled.violations] == ["usage_exceeds_reserve"]
            assert (str(LIMIT) in str(settled.violations)) == is_hers
            again = kernel.as_principal(who).settle(receipt)
            assert (again.status, again.violations, again.usage) == ("duplicate", (), {})
            assert str(LIMIT) in str(bodies(kernel)[settled.seq].out[0].legs[0].violations)
