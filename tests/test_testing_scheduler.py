"""One seed, one journal; and what hosts must not do is found, with a transcript and a way to run it again."""

import shlex

import pytest
from splittally import Intent, Receipt
from splittally_tools.testing import (
    Broken,
    Disk,
    ReplyLost,
    answered,
    assert_replays,
    explore,
    open_journal,
    simulate,
)
from splittally_tools.testing.artifacts import KEEPING
from splittally_tools.testing.faults import AFTER, BEFORE, CONFLICT, UNKNOWN, Crash
from splittally_tools.testing.simulation import FAULTS

from tests.cli_tools import run

KIND, PAYLOAD = "llm.generate", {"prompt_tokens": 1, "completion_tokens": 2}
WORLD = {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}}


@pytest.fixture(autouse=True)
def kept(tmp_path):
    before = KEEPING.under(lambda: tmp_path / "kept")
    yield tmp_path / "kept"
    KEEPING.under(before)


def intent(port, **fields):
    return Intent(KIND, {"max_tokens": 5}, "g", **fields)


async def careful(port):
    """What a host should do: one key for a job, its own attempt, and no second act after a restart."""
    attempt = port.memory.setdefault("attempt", port.attempt())
    asked = intent(port, idempotency_key=port.key_of("job"), attempt=attempt)
    decision = await answered(lambda: port.submit(asked))
    if not decision.allowed or decision.attempt != attempt:
        return
    status = "unknown" if "acting" in port.memory else "ok"
    if status == "ok":
        port.memory["acting"] = True
        await port.act(decision, "job")
    await answered(lambda: port.settle(Receipt(decision.intent_hash, status, port.name, PAYLOAD)))


def as_a_generator(port):
    """The same steps may be yielded."""
    decision = yield port.submit(intent(port))
    yield port.act(decision, "job")
    settled = yield from port.settle(Receipt(decision.intent_hash, "ok", port.name, PAYLOAD))
    assert settled.status == "settled"


def broken(hosts, **options):
    with pytest.raises(Broken) as caught:
        explore(hosts, WORLD, **options)
    return caught.value


# --- determinism ------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_journal_byte_for_byte(tmp_path):
    hosts = {"one": careful, "two": careful}
    first = [simulate(hosts, WORLD, seed=seed) for seed in range(8)]
    again = [simulate(hosts, WORLD, seed=seed, folder=tmp_path / f"w{seed}") for seed in range(8)]
    assert first == again
    assert len({one.frames for one in first}) == 8
    with open_journal(tmp_path / "w3") as reader:
        assert tuple(record.data for record in reader.records()) == first[3].frames


def test_a_careful_host_gets_its_job_done_under_every_kind_of_fault():
    runs = explore(careful, WORLD, seeds=range(120), ends_all=True)
    assert {kind for one in runs for _, kind in one.faults} == set(FAULTS)
    assert all(len(one.acts) == 1 for one in runs)
    together = explore([careful, careful], WORLD, seeds=range(40), ends_all=True)
    assert all(len(one.acts) <= 1 for one in together)


def test_without_faults_nothing_is_lost():
    for one in explore([as_a_generator], WORLD, seeds=range(5), faults=()):
        assert [(act.host, act.job) for act in one.acts] == [("host-1", "job")]
        assert one.faults == ()


def test_a_run_can_be_given_only_some_of_the_faults_that_its_seed_draws():
    whole = next(one for one in explore(careful, WORLD, seeds=range(50)) if len(one.faults) == 3)
    again = simulate(careful, WORLD, seed=whole.seed, only_faults=[number for number, _ in whole.faults])
    assert again == whole
    assert simulate(careful, WORLD, seed=whole.seed, only_faults=[]).faults == ()


# --- what hosts get wrong ---------------------------------------------------------------------------


async def new_key_each_time(port):
    while True:
        try:
            decision = await port.submit(intent(port, idempotency_key=port.fresh_key()))
            await port.act(decision, "job")
            await port.settle(Receipt(decision.intent_hash, "ok", port.name, PAYLOAD))
            return
        except ReplyLost:
            continue


async def any_attempt(port):
    """Lets another go first, and takes an allow that was given to it for its own."""
    await port.sleep(10**9)
    asked = intent(port, idempotency_key=port.key_of("job"), attempt=port.attempt())
    decision = await answered(lambda: port.submit(asked))
    await port.act(decision, "job")
    await answered(lambda: port.settle(Receipt(decision.intent_hash, "ok", port.name, PAYLOAD)))


async def asks_and_rests(port):
    await answered(
        lambda: port.submit(intent(port, idempotency_key=port.key_of("job"), attempt=port.attempt()))
    )


async def ignores_refusals(port):
    decision = await answered(lambda: port.submit(Intent(KIND, {"max_tokens": 500}, "g")))
    await port.act(decision, "job")


async def never_reports(port):
    decision = await answered(lambda: port.submit(intent(port)))
    await port.act(decision, "job")


async def gives_up(port):
    decision = await answered(lambda: port.submit(intent(port)))
    await port.act(decision, "job")
    await port.settle(Receipt(decision.intent_hash, "ok", port.name, PAYLOAD))


async def two_jobs_for_one_intent(port):
    decision = await answered(lambda: port.submit(intent(port)))
    await port.act(decision, "job")
    await port.act(decision, "another job")


async def makes_it_up(port):
    await port.act(bytes(32), "job")


async def never_ends(port):
    while True:
        await port.sleep(1)


async def asserts(port):
    decision = await answered(lambda: port.submit(intent(port)))
    assert decision.outcome == "deny", "the host's own check"


BUGS = [
    (new_key_each_time, {"faults": ("lose_reply",)}, "carries out `job` again: host-1 did after"),
    ([asks_and_rests, any_attempt], {"faults": ()}, "which was allowed to another attempt than its own"),
    (asks_and_rests, {"ends_all": True}, "of frame 2 under `g` is left reserved"),
    (ignores_refusals, {}, "carries out `job`, which was answered `deny` in frame 2"),
    (never_reports, {}, "carried out `job` and never settled it: the intent is reserved"),
    (gives_up, {"faults": ("lose_request",)}, "never settled it"),
    (two_jobs_for_one_intent, {}, "carries out `another job` with the intent of `job`"),
    (makes_it_up, {}, "carries out `job`, which is not in the journal"),
    (never_ends, {"steps_max": 50}, "have not ended after 50 steps"),
    (asserts, {}, "the host's own check"),
]  # fmt: skip


@pytest.mark.parametrize(("hosts", "options", "told"), BUGS, ids=[told for *_, told in BUGS])
def test_a_host_is_found_out(hosts, options, told, kept):
    """The message has the seed, what is wrong, every step, and how to run it again; its journal is kept."""
    error = broken(hosts, **options)
    first, *lines, again = str(error).splitlines()
    assert first.startswith(f"seed {error.run.seed}")
    assert told in first
    assert lines or hosts is makes_it_up
    numbers = [number for number, _ in error.run.faults]
    assert again.endswith(f"simulate(..., seed={error.run.seed}, only_faults={numbers})")
    options = {key: value for key, value in options.items() if key != "seeds"}
    with pytest.raises(Broken) as caught:
        simulate(hosts, WORLD, seed=error.run.seed, only_faults=numbers, **options)
    assert caught.value.run == error.run
    (note,) = error.__notes__
    (folder,) = kept.iterdir()
    assert folder.name.endswith(f"seed-{error.run.seed}")
    assert f"tally -w {shlex.quote(str(folder))} log" in note
    assert run("-w", folder, "verify", "--rejudge").code == 0


def test_the_faults_of_a_failing_run_are_those_it_needs():
    error = broken(new_key_each_time, faults=("lose_reply", "duplicate", "delay"))
    assert len(error.run.faults) == 1


def test_a_step_that_is_none_and_a_fault_that_is_none_are_refused():
    async def host(port):
        class Other:
            def __await__(self):
                yield "other"

        await Other()

    with pytest.raises(TypeError, match="yields what its port gives"):
        simulate(host, WORLD, seed=1)
    with pytest.raises(ValueError, match=r"no fault `flood`.*crash"):
        simulate(careful, WORLD, seed=1, faults=("flood",))
    with pytest.raises(TypeError, match="neither a generator nor"):
        simulate(lambda port: None, WORLD, seed=1)


def test_a_folder_is_new_and_for_one_run(tmp_path):
    with pytest.raises(FileExistsError, match="new folder"):
        simulate(careful, WORLD, seed=1, folder=tmp_path)
    with pytest.raises(ValueError, match="one run"):
        explore(careful, WORLD, folder=tmp_path / "w")


def test_setup_and_check_frame_the_hosts():
    world = {**WORLD, "resources": {"USD": 0}, "accounts": {"accounts/a": {}}}

    def fund(kernel):
        assert kernel.native("ledger.issue", resource="USD", amount=7, to="accounts/a").allowed

    def rich(kernel, run):
        assert kernel.state.accounts["accounts/a"].balances["USD"] > len(run.acts) + 10, "poor"

    with pytest.raises(Broken, match="poor"):
        simulate(careful, world, seed=1, setup=fund, check=rich)


# --- the kernel under it ----------------------------------------------------------------------------


def test_a_store_that_forgets_what_it_acknowledged_is_found(monkeypatch):
    opened = Disk.open

    def forgetful(self, clock=None, **options):
        base = self._base
        if base is not None and base.head.size > 2:
            last = base._frames.pop()
            base.head = type(base.head)(last.seq, base._frames[-1].hash)
        return opened(self, clock, **options)

    monkeypatch.setattr(Disk, "open", forgetful)
    assert "was answered for and is gone" in str(broken(careful, faults=("crash",), seeds=range(200)))


@pytest.mark.parametrize("folder", [False, True], ids=["memory", "lmdb"])
@pytest.mark.parametrize("fate", [BEFORE, AFTER, CONFLICT, UNKNOWN])
def test_a_commit_fails_on_the_side_that_was_asked_for(tmp_path, fate, folder):
    disk = Disk(tmp_path / "w" if folder else None)
    kernel = disk.open("given")
    kernel.apply(WORLD)
    size = kernel.state.seq
    asked = Intent(KIND, {"max_tokens": 5}, "g", idempotency_key=bytes(32))
    disk.store.fail(fate)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is compared below
        kernel.submit(asked)
    assert isinstance(caught.value, Crash) == (fate in (BEFORE, AFTER))
    kernel = disk.open()
    is_kept = fate in (AFTER, UNKNOWN)
    assert kernel.state.seq == size + is_kept
    assert kernel.submit(asked).duplicate == is_kept
    assert_replays(kernel)
    kernel.close()
    disk.close()


def test_a_fate_that_is_none_is_refused():
    disk = Disk()
    disk.open("given")
    with pytest.raises(ValueError, match="before_commit"):
        disk.store.fail("tomorrow")
