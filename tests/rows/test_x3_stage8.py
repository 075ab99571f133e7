"""The governor as the kernel's eighth stage: caps, classes and memory, from the journal alone."""

import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent, Receipt
from splittally.core.events import Noted

from tests.rows.worlds import codes, few, recorded, tally

DAY_NS = 86_400 * 10**9
JOBS = {"job.run": {"cap_type": "job"}, "note.write": {"cap_type": "job"}}


def manifest(**governor):
    grants = {
        f"usd{amount}": {
            "cap": "acme/job@1",
            "params": {"reserve": {"USD": amount}},
            "draws_on": {"USD": "accounts/team"},
            "pays_to": ["accounts/vendor"],
        }
        for amount in (0, 1, 2, 3, 5)
    }
    grants["free"] = {"cap": "acme/job@1"}
    caps = [{"resource": "USD", "per": "day", "amount": 5}]
    fields = {"job.run": {"lane": "/lane", "failure_class": "/why/class"}}
    return {
        "resources": {"USD": 0},
        "accounts": {"accounts/team": {}, "accounts/vendor": {}},
        "effects": JOBS,
        "caps": {"acme/job@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "job"}},
        "grants": grants,
        "governor": {"caps": caps, "fields": fields, **governor},
    }


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest()).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=10**6, to="accounts/team").allowed
        yield kernel


def ask(kernel, grant, now_ns=None, kind="job.run", key=None, **params):
    return kernel.submit(Intent(kind, params, grant, idempotency_key=key), now_ns=now_ns)


def settle(kernel, decision, usd, now_ns=None):
    return kernel.settle(Receipt(decision.intent_hash, "ok", "a", {"usage": {"USD": usd}}), now_ns=now_ns)


@pytest.mark.req("X3-25")
def test_of_two_jobs_of_3_under_a_cap_of_5_the_second_waits_while_the_first_runs(kernel):
    first = ask(kernel, "usd3")
    second = ask(kernel, "usd3", key=bytes(32))
    assert (first.outcome, second.outcome) == ("allow", "defer")
    facts = second.findings[0].facts
    assert (facts["spent"], facts["projected"], facts["cap"]) == (3, 6, 5)
    settle(kernel, first, 1)
    again = ask(kernel, "usd3", key=bytes(32))  # not now is judged afresh
    assert (again.outcome, again.duplicate) == ("allow", False)


@pytest.mark.req("X3-03", "X3-01")
def test_equality_with_a_cap_passes_and_the_cap_comes_before_the_class(kernel):
    assert ask(kernel, "usd5").allowed
    over = ask(kernel, "usd1", why={"class": "kv_cache_derivation"})
    assert (over.outcome, codes(over)) == ("defer", ["over_daily_cap"])


def test_a_new_day_opens_the_cap_again_but_for_what_is_still_open(kernel):
    settle(kernel, ask(kernel, "usd2"), 2)
    assert ask(kernel, "usd3").allowed
    assert ask(kernel, "usd1").outcome == "defer"
    assert ask(kernel, "usd2", now_ns=DAY_NS).allowed  # 3 are still open, 2 of yesterday are spent
    assert kernel.state.governor.verdicts == {"allow": 1}  # it deferred yesterday, and not yet today
    assert ask(kernel, "usd1").outcome == "defer"


@few
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 3]), st.integers(0, 3), st.integers(0, 2), st.booleans()),
        max_size=12,
    )
)
def test_a_day_and_a_week_count_what_was_spent_in_them_and_a_dry_run_counts_nothing(steps):
    """The model: every charge with its day; day 4 was a Monday. What is asked is settled at once."""
    caps = [{"resource": "USD", "per": per, "amount": most} for per, most in (("day", 5), ("week", 9))]
    with splittally.open(None, clock="given") as kernel:
        now, spent, told = 4, [], {}
        assert kernel.apply(manifest(caps=caps), now_ns=now * DAY_NS).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=10**6, to="accounts/team").allowed
        for asked, usage, later, is_dry in steps:
            now, told = now + later, {} if later else told
            day = sum(amount for at, amount in spent if at == now)
            week = sum(amount for at, amount in spent if (at - 4) // 7 == (now - 4) // 7)
            expected = "allow" if day + asked <= 5 and week + asked <= 9 else "defer"
            asks = kernel.fork() if is_dry else kernel
            decision = ask(asks, f"usd{asked}", now_ns=now * DAY_NS)
            assert decision.outcome == expected
            if is_dry:
                continue
            told[expected] = told.get(expected, 0) + 1
            if expected == "allow":
                settle(kernel, decision, min(usage, asked), now_ns=now * DAY_NS)
                spent.append((now, min(usage, asked)))
            day, week = kernel.state.governor.caps
            assert (day.reserved, week.reserved) == (0, 0)
            assert day.counted == sum(amount for at, amount in spent if at == now)
            assert kernel.state.governor.verdicts == told


def test_a_group_counts_what_is_open_and_its_own_members_and_leaves_nothing_when_it_is_refused(kernel):
    def group(*amounts):
        told = kernel.submit([Intent("job.run", {}, f"usd{amount}") for amount in amounts], mode="all")
        return {code for decision in told for code in codes(decision)}

    assert "over_daily_cap" in group(3, 3)  # the second sees the first
    assert ask(kernel, "usd2").allowed  # and nothing of either is left
    assert "over_daily_cap" in group(1, 3)  # both see what is open
    assert group(1, 2) == set()
    assert kernel.state.governor.caps[0].reserved == 5
    assert ask(kernel, "usd1").outcome == "defer"


def test_a_lane_is_read_at_a_pointer_whose_signs_are_escaped():
    """RFC 6901: `~1` is a slash and `~0` a tilde, so `~01` is `~1`."""
    envelope = {"total": 10, "default_lane": 10}
    fields = {"job.run": {"lane": "/a~01b/c~1d", "failure_class": "/~0"}}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest(envelope=envelope, fields=fields)).allowed
        assert ask(kernel, "free", **{"a~1b": {"c/d": "x"}}).allowed
        assert ask(kernel, "free", **{"a/b": {"c/d": "y"}}).allowed  # no lane stands there
        assert codes(ask(kernel, "free", **{"a~1b": {"c/d": "z"}})) == ["oom_envelope"]
        raised = ask(kernel, "free", **{"a~1b": {"c/d": "z"}, "~": "context_overflow"})
        assert codes(raised) == ["local_ceiling"]


def test_a_dry_run_that_reserves_leaves_the_cap_as_it_was(kernel):
    first = ask(kernel, "usd2")
    fork = kernel.fork()
    assert ask(fork, "usd3").allowed
    assert ask(fork, "usd1").outcome == "defer"
    assert kernel.state.governor.caps[0].counted == 2
    assert ask(kernel, "usd3").allowed
    settle(kernel, first, 0)
    assert kernel.state.governor.caps[0].counted == 3


def test_a_week_is_capped_apart_from_its_days():
    caps = [{"resource": "USD", "per": per, "amount": 5} for per in ("day", "week")]
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest(caps=caps), now_ns=4 * DAY_NS).allowed  # 1970-01-05, a Monday
        assert kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/team").allowed
        settle(kernel, ask(kernel, "usd5"), 5)
        assert codes(ask(kernel, "usd1", now_ns=5 * DAY_NS)) == ["over_weekly_cap"]
        assert ask(kernel, "usd1", now_ns=11 * DAY_NS).allowed


def test_a_failure_of_a_class_is_raised_and_another_is_not(kernel):
    raised = ask(kernel, "usd1", why={"class": "multi_step_planning"})
    assert (raised.outcome, codes(raised)) == ("escalate", ["local_ceiling"])
    assert ask(kernel, "usd1", why={"class": "crash"}).allowed


@pytest.mark.parametrize("decision", ["allow", "require_approval"])
def test_lanes_that_are_resident_take_memory_until_their_jobs_end(decision):
    """Also of a job that waits: it is held."""
    envelope = {"total": 100, "reserved": 30, "default_lane": 40, "lanes": {"tiny": 1}}
    with splittally.open(None, clock="given") as kernel:
        policy = [{"name": "every", "decision": decision}]
        assert kernel.apply(manifest(envelope=envelope) | {"policy": policy}).allowed
        assert ask(kernel, "free", lane="a").outcome == decision
        assert ask(kernel, "free", lane="a").outcome == decision  # the same lane is there already
        late = ask(kernel, "free", lane="b")
        assert (late.outcome, codes(late)[-1]) == ("defer", "oom_envelope")
        assert ask(kernel, "free", lane="tiny").outcome == decision
        for digest in list(kernel.state.reservations):
            kernel.release(digest)
        assert ask(kernel, "free", lane="b").outcome == decision


def test_only_what_has_a_capped_reserve_or_a_lane_is_judged(kernel):
    assert ask(kernel, "usd5").allowed
    before = len(recorded(kernel, Noted))
    assert ask(kernel, "free").allowed
    assert ask(kernel, "free", kind="note.write", lane="x").allowed  # no fields are named for this kind
    assert kernel.native("ledger.transfer", resource="USD", amount=1, to="accounts/vendor",
                         **{"from": "accounts/team"}).allowed  # fmt: skip
    assert len(recorded(kernel, Noted)) == before


@pytest.mark.req("S3-65")
def test_the_terms_that_were_applied_stand_in_the_journal_and_leave_with_the_manifest(kernel):
    told = kernel.state.governor
    assert (told.caps[0].amount, told.classes[0]) == (5, "context_overflow")
    assert kernel.apply({**manifest(), "governor": {"caps": []}}).allowed
    assert kernel.state.governor.caps == []
    document = manifest()
    del document["governor"]
    assert kernel.apply(document).allowed
    assert kernel.state.governor is None
    assert ask(kernel, "usd5").allowed
    assert ask(kernel, "usd5").allowed


@few
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["usd0", "usd1", "usd2", "usd3"]), st.integers(0, 3), st.booleans()),
        max_size=20,
    )
)
def test_what_is_open_and_spent_in_a_day_never_passes_the_cap(steps):
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest()).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=10**6, to="accounts/team").allowed
        held, spent = [], 0
        for grant, usage, ends in steps:
            decision, amount = ask(kernel, grant), int(grant[3:])
            fits = spent + sum(size for _, size in held) + amount <= 5
            assert decision.outcome == ("allow" if fits else "defer")
            if fits:
                held.append((decision, amount))
            if ends and held:
                ended, size = held.pop(0)
                spent += min(usage, size)
                settle(kernel, ended, min(usage, size))
            counted = kernel.state.governor.caps[0]
            assert counted.counted == spent + sum(size for _, size in held) <= 5


def test_verdicts_are_judged_again_from_the_journal(tmp_path):
    folder = tmp_path / "w"
    with splittally.open(folder, clock="given") as kernel:
        assert kernel.apply(manifest()).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/team").allowed
        settle(kernel, ask(kernel, "usd3", lane="a"), 3)
        ask(kernel, "usd3")
        ask(kernel, "usd1", why={"class": "context_overflow"})
        root, told = kernel.state.root, kernel.state.governor
        kernel._world.save_projections()
    assert tally(folder, "verify", "--rejudge")[1]["sound"]
    with splittally.open(folder) as kernel:
        assert (kernel.state.root, kernel.state.governor) == (root, told)
        assert ask(kernel, "usd3").outcome == "defer"
    assert told.verdicts == {"allow": 1, "defer": 1, "escalate": 1}
    assert told.escalated == "1/3"


@pytest.mark.req("X3-14")
def test_the_lines_of_a_worlds_digest_add_up_to_what_its_caps_count(tmp_path):
    folder = tmp_path / "w"
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply(manifest(caps=[{"resource": "USD", "per": "day", "amount": 20}]))
        kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/team")
        held = []
        for grant, lane, now_ns in (("usd5", "a", 1), ("usd2", "b", DAY_NS + 1), ("usd3", None, DAY_NS + 2),
                                    ("usd1", "a", DAY_NS + 3), ("usd1", "b", DAY_NS + 4)):  # fmt: skip
            params = {} if lane is None else {"lane": lane}
            decision = kernel.submit(Intent("job.run", params, grant), now_ns=now_ns)
            assert decision.allowed
            held.append(decision)
            if len(held) < 5:
                kernel.settle(Receipt(decision.intent_hash, "ok", "a", {"usage": decision.reserve}))
    code, told = tally(folder, "digest")
    governor = told["governor"]
    assert (code, governor["spent_today"]) == (
        0,
        {
            "USD": [
                {"lane_id": None, "amount": 3},
                {"lane_id": "b", "amount": 2},
                {"lane_id": "a", "amount": 1},
            ]
        },
    )
    (cap,) = governor["caps"]
    assert sum(line["amount"] for line in governor["spent_today"]["USD"]) == cap["counted"] - cap["reserved"]
    assert (cap["reserved"], governor["verdicts"]) == (1, {"allow": 4})
    first_day = tally(folder, "digest", "--at", "1970-01-01")[1]["governor"]
    assert first_day["spent_today"] == {"USD": [{"lane_id": "a", "amount": 5}]}
    every_day = tally(folder, "digest", "--since", "1970-01-01")[1]["governor"]
    assert {line["lane_id"]: line["amount"] for line in every_day["spent_since"]["USD"]} == {
        "a": 6,
        "b": 2,
        None: 3,
    }
    assert "spent_today" not in every_day


def test_the_digest_of_a_world_without_a_governor_says_so(tmp_path):
    with splittally.open(tmp_path / "w", clock="given"):
        pass
    assert tally(tmp_path / "w", "digest") == (0, {"governor": None})
