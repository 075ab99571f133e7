"""Whoever changes one field of one frame, and chains all after it anew, is found: damage, or drift.

What is not found is an input that nobody judged where it stands. The list says which, and why; a checkpoint
that is kept elsewhere shows these, too (`tests/test_audit_checkpoint.py`).
"""

from collections import defaultdict
from random import Random

import pytest

from tests import golden
from tests.journal_forger import Journal, finding
from tests.rows.treasury import AMOUNTS, STEPS, World

# Fields whose change may leave a journal that a kernel could have written.
INPUTS = {
    ("Body", "at_ns"): "the clock's reading: any time between its neighbours, where nothing depends on it",
    ("Submit", "mode"): "one intent by itself, and a group of one, are decided alike",
    ("Member", "attempt"): "drawn by the host, in no hash; it names who may act and decides nothing",
    ("Member", "keyed"): "whether the host or the kernel drew the key is the host's word",
    ("Member", "expires_ns"): "when an intent that is refused, or finished at once, would have expired",
    ("Member", "origin_kind"): "who asked, where no enforcer and no rule of a policy was told",
    ("Member", "origin_name"): "who asked, where no enforcer and no rule of a policy was told",
    ("Settle", "adapter"): "who brought the receipt, where no enforcer was asked about it",
    ("Settle", "payload"): "what the receipt says, where no enforcer was asked about it",
    ("Settle", "sent"): "the hash of what the host sent, of which only a part is recorded",
    ("Settle", "sent_bytes"): "how long what the host sent was, where nothing is said of it",
    (
        "Settle",
        "signature",
    ): "a signature of a receipt that is refused without it, because its adapter is none",
    ("Settle", "cost_cents"): "what it cost, where no enforcer was asked about it",
    ("Settle", "pays_to"): "to whom, where nothing is paid",
    ("Tick", "items"): "how much is worked through at a time, where less was due",
    ("Settle", "fits"): "how the payload fits, where all that the receipt says is that nobody knows",
}


def forgeries(journal, seed, each):
    """Where something was changed, what, and what audit says of it: up to `each` places of every field."""
    chance, by_field = Random(seed), defaultdict(list)
    for place in journal.places:
        by_field[place.field].append(place)
    chosen = [place for some in by_field.values() for place in chance.sample(some, min(each, len(some)))]
    chosen.sort()
    for place, state in zip(chosen, journal.states([place.seq for place in chosen]), strict=True):
        forged = journal.forged(place, chance)
        if forged is not None:
            frames, what = forged
            yield place, what, finding(frames, state)


def unfound(journal, seed, each):
    """The changes that audit does not see and should."""
    return [
        what
        for place, what, said in forgeries(journal, seed, each)
        if not said and not is_input(journal, place)
    ]


def is_input(journal, place):
    """Whether a change here may be one of an input; the mode of a real group is none."""
    command = journal.bodies[place.seq].command
    return place.field in INPUTS and (place.field != ("Submit", "mode") or len(command.members) == 1)


def treasury(seed):
    """The frames of a world of money in which sixty steps were asked for."""
    chance, world = Random(seed), World(0)
    for _ in range(60):
        step = chance.choice(STEPS)
        world.step(step, chance.choice((*AMOUNTS[:2], 5, 40)), chance.choice(AMOUNTS), chance.randrange(64))
    world.kernel.tick(now_ns=world.kernel.state.now_ns)
    return golden.frames_of(world.kernel._world)


@pytest.mark.req("X6-17")
def test_a_change_of_any_field_is_found_where_it_is_no_mere_input():
    """Every field of every record of the tour, which holds every kind of record."""
    journal = Journal(golden.stored_frames())
    assert len({place.field for place in journal.places}) > 200
    assert unfound(journal, 1, 1) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 22))
@pytest.mark.parametrize("source", ["tour", "treasury"])
def test_a_change_of_any_field_is_found_in_many_places(seed, source):
    print(f"seed {seed} of the {source}")
    journal = Journal(golden.stored_frames() if source == "tour" else treasury(seed))
    assert unfound(journal, seed, 6) == [], f"seed {seed}"
