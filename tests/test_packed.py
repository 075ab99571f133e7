"""Rows at rest: a table in the bytes of a dump answers as the dict of the same rows."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core import packed as module
from splittally.core.canonical import encode_record
from splittally.core.overlay import Overlay
from splittally.core.packed import Packed, at_rest, copied

from tests.test_overlay import KEYS, ROWS, STEPS, answer

NAMES = st.one_of(st.text(max_size=4), st.sampled_from(["a", "aa", "b", "ab", "\u00e9", "z" * 30]))
TUPLES = st.tuples(NAMES, NAMES, st.integers(0, 2**40))


def in_order(rows):
    """The rows as a dump has them: by the bytes of their keys."""
    plain = {key: list(key) if type(key) is tuple else key for key in rows}
    return {key: rows[key] for key in sorted(rows, key=lambda key: encode_record(plain[key]))}


def resting(rows, kind=int):
    """These rows at rest."""
    plain = ([list(key) if type(key) is tuple else key, value] for key, value in in_order(rows).items())
    return at_rest(map(encode_record, plain), kind)


@pytest.mark.parametrize("keys", [NAMES, TUPLES, st.binary(max_size=3)], ids=["names", "tuples", "bytes"])
@given(data=st.data())
def test_every_row_is_found_by_its_key_and_no_other_key_is(keys, data):
    rows = data.draw(st.dictionaries(keys, st.integers(0, 9), max_size=40))
    others = data.draw(st.lists(keys, max_size=10))
    table = resting(rows)
    assert list(table.items()) == list(in_order(rows).items())
    assert (list(table), list(table.values()), len(table)) == (
        [*in_order(rows)],
        [*in_order(rows).values()],
        len(rows),
    )
    for key in [*rows, *others]:
        assert (key in table, table.get(key)) == (key in rows, rows.get(key))


@given(ROWS, STEPS)
def test_what_is_written_over_rows_at_rest_is_a_plain_copy_under_any_operations(rows, steps):
    table, plain = resting(rows), in_order(rows)
    for step in steps:
        assert answer(table, step) == answer(plain, step), step
        assert list(table.items()) == list(plain.items())


@given(ROWS, STEPS, STEPS)
def test_a_copy_shares_what_rests_and_nothing_else(rows, before, after):
    table, plain = resting(rows), in_order(rows)
    for step in before:
        answer(table, step), answer(plain, step)
    copy, twin = copied(table), dict(plain)
    for step in after:
        assert answer(copy, step) == answer(twin, step), step
    assert list(copy.items()) == list(twin.items())
    assert list(table.items()) == list(plain.items())
    assert type(copy) is Overlay and copy.base is table.base
    assert type(copied(dict(plain))) is dict


def test_what_no_bytes_are_defined_for_is_no_key():
    table = resting({"a": 1})
    assert "\ud800" not in table and object() not in table and table.get(1.5) is None
    with pytest.raises(KeyError):
        table["\ud800"]


@given(st.lists(KEYS, max_size=30))
def test_rows_that_were_read_are_let_go_again(asked):
    rows = {str(key): key for key in range(6)}
    base = resting(rows).base
    assert isinstance(base, Packed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "READ_ROWS_MAX", 2)
        assert [base[str(key)] for key in asked] == asked
    assert len(base._read) <= 2
