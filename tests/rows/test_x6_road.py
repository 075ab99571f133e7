"""Rows X6-16 and X6-27: what is remembered is what the frame says; the stage that stops is the last asked."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given, settings
from msgspec import Struct
from splittally import Intent
from splittally.core.events import Decided
from splittally.core.snapshot import dump_state, load_state
from splittally.core.state import TABLES
from splittally.runtime import requests
from splittally.runtime.kernel import Kernel
from splittally.runtime.opening import open_or_create
from splittally.runtime.reader import read_store
from splittally.runtime.recover import fold
from splittally_tools.economies.economy import read_economy
from splittally_tools.economies.play import Chance, Player
from splittally_tools.testing.journal_walk import Walk as Rejudged

from tests import golden
from tests.rows.walk import Walk
from tests.rows.worlds import bodies

ECONOMIES = sorted((Path(__file__).parents[2] / "fixtures" / "economies").glob("*.toml"))
RESOURCES = ("USD", "API-Credits", "Wood", "GPU-hours", "x", "ab")  # sorted otherwise as keys of CBOR


def shown(state):
    """Every row of every table as text: types, defaults and the order of every map in it."""
    return {table.name: {repr(key): repr(row) for key, row in state.table(table).items()} for table in TABLES}


def require_same(kernel):
    """The live state is that of its frames and that of its snapshot, and every frame is decided so again."""
    world = kernel._world
    live = shown(world.state)
    assert live == shown(fold(world.store))
    assert live == shown(load_state(dump_state(world.state)))
    walk = Rejudged(read_store(kernel), is_rejudging=True)
    walk.finish()
    assert walk.other_engines == {}


# --- X6-16: the live state is the state that the frame gives back -----------------------------------


@pytest.mark.req("X6-16")
@pytest.mark.parametrize("file", ECONOMIES, ids=lambda file: file.stem)
def test_every_economy_is_judged_again_to_the_same_bytes_and_rows(file):
    economy = read_economy(file)
    world = open_or_create(None, "given", entropy=Chance())
    with Kernel(world) as kernel:
        player = Player(kernel, world, economy)
        player.start()
        for number, step in enumerate(economy.steps, 1):
            player.step(number, step)
        require_own(kernel)
        require_same(kernel)


@pytest.mark.req("X6-16")
@pytest.mark.parametrize("play", [golden.play_tour, golden.play_host])
def test_the_tours_are_judged_again_to_the_same_bytes_and_rows(play):
    require_same(Kernel(play().world))


@pytest.mark.req("X6-16")
@pytest.mark.parametrize("seed", range(6))
def test_a_random_walk_is_judged_again_to_the_same_bytes_and_rows(seed):
    with splittally.open(None, clock="given") as kernel:
        Walk(kernel, seed).walk(120)
        require_same(kernel)


def wreck(value):
    """Empty every map and list that can be reached from here."""
    match value:
        case Struct():
            parts = [getattr(value, name) for name in value.__struct_fields__]
        case Mapping():
            parts = list(value.values())
        case list() | tuple():
            parts = list(value)
        case _:
            return
    for part in parts:
        wreck(part)
    if isinstance(value, dict | list):
        value.clear()


def wrecked(answered):
    """Answers as a host gets them, of which nobody else's copy is left whole."""

    def answer(*asked):
        for group in answered(*asked):
            yield deepcopy(group)
            wreck(group)

    return answer


def require_own(kernel):
    """No row of any view shares a map or a list with the state."""
    before, root = shown(kernel._world.state), kernel.state.root
    names = [name for name in dir(type(kernel.state)) if not name.startswith("_")]
    views = [getattr(kernel.state, name) for name in names]
    views += [kernel.state.tables(), *map(kernel.state.grant, kernel.state.grants)]
    views += [kernel.outcome(digest) for digest in kernel.state.reservations]
    for view in views:
        wreck(view)
    assert (shown(kernel._world.state), kernel.state.root) == (before, root)


@pytest.mark.req("X6-16")
@pytest.mark.parametrize("seed", range(4))
def test_what_a_host_does_to_an_answer_or_a_row_changes_nothing(seed, monkeypatch):
    monkeypatch.setattr(requests, "stream", wrecked(requests.stream))
    with splittally.open(None, clock="given") as kernel:
        Walk(kernel, seed).walk(120)
        require_own(kernel)
        require_same(kernel)


AMOUNTS = st.dictionaries(st.sampled_from(RESOURCES), st.integers(1, 50), min_size=2)


@pytest.mark.req("X6-16")
@settings(max_examples=60)
@given(st.lists(AMOUNTS, min_size=1, max_size=6), st.permutations(RESOURCES), st.data())
def test_a_budget_of_resources_in_any_order_draws_as_its_frame_says(tasks, order, data):
    """Names of one length sort as text, of several by length first: the live order was the other one."""
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(
            {"resources": dict.fromkeys(order, 0), "accounts": {"accounts/vendor": {}}}
        ).allowed
        plan = {"resources": dict.fromkeys(order, 0), "allocations": {order[0]: dict.fromkeys(order[:3], 1)}}
        made = kernel.native("budget.create", budget="budgets/b", schema=plan, pays_to=["accounts/vendor"])
        assert made.allowed
        for resource in data.draw(st.permutations(RESOURCES)):
            assert kernel.native("ledger.issue", resource=resource, amount=60, to="budgets/b").allowed
        held = []
        for amounts in tasks:
            decision = kernel.submit(Intent("task.post", {"result": "r", "amounts": amounts}, "budgets/b"))
            held += [decision.intent_hash] if decision.allowed else []
        for at, digest in enumerate(held):
            if at % 2:
                kernel.release(digest)
            else:
                kernel.settle(splittally.Receipt(digest, "ok", "a", {}))
        if held and not len(held) % 2:
            kernel.native("settlement.refund", intent_hash=held[0], amounts=tasks[0])
        require_same(kernel)


# --- X6-27: the stage that stops an intent is the last that is asked --------------------------------

STAGES = ("caps", "enforcer", "ledger", "policy", "governor")


def asked(first):
    """What a world answers in which the stage `first` and every later one would refuse."""
    refusing = STAGES[STAGES.index(first) :]
    grant = {"cap": "sys/cost@1", "params": {"max_cost_cents": 20}}
    grant |= {"budget": {"cost_cents": 5 if "ledger" in refusing else 1_000}}
    if "enforcer" in refusing:
        grant |= {"cap": "sys/http.out@1", "params": {"hosts": ["elsewhere.example"]}}
    manifest = {
        "resources": {"cost_cents": 0},
        "grants": {"g": grant | ({"expiry_ns": 3} if "caps" in refusing else {})},
        "governor": {"caps": [{"resource": "cost_cents", "per": "day", "amount": 0}]},
    }
    if "policy" in refusing:
        manifest["policy"] = [{"name": "nobody", "decision": "deny"}]
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest, now_ns=1).allowed
        decision = kernel.submit(Intent("http.request", {"url": "https://a.b"}, "g"), now_ns=10)
        events = [type(event).__name__ for event in bodies(kernel)[decision.seq].out]
        return decision, events, dict(kernel.state.governor)


@pytest.mark.req("X6-27")
@pytest.mark.parametrize("stage", STAGES)
def test_the_stage_that_stops_an_intent_is_the_last_that_is_asked(stage):
    """Every later stage would have refused too; only the governor's own refusal is counted by it."""
    decision, events, governor = asked(stage)
    assert decision.outcome == "deny"
    assert {finding.stage for finding in decision.findings} == {stage}
    assert events == (["Decided", "Noted"] if stage == "governor" else ["Decided"])
    assert bool(governor["verdicts"]) == (stage == "governor")


@pytest.mark.req("X6-27")
def test_a_denial_by_policy_is_no_verdict_of_the_governor():
    manifest = {
        "resources": {"cost_cents": 0},
        "grants": {"g": {"cap": "sys/cost@1", "params": {"max_cost_cents": 20}}},
        "policy": [{"name": "nobody", "decision": "deny"}],
        "governor": {"caps": [{"resource": "cost_cents", "per": "day", "amount": 0}]},
    }
    with splittally.open(None) as kernel:
        assert kernel.apply(manifest).allowed
        decision = kernel.submit(Intent("http.request", {"url": "https://a.b"}, "g"))
        assert [finding.code for finding in decision.findings] == ["policy_denied"]
        (decided,) = bodies(kernel)[decision.seq].out
        assert isinstance(decided, Decided)
        assert dict(kernel.state.governor)["verdicts"] == {}
