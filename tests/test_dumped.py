"""A state is loaded from what was dumped and from nothing else, and its equal parts are shared."""

from hashlib import sha256

import cbor2
import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent
from splittally.core import canonical
from splittally.core.errors import CanonicalError
from splittally.core.overlay import Overlay
from splittally.core.snapshot import dump_state, dumped_root, load_state, state_root, tables
from splittally.core.state import State

MANIFEST = {
    "resources": {"USD": 6},
    "accounts": {"accounts/team": {}, "accounts/vendor": {}, "external/other": {}},
    "governor": {"caps": [{"resource": "USD", "per": "day", "amount": 9_000}]},
    "grants": {
        "team": {
            "cap": "sys/llm.basic@1",
            "parent": "root",
            "budget": {"tokens": 9_000},
            "limits": [{"dim": "tokens", "per": "day", "amount": 5_000}],
            "params": {"prices": {"resource": "USD", "prompt": 1, "completion": 1}},
            "draws_on": {"USD": "accounts/team"},
            "pays_to": ["accounts/vendor"],
        }
    },
}


def make_state():
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        for source in ({}, {"from": "external/other"}):
            issue = {"resource": "USD", "amount": 4_500, "to": "accounts/team", **source}
            assert kernel.native("ledger.issue", **issue).allowed
        do = [{"kind": "transfer", "to": "accounts/vendor", "amount": "1", "resource": "USD"}]
        plan = {"resources": {"USD": 6}, "rules": [{"name": "fee", "on": "quarter", "do": do}]}
        assert kernel.native("budget.create", budget="budgets/b", schema=plan).allowed
        params = [{"model": "m", "prompt_tokens": at, "max_tokens": 7} for at in (1, 2, 3) * 10]
        intents = [
            Intent("llm.generate", each, "team", None, sha256(bytes([at])).digest(), 50 + at)
            for at, each in enumerate(params)
        ]
        assert all(decision.allowed for decision in kernel.submit(intents))
        return kernel._world.state


STATE = make_state()
DATA = dump_state(STATE)


@pytest.fixture(params=[True, False], ids=["fast codec", "plain codec"])
def codec(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(canonical, "_cbrrr", None)


def test_what_was_dumped_is_loaded(codec):
    loaded = load_state(DATA)
    assert tables(loaded) == tables(STATE)
    assert (loaded.size, loaded.now_ns) == (STATE.size, STATE.now_ns)
    assert dump_state(loaded) == DATA
    assert dumped_root(DATA) == state_root(loaded) == state_root(STATE)
    assert sorted(loaded.ledger.agenda) == sorted(STATE.ledger.agenda)
    assert len(loaded.ledger.agenda) == len(STATE.ledger.holds) + 1 + 1  # a window, a rule of the calendar
    assert loaded.ledger.drawn == STATE.ledger.drawn
    assert loaded.ledger.issued == STATE.ledger.issued == {"USD": 9_000}
    assert loaded.governed.reserved == STATE.governed.reserved != {}


def test_an_empty_state_and_a_fork_are_loaded_from_their_dumps():
    fork = STATE.fork()
    assert isinstance(fork.ledger.holds, Overlay)
    for state in (State(), fork):
        assert state_root(load_state(dump_state(state))) == state_root(state)


def test_equal_parts_of_holds_are_one_object():
    holds = list(load_state(DATA).ledger.holds.values())
    assert len({id(leg) for hold in holds for leg in hold.legs}) == 3 + 1  # one of the root, three reserves
    assert len({id(hold.draws[0]) for hold in holds}) == len({hold.draws[0].amount for hold in holds})
    for name in ("by", "kind", "phase"):
        assert len({id(getattr(hold, name)) for hold in holds}) == 1
    for name in ("grant", "grant_hash", "terms_hash", "enforcer_ref", "cap", "params", "above"):
        legs = [hold.legs[0] for hold in holds]
        assert len({id(getattr(leg, name)) for leg in legs}) == 1


@pytest.fixture
def parts():
    """Size and tables of the dump, to be changed and dumped again."""
    return cbor2.loads(DATA)


def changes_of_tables():
    def change(name):
        return lambda parts: name(parts[1])

    def swap(rows):
        rows[0], rows[1] = rows[1], rows[0]

    def longer(rows, more):
        for _, row in rows[1:]:  # the first makes equal parts known
            row.append(more)

    return {
        "a table less": lambda x: x.pop("revoked"),
        "a table that is not known": lambda x: x.update(zzz=[]),
        "a later table that is empty": lambda x: x.update(fired=[]),
        "rows in another order": lambda x: swap(x["holds"]),
        "definitions in another order": lambda x: swap(x["blobs"]),
        "a row twice": lambda x: x["holds"].insert(0, x["holds"][0]),
        "a key twice": lambda x: x["holds"].insert(0, [x["holds"][0][0], [0, *x["holds"][0][1][1:]]]),
        "a row too short": lambda x: x["holds"][3].pop(),
        "a row that is no array": lambda x: x["holds"][3].__setitem__(1, b"ten bytes."),
        "a hold too short": lambda x: x["holds"][3][1].pop(),
        **{f"a hold too long by {more!r}": lambda x, y=more: longer(x["holds"], y) for more in (b"", [], 0)},
        "draws that are no array": lambda x: x["holds"][3][1].__setitem__(9, b""),
        "legs that are a map": lambda x: x["holds"][3][1].__setitem__(8, {}),
        "a draw among the legs": lambda x: x["holds"][3][1][8].append(x["holds"][3][1][9][0]),
        "a leg too long": lambda x: x["holds"][3][1][8][0].append(1),
        "a leg too short": lambda x: x["holds"][3][1][8][0].pop(),
        "a float in a hold": lambda x: x["holds"][3][1].__setitem__(0, 1.5),
        "a float in a leg": lambda x: x["holds"][3][1][8][0][6].update(tokens=1.5),
        "a truth for a number": lambda x: x["holds"][3][1].__setitem__(0, True),
        "a grant too long": lambda x: x["grants"][0][1].append(1),
        "a counter too short": lambda x: x["counters"][0][1].pop(),
        "a world without a clock": lambda x: x["world"].pop(0),
        "a world with more": lambda x: x["world"].append(["zzzzzzzzzzzzz", 1]),
        "a table that is a map": lambda x: x.update(holds={}),
    }


@pytest.mark.parametrize("change", changes_of_tables().values(), ids=changes_of_tables().keys())
def test_what_this_release_would_dump_otherwise_is_refused(change, parts, codec):
    change(parts[1])
    with pytest.raises(CanonicalError):
        load_state(cbor2.dumps(parts, canonical=True))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82",
        DATA[:-1],
        DATA + b"\x00",
        b"\x98\x02" + DATA[1:],
        b"\x83" + DATA[1:],
        b"\x82\x20" + DATA[2:],
        b"\x82\xf6\xa0",
        b"\x82\x00\xa1\x00\x80",
        b"\x82\x00\xbf\xff",
        b"\x82\x00\xb8",
    ],
)
def test_other_bytes_are_refused(data, codec):
    with pytest.raises(CanonicalError):
        load_state(data)


@given(st.integers(0, len(DATA) * 8 - 1))
def test_a_changed_bit_is_refused_or_shows_in_the_root(at):
    changed = bytearray(DATA)
    changed[at // 8] ^= 1 << at % 8
    data = bytes(changed)
    try:
        state = load_state(data)
    except CanonicalError:
        return
    assert dumped_root(data) == state_root(state)
    assert dump_state(state) == data


OTHERS = [None, -1, 0, 2**63, 2**64 - 1, True, 1.5, "", "*", b"", bytes(32), [], [0], {}, {"tokens": -1}]


@given(st.data())
def test_a_changed_part_is_refused_with_the_error_that_is_said_or_shows_in_the_root(data):
    """Whoever reads a snapshot catches one error, wherever in it the damage is."""
    parts = cbor2.loads(DATA)
    parent, at = parts, 1
    while isinstance(parent[at], dict | list) and parent[at] and data.draw(st.integers(0, 9)):
        parent = parent[at]
        at = data.draw(st.sampled_from(sorted(parent) if isinstance(parent, dict) else range(len(parent))))
    if isinstance(parent, dict) and data.draw(st.booleans()):
        parent[data.draw(st.sampled_from(["", "zzz", "holds", "budgets", "Tokens"]))] = parent.pop(at)
    else:
        parent[at] = data.draw(st.sampled_from(OTHERS))
    changed = cbor2.dumps(parts, canonical=True)
    try:
        state = load_state(changed)
    except CanonicalError:
        return
    assert dumped_root(changed) == state_root(state)
