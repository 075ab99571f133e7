"""Exports as tables and streams: what they say, and what they leave where they fail."""

import csv
import io
import json
from decimal import Decimal

import duckdb
import pytest
import splittally
from splittally.core.errors import JournalDamaged
from splittally.core.events import Decided
from splittally.runtime.frame_documents import kinds_of
from splittally.runtime.reader import open_reader, read_store
from splittally_tools.export.columns import Column, Table, cells_of, csv_of, named_apart
from splittally_tools.export.files import STREAMS, write_stream, write_table
from splittally_tools.export.focus import focus
from splittally_tools.export.intents import Range, Source, intents_table
from splittally_tools.export.star import star
from splittally_tools.testing.worlds import open_journal

from tests.cli_tools import run
from tests.rows.worlds import ACT, act, apply, budget, held, manifest, settle, world
from tests.test_spend import GRANTS, JOURNALS, MORE, START, lived

TABLES = [
    "intents", "amounts", "labels", "charges", "charges_above", "postings", "grants", "principals",
    "accounts", "resources",
]  # fmt: skip
PAIR = (Column("a"), Column("b", "BIGINT"))


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "world"
    lived(folder, seed=11).close()
    return folder


@pytest.fixture(scope="module")
def spent(books):
    """What `Kernel.state.spend` says, by resource."""
    with open_reader(books) as reader:
        return {row.resource: row for row in reader.state.spend(["resource"])}


@pytest.fixture(scope="module")
def files(books, tmp_path_factory):
    folder = tmp_path_factory.mktemp("star")
    assert run("-w", books, "export", "--tables", folder / "csv").code == 0
    assert run("-w", books, "export", "--tables", folder / "parquet", "--format", "parquet").code == 0
    return folder


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def intents_of(folder, *words):
    ran = run("-w", folder, "export", "--format", "csv", *words)
    assert ran.code == 0, ran
    return rows_of(ran.out)


def source_of(reader, stop=None):
    range_ = Range(0, reader.head.size if stop is None else stop)
    return Source(reader.book(), reader.folded, range_, cells_of(reader.folded), lambda frames: None)


def total(rows, column):
    return sum(Decimal(row[column] or 0) for row in rows)


# --- one row an intent ------------------------------------------------------------------------------


@pytest.mark.req("X8-08")
def test_an_intent_is_a_row_that_says_who_what_why_and_how_it_ended(tmp_path):
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        apply(kernel, _ask_above(50), now_ns=START)
        assert kernel.native("ledger.issue", resource="USD", amount=9_000, to="accounts/team").allowed
        jane = kernel.as_principal("jane")
        digest = act(jane, {"USD": 60, "tokens": 3}, "jane", labels={"run": "7"}).intent_hash
        assert kernel.approve(digest, now_ns=START + 10**9).allowed
        settle(jane, digest, {"USD": 75, "tokens": 2}, now_ns=START + 2 * 10**9)
        refused = act(jane, {"USD": 9_999}, "jane").intent_hash
    done, denied = intents_of(tmp_path / "w", "--principal", "jane")
    assert {name: done[name] for name in done if done[name]} == {
        "seq": "3", "intent_hash": digest.hex(), "decided_at": "2024-10-04T00:00:00.000000Z",
        "decided_day": "2024-10-04", "principal": "jane", "grant_name": "jane", "chain": "jane < team < root",
        "kind": "test.act", "outcome": "require_approval", "stage": "ledger", "code": "approval_threshold",
        "reason": done["reason"], "codes": "approval_threshold", "status": "settled", "ended_how": "receipt",
        "ended_at": "2024-10-04T00:00:02.000000Z", "ended_day": "2024-10-04",
        "violations": "unfunded usage_exceeds_reserve", "answer": "approve", "answered_by": "operator",
        "answered_at": "2024-10-04T00:00:01.000000Z", "paid_by": "accounts/team",
        "paid_to": "accounts/vendor", "reserved_USD": "0.60", "charged_USD": "0.75", "paid_USD": "0.60",
        "reserved_tokens": "3",
        "charged_tokens": "2", "label_run": "7",
    }  # fmt: skip
    assert (denied["intent_hash"], denied["outcome"], denied["code"]) == (
        refused.hex(),
        "deny",
        "budget_exceeded",
    )
    assert done["reason"] == (
        "the limit of `jane` for USD an intent may be passed only when somebody approves:"
        " 0.60 USD are needed and 0.50 USD are left"
    )
    assert denied["reason"].endswith("would be passed: 99.99 USD are needed and 49.25 USD are left")


def _ask_above(amount):
    limits = [{"dim": "USD", "per": "intent", "amount": amount, "over": "ask"}]
    grants = {**GRANTS, "jane": {**GRANTS["jane"], "limits": limits, "budget": {"USD": 5_000}}}
    return manifest(grants, **MORE)


@pytest.mark.req("X8-08")
def test_the_amounts_of_all_rows_are_what_spend_says(books, spent):
    rows = intents_of(books)
    for resource, scale in (("USD", 100), ("tokens", 1)):
        row = spent[resource]
        assert total(rows, f"charged_{resource}") * scale == row.charged > 0
        assert total(rows, f"refunded_{resource}") * scale == row.refunded
    assert total(rows, "paid_USD") * 100 == spent["USD"].paid - spent["USD"].repaid > 0
    with open_reader(books) as reader:
        for grant in ("jane", "bob", "lone"):
            own = [row for row in rows if row["grant_name"] == grant]
            (row,) = reader.state.spend(["resource"], grant=grant, resource="USD")
            assert total(own, "charged_USD") * 100 == row.charged
            assert len(intents_of(books, "--grant", grant)) == len(own)


@pytest.mark.req("X8-08")
def test_what_came_after_a_range_stands_in_no_row_of_it(books):
    """So the same range is the same file for ever."""
    with open_reader(books) as reader:
        for stop in range(3, reader.head.size, 9):
            rows = rows_of(b"".join(csv_of(intents_table(source_of(reader, stop)))).decode())
            spent = {row.resource: row for row in reader.state.spend(["resource"], until=stop - 1)}
            for resource, scale in (("USD", 100), ("tokens", 1)):
                charged = spent[resource].charged if resource in spent else 0
                assert sum(Decimal(row.get(f"charged_{resource}") or 0) for row in rows) * scale == charged
            assert all(int(row["seq"]) < stop for row in rows)


@pytest.mark.req("X8-08")
def test_every_intent_stands_in_one_of_two_ranges_that_follow_each_other(books):
    first, rest = intents_of(books, "--until", 40), intents_of(books, "--since", 41)
    whole = intents_of(books)
    assert [x["intent_hash"] for x in first + rest] == [x["intent_hash"] for x in whole]
    assert intents_of(books, "--until", "1969-12-31") == []


@pytest.mark.req("X8-08")
def test_an_intent_that_is_decided_again_has_one_row():
    limits = [{"dim": "tokens", "per": "hour", "amount": 5, "over": "defer"}]
    with world({"g": {"limits": limits}}) as kernel:
        again = {"idempotency_key": b"k" * 32}
        assert act(kernel, {"tokens": 5}).allowed
        assert act(kernel, {"tokens": 4}, **again).outcome == "defer"
        assert act(kernel, {"tokens": 4}, now_ns=3_600 * 10**9, **again).allowed
        with read_store(kernel) as reader:
            rows = rows_of(b"".join(csv_of(intents_table(source_of(reader)))).decode())
    assert [row["outcome"] for row in rows if row["kind"] == ACT] == ["allow", "allow"]


@pytest.mark.req("X8-08")
def test_spend_that_was_recorded_counts_under_the_grant_that_was_charged(books):
    recorded = intents_of(books, "--kind", "usage.record")
    assert {(row["grant_name"], row["chain"], row["ended_how"]) for row in recorded} == {
        ("bob", "bob < team < root", "recorded")
    }
    assert total(recorded, "charged_USD") > 0


# --- cells --------------------------------------------------------------------------------------------


def cells(*rows, columns=PAIR):
    text = b"".join(csv_of(Table("t", columns, rows))).decode()
    return list(csv.reader(io.StringIO(text)))[1:]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_of_text_starts_no_formula(start):
    shown = json.dumps(start)[1:-1]
    expected = f"'{start}1" if shown == start else f"{shown}1"
    assert cells([f"{start}1", -1]) == [[expected, "-1"]]


def test_a_row_is_a_line_whatever_its_texts_say():
    text = b"".join(csv_of(Table("t", (Column("a"),), [['a"b\n,c'], [None], [True], [b"\x01"]]))).decode()
    assert text.split("\r\n") == ["a", '"a""b\\n,c"', '""', "true", "01", ""]


def test_columns_that_differ_in_capitals_alone_are_told_apart():
    names = [x.name for x in named_apart(map(Column, ["usd", "USD", "usd_2", "Usd"]))]
    assert names == ["usd", "USD_2", "usd_2_2", "Usd_3"]
    assert len({name.casefold() for name in names}) == 4


@pytest.mark.req("X8-08")
def test_dimensions_that_differ_in_capitals_alone_have_columns_in_parquet(tmp_path):
    with world({"g": {}}, tmp_path / "w") as kernel:
        settle(kernel, held(kernel, {"usd": 3, "USD": 4}), {"usd": 1, "USD": 2})
    file = tmp_path / "out.parquet"
    assert run("-w", tmp_path / "w", "export", "--format", "parquet", "--out", file).code == 0
    found = duckdb.sql(
        f"SELECT charged_USD, charged_usd_2 FROM '{file}' WHERE charged_USD IS NOT NULL"
    ).fetchall()
    assert found == [(2, 1)]


# --- the star schema ----------------------------------------------------------------------------------


@pytest.mark.req("X8-08")
def test_the_star_has_the_same_rows_in_csv_and_in_parquet(files):
    for name in TABLES:
        columns, *text = csv.reader(io.StringIO((files / "csv" / f"{name}.csv").read_text()))
        file = files / "parquet" / f"{name}.parquet"
        table = duckdb.sql(f"SELECT * FROM '{file}'")
        assert table.columns == columns
        shown = duckdb.sql(f"SELECT COLUMNS(*)::VARCHAR FROM '{file}'").fetchall()
        plain = [[cell or "" for cell in row] for row in shown]
        times = [at for at, kind in enumerate(table.types) if "TIME ZONE" in str(kind)]
        assert len(plain) == len(text)
        for one, other in zip(plain, text, strict=True):
            for at, (ours, theirs) in enumerate(zip(one, other, strict=True)):
                if at in times:
                    assert ours[:19] == theirs[:19].replace("T", " ")
                elif str(table.types[at]).startswith("DECIMAL"):
                    assert Decimal(ours or 0) == Decimal(theirs or 0)
                else:
                    assert ours == theirs


@pytest.mark.req("X8-08")
def test_the_sums_of_charges_are_what_spend_says_to_the_last_unit(files, spent):
    sums = duckdb.sql(
        "SELECT resource, sum(amount) FILTER (entry = 'charge'), sum(amount) FILTER (entry = 'refund'),"
        f" sum(net), sum(paid) FROM '{files}/parquet/charges.parquet' GROUP BY resource"
    ).fetchall()
    assert len(sums) == len(spent)
    for resource, charged, refunded, net, paid in sums:
        scale, row = 100 if resource == "USD" else 1, spent[resource]
        assert (charged * scale, (refunded or 0) * scale) == (row.charged, row.refunded)
        assert (net * scale, paid * scale) == (row.net, row.paid - row.repaid)


@pytest.mark.req("X8-07", "X8-08")
def test_what_grants_above_were_charged_stands_beside_a_leaf_that_was_charged_less(tmp_path):
    """The leaf charges no more than it reserved, the grant above what was used."""
    grants = {"team": {"delegations": 1}, "jane": {"parent": "team", "above": "cap"}}
    with world(grants, tmp_path / "w") as kernel:
        settle(kernel, held(kernel, {"tokens": 3}, "jane"), {"tokens": 8})
        rows = [kernel.state.spend(under=under) for under in (None, "jane", "team")]
        assert [(row.grant, row.charged) for (row,) in rows] == [("jane", 3), ("jane", 3), ("jane", 8)]
    assert run("-w", tmp_path / "w", "export", "--tables", tmp_path / "star").code == 0
    for name, found in (("charges", [("jane", "3")]), ("charges_above", [("team", "8")])):
        rows = rows_of((tmp_path / "star" / f"{name}.csv").read_text())
        assert [(row["grant_name"], row["amount"]) for row in rows] == found


@pytest.mark.req("X8-08")
def test_postings_and_balances_agree_and_sum_to_zero(files):
    postings, accounts = (f"'{files}/parquet/{name}.parquet'" for name in ("postings", "accounts"))
    moved = duckdb.sql(
        f"SELECT account, sum(amount) FROM (SELECT credit AS account, amount FROM {postings} UNION ALL"
        f" SELECT debit, -amount FROM {postings}) WHERE account IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert moved == duckdb.sql(f"SELECT account, balance FROM {accounts} ORDER BY 1").fetchall()
    assert duckdb.sql(f"SELECT sum(balance + in_flight) FROM {accounts}").fetchall() == [(0,)]


@pytest.mark.req("X8-08")
def test_a_grant_has_a_row_for_each_version_which_ends_where_the_next_begins(tmp_path):
    with world({"g": {"budget": {"tokens": 5}}}, tmp_path / "w") as kernel:
        kernel.apply(manifest({"g": {"budget": {"tokens": 9}}}), now_ns=10**9)
        assert kernel.native("grant.revoke", name="g", now_ns=2 * 10**9).allowed
    assert run("-w", tmp_path / "w", "export", "--tables", tmp_path / "star").code == 0
    rows = [
        row for row in rows_of((tmp_path / "star" / "grants.csv").read_text()) if row["grant_name"] == "g"
    ]
    assert [(row["change"], row["limits"], row["is_current"]) for row in rows] == [
        ("made", "5 tokens for life (deny)", "false"),
        ("changed", "9 tokens for life (deny)", "false"),
        ("revoked", "9 tokens for life (deny)", "true"),
    ]
    assert [row["valid_until"] for row in rows[:2]] == [row["valid_from"] for row in rows[1:]]


@pytest.mark.req("X8-08")
@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.parent.name)
def test_a_golden_journal_of_any_format_has_its_tables(path):
    """Everything that can happen has its cells; a row an intent, and sums as spend has them."""
    with open_journal(path) as reader:
        source = source_of(reader)
        spent = {(row.grant, row.resource): row for row in reader.state.spend()}
        decided = {
            x.intent_hash for record in reader.records() for x in record.body.out if isinstance(x, Decided)
        }
        tables = {x.name: rows_of(b"".join(csv_of(x)).decode()) for x in [*star(source), focus(source)]}
        wide = rows_of(b"".join(csv_of(intents_table(source))).decode())
    assert [row["intent_hash"] for row in wide] == [row["intent_hash"] for row in tables["intents"]]
    assert sorted(row["intent_hash"] for row in wide) == sorted(digest.hex() for digest in decided)
    for (grant, resource), row in spent.items():
        own = [x for x in tables["charges"] if (x["grant_name"], x["resource"]) == (grant, resource)]
        scale = 10 ** next((int(x["decimals"]) for x in tables["resources"] if x["resource"] == resource), 0)
        assert total(own, "net") * scale == row.net
        assert total(own, "paid") * scale == row.paid - row.repaid
    assert all(len(rows) > 0 for name, rows in tables.items() if name != "labels")


# --- FOCUS ----------------------------------------------------------------------------------------------


@pytest.mark.req("X8-08")
def test_focus_has_a_row_for_each_charge_and_refund_of_money(books, spent, tmp_path):
    file = tmp_path / "focus.csv"
    assert run("-w", books, "export", "--focus", "--out", file).code == 0
    rows = rows_of(file.read_text())
    assert {row["BillingCurrency"] for row in rows} == {"USD"}
    assert total(rows, "BilledCost") * 100 == spent["USD"].net
    assert {row["ChargeCategory"] for row in rows} <= {"Usage", "Credit"}
    for row in rows:
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["BillingPeriodStart"] <= row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert row["Tags"] in ("", '{"run": "1"}', '{"run": "2"}')
        assert row["ProviderName"] in ("", "accounts/vendor")


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.req("X8-08")
@pytest.mark.parametrize(
    "words", [["--format", "csv"], ["--format", "ndjson"], ["--format", "parquet"], ["--focus"]]
)
def test_a_file_that_is_there_is_replaced_only_where_that_is_said(books, tmp_path, words):
    file = tmp_path / "mine"
    file.write_text("mine")
    ran = run("-w", books, "export", *words, "--out", file)
    assert (ran.code, "say `--force`" in ran.err, file.read_text()) == (2, True, "mine")
    assert run("-w", books, "export", *words, "--out", file, "--force").code == 0
    assert file.read_bytes() != b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_no_table_of_a_star_is_replaced_unasked(books, tmp_path):
    (tmp_path / "grants.csv").write_text("mine")
    ran = run("-w", books, "export", "--tables", tmp_path)
    assert (ran.code, [path.name for path in tmp_path.iterdir()]) == (2, ["grants.csv"])
    assert run("-w", books, "export", "--tables", tmp_path, "--force").code == 0
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(TABLES)


@pytest.mark.req("X8-08")
def test_without_its_package_parquet_says_what_to_install(books, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "splittally_tools.export.parquet", None)
    ran = run("-w", books, "export", "--format", "parquet", "--out", tmp_path / "x")
    assert (ran.code, "pip install 'splittally[parquet]'" in ran.err) == (3, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--kind", "test.act"], ["--format", "ndjson", "--tables", "d"], ["--format", "cborseq", "--focus"],
        ["--tables", "d", "--focus"], ["--tables", "d", "--out", "f"], ["--tables", "d", "--grant", "jane"],
        ["--format", "parquet"], ["--format", "parquet", "--focus"],
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_a_usage_error(books, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert run("-w", books, "export", *words).code == 2
    assert list(tmp_path.iterdir()) == []


def written(reader, source, kind, file):
    if kind in STREAMS:
        return write_stream(reader, kind, file, 0, None)
    return write_table(intents_table(source), kind, file)


@pytest.mark.parametrize("kind", ["csv", "parquet", *STREAMS])
def test_an_export_that_meets_damage_leaves_no_file(tmp_path, monkeypatch, kind):
    with world(budget(tokens=9)) as kernel, read_store(kernel) as reader:
        held(kernel, {"tokens": 1})
        source = source_of(reader)

        def damaged(*_, **__):
            raise JournalDamaged("frame 2 is not what was sealed", seq=2)

        def until_damaged(start=0, stop=None):
            yield from entries(start, 2)
            damaged()

        entries = reader.entries
        monkeypatch.setattr(reader, "entries", until_damaged)
        monkeypatch.setattr("splittally.runtime.charges.Book.trace", damaged)
        with pytest.raises(JournalDamaged):
            written(reader, source, kind, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_frames_of_grants_are_those_that_make_change_and_end_them():
    with world(budget(tokens=9)) as kernel, read_store(kernel) as reader:
        made = kernel.state.seq - 1
        held(kernel, {"tokens": 1})
        ended = kernel.native("grant.revoke", name="g", order="o-1").seq
        found = [record.seq for record in reader.records(1) if "grant" in kinds_of(record.body)]
    assert found == [made, ended]
