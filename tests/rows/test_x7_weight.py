"""Grants made for one run: what is left of them rests, and is found where it rests."""

import gc
import random
import tracemalloc

import pytest
import splittally
from splittally.core import snapshot
from splittally.core.caps.grants import GrantTerms, build_grant, grant_events
from splittally.core.events import GrantRevoked
from splittally.core.evolve import evolve
from splittally.core.overlay import Overlay
from splittally.core.packed import ROWS_AT_REST_MIN, Packed
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.state import State
from splittally.runtime.recover import fold

from tests.rows.worlds import CAP, act, codes, held, save_snapshot, settle, world

BYTES_PER_GRANT_MAX = 500


@pytest.fixture
def all_rest(monkeypatch):
    """Every table that may rest does, however few rows it has."""
    monkeypatch.setattr(snapshot, "ROWS_AT_REST_MIN", 0)


def rests(kernel):
    return {name for name in snapshot.AT_REST if at_rest(table(kernel, name))}


def at_rest(rows):
    return type(rows) is Overlay and isinstance(rows.base, Packed)


def table(kernel, name):
    return kernel._world.state.table(snapshot._BY_NAME[name])


def issue(kernel, name, **terms):
    return kernel.native("grant.issue", name=name, terms={"cap": CAP, "budget": {"tokens": 100}, **terms})


def a_run(kernel, name):
    """A grant that is issued, used and revoked; the intent that was charged 3 of its 5."""
    assert issue(kernel, name).allowed
    digest = held(kernel, {"tokens": 5}, name)
    settle(kernel, digest, {"tokens": 3})
    assert kernel.native("grant.revoke", name=name).allowed
    return digest


@pytest.mark.req("X7-23")
@pytest.mark.usefixtures("all_rest")
def test_what_rests_decides_as_it_did_and_has_the_same_root(folder):
    with world({"g": {"budget": {"tokens": 1_000}}}, folder / "w") as kernel:
        settled = {f"run/{at}": a_run(kernel, f"run/{at}") for at in range(6)}
        before = kernel.state.root
        save_snapshot(kernel)
        assert rests(kernel) == {"blobs", "counters", "grants", "revoked"}
        assert kernel.at(kernel.state.seq - 2).root == before
        assert codes(issue(kernel, "run/3")) == ["name_taken"]
        assert codes(act(kernel, {"tokens": 1}, "run/3")) == ["revoked"]
        assert kernel.state.grants["run/3"].revoked and not kernel.state.grants["g"].revoked
        assert kernel.state.counters["run/3"]["tokens"].spent == 3
        assert settle(kernel, settled["run/2"], {"tokens": 9}).status == "duplicate"
        assert kernel.state.counters["run/2"]["tokens"].spent == 3
        refund = {"intent_hash": settled["run/4"], "amounts": {"tokens": 2}}
        assert kernel.native("settlement.refund", **refund).allowed
        assert kernel.state.counters["run/4"]["tokens"].refunded == 2
        a_run(kernel, "run/new")
        held(kernel, {"tokens": 7})
        assert kernel.state.counters["g"]["tokens"].reserved == 7
        assert not kernel.decide(splittally.Intent("test.act", {"a": b""}, "run/new")).allowed
        with kernel.fork() as what_if:
            assert codes(issue(what_if, "run/new")) == ["name_taken"]
        assert kernel.state.root == state_root(fold(kernel._world.store))
        save_snapshot(kernel)
        last = kernel.state.root
    with splittally.open(folder / "w") as kernel:
        assert rests(kernel) == {"blobs", "counters", "grants", "revoked"}
        assert kernel.state.root == last
        assert codes(issue(kernel, "run/5")) == ["name_taken"]
        assert codes(issue(kernel, "run/new")) == ["name_taken"]


@pytest.mark.req("X7-23")
@pytest.mark.parametrize("seed", range(2))
def test_a_walk_over_rows_at_rest_is_the_walk_over_dicts(folder, monkeypatch, seed):
    """The same commands, once with every table at rest after each snapshot, give the same roots."""
    roots = []
    for least in (0, ROWS_AT_REST_MIN):
        monkeypatch.setattr(snapshot, "ROWS_AT_REST_MIN", least)
        chance, told = random.Random(seed), []
        with world({"g": {"budget": {"tokens": 1_000}}}, folder / str(least)) as kernel:
            open_, names = [], []
            for at in range(60):
                match chance.randrange(5):
                    case 0:
                        names.append(f"n{chance.randrange(30)}")
                        told.append(codes(issue(kernel, names[-1])))
                    case 1 if names:
                        told.append(codes(kernel.native("grant.revoke", name=chance.choice(names))))
                    case 2:
                        decision = act(kernel, {"tokens": chance.randrange(9)}, chance.choice(["g", *names]))
                        open_ += [decision.intent_hash] if decision.allowed else []
                        told.append(codes(decision))
                    case 3 if open_:
                        amount = chance.randrange(9)
                        settle(kernel, open_.pop(chance.randrange(len(open_))), {"tokens": amount})
                    case _ if at % 3 == 0:
                        save_snapshot(kernel)
            told.append({name: dict(dims) for name, dims in kernel.state.counters.items()})
            told.append(sorted(name for name, row in kernel.state.grants.items() if row.revoked))
        roots.append(told)
    assert roots[0] == roots[1]


@pytest.mark.req("X7-23")
def test_a_grant_that_was_revoked_costs_its_bytes(folder):
    """As entries of dicts each costs three times as much, and as many objects."""
    state, count = State(), ROWS_AT_REST_MIN + 500
    terms = GrantTerms(cap=CAP, budget={"tokens": 1_000}, params=b"\xa0")
    for at in range(count):
        grant = build_grant(f"run/{at:06}", terms, "operator")
        for event in [*grant_events(state.caps, grant, terms.params, None), GrantRevoked(grant.name, "done")]:
            evolve(state, event, "operator", 0)
    data, root = dump_state(state), state_root(state)
    del state
    gc.collect()
    tracemalloc.start()
    try:
        loaded = load_state(data, is_dumped=True)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] / count < BYTES_PER_GRANT_MAX
    finally:
        tracemalloc.stop()
    assert all(map(at_rest, (loaded.caps.grants, loaded.caps.revoked, loaded.ledger.counters)))
    assert state_root(loaded) == root
    assert loaded.caps.grants["run/000007"].name == "run/000007"
    assert "run/000007" in loaded.caps.revoked and "run/7" not in loaded.caps.revoked
    again = load_state(data)
    assert dump_state(again) == data == dump_state(loaded.copy())
