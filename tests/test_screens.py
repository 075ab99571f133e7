"""What people see holds at 80 columns: no table is wider, no name, hash, amount or date is broken."""

import re
from functools import cache

import pytest

from tests import screens

drawn = cache(screens.drawn)


@pytest.mark.req("X8-04")
@pytest.mark.parametrize("width", screens.WIDTHS)
def test_the_screens_are_those_that_were_reviewed(width: int) -> None:
    """`python -m tests.screens` writes them anew."""
    assert drawn(width) == (screens.SCREENS / f"{width}.txt").read_text("utf-8")


@pytest.mark.req("X8-04")
@pytest.mark.parametrize("width", screens.WIDTHS)
def test_no_line_is_wider_than_the_terminal_but_for_words_that_are(width: int) -> None:
    for line in drawn(width).splitlines():
        assert len(line) <= width or " " not in line.strip() or max(map(len, line.split())) > width // 2, line


@pytest.mark.req("X8-04")
def test_names_hashes_and_amounts_stand_whole_and_nobody_reads_nanoseconds() -> None:
    """Every name, hash, amount and date of a wide screen stands in a narrow one: none is broken."""
    narrow, wide = (set(re.findall(r"[^\s─│└├]+", drawn(width))) for width in screens.WIDTHS)
    assert {word for word in wide if re.search("[0-9/_]", word)} <= narrow
    assert not [word for word in narrow if re.search(r"\d{16}", word) and not re.search("[a-f]", word)]


@pytest.mark.req("X8-06")
def test_explain_tells_the_whole_story_of_what_was_approved_and_settled() -> None:
    story = " ".join(next(x for x in drawn(120).split("$ tally ") if x.startswith("explain")).split())
    for told in (
        "alice asked at 2026-11-30 12:03:00 +01:00", "asked sys/CapEnforceSpend@1",
        "approved by operator, seq 5 at 2026-11-30 12:04:00 +01:00", "settled by alice: ok, used 240.00 USD",
        "240.00 USD went from what is in flight to vendors/flour", "now settled",
    ):  # fmt: skip
        assert told in story
    assert "next:" not in story and "tally approve" not in story


@pytest.mark.req("X8-06")
def test_explain_says_what_is_next_now() -> None:
    denied, waiting = drawn(120).split("$ tally explain ")[2:]
    assert "next: raise the limit" in denied
    assert re.search(
        r"now reserved, approval\n  next: have it approved: `tally approve [0-9a-f]{12}`\n", waiting
    )
