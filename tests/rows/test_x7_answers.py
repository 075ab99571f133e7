"""Refusals that say whether waiting helps, thresholds told when they are crossed, approvals by several."""

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent, InvalidManifest
from splittally.core.dates import shown_time
from splittally.core.events import LimitCrossed, Released
from splittally.runtime.reader import open_reader, read_store
from splittally_tools.audit.explanation import explain

from tests.rows.worlds import CAP, act, apply, codes, few, held, manifest, recorded, settle, tally, world

SECOND = 10**9
DAY = 86_400 * SECOND
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05
KEY = bytes(32)
ANSWERS = {"cap": "sys/native@1", "params": {"operations": ["approval.answer"]}}
MEETS = {"name": "answers", "decision": "allow", "effect_kind": "approval.answer"}


def limit(amount, per, over="deny"):
    return {"dim": "tokens", "amount": amount, "per": per, "over": over}


def limited(*limits, **more):
    return world({"g": {"limits": list(limits)}}, **more)


def said(decision, code=""):
    """The facts of the finding with this code, or of the only one."""
    (found,) = [x for x in decision.findings if code in ("", x.code)]
    return found.facts


# --- X7-12 ------------------------------------------------------------------------------------------


@pytest.mark.req("X7-12")
@few
@given(
    per=st.sampled_from(["60s", "hour", "day", "week", "month", "year"]),
    most=st.integers(0, 100),
    used=st.integers(0, 100),
    asked=st.integers(0, 220),
    at=st.integers(0, 400 * DAY),
)
def test_a_window_that_defers_denies_what_never_fits_and_says_when_the_rest_does(per, most, used, asked, at):
    """The model: it is let through at the time that was told, and not a nanosecond earlier."""
    with limited(limit(most, per, "defer")) as kernel:
        if 0 < used <= most:
            settle(kernel, held(kernel, {"tokens": used}, now_ns=at), {"tokens": used})
        else:
            used = 0
        decision = act(kernel, {"tokens": asked}, now_ns=at)
        if used + asked <= most:
            assert decision.allowed
            return
        if asked > most:
            assert (decision.outcome, codes(decision)) == ("deny", ["budget_exceeded"])
            assert {"resets_ns", "resets"}.isdisjoint(said(decision))
            assert said(decision)["next"] != "retry_after"
            return
        facts = said(decision, "budget_deferred")
        assert (decision.outcome, facts["next"]) == ("defer", "retry_after")
        assert facts["resets"] == shown_time(facts["resets_ns"])
        assert act(kernel, {"tokens": asked}, now_ns=facts["resets_ns"] - 1).outcome == "defer"
        assert act(kernel, {"tokens": asked}, now_ns=facts["resets_ns"]).allowed


@pytest.mark.req("X7-12")
def test_a_denial_by_a_full_window_says_when_it_ends_and_each_window_says_its_own():
    with limited(limit(100, "day"), limit(150, "week")) as kernel:
        settle(kernel, held(kernel, {"tokens": 100}, now_ns=MONDAY), {"tokens": 100})
        denied = act(kernel, {"tokens": 60})
        assert denied.outcome == "deny"
        assert {x.facts["per"]: x.facts["resets_ns"] for x in denied.findings} == {
            "day": MONDAY + DAY,
            "week": MONDAY + WEEK,
        }
        large = act(kernel, {"tokens": 120})  # more than a day has, and less than a week
        assert {x.facts["per"]: x.facts.get("resets_ns") for x in large.findings} == {
            "day": None,
            "week": MONDAY + WEEK,
        }


@pytest.mark.req("X7-12")
def test_a_limit_for_life_defers_only_what_open_holds_can_give_back():
    with limited(limit(100, "life", "defer")) as kernel:
        settle(kernel, held(kernel, {"tokens": 30}), {"tokens": 30})
        waiting = held(kernel, {"tokens": 50})
        later = act(kernel, {"tokens": 70})
        assert (later.outcome, "resets_ns" in said(later)) == ("defer", False)
        never = act(kernel, {"tokens": 71})
        assert (never.outcome, codes(never), said(never)["next"]) == ("deny", ["budget_exceeded"], "top_up")
        kernel.release(waiting)
        assert act(kernel, {"tokens": 70}).allowed


@pytest.mark.req("X7-12")
def test_beside_a_limit_that_denies_no_finding_says_to_come_again():
    with limited(limit(100, "day", "defer"), limit(30, "life")) as kernel:
        settle(kernel, held(kernel, {"tokens": 30}, now_ns=MONDAY), {"tokens": 30})
        denied = act(kernel, {"tokens": 80})
        assert (denied.outcome, sorted(codes(denied))) == ("deny", ["budget_deferred", "budget_exceeded"])
        assert {x.facts["next"] for x in denied.findings} == {"top_up"}


@pytest.mark.req("X7-12")
@pytest.mark.parametrize(
    ("amount", "over", "outcome", "advice", "resets"),
    [
        (1, "deny", "deny", "retry_after", True),
        (1, "defer", "defer", "retry_after", True),
        (0, "deny", "deny", "escalate", False),
        (0, "defer", "deny", "escalate", False),
    ],
)
def test_a_rate_of_none_is_no_matter_of_waiting(amount, over, outcome, advice, resets):
    rule = {"name": "r", "decision": "allow", "rate": {"amount": amount, "per": "hour", "over": over}}
    with world({"g": {}}, policy=[rule]) as kernel:
        for _ in range(amount):
            assert act(kernel, {}, now_ns=MONDAY).allowed
        told = act(kernel, {}, now_ns=MONDAY)
        facts = said(told, "rate_exceeded")
        assert (told.outcome, facts["next"], facts.get("resets_ns")) == (
            outcome,
            advice,
            MONDAY + 3600 * SECOND if resets else None,
        )


def capped(*caps, **more):
    rows = [{"resource": "usd", "per": per, "amount": amount} for per, amount in caps]
    return manifest({"g": {"holder": "alice"}}, resources={"usd": 0}, governor={"caps": rows}, **more)


@pytest.mark.req("X7-12")
def test_a_cap_on_spend_denies_what_is_more_than_itself_and_else_says_when_its_window_ends():
    with world({}) as kernel:
        apply(kernel, capped(("day", 100), ("week", 150)), now_ns=MONDAY)
        alice = kernel.as_principal("alice")
        never = act(alice, {"usd": 151})
        assert (never.outcome, codes(never), said(never)["next"]) == ("deny", ["over_daily_cap"], "replan")
        assert said(never).keys().isdisjoint({"resets_ns", "resets"})
        settle(alice, held(alice, {"usd": 90}), {"usd": 90})
        day = act(alice, {"usd": 20})
        assert (day.outcome, codes(day), said(day)["resets"]) == (
            "defer",
            ["over_daily_cap"],
            "1970-01-06T00:00:00Z",
        )
        week = act(alice, {"usd": 70})  # both are passed, and the week ends last
        assert (week.outcome, codes(week), said(week)["resets"]) == (
            "defer",
            ["over_weekly_cap"],
            "1970-01-12T00:00:00Z",
        )
        assert kernel.state.governor.verdicts == {"deny": 1, "allow": 1, "defer": 2}


@pytest.mark.req("X7-12")
def test_who_may_not_see_a_figure_hears_when_to_come_again():
    grants = {
        "top": {"limits": [limit(10, "day", "defer")], "delegations": 1},
        "kid": {"parent": "top", "holder": "eve"},
    }
    with world(grants) as kernel:
        eve = kernel.as_principal("eve")
        held(eve, {"tokens": 9}, "kid", now_ns=MONDAY)
        later = act(eve, {"tokens": 2}, "kid")
        assert (later.outcome, codes(later)) == ("defer", ["limited_above"])
        assert said(later)["next"] == "retry_after"
        assert said(later)["resets"] == "1970-01-06T00:00:00Z"
        assert "needed" not in said(later)
        never = act(eve, {"tokens": 11}, "kid")
        assert (never.outcome, "resets" in said(never)) == ("deny", False)


@pytest.mark.req("X7-12")
@given(st.integers(0, 2**63 - 1))
def test_a_time_is_shown_as_the_calendar_has_it(now_ns):
    text = shown_time(now_ns)
    seconds, _, rest = text.rstrip("Z").partition(".")
    told = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    assert (told - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == now_ns // SECOND
    assert int(rest.ljust(9, "0") or 0) == now_ns % SECOND


# --- D-07: a denial that is told again --------------------------------------------------------------


@pytest.mark.req("X7-12")
@pytest.mark.parametrize(
    ("grant", "more", "then"),
    [
        ({"budget": {"tokens": 3}}, {}, "top_up"),
        ({"expiry": 1}, {}, "replan"),
        ({}, {"policy": [{"name": "no", "decision": "deny"}]}, "escalate"),
        (
            {},
            {"policy": [{"name": "r", "decision": "allow", "rate": {"amount": 0, "per": "60s"}}]},
            "escalate",
        ),
    ],
)
def test_a_denial_that_is_told_again_says_that_its_key_is_used_up(tmp_path, grant, more, then):
    with world({"g": grant}, tmp_path / "w", **more) as kernel:
        first = act(kernel, {"tokens": 5}, idempotency_key=KEY, now_ns=MONDAY)
        apply(kernel, manifest({"g": {}}))  # whatever refused it is gone
        again = act(kernel, {"tokens": 5}, idempotency_key=KEY)
        assert (first.outcome, first.duplicate, said(first)["next"]) == ("deny", False, then)
        assert (again.outcome, again.duplicate, again.seq) == ("deny", True, first.seq)
        assert (said(again)["next"], said(again)["then"]) == ("new_key", then)
        rest = {name: value for name, value in said(first).items() if name != "next"}
        assert rest.items() <= said(again).items()
        assert act(kernel, {"tokens": 5}, idempotency_key=KEY[1:] + b"1").allowed
        story = explain(read_store(kernel), first.intent_hash)
        assert story["next"][-1] == "new_key"
    assert tally(tmp_path / "w", "explain", first.intent_hash.hex())[1]["next"][-1] == "new_key"


# --- X7-14 ------------------------------------------------------------------------------------------


def thresholds(found):
    return [x.facts["limit"] for x in found if x.code == "limit_approaching"]


@pytest.mark.req("X7-14")
def test_what_a_receipt_reaches_is_told_with_it_once_a_window():
    tells = [limit(80, "day", "tell"), limit(100, "day", "tell"), limit(150, "life", "tell")]
    with limited(*tells) as kernel:
        first, second = (held(kernel, {}, now_ns=MONDAY) for _ in "ab")
        settled = settle(kernel, first, {"tokens": 120})
        assert (thresholds(settled.findings), settled.violation) == ([80, 100], None)
        assert thresholds(settle(kernel, second, {"tokens": 40}).findings) == [150]
        assert act(kernel, {}).findings == ()
        other = held(kernel, {}, now_ns=MONDAY + DAY)
        assert thresholds(settle(kernel, other, {"tokens": 99}).findings) == [80]
        crossed = [(x.per, x.start_ns, x.amount, x.balance) for x in recorded(kernel, LimitCrossed)]
        assert crossed == [
            ("day", MONDAY, 80, -40),
            ("day", MONDAY, 100, -20),
            ("life", 0, 150, -10),
            ("day", MONDAY + DAY, 80, -19),
        ]


@pytest.mark.req("X7-14")
@few
@given(
    stated=st.lists(st.integers(1, 90), min_size=1, max_size=4, unique=True),
    steps=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 40), st.sampled_from(["ok", "late", "refund"])),
        max_size=8,
    ),
)
def test_a_threshold_is_told_when_reserved_and_charged_together_reach_it_and_never_again(stated, steps):
    """The model: what is used, less refunds, and the highest threshold told; a refund takes none back."""
    with limited(*(limit(amount, "life", "tell") for amount in stated)) as kernel:
        used, told = 0, 0

        def reaches(amount):
            nonlocal told
            reached = [most for most in stated if amount >= most > told]
            told = max([told, *reached])
            return reached

        for reserve, usage, how in steps:
            decision = act(kernel, {"tokens": reserve})
            assert thresholds(decision.findings) == reaches(used + reserve)
            if how == "late":
                kernel.release(decision.intent_hash, "not_dispatched")
            settled = settle(kernel, decision.intent_hash, {"tokens": usage})
            used += usage
            assert thresholds(settled.findings) == (reaches(used) if usage else [])
            if how == "refund" and usage:
                amounts = {"tokens": usage}
                used -= usage
                assert kernel.native(
                    "settlement.refund", intent_hash=decision.intent_hash, amounts=amounts
                ).allowed


@pytest.mark.req("X7-14")
@pytest.mark.parametrize("how", ["attested", "unknown"])
def test_what_an_attestation_or_a_time_out_charges_is_recorded_as_reached(how):
    grant = {"limits": [limit(50, "life", "tell")], "unknown_ns": 10}
    with world({"g": grant}) as kernel:
        digest = held(kernel, {"tokens": 10}, now_ns=5)
        settle(kernel, digest, {}, "unknown")
        if how == "attested":
            usage = {"tokens": 60}
            kernel.native("outcome.attest", intent_hash=digest, happened=True, usage=usage)
        else:
            settle(kernel, held(kernel, {}), {"tokens": 39})
            terms = {"cap": CAP, "limits": [limit(45, "life", "tell")]}
            kernel.native("grant.amend", name="g", terms=terms)
            kernel.tick(now_ns=15)
        assert [x.over for x in recorded(kernel, LimitCrossed)] == ["tell"]


@pytest.mark.req("X7-14")
def test_spend_that_is_booked_without_a_hold_reaches_a_threshold_once():
    with limited(limit(50, "day", "tell"), limit(70, "life", "tell")) as kernel:
        for amount, reached in ((49, []), (1, [50]), (30, [70])):
            booked = kernel.native("usage.record", grant="g", usage={"tokens": amount})
            assert (booked.outcome, thresholds(booked.findings)) == ("allow", reached)
        assert [x.amount for x in recorded(kernel, LimitCrossed)] == [50, 70]


@pytest.mark.req("X7-14")
def test_a_threshold_of_somebody_elses_grant_is_told_without_its_figure():
    grants = {
        "top": {"limits": [limit(10, "life", "tell")], "delegations": 1},
        "kid": {"parent": "top", "holder": "eve"},
    }
    with world(grants) as kernel:
        eve = kernel.as_principal("eve")
        (found,) = settle(eve, held(eve, {}, "kid"), {"tokens": 12}).findings
        assert (found.code, found.facts) == (
            "limit_approaching",
            {"dim": "tokens", "grant": "top", "per": "life"},
        )


# --- X7-15 ------------------------------------------------------------------------------------------


def waits(**rule):
    return {"name": "two", "decision": "require_approval", "effect_kind": "test.act", **rule}


def became(decision):
    return said(decision, "approval_answered")["became"]


@pytest.mark.req("X7-15")
def test_a_cap_that_was_cut_meanwhile_releases_what_is_approved(tmp_path):
    with world({}, tmp_path / "w") as kernel:
        apply(kernel, capped(("day", 1_000), policy=[waits()]), now_ns=MONDAY)
        decision = act(kernel.as_principal("alice"), {"usd": 900})
        apply(kernel, capped(("day", 100), policy=[waits()]))
        answer = kernel.approve(decision.intent_hash)
        assert (answer.outcome, became(answer)) == ("allow", "released")
        assert codes(answer) == ["approval_answered", "approval_stale", "over_daily_cap"]
        (released,) = recorded(kernel, Released)
        assert [x.code for x in released.findings] == ["approval_stale", "over_daily_cap"]
        row = kernel.outcome(decision.intent_hash)
        assert (row.status, row.phase, row.answers[-1]["by"]) == ("released", "", "operator")
        story = explain(read_store(kernel), decision.intent_hash)
        assert [(x["by"], x["answer"], x["at_ns"]) for x in story["answers"]] == [
            ("operator", "approve", MONDAY)
        ]
        assert "ask_approval" not in story["next"]


@pytest.mark.req("X7-15")
@pytest.mark.parametrize(
    ("now", "cap", "stands"), [(1, 900, True), (1, 1_000, True), (1, 899, False), (DAY, 899, False)]
)
def test_what_waits_is_counted_once_when_the_governor_is_asked_again(now, cap, stands):
    """It is in what is reserved already, so a cap of just its own amount is kept."""
    with world({}) as kernel:
        apply(kernel, capped(("day", 1_000), policy=[waits()]), now_ns=MONDAY)
        decision = act(kernel.as_principal("alice"), {"usd": 900})
        apply(kernel, capped(("day", cap), policy=[waits()]))
        answer = kernel.approve(decision.intent_hash, now_ns=MONDAY + now)
        assert became(answer) == ("open" if stands else "released")


@pytest.mark.req("X7-15")
@pytest.mark.parametrize(
    ("governor", "code"),
    [
        ({"classes": ["tired"]}, "local_ceiling"),
        ({"envelope": {"total": 5, "default_lane": 6}}, "oom_envelope"),
        ({"envelope": {"total": 6, "default_lane": 6}}, None),
    ],
)
def test_the_governor_is_asked_again_with_the_lane_and_class_that_the_params_said(governor, code):
    effects = {"job.run": {"cap_type": "job"}}
    caps = {"acme/job@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "job"}}
    grants = {"g": {"cap": "acme/job@1", "holder": "alice"}}
    fields = {"job.run": {"lane": "/lane", "failure_class": "/failed"}}
    document = {"effects": effects, "caps": caps, "grants": grants}
    document["policy"] = [waits() | {"effect_kind": "job.run"}]
    with world({}) as kernel:
        apply(kernel, {**document, "governor": {"fields": fields, "classes": []}})
        params = {"lane": "big", "failed": "tired"}
        decision = kernel.as_principal("alice").submit(Intent("job.run", params, "g"))
        assert decision.outcome == "require_approval"
        apply(kernel, {**document, "governor": {"fields": fields, "classes": [], **governor}})
        answer = kernel.approve(decision.intent_hash)
        assert became(answer) == ("released" if code else "open")
        assert (code or "open") in (*codes(answer), became(answer))
        settle(kernel.as_principal("alice"), decision.intent_hash, {})
        assert not kernel.state.tables().get("failures")


@pytest.mark.req("X7-15")
def test_the_command_line_tells_what_became_of_it_and_ends_with_1_where_it_was_released(tmp_path):
    path = tmp_path / "w"
    with world(
        {"g": {"holder": "alice", "expiry": 100}, "h": {"holder": "alice"}}, path, policy=[waits()]
    ) as kernel:
        late, good = (act(kernel.as_principal("alice"), {}, name).intent_hash.hex() for name in "gh")
    code, told = tally(path, "approve", good)
    assert (code, told["findings"][0]["facts"]["became"]) == (0, "open")
    code, told = tally(path, "--now-ns", "100", "approve", late)
    assert (code, told["outcome"], told["findings"][0]["facts"]["became"]) == (1, "allow", "released")
    assert [x["code"] for x in told["findings"][1:]] == ["approval_stale", "expired"]
    with open_reader(path) as reader:
        assert reader.outcome(late).cause == "rejected"


# --- X7-16 ------------------------------------------------------------------------------------------


def board(*limits, rules=None, **rule):
    """A world in which alice asks, and bob, carol, dave and eve may answer."""
    grants = {"g": {"holder": "alice", "limits": list(limits)}}
    grants |= {f"{name}_answers": {**ANSWERS, "holder": name} for name in ("bob", "carol", "dave", "eve")}
    return world(grants, policy=[*(rules or [waits(**rule)]), MEETS])


def asked(kernel, reserve=None):
    decision = act(kernel.as_principal("alice"), reserve or {})
    assert decision.outcome == "require_approval"
    return decision.intent_hash


THREE = ["bob", "carol", "dave"]


@pytest.mark.req("X7-16")
def test_two_of_three_must_approve_and_nobody_answers_twice():
    with board(approvals=2, approvers=THREE) as kernel:
        digest = asked(kernel)

        def approve(name):
            return kernel.as_principal(name).approve(digest)

        first = said(approve("carol"))
        assert (first["became"], first["missing"]) == ("approval", 1)
        assert first["waits_for"] == [
            {"reason": "policy/two", "missing": 1, "approvers": ["bob", "dave"], "by": ["carol"]}
        ]
        assert codes(approve("carol")) == ["already_answered"]
        assert codes(approve("eve")) == codes(kernel.approve(digest)) == ["not_approver"]
        assert codes(approve("alice")) == ["not_holder"]
        assert kernel.outcome(digest).phase == "approval"
        assert became(approve("bob")) == "open"
        assert became(approve("dave")) == "open"  # and nothing changes
        assert [x["by"] for x in kernel.outcome(digest).answers] == ["carol", "bob"]
        assert kernel.state.tables().get("asked") is None


@pytest.mark.req("X7-16")
def test_each_reason_is_answered_for_itself():
    rule = waits(approvers=["bob"])
    with board(limit(1, "intent", "ask"), limit(9, "day", "ask"), rules=[rule]) as kernel:
        digest = asked(kernel, {"tokens": 10})
        reasons = ["g tokens intent", "g tokens day", "policy/two"]
        assert [x["reason"] for x in kernel.outcome(digest).waits_for] == reasons
        carol, bob = kernel.as_principal("carol"), kernel.as_principal("bob")
        assert codes(carol.approve(digest, reasons=["policy/two"])) == ["not_approver"]
        assert codes(carol.approve(digest, reasons=["g usd day"])) == ["not_found"]
        assert said(carol.approve(digest, reasons=["g tokens day"]))["missing"] == 2
        assert codes(carol.approve(digest, reasons=["g tokens day"])) == ["already_answered"]
        assert said(carol.approve(digest))["waits_for"][0]["reason"] == "policy/two"
        assert became(bob.approve(digest)) == "open"


@pytest.mark.req("X7-16")
def test_two_reasons_are_answered_by_one_who_may_answer_both():
    with board(limit(1, "intent", "ask")) as kernel:
        assert became(kernel.as_principal("eve").approve(asked(kernel, {"tokens": 2}))) == "open"


@pytest.mark.req("X7-16")
def test_a_reject_by_one_who_may_answer_ends_it_and_by_nobody_else():
    with board(approvals=2, approvers=THREE) as kernel:
        digest = asked(kernel, {"tokens": 7})
        kernel.as_principal("bob").approve(digest)
        assert codes(kernel.as_principal("eve").reject(digest)) == ["not_approver"]
        assert codes(kernel.reject(digest)) == ["not_approver"]
        assert became(kernel.as_principal("dave").reject(digest)) == "released"
        assert codes(kernel.as_principal("carol").approve(digest)) == ["not_reserved"]
        other = asked(kernel)
        assert kernel.release(other, "governance", "they left").status == "released"


@pytest.mark.req("X7-16")
def test_nobody_but_root_counts_for_their_own_intent():
    with board(approvals=2, approvers=["bob", "operator"]) as kernel:
        own = act(kernel, {}, "root")
        assert own.outcome == "require_approval"
        assert said(kernel.approve(own.intent_hash))["missing"] == 1
        assert became(kernel.as_principal("bob").approve(own.intent_hash)) == "open"


@pytest.mark.req("X7-16")
@few
@given(
    rules=st.tuples(st.lists(st.sampled_from("bcde"), unique=True), st.integers(1, 4)),
    answers=st.lists(st.sampled_from("bcde"), max_size=8),
    snapshot=st.integers(0, 8),
)
def test_it_is_open_once_so_many_different_approvers_have_said_so(rules, answers, snapshot):
    """The model is a set of names. A world that is folded again in between waits for the same people."""
    names = {name[0]: name for name in ("bob", "carol", "dave", "eve")}
    listed, wanted = [names[x] for x in rules[0]], min(rules[1], len(rules[0]) or 4)
    with board(approvals=wanted, **({"approvers": listed} if listed else {})) as kernel:
        digest, yes = asked(kernel), set()
        for at, who in enumerate(answers):
            is_open = len(yes) >= wanted
            decision = kernel.as_principal(names[who]).approve(digest)
            if is_open:
                assert became(decision) == "open"
            elif listed and names[who] not in listed:
                assert codes(decision) == ["not_approver"]
            elif who in yes:
                assert codes(decision) == ["already_answered"]
            else:
                yes.add(who)
                assert became(decision) == ("open" if len(yes) >= wanted else "approval")
            if at == snapshot:
                assert read_store(kernel).state.root == kernel.state.root


@pytest.mark.req("X7-16")
def test_an_answer_survives_closing_a_snapshot_and_an_edit_of_the_policy(tmp_path):
    grants = {"g": {"holder": "alice"}}
    grants |= {f"{name}_answers": {**ANSWERS, "holder": name} for name in ("bob", "carol")}
    path = tmp_path / "w"
    with world(grants, path, policy=[waits(approvals=2, approvers=["bob", "carol"]), MEETS]) as kernel:
        digest = asked(kernel)
        kernel.as_principal("bob").approve(digest)
        kernel._world.save_projections()
    with world(grants, path, policy=[waits(), MEETS]) as kernel:  # for what comes after
        assert codes(kernel.as_principal("bob").approve(digest)) == ["already_answered"]
        assert became(kernel.as_principal("carol").approve(digest)) == "open"
        assert became(kernel.as_principal("carol").approve(asked(kernel))) == "open"
    assert tally(path, "verify", "--rejudge")[0] == 0


@pytest.mark.req("X7-16")
@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"approvals": 2, "decision": "allow"}, "asks nobody"),
        ({"approvers": ["bob"], "decision": "deny"}, "asks nobody"),
        ({"approvals": 3, "approvers": ["bob", "carol"]}, "1 to 2"),
        ({"approvals": 0}, "1 to 64"),
        ({"approvals": 65}, "1 to 64"),
        ({"approvals": True}, "approvals"),
        ({"approvers": ["bob", "bob"]}, "twice"),
        ({"approvers": ["b b"]}, "principals"),
        ({"approvers": "bob"}, "approvers"),
        ({"approvers": [f"p{n}" for n in range(65)]}, "64"),
        ({"quorum": 2}, "quorum"),
    ],
)
def test_a_rule_that_cannot_be_answered_so_is_refused_when_it_is_applied(rule, named):
    with world({}) as kernel, pytest.raises(InvalidManifest, match=named):
        apply(kernel, manifest({"g": {}}, policy=[waits() | rule]))


@pytest.mark.req("X7-16")
def test_a_rate_that_asks_is_answered_by_the_approvers_of_its_rule():
    rate = {"amount": 0, "per": "day", "over": "ask"}
    rule = waits(decision="allow", rate=rate, approvers=["bob"])
    with board(rules=[rule]) as kernel:
        digest = asked(kernel)
        assert codes(kernel.as_principal("eve").approve(digest)) == ["not_approver"]
        assert became(kernel.as_principal("bob").approve(digest)) == "open"
