"""What an export says of an intent's end, and what it leaves behind where it fails."""

import csv
import io

import pytest
from splittally.core.errors import JournalDamaged
from splittally.runtime.reader import read_store
from splittally_tools.export.files import COLUMNS, FORMATS, write_export
from splittally_tools.export.frames import kinds_of

from tests.rows.worlds import budget, held, settle, world


def test_a_table_says_how_each_intent_ended_and_what_its_own_grant_was_charged():
    grants = {"team": {}, "g": {"parent": "team", "budget": {"tokens": 100}}}
    with world(grants) as kernel, read_store(kernel) as reader:
        paid, late, back = (held(kernel, {"tokens": 9}, expires_ns=100) for _ in range(3))
        settle(kernel, paid, {"tokens": 4})
        kernel.release(back)
        settle(kernel, late, {"tokens": 5}, now_ns=200)
        text = b"".join(FORMATS["csv"](reader, 0, None)).decode()
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in list(csv.reader(io.StringIO(text)))[1:]]
    told = [
        (row["event"], row["outcome"], row["grant"], row["charged"])
        for digest in (paid, late, back)
        for row in rows
        if row["intent_hash"] == digest.hex()
    ]
    assert told == [
        ("decided", "allow", "g", ""), ("settled", "receipt", "g", '{"tokens": 4}'),
        ("decided", "allow", "g", ""), ("released", "expiry", "g", ""),
        ("settled", "late", "g", '{"tokens": 5}'),
        ("decided", "allow", "g", ""), ("released", "cancel", "g", ""),
    ]  # fmt: skip


def test_the_frames_of_grants_are_those_that_make_change_and_end_them():
    with world(budget(tokens=9)) as kernel, read_store(kernel) as reader:
        made = kernel.state.seq - 1
        held(kernel, {"tokens": 1})
        ended = kernel.native("grant.revoke", name="g", order="o-1").seq
        found = [record.seq for record in reader.records(1) if "grant" in kinds_of(record.body)]
    assert found == [made, ended]


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_an_export_that_meets_damage_leaves_no_file(tmp_path, monkeypatch, kind):
    with world(budget(tokens=9)) as kernel, read_store(kernel) as reader:
        held(kernel, {"tokens": 1})
        entries = reader.entries

        def damaged(start=0, stop=None):
            yield from entries(start, 2)
            raise JournalDamaged("frame 2 is not what was sealed", seq=2)

        monkeypatch.setattr(reader, "entries", damaged)
        with pytest.raises(JournalDamaged):
            write_export(reader, kind, tmp_path / "out", 0, None)
    assert list(tmp_path.iterdir()) == []
