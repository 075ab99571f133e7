"""A host's clock that jumps: it is noticed before anything falls due, and time stands till it is accepted."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidInput, InvalidManifest
from splittally.runtime.clock import HOST, OPEN_JUMP_NS, Source, WorldClock
from splittally.runtime.reader import open_reader, read_store

from tests.rows.worlds import act, apply, bodies, codes, few, held, manifest, settle, tally

SECOND = 10**9
DAY = 86_400 * SECOND
NOW = 1_800_000_000 * SECOND
LAST = 2**63 - 1
GRANT = {"budget": {"tokens": 1_000}, "hold_ns_max": 60 * SECOND}


class Host:
    """A machine: a clock that people set, and one that nobody does."""

    def __init__(self, wall=NOW, boot=7 * SECOND):
        self.wall, self.boot = wall, boot

    @property
    def clock(self):
        return lambda: self.wall, lambda: self.boot

    def passes(self, span):
        self.wall += span
        self.boot += span


def opened(host, path=None, **more):
    kernel = splittally.open(path, clock=host.clock)
    apply(kernel, manifest({"g": GRANT}, **more))
    return kernel


@pytest.mark.req("X7-13")
@pytest.mark.parametrize("step", [SECOND, DAY, DAY + 1, 400 * DAY, LAST - NOW])
def test_a_step_of_more_than_a_day_is_a_jump_and_nothing_falls_due(step):
    host = Host()
    with opened(host) as kernel:
        digest = held(kernel, {"tokens": 1})
        frames = kernel.state.seq
        host.wall += step
        if step <= DAY:
            assert act(kernel, {}).allowed
            assert digest in kernel.state.reservations or step > 60 * SECOND
            return
        refused = act(kernel, {})
        assert (refused.outcome, refused.seq, codes(refused)) == ("deny", None, ["clock_jump"])
        facts = refused.findings[0].facts
        assert (facts["clock_ns"], facts["now_ns"], facts["ahead_ns"]) == (NOW + step, NOW, step)
        assert kernel.tick() == 0
        assert (kernel.state.seq, kernel.state.now_ns) == (frames, NOW)
        assert digest in kernel.state.reservations


@pytest.mark.req("X7-13")
def test_a_machine_that_slept_for_a_year_has_no_clock_that_jumped():
    host = Host()
    with opened(host) as kernel:
        host.passes(365 * DAY)
        assert act(kernel, {}).allowed
        assert (kernel.state.now_ns, kernel.health().state) == (NOW + 365 * DAY, "steady")


@pytest.mark.req("X7-13")
def test_while_time_stands_receipts_and_releases_go_on_and_new_intents_do_not():
    host = Host()
    with opened(host) as kernel:
        digests = [held(kernel, {"tokens": 1}) for _ in range(5)]
        known = act(kernel, {}, idempotency_key=bytes(32), attempt=bytes(16))
        host.wall += 2 * DAY
        asked = [Intent("test.act", {"a": b"x"}, "g")] * 2
        for answers in (
            [act(kernel, {})],
            kernel.submit(asked),
            kernel.submit(asked, mode="all"),
            [kernel.submit([asked[0]], mode="first")],
            [kernel.decide(asked[0]), kernel.native("account.open", account="a")],
            [kernel.apply(manifest({}))],
        ):
            assert [codes(x) for x in answers] == [["clock_jump"]] * len(answers)
        again = act(kernel, {}, idempotency_key=bytes(32), attempt=bytes(16))
        assert (again.duplicate, again.seq, again.allowed) == (True, known.seq, True)
        assert settle(kernel, digests[0], {"tokens": 1}).status == "settled"
        assert kernel.release(digests[1]).status == "released"
        assert kernel.release(digests[2], "governance", "order 1").status == "released"
        assert kernel.extend(digests[3], NOW + 30 * SECOND).status == "extended"
        assert kernel.dispatch(digests[4], bytes(16)).status == "dispatched"
        assert settle(kernel, digests[4], {}, "unknown").status == "held"
        attested = kernel.native("outcome.attest", intent_hash=digests[4], happened=True)
        assert attested.allowed
        assert {body.at_ns for body in bodies(kernel)} == {NOW}
        assert read_store(kernel).state.root == kernel.state.root


@pytest.mark.req("X7-13")
def test_the_operator_accepts_what_the_clock_reads_and_then_what_is_due_is_worked_through():
    host = Host()
    with opened(host) as kernel:
        digest = held(kernel, {"tokens": 1})
        host.wall += 3 * DAY
        assert codes(act(kernel, {})) == ["clock_jump"]
        assert codes(kernel.as_principal("eve").native("clock.accept")) == ["not_holder"]
        assert codes(act(kernel, {})) == ["clock_jump"]
        assert kernel.native("clock.accept").allowed
        assert (kernel.state.now_ns, digest in kernel.state.reservations) == (NOW, True)
        assert act(kernel, {}).allowed
        assert (kernel.state.now_ns, digest in kernel.state.reservations) == (NOW + 3 * DAY, False)
        host.wall += DAY + 1  # it is watched again
        assert codes(act(kernel, {})) == ["clock_jump"]


@pytest.mark.req("X7-13")
def test_what_jumps_on_behind_what_was_accepted_is_a_jump_again():
    host = Host()
    with opened(host) as kernel:
        host.wall += 3 * DAY
        assert codes(act(kernel, {})) == ["clock_jump"]
        host.wall = LAST
        for up_to_ns in (0, NOW - DAY, NOW + 3 * DAY):
            assert kernel.native("clock.accept", up_to_ns=up_to_ns).allowed
            assert codes(act(kernel, {})) == ["clock_jump"]
        host.wall = NOW + 3 * DAY + 5
        assert act(kernel, {}).allowed


@pytest.mark.req("X7-13")
def test_only_root_accepts_and_only_where_the_clock_is_the_hosts():
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, manifest({"n": {"cap": "sys/all@1"}}))
        assert codes(kernel.native("clock.accept", grant="n")) == ["root_only"]
        assert codes(kernel.native("clock.accept")) == ["cannot_change"]
        assert codes(kernel.native("clock.accept", up_to_ns=2**63)) == ["params.invalid"]
        assert kernel.health().state == "steady"


@pytest.mark.req("X7-13")
def test_a_clock_that_reads_again_what_it_should_needs_nobodys_word():
    host = Host()
    with opened(host) as kernel:
        host.wall += 5 * DAY
        assert codes(act(kernel, {})) == ["clock_jump"]
        host.wall -= 5 * DAY
        host.passes(SECOND // 2)
        assert act(kernel, {}).allowed
        assert kernel.state.now_ns == NOW + SECOND // 2


@pytest.mark.req("X7-13")
def test_a_clock_that_goes_back_is_behind_and_coming_back_is_no_jump():
    host = Host()
    with opened(host) as kernel:
        host.wall -= 30 * DAY
        assert act(kernel, {}).allowed
        health = kernel.health()
        assert (health.state, health.differs_ns, health.now_ns) == ("behind", -30 * DAY, NOW)
        assert kernel.tick() == 0
        host.passes(SECOND)
        host.wall += 30 * DAY
        assert act(kernel, {}).allowed
        assert (kernel.health().state, kernel.state.now_ns) == ("steady", NOW + SECOND)


@pytest.mark.req("X7-13")
@pytest.mark.parametrize(("away", "state"), [(399, "steady"), (400, "steady"), (401, "jumped")])
def test_at_an_opening_only_a_step_of_over_400_days_is_a_jump(tmp_path, away, state):
    host, path = Host(), tmp_path / "w"
    with opened(host, path) as kernel:
        digest, root = held(kernel, {"tokens": 1}), kernel.state.root
    host.wall += away * DAY
    host.boot = 0  # another start of the machine
    with splittally.open(path, clock=host.clock) as kernel:
        assert (kernel.health().state, kernel.state.root) == (state, root)
        assert act(kernel, {}).allowed == (state == "steady")
        assert (digest in kernel.state.reservations) == (state == "jumped")
        if state == "jumped":
            assert kernel.native("clock.accept").allowed
    with splittally.open(path, clock=host.clock) as kernel:  # which outlives the process
        assert kernel.health().state == "steady"
        assert act(kernel, {}).allowed
        assert kernel.state.now_ns == NOW + away * DAY


@pytest.mark.req("X7-13")
def test_between_an_opening_and_the_first_request_a_day_is_a_jump(tmp_path):
    host = Host()
    opened(host, tmp_path / "w").close()
    with splittally.open(tmp_path / "w", clock=host.clock) as kernel:
        host.wall += 2 * DAY
        assert codes(act(kernel, {})) == ["clock_jump"]


@pytest.mark.req("X7-13")
def test_a_world_says_how_far_its_clock_may_jump():
    host = Host()
    with opened(host, world={"clock_jump": "5m"}) as kernel:
        host.wall += 301 * SECOND
        assert codes(act(kernel, {})) == ["clock_jump"]
        host.wall -= SECOND
        apply(kernel, manifest({"g": GRANT}, world={"clock_jump": 0}))
        host.wall += 10_000 * DAY
        assert act(kernel, {}).allowed
        apply(kernel, manifest({"g": GRANT}))  # a day, as where nobody says anything
        assert kernel.health().clock_jump_ns == DAY
        host.wall += DAY + 1
        assert codes(act(kernel, {})) == ["clock_jump"]


@pytest.mark.req("X7-13")
@pytest.mark.parametrize("span", [1, "999ms", -1, "soon", True, None, 2**63])
def test_a_distance_that_is_none_is_refused_when_it_is_applied(span):
    with splittally.open(None) as kernel, pytest.raises(InvalidManifest, match="clock_jump"):
        kernel.apply(manifest({}, world={"clock_jump": span}))


@pytest.mark.req("X7-13")
def test_a_single_clock_is_compared_with_the_machines_own():
    wall = [NOW]
    with splittally.open(None, clock=lambda: wall[0]) as kernel:
        apply(kernel, manifest({"g": GRANT}))
        wall[0] += 2 * DAY
        assert codes(act(kernel, {})) == ["clock_jump"]
    for nonsense in ((time,) for time in (lambda: 1,)):
        with pytest.raises(InvalidInput):
            splittally.open(None, clock=nonsense)


@pytest.mark.req("X7-13")
def test_a_what_if_accepts_nothing_for_the_world_itself():
    host = Host()
    with opened(host) as kernel:
        host.wall += 2 * DAY
        assert codes(act(kernel, {})) == ["clock_jump"]
        fork = kernel.fork()
        assert fork.native("clock.accept").allowed
        assert act(fork, {}).allowed
        assert codes(act(kernel, {})) == ["clock_jump"]


@pytest.mark.req("X7-13")
def test_the_command_line_says_how_the_clock_is_and_accepts_it(tmp_path):
    host, path = Host(wall=5 * SECOND), tmp_path / "w"  # made in 1970, as the machine's clock of now has it
    opened(host, path).close()
    code, told = tally(path, "status")
    assert (code, told["state"], told["clock"]) == (1, "jumped", "host")
    line = '{"kind": "account.open", "params": {"account": "a"}, "grant": "root"}\n'
    code, told = tally(path, "submit", stdin=line)
    assert (code, told["findings"][0]["code"]) == (1, "clock_jump")
    assert tally(path, "native", "clock.accept")[0] == 0
    assert tally(path, "submit", stdin=line)[0] == 0
    code, told = tally(path, "status")
    assert (code, told["state"]) == (0, "steady")
    assert tally(path, "verify", "--rejudge")[0] == 0
    with open_reader(path) as reader:
        assert reader.health().seq == reader.head.size - 1


@pytest.mark.req("X7-13")
@few
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 1, SECOND, DAY, DAY + 1, 3 * DAY, -DAY, -9 * DAY]), st.integers(0, 2 * DAY)
        ),
        max_size=12,
    )
)
def test_a_reading_is_believed_unless_it_is_a_day_ahead_of_what_was_believed_last(steps):
    """The model: the last reading that was believed, and when the boot clock stood where."""
    host = Host(boot=0)
    clock = WorldClock(HOST, Source(*host.clock))
    clock.begin(NOW, True, DAY)
    wall, boot, highest = NOW, 0, NOW
    for set_by, passed in steps:
        host.passes(passed)
        host.wall += set_by
        ahead = host.wall - wall - (host.boot - boot)
        jumped = host.wall >= wall and ahead > DAY
        said = clock.said(None, DAY)
        assert (said, bool(clock.jumped_ns)) == (0 if jumped else host.wall, jumped)
        if not jumped and host.wall - wall >= SECOND:
            wall, boot = host.wall, host.boot
        highest = max(highest, said)
    assert highest <= max(host.wall, NOW) + sum(abs(set_by) for set_by, _ in steps)
    assert OPEN_JUMP_NS == 400 * DAY
