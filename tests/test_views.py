"""Views are windows on the state: a look-up costs a look-up, a list is a page, nobody waits for a copy."""

import json
import threading
from collections import Counter

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.caps.grants import Grant
from splittally.core.ledger.state import Counter as LimitCounter
from splittally.core.state import State
from splittally.core.types import LIFE
from splittally.edge.answer_lines import readable
from splittally.runtime.lineage import origins_of
from splittally.runtime.queries import Queries
from splittally.runtime.reader import read_store
from splittally.runtime.table import Table
from splittally_tools.cli.entries import entries

from tests.cli_tools import run
from tests.rows.worlds import ACT, act, applied, budget, few, held, settle, world

GRANTS = 100_000


class Counted(dict):
    """A table that counts what is asked of it."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = Counter()

    def get(self, key, default=None):
        self.asked["get"] += 1
        return super().get(key, default)

    def __getitem__(self, key):
        self.asked["get"] += 1
        return super().__getitem__(key)

    def __contains__(self, key):
        self.asked["get"] += 1
        return super().__contains__(key)

    def __iter__(self):
        self.asked["walk"] += 1
        return super().__iter__()

    def keys(self):
        self.asked["walk"] += 1
        return super().keys()

    def values(self):
        self.asked["walk"] += 1
        return super().values()

    def items(self):
        self.asked["walk"] += 1
        return super().items()


@pytest.fixture(scope="module")
def crowded():
    """A state of a hundred thousand grants with a counter each, whose tables count."""
    with world(budget(tokens=100)) as kernel:
        held(kernel, {"tokens": 40})
        real = kernel._world.state
    state, one = State(), real.caps.grants["g"]
    state.caps.caps, state.caps.modules = real.caps.caps, real.caps.modules
    fields = {name: getattr(one, name) for name in Grant.__struct_fields__}
    grants = {f"g{at}": Grant(**{**fields, "name": f"g{at}"}) for at in range(GRANTS)}
    state.caps.grants = Counted({**grants, "root": real.caps.grants["root"]})
    fresh = LimitCounter(limit=100, reserved=40, spent=0, refunded=0, told=0)
    state.ledger.counters = Counted({(f"g{at}", "tokens", LIFE, 0): fresh for at in range(GRANTS)})
    hold = next(iter(real.ledger.holds.values()))
    state.ledger.holds = Counted({at.to_bytes(32, "big"): hold for at in range(GRANTS)})
    return state


@pytest.mark.req("X8-14")
@given(at=st.integers(0, GRANTS - 1))
def test_a_look_up_costs_a_few_look_ups_and_no_walk_however_many_there_are(crowded, at):
    state = Queries(lambda: crowded)
    tables = (crowded.caps.grants, crowded.ledger.counters, crowded.ledger.holds)
    for table in tables:
        table.asked.clear()
    name = f"g{at}"
    assert state.grant(name).name == state.grants[name].name == name
    assert name in state.grants and "nobody" not in state.grants
    assert state.counter(name, "tokens") == state.counters[name]["tokens"]
    assert state.counter(name, "tokens").reserved == 40
    assert state.counter(name, "nothing") is None
    assert state.reservations[at.to_bytes(32, "big")].reserve == {"tokens": 40}
    assert state.reservations.get(b"?") is None
    for table in tables:
        assert table.asked["walk"] == 0
        assert table.asked["get"] <= 40


@pytest.mark.req("X8-14")
def test_a_page_builds_only_its_own_rows(crowded):
    built = []
    holds = Table(crowded.ledger.holds.keys, lambda key: built.append(key) or key, threading.RLock())
    first = holds.page(limit=10)
    assert [key for key, _ in first] == [at.to_bytes(32, "big") for at in range(10)] == built
    then = holds.page(after=first[-1][0], limit=10)
    assert [key for key, _ in then] == [at.to_bytes(32, "big") for at in range(10, 20)]
    assert holds.page(after=(GRANTS - 1).to_bytes(32, "big")) == []


class Lock:
    """A lock that says whether it is held."""

    def __init__(self):
        self.is_held = False

    def __enter__(self):
        assert not self.is_held
        self.is_held = True

    def __exit__(self, *_):
        self.is_held = False


@pytest.mark.req("X8-14")
def test_commands_wait_for_one_row_or_the_keys_and_never_for_a_list():
    still, held_while = Lock(), []
    table = Table(lambda: iter([1, 2, 3]), lambda key: held_while.append(still.is_held) or str(key), still)
    between = []
    for key in table:
        between.append(still.is_held)
        assert table[key] == str(key)
        between.append(still.is_held)
    assert table(missing=1) == {}
    assert not any(between)
    assert all(held_while)


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 9)), st.integers(1, 7))
def test_pages_in_turn_are_the_whole_table(rows, limit):
    table = Table(rows.keys, rows.get, threading.RLock())
    seen, after = [], None
    while page := table.page(after, limit):
        assert len(page) <= limit
        seen += page
        after = page[-1][0]
    assert seen == sorted(rows.items()) == list(table.items())
    assert table == rows
    assert len(table) == len(rows)
    assert dict(table) == rows


def test_a_table_follows_the_state_and_a_row_does_not():
    with world(budget(tokens=100)) as kernel:
        counters = kernel.state.counters
        row = counters["g"]["tokens"]
        digest = held(kernel, {"tokens": 40})
        assert (row.reserved, counters["g"]["tokens"].reserved) == (0, 40)
        row["reserved"] = 99
        assert kernel.state.counter("g", "tokens").reserved == 40
        settle(kernel, digest, {"tokens": 30})
        assert counters["g"] == {"tokens": {"limit": 100, "reserved": 0, "spent": 30}}
        assert kernel.state.counters == {"g": {"tokens": {"limit": 100, "reserved": 0, "spent": 30}}}
        assert json.loads(json.dumps(readable(counters))) == kernel.state.counters
        assert "nobody" not in counters
        with pytest.raises(KeyError):
            counters["nobody"]


TURNS = 40


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """Value handed to and fro so often that its walk is deep and wide; the kernel and its folder."""
    where = tmp_path_factory.mktemp("turned") / "w"
    with splittally.open(where, clock="given") as kernel:
        accounts = {"accounts/a": {}, "accounts/b": {}, "external/investor": {}}
        assert kernel.apply({"resources": {"USD": 0}, "accounts": accounts}).allowed
        for _ in range(3):
            assert kernel.native("ledger.issue", resource="USD", amount=50, to="accounts/a").allowed
        for at in range(TURNS):
            debit, to = ("accounts/a", "accounts/b") if at % 2 == 0 else ("accounts/b", "accounts/a")
            moved = {"resource": "USD", "amount": 60 + (at % 2 == 0), "from": debit, "to": to}
            assert kernel.native("ledger.transfer", **moved).allowed
        yield kernel, where


def held_by(kernel, account):
    return kernel.state.accounts[account].balances["USD"]


@pytest.mark.req("X8-14")
@pytest.mark.parametrize("account", ["accounts/a", "accounts/b"])
def test_a_walk_has_a_depth_a_limit_and_sums_that_add_up_at_every_depth(turned, account):
    kernel, _ = turned
    whole = kernel.trace(account)
    deepest = max(level.level for level in whole)
    assert deepest > 10
    for depth in (*range(1, deepest), deepest, deepest + 1, None):
        levels = kernel.trace(account, depth=depth)
        assert levels == [level for level in whole if depth is None or level.level <= depth]
        assert sum(origin.amount for origin in origins_of(levels)) == held_by(kernel, account)
    assert kernel.trace(account, limit=7) == whole[:7]
    (origin,) = origins_of(whole)
    assert (origin.what, origin.resource) == ("issue", "USD")


@pytest.mark.req("X8-14")
def test_the_command_line_walks_as_deep_and_as_far_as_it_is_told(turned):
    kernel, where = turned

    def lines(*options):
        done = run("trace", "--world", where, "accounts/a", "--json", *options)
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    whole = lines()
    assert lines("--depth", "3") == [level for level in whole if level["level"] <= 3]
    assert lines("--limit", "5") == whole[:5]
    (told,) = lines("--sums")
    assert sum(origin["amount"] for origin in told["origins"]) == held_by(kernel, "accounts/a")
    people = run("trace", "--world", where, "accounts/a", "--limit", "5")
    assert "the first 5 levels" in people.out and "--sums" in people.out
    assert "USD" in run("trace", "--world", where, "accounts/a", "--sums").out
    for wrong in ("--depth", "--limit"):
        assert run("trace", "--world", where, "accounts/a", wrong, "0").code == 2


def test_a_walk_is_told_whole_to_programs_and_cut_for_people(tmp_path):
    path, asked = tmp_path / "w", []
    for at in range(520):  # two levels a transfer
        sides = ("accounts/a", "accounts/b") if at % 2 == 0 else ("accounts/b", "accounts/a")
        params = {"resource": "USD", "amount": 1, "from": sides[0], "to": sides[1]}
        asked.append(Intent("ledger.transfer", params, "root"))
    accounts = {"accounts/a": {}, "accounts/b": {}}
    with applied({"resources": {"USD": 2}, "accounts": accounts}, path, a=1) as kernel:
        last = kernel.submit(asked)[-1]
    assert len(run("-w", path, "--json", "trace", last.seq).lines) == 2 * len(asked) + 1
    shown = run("-w", path, "trace", last.seq).out
    assert "the first 1000 levels" in shown


def test_a_side_of_a_posting_that_is_in_flight_has_no_account():
    terms = {"g": {"draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/b"]}}
    accounts = {"accounts/a": {}, "accounts/b": {}}
    with world(terms, resources={"USD": 2}, accounts=accounts) as kernel, read_store(kernel) as reader:
        assert kernel.native("ledger.issue", resource="USD", amount=9, to="accounts/a").allowed
        start = kernel.state.seq
        settle(kernel, held(kernel, {"USD": 5}), {"USD": 5})
        told = [(row["direction"], row["account"], row["kind"]) for row in entries(reader, start, None)]
    assert told == [
        ("debit", "accounts/a", ACT), ("credit", "", ACT),
        ("debit", "", "settle"), ("credit", "accounts/b", "settle"),
    ]  # fmt: skip


moves = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), st.integers(1, 50)),
        st.tuples(st.just("hold"), st.integers(1, 30)),
        st.tuples(st.just("settle"), st.integers(0, 30)),
        st.tuples(st.just("release"), st.just(0)),
    ),
    max_size=12,
)


@few
@given(moves)
def test_accounts_and_counters_are_shown_as_a_book_of_three_columns_has_them(moves):
    """What is in flight has left its account and is in no other; nothing is made and nothing is lost."""
    terms = {"g": {"draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/b"]}}
    accounts = {"accounts/a": {"debt_limit": 20}, "accounts/b": {}}
    with world(terms, resources={"USD": 2}, accounts=accounts) as kernel:
        issued, paid, held_now = 0, 0, {}
        for name, amount in moves:
            if name == "issue":
                assert kernel.native("ledger.issue", resource="USD", amount=amount, to="accounts/a").allowed
                issued += amount
            elif name == "hold":
                decision = act(kernel, {"USD": amount})
                assert decision.allowed == (amount <= issued - paid - sum(held_now.values()) + 20)
                held_now |= {decision.intent_hash: amount} if decision.allowed else {}
            elif held_now:
                digest, reserve = held_now.popitem()
                used = min(amount, reserve)
                if name == "settle":
                    settle(kernel, digest, {"USD": used})
                    paid += used
                else:
                    kernel.release(digest)
        state, flying = kernel.state, sum(held_now.values())
        left = issued - paid - flying
        shown = {name: row for name, row in state.accounts.items() if row.balances}
        told = {
            name: (row.balances["USD"], row.in_flight, row.spendable["USD"]) for name, row in shown.items()
        }
        expected = {
            "accounts/a": (left, {"USD": flying} if flying else {}, left + 20),
            "accounts/b": (paid, {}, paid),
            "external/issuer": (-issued, {}, 0),
        }
        assert told == {name: expected[name] for name in told}
        assert told.keys() >= {name for name, (balance, *_) in expected.items() if balance}
        assert (state.resources["USD"].in_flight, state.resources["USD"].imbalance) == (flying, 0)
        counter = state.counter("g", "USD")
        assert counter in (None, {"limit": None, "reserved": flying, "spent": paid})


def test_a_table_that_is_called_gives_the_rows_that_have_each_of_the_values():
    with world(budget(tokens=9)) as kernel:
        digest = held(kernel, {"tokens": 1})
        asked = [{"dim": "tokens"}, {"grant": "g"}, {"dim": "tokens", "grant": "g"}, {"dim": ["tokens"]}]
        missed = [{"dim": "USD"}, {"grant": "x"}, {"dim": "tokens", "grant": "x"}, {"dim": []}, {"odd": 1}]
        assert [list(kernel.state.reservations(**fields)) for fields in asked] == [[digest]] * 4
        assert [kernel.state.reservations(**fields) for fields in missed] == [{}] * 5


def test_a_grant_reads_as_revoked_with_one_above_and_as_exhausted_by_a_limit_for_life_alone():
    a_day = {"limits": [{"dim": "tokens", "per": "day", "amount": 5}]}
    grants = {"top": {}, "low": {"parent": "top"}, "life": {"budget": {"tokens": 5}}, "day": a_day}
    with world(grants) as kernel:
        for name in ("life", "day"):
            settle(kernel, held(kernel, {"tokens": 5}, name), {"tokens": 9})  # above what was held
        assert kernel.native("grant.revoke", name="top", order="o-1").allowed
        told = {name: (row["revoked"], row["exhausted"]) for name, row in kernel.state.grants.items()}
        assert {name: told[name] for name in grants} == {
            "top": (True, False), "low": (True, False), "life": (False, True), "day": (False, False),
        }  # fmt: skip
        assert kernel.state.counters["life"] == {"tokens": {"limit": 5, "reserved": 0, "spent": 9}}
        assert [key[:3] for key in kernel.state.windows if key[0] == "day"] == [("day", "tokens", "day")]
        assert {key[2] for key in kernel.state.windows} == {"day"}
        assert "day" not in kernel.state.counters
