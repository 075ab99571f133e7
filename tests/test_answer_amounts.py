"""An answer is read by anybody's JSON: an amount that not every reader keeps is text."""

from hypothesis import example, given
from hypothesis import strategies as st
from splittally import Decision
from splittally.edge.answer_lines import answer_json, readable

EXACT = 2**53


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 2**64 - 1), max_size=4))
@example({"below": EXACT - 1, "at": EXACT, "above": EXACT + 1})
def test_what_a_decision_reserves_is_told_as_any_other_amount(reserve):
    told = answer_json(Decision(seq=1, intent_hash=bytes(32), outcome="allow", reserve=reserve))["reserve"]
    assert told == readable(reserve) == {k: n if n <= EXACT else str(n) for k, n in reserve.items()}
    assert told is not reserve
