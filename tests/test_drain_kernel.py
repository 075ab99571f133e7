"""A drain over a kernel: each dispatch is an intent, each result a receipt, nothing is asked twice."""

from contextlib import contextmanager, suppress

import pytest
import splittally
from splittally import Decision, Finding, Intent
from splittally.core.events import Settled
from splittally.host.drain import KernelGate, drain_jobs, standup

from tests.drain_night import queue_of
from tests.rows.worlds import recorded

CALL = {"lane": "local", "payload": {"model": "m", "max_tokens": 50}}
USED = {"usage": {"prompt_tokens": 3, "completion_tokens": 7}, "cost_usd": "0.011"}


@contextmanager
def world(limits=(), dispatch=False):
    grant = {"cap": "sys/llm.basic@1", "holder": "night", "budget": {"tokens": 1_000}, "dispatch": dispatch}
    with splittally.open(None) as kernel:
        assert kernel.apply({"grants": {"g": {**grant, "limits": list(limits)}}}).allowed
        yield kernel, KernelGate(kernel.as_principal("night"), "g")


def test_each_dispatch_is_an_intent_and_each_result_its_receipt(tmp_path):
    seen = []
    with world() as (kernel, gate), queue_of(tmp_path, CALL, CALL) as queue:
        drain_jobs(
            queue, lambda job, run: seen.append(kernel.outcome(job.intent_hash).phase) or USED, kernel=gate
        )
        assert seen == ["running", "running"]  # reserved and started before the runner was called
        assert kernel.state.counters["g"]["tokens"].spent == 20
        assert not kernel.state.reservations
        assert len({queue.job(at).intent_hash for at in (1, 2)}) == 2


def test_two_queues_over_one_kernel_ask_for_intents_of_their_own(tmp_path):
    """The first job of each has the same number and was claimed as often."""
    seen = []
    with world() as (kernel, gate):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            with queue_of(tmp_path / name, CALL) as queue:
                assert drain_jobs(queue, lambda job, run: seen.append(job.id) or USED, kernel=gate).done == (
                    1,
                )
        assert seen == [1, 1]
        assert kernel.state.counters["g"]["tokens"].spent == 20


def test_what_a_dead_drain_reserved_and_never_dispatched_is_released(tmp_path):
    with world() as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        job = queue.claim("dead")
        asked = gate.ask(queue.id, job)  # and then it is killed
        assert asked.outcome == "allow"
        assert drain_jobs(queue, lambda job, run: USED, kernel=gate).done == (1,)
        assert kernel.outcome(asked.intent_hash).cause == "not_dispatched"
        assert not kernel.state.reservations


def test_a_result_outside_the_data_model_settles_its_intent_as_an_error(tmp_path):
    with world() as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        drain_jobs(queue, lambda job, run: {"usage": {"prompt_tokens": 2**70}}, kernel=gate)
        assert kernel.outcome(queue.job(1).intent_hash).status == "settled"
        assert not kernel.state.reservations


def violations(kernel):
    return [code for event in recorded(kernel, Settled) for code in event.violations]


@pytest.mark.parametrize("dispatch", [False, True])
def test_no_receipt_of_a_drain_is_without_a_dispatch(tmp_path, dispatch):
    with world(dispatch=dispatch) as (kernel, gate), queue_of(tmp_path, CALL, CALL) as queue:
        assert drain_jobs(queue, lambda job, run: USED, kernel=gate).done == (1, 2)
        assert not violations(kernel)


def test_what_another_host_started_is_not_run_by_a_drain_too(tmp_path):
    limits = [{"dim": "tokens", "per": "intent", "amount": 10, "over": "ask"}]
    with world(limits=limits) as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        drain_jobs(queue, pytest.fail, kernel=gate)
        (digest,) = kernel.state.reservations
        assert kernel.approve(digest).allowed
        assert kernel.as_principal("night").dispatch(digest, bytes(16)).status == "dispatched"
        for _ in range(2):
            report = drain_jobs(queue, pytest.fail, kernel=gate)
            assert (report.held["action"], report.held["reason"]) == ("defer", "already_dispatched")
        assert queue.job(1).intent_hash == digest.hex()
        assert kernel.state.reservations[digest].attempt == bytes(16)


class Cut:
    """Ends a pass before or after one call of many: interrupted, or killed, after which no call is made."""

    def __init__(self, at, is_killed):
        self.left, self.is_killed = at, is_killed

    def over(self, inner, *names):
        """The same object with these calls among those that are counted."""
        calls = {name: staticmethod(self._cut(getattr(inner, name))) for name in names}
        return type("Cutting", (), {**calls, "__getattr__": lambda _, name: getattr(inner, name)})()

    def _cut(self, call):
        def called(*args, **kwargs):
            self._step()
            answer = call(*args, **kwargs)
            self._step()
            return answer

        return called

    def _step(self):
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.is_killed):
            raise SystemExit


ASKED = ("submit", "decide", "dispatch", "settle", "release", "outcome")
QUEUED = ("claim", "dispatch", "settle", "release", "receipt_delivered", "mark_unknown")


@pytest.mark.parametrize("limits", [(), [{"dim": "tokens", "per": "intent", "amount": 10, "over": "ask"}]])
@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_drain_that_ends_at_any_step_leaves_no_start_that_nobody_answers(
    tmp_path, retry, limits, is_killed
):
    """Each job runs once and is settled by a receipt, or is unknown in the queue and in the world."""
    for at_call in range(1, 200):
        folder, ran = tmp_path / str(at_call), []
        folder.mkdir()
        with world(limits, dispatch=True) as (kernel, _), queue_of(folder, CALL, CALL) as queue:
            night, cut = kernel.as_principal("night"), Cut(at_call, is_killed)

            def run(job, run, ran=ran):
                ran.append(job.id)
                return USED

            with suppress(SystemExit):
                for _ in range(5 if limits else 1):
                    gate = KernelGate(cut.over(night, *ASKED), "g")
                    drain_jobs(cut.over(queue, *QUEUED), run, kernel=gate)
                    for digest in kernel.state.reservations:
                        kernel.approve(digest)
            for _ in range(5):
                drain_jobs(queue, run, kernel=KernelGate(night, "g"), retry_dispatched=retry)
                for digest in kernel.state.reservations:
                    kernel.approve(digest)
            for at in (1, 2):
                job = queue.job(at)
                row = kernel.outcome(job.intent_hash)
                if job.status == "unknown":
                    assert not retry
                    assert (row.status, row.phase) == ("reserved", "unknown")
                else:
                    assert (job.status, row.status) == ("done", "settled")
                    assert ran.count(at) == 1 or retry
            assert not violations(kernel)
            unknown = {queue.job(at).intent_hash for at in (1, 2) if queue.job(at).status == "unknown"}
            assert {digest.hex() for digest in kernel.state.reservations} == unknown
        if cut.left > 0:
            break
    assert at_call > 20


def test_a_denial_fails_the_job_with_its_codes_and_the_pass_goes_on(tmp_path):
    big = {"lane": "local", "payload": {"model": "m", "max_tokens": 5_000}}
    with world() as (_, gate), queue_of(tmp_path, big, CALL) as queue:
        report = drain_jobs(queue, lambda job, run: USED, kernel=gate)
        assert (report.failed, report.done, report.dispatched) == ((1,), (2,), (2,))
        assert standup(queue)["failed"][0]["codes"] == ["budget_exceeded"]
        assert queue.job(1).failure_class == "denied"


def test_a_kernel_that_defers_holds_as_a_governor_does(tmp_path):
    limits = [{"dim": "tokens", "per": "day", "amount": 60, "over": "defer"}]
    with world(limits=limits) as (kernel, gate), queue_of(tmp_path, CALL, CALL) as queue:
        used = kernel.as_principal("night").submit(Intent("llm.generate", {"max_tokens": 40}, "g"))
        assert used.allowed
        report = drain_jobs(queue, pytest.fail, kernel=gate)
        assert (report.held["action"], report.stopped_by) == ("defer", "hold")
        assert (queue.triggers(1)[0].trigger, queue.triggers(2)) == ("budget_defer", [])
        assert [*kernel.state.reservations] == [used.intent_hash]


def test_a_kernel_that_escalates_holds_too(tmp_path):
    class Escalates:
        def submit(self, intent):
            return Decision(
                1, bytes(32), "escalate", (Finding("governor", "local_ceiling", {"ceiling": 33}),)
            )

    with queue_of(tmp_path, CALL) as queue:
        drain_jobs(queue, pytest.fail, kernel=KernelGate(Escalates(), "g"))
        assert queue.triggers(1)[0].trigger == "budget_escalate"
        assert queue.job(1).intent_hash is None


def test_an_approval_is_waited_for_and_not_asked_for_twice(tmp_path):
    limits = [{"dim": "tokens", "per": "intent", "amount": 10, "over": "ask"}]
    with world(limits=limits) as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        for _ in range(2):
            assert drain_jobs(queue, pytest.fail, kernel=gate).held["action"] == "require_approval"
        (digest,) = kernel.state.reservations
        assert kernel.approve(digest).allowed
        assert drain_jobs(queue, lambda job, run: USED, kernel=gate).done == (1,)
        assert kernel.outcome(digest).status == "settled"


@pytest.mark.parametrize("retry", [False, True])
def test_an_open_intent_of_a_dead_drain_is_unknown_unless_its_runner_is_idempotent(tmp_path, retry):
    def dies(job, run):
        raise SystemExit

    with world() as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        with pytest.raises(SystemExit):
            drain_jobs(queue, dies, kernel=gate)
        (digest,) = kernel.state.reservations
        assert drain_jobs(queue, pytest.fail, kernel=gate, retry_dispatched=retry, limit=0).dispatched == ()
        assert (queue.job(1).dispatched_at is None) is retry  # put back as if it had never been claimed
        report = drain_jobs(queue, lambda job, run: USED, kernel=gate, retry_dispatched=retry)
        assert report.done == ((1,) if retry else ())
        assert queue.job(1).status == ("done" if retry else "unknown")
        row = kernel.outcome(digest)
        assert (row.status, row.phase) == (("settled", "") if retry else ("reserved", "unknown"))


def test_an_intent_that_its_adapter_settled_is_not_run_again(tmp_path):
    def dies(job, run):
        gate.deliver(job.intent_hash, {"status": "ok", "payload": USED["usage"], "cost_cents": None})
        raise SystemExit

    with world() as (_, gate), queue_of(tmp_path, CALL) as queue:
        with pytest.raises(SystemExit):
            drain_jobs(queue, dies, kernel=gate)
        report = drain_jobs(queue, pytest.fail, kernel=gate, retry_dispatched=True)
        assert report.recovered == ({"job_id": 1, "became": "done"},)


def test_a_receipt_that_the_kernel_did_not_get_is_delivered_on_the_next_pass(tmp_path):
    with world() as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        deliver, gate.deliver = gate.deliver, lambda *_: (_ for _ in ()).throw(OSError("gone"))
        with pytest.raises(OSError, match="gone"):
            drain_jobs(queue, lambda job, run: USED, kernel=gate)
        assert (queue.job(1).status, len(kernel.state.reservations)) == ("done", 1)
        gate.deliver = deliver
        drain_jobs(queue, pytest.fail, kernel=gate)
        assert kernel.state.counters["g"]["tokens"].spent == 10
        assert queue.job(1).receipt_json is None


def test_a_job_that_cannot_be_made_an_intent_fails_alone(tmp_path):
    with world() as (kernel, _), queue_of(tmp_path, CALL, CALL) as queue:
        gate = KernelGate(kernel.as_principal("night"), "g", to_intent=lambda job: {}[job.id])
        assert drain_jobs(queue, pytest.fail, kernel=gate).failed == (1, 2)
        assert standup(queue)["failed"][0]["codes"] == ["no_intent"]


def test_a_result_that_the_kernel_cannot_read_is_still_a_receipt(tmp_path):
    with world() as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        drain_jobs(queue, lambda job, run: {"receipt": {"prompt_tokens": 1.5}}, kernel=gate)
        assert not kernel.state.reservations
        assert queue.job(1).status == "done"


@pytest.mark.parametrize(("cost", "cents"), [("0.011", 2), ("0.01", 1), ("0", 0), (None, None)])
def test_the_cents_of_a_receipt_are_rounded_up(tmp_path, cost, cents):
    heard = []
    with world() as (_, gate), queue_of(tmp_path, CALL) as queue:
        deliver, gate.deliver = gate.deliver, lambda digest, told: heard.append(told) or deliver(digest, told)
        drain_jobs(queue, lambda job, run: {} if cost is None else {"cost_usd": cost}, kernel=gate)
    assert heard[0]["cost_cents"] == cents


def test_a_job_promoted_to_another_lane_is_asked_for_anew(tmp_path):
    limits = [{"dim": "tokens", "per": "intent", "amount": 10, "over": "ask"}]
    with world(limits=limits) as (kernel, gate), queue_of(tmp_path, CALL) as queue:
        drain_jobs(queue, pytest.fail, kernel=gate)
        first = queue.job(1).intent_hash
        queue.promote(1, "local")
        assert queue.job(1).intent_hash == first
        queue.promote(1, "frontier")
        assert queue.job(1).intent_hash is None
        drain_jobs(queue, pytest.fail, kernel=gate)
        assert len(kernel.state.reservations) == 2
