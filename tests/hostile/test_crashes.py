"""A host that is killed at any point loses no answer that it had, and decides nothing twice.

After each death the world is opened and compared with a model made of what the child had said and of what the
journal says of the rest; then the child goes on from before the end, so that what it asks is partly known.
"""

import random
import signal
import subprocess
import sys
import time

import pytest
import splittally
from splittally.core.events import Decided, Released, Settled

from tests.hostile import crash_child
from tests.rows.worlds import _PATHS, PARROT, apply, bodies, manifest, tally

LIMIT = 10**6
CHILD = crash_child.__file__


def new_world(path):
    with splittally.open(path, clock="given") as kernel:
        apply(kernel, manifest({"g": {"budget": {"tokens": LIMIT}}}, PARROT))


def start(path, *arguments):
    command = [sys.executable, CHILD, str(path), *map(str, arguments)]
    return subprocess.Popen(command, env={"PYTHONPATH": _PATHS}, stdout=subprocess.PIPE, text=True)


def said(output):
    """What the child was answered: intents by number, settlements by number."""
    asked, settled = {}, {}
    for line in output.splitlines():
        match line.split():
            case ["asked", number, outcome, seq, digest]:
                asked[int(number)] = (outcome, int(seq), bytes.fromhex(digest))
            case ["settled", number, status]:
                settled[int(number)] = status
    return asked, settled


def stands(path, asked, settled):
    """The world is what the child was told, and each intent was decided and ended at most once."""
    with splittally.open(path) as kernel:
        for outcome, seq, digest in asked.values():
            row = kernel.outcome(digest)
            assert (row.outcome, row.seq) == (outcome, seq)
        for number in settled:
            assert kernel.outcome(asked[number][2]).status == "settled"
        events = [event for body in bodies(kernel) for event in body.out]
        decided = [event.intent_hash for event in events if isinstance(event, Decided)]
        ended = [event.intent_hash for event in events if isinstance(event, Settled | Released)]
        assert len(decided) == len(set(decided))
        assert len(ended) == len(set(ended))
        reserved = spent = numbered = 0
        for number in range(max(asked, default=0) + 2 * crash_child.GROUP):
            row = kernel.outcome(crash_child.hash_of(number))
            if row is not None:
                numbered += 1
                reserve, usage = crash_child.amounts(number)
                reserved += reserve if row.status == "reserved" else 0
                spent += usage if row.status == "settled" else 0
        assert numbered == len(decided) - 1  # and the manifest
        row = kernel.state.counters["g"]["tokens"]
        assert row == {"limit": LIMIT, "reserved": reserved, "spent": spent}
        assert kernel.at(kernel.state.seq - 1).root == kernel.state.root
        return numbered


@pytest.mark.parametrize("mode", ["before", "after", "torn"])
@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_host_that_dies_around_a_commit_loses_no_answer(folder, mode, at):
    """`before`: nothing of the group is there. `after`: it is durable and nobody was told."""
    path = folder / "w"
    new_world(path)
    child = start(path, 0, 60, at, mode, at)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    asked, settled = said(output)
    numbered = stands(path, asked, settled)
    told = len(asked)
    if mode == "before":
        assert numbered == told
    elif mode == "after" and at == 1:
        assert (numbered, told) == (crash_child.GROUP, 0)
    child = start(path, max(0, told - 4), told + 9, at)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    again, more = said(output)
    assert all(asked.get(number, answer) == answer for number, answer in again.items())
    stands(path, asked | again, settled | more)


def killed_at_random(folder, seed, rounds, seconds):
    path, chance = folder / "w", random.Random(seed)
    new_world(path)
    asked, settled = {}, {}
    for number in range(rounds):
        first = max(0, max(asked, default=0) - chance.randrange(8))
        child = start(path, first, first + 100_000, seed + number)
        begun = child.stdout.readline()
        time.sleep(chance.random() * seconds)
        child.kill()
        with child:
            again, more = said(begun + child.stdout.read())
        assert all(asked.get(key, answer) == answer for key, answer in again.items())
        asked, settled = asked | again, settled | more
        stands(path, asked, settled)
    assert tally(path, "verify", "--rejudge")[0] == 0


def test_a_host_that_is_killed_again_and_again_keeps_its_word(folder):
    killed_at_random(folder, 1, 3, 0.2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_host_that_is_killed_a_hundred_times_keeps_its_word(tmp_path, seed):
    killed_at_random(tmp_path, 1_000 * seed, 30, 0.5)
