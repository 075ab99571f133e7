"""Who spent what: the sums of a world beside an obvious walk, in Python and from the command line."""

import random
import threading
from datetime import UTC, datetime, timedelta

import pytest
import splittally
from splittally import Intent, InvalidInput, Receipt
from splittally.runtime.charges import Book
from splittally.runtime.reader import open_reader
from splittally_tools.testing.worlds import open_journal

from tests import spend_oracle
from tests.cli_tools import ROOT, run
from tests.rows.worlds import ACT, apply, held, manifest, reserves, settle, world

JOURNALS = sorted((ROOT / "fixtures" / "journals").glob("*/*.cborseq"))
DAY = 86_400 * 10**9
START = 20_000 * DAY
GRANTS = {
    "team": {"delegations": 2, "draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/vendor"]},
    "jane": {"parent": "team", "holder": "jane", "budget": {"tokens": 10**6}},
    "bob": {"parent": "team", "holder": "bob", "limits": [{"dim": "USD", "per": "day", "amount": 10**6}]},
    "lone": {"unknown_ns": DAY, "budget": {"USD": 10**6}},
}
MORE = {"resources": {"USD": 2}, "accounts": {"accounts/team": {}, "accounts/vendor": {}}}


def lived(folder, seed=7, intents=60):
    """A world of ten days in which everything ended in some way, or has not ended yet."""
    chance = random.Random(seed)
    kernel = splittally.open(folder, clock="given")
    apply(kernel, manifest(GRANTS, **MORE), now_ns=START)
    assert kernel.native("ledger.issue", resource="USD", amount=10**5, to="accounts/team").allowed
    ended = []
    for at in range(intents):
        now = START + at * DAY // 6
        grant = chance.choice(["jane", "bob", "lone"])
        who = kernel.as_principal(grant if grant != "lone" else "operator")
        reserve = {dim: chance.randint(1, 90) for dim in ("tokens", "USD") if chance.random() < 0.8}
        labels = {"run": str(chance.randint(1, 2))} if chance.random() < 0.7 else {}
        intent = Intent(ACT, {"a": reserves(reserve)}, grant, labels=labels, expires_ns=now + DAY)
        digest = who.submit(intent, now_ns=now).intent_hash
        usage = {dim: chance.randint(0, 110) for dim in reserve}
        match chance.choice(["receipt", "receipt", "late", "unknown", "cancel", "open", "recorded"]):
            case "receipt":
                settle(who, digest, usage)
                ended.append(digest)
            case "late":
                who.release(digest)
                settle(who, digest, usage, now_ns=now + DAY // 12)
                ended.append(digest)
            case "unknown":
                who.settle(Receipt(digest, "unknown", "adapter"))
            case "cancel":
                who.release(digest)
            case "recorded":
                kernel.native("usage.record", grant="bob", usage={"USD": chance.randint(1, 50)})
        if ended and chance.random() < 0.3:
            given = {chance.choice(["tokens", "USD"]): 1}
            kernel.native("settlement.refund", intent_hash=chance.choice(ended), amounts=given)
    return kernel


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spend") / "world"
    lived(folder).close()
    return folder


@pytest.fixture(scope="module")
def reader(books):
    with open_reader(books) as reader:
        yield reader


def shown(rows, by):
    """Rows as the oracle has them; a day by its date."""
    found = {}
    for row in rows:
        if row["charges"] or row["refunded"]:
            group = [
                datetime.fromtimestamp(row[name] // 10**9, UTC).date().isoformat()
                if name == "window:day" else row[name]
                for name in by if name != "resource"
            ]  # fmt: skip
            found[*group, row["resource"]] = [row["charges"], row["charged"], row["refunded"]]
    return found


# --- beside the obvious walk ------------------------------------------------------------------------


@pytest.mark.req("X8-07")
def test_any_question_is_answered_as_an_obvious_walk_answers_it(reader):
    chance, frames = random.Random(3), spend_oracle.frames_of(reader)
    groups = ["grant", "principal", "kind", "outcome", "resource", "label:run", "window:day"]
    filters = {
        "grant": ["jane", "bob", "lone"], "principal": ["jane", "bob", "operator"],
        "resource": ["USD", "tokens"],
        "kind": [ACT, "usage.record"], "outcome": ["allow"], "labels": [{"run": "1"}],
    }  # fmt: skip
    answered = 0
    for _ in range(60):
        by = chance.sample(groups, chance.randint(0, 3))
        narrowed = chance.sample(list(filters), chance.choice([0, 1, 1, 2]))
        wanted = {name: chance.choice(filters[name]) for name in narrowed}
        first, last = 0, len(frames) - 1
        if chance.random() < 0.6:
            first, last = sorted(chance.choices(range(len(frames)), k=2))
        under = chance.choice([None, None, "team", "bob"])
        rows = reader.state.spend(by, since=first, until=last, under=under, **wanted)
        expected = spend_oracle.spend(frames, by, wanted, first, last + 1, under)
        found = {key: row for key, row in shown(rows, by).items() if key in expected or row[1:] != [0, 0]}
        assert found == expected, (by, wanted, first, last, under)
        answered += bool(expected)
    assert answered > 30


@pytest.mark.req("X8-07")
@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.parent.name)
def test_a_golden_journal_of_any_format_is_summed_as_an_obvious_walk_sums_it(path):
    by = ["grant", "principal", "kind"]
    with open_journal(path) as reader:
        rows, frames = reader.state.spend(by), spend_oracle.frames_of(reader)
    assert shown(rows, by) == spend_oracle.spend(frames, by, {}) != {}


@pytest.mark.req("X8-07")
def test_what_accounts_paid_is_what_left_them_and_did_not_come_back(reader):
    state = reader.state
    rows = state.spend(["resource"], resource="USD")
    (row,) = rows
    assert row["paid"] - row["repaid"] == state.accounts["accounts/vendor"].balances["USD"] > 0


@pytest.mark.req("X8-07")
def test_the_sum_under_a_grant_is_what_its_counter_for_life_counted(reader):
    for grant, dim in (("jane", "tokens"), ("lone", "USD")):
        (row,) = reader.state.spend(["resource"], under=grant, resource=dim)
        counter = reader.state.counter(grant, dim)
        assert (row["charged"], row["refunded"]) == (counter.spent, counter.get("refunded", 0))
        assert row["charged"] > 0


@pytest.mark.req("X8-07")
def test_what_is_only_held_does_not_count(tmp_path):
    with world(GRANTS, **MORE) as kernel:
        held(kernel, {"tokens": 5}, "lone")
        assert kernel.state.spend() == []


@pytest.mark.req("X8-07")
def test_a_dimension_that_nothing_limits_counts():
    with world({"g": {}}) as kernel:
        settle(kernel, held(kernel, {"nobody.counts": 3}), {"nobody.counts": 2})
        assert kernel.state.counters == {}
        assert [(row.resource, row.charged) for row in kernel.state.spend()] == [("nobody.counts", 2)]


@pytest.mark.req("X8-07")
def test_a_refund_belongs_to_the_day_on_which_it_came():
    with world(GRANTS, **MORE) as kernel:
        digest = held(kernel, {"tokens": 5}, "lone", now_ns=START)
        settle(kernel, digest, {"tokens": 5})
        refund = {"intent_hash": digest, "amounts": {"tokens": 2}}
        assert kernel.native("settlement.refund", now_ns=START + DAY, **refund).allowed
        rows = kernel.state.spend(["window:day"])
        assert [(row["window:day"], row.charged, row.refunded, row.net) for row in rows] == [
            (START, 5, 0, 5),
            (START + DAY, 0, 2, -2),
        ]


@pytest.mark.req("X8-07")
def test_what_an_account_of_a_grant_above_paid_stands_under_the_leaf():
    with world(GRANTS, **MORE) as kernel:
        assert kernel.native("ledger.issue", resource="USD", amount=500, to="accounts/team").allowed
        jane = kernel.as_principal("jane")
        settle(jane, held(jane, {"USD": 90}, "jane"), {"USD": 70})
        (row,) = kernel.state.spend()
        assert (row.grant, row.charged, row.paid, row.charges) == ("jane", 70, 70, 1)


# --- asking -----------------------------------------------------------------------------------------


@pytest.mark.req("X8-07")
def test_a_kernel_a_reader_a_past_moment_and_a_fork_answer_alike(books, reader):
    by = ["principal", "window:day"]
    expected, seq = reader.state.spend(by), reader.state.seq - 1
    past = reader.at(seq - 20).spend(by)
    with splittally.open(books) as kernel:
        assert kernel.state.spend(by, until=seq) == expected
        assert kernel.at(seq - 20).spend(by) == reader.state.spend(by, until=seq - 20) == past != expected
        fork = kernel.fork()
        settle(fork, held(fork, {"tokens": 1}, "lone"), {"tokens": 1})
        assert sum(row.charges for row in fork.state.spend(by)) > sum(row.charges for row in expected)


def test_commands_go_on_while_a_kernel_sums(books_of_one, monkeypatch):
    """Each frame is read under the lock, and nothing is held between two."""
    kernel, rows, read = books_of_one, Book.rows, []

    def reading(book, seq):
        if seq == 1:
            writer = threading.Thread(target=lambda: read.append(held(kernel, {"tokens": 1}, "lone")))
            writer.start()
            writer.join(10)
            assert not writer.is_alive()
        return rows(book, seq)

    monkeypatch.setattr(Book, "rows", reading)
    assert [row.charged for row in kernel.state.spend()] == [5]
    assert len(read) == 1


@pytest.fixture
def books_of_one():
    with world(GRANTS, **MORE) as kernel:
        settle(kernel, held(kernel, {"tokens": 5}, "lone"), {"tokens": 5})
        yield kernel


def test_only_intents_that_are_open_stay_in_memory(reader, monkeypatch):
    """Of one that ended, or was decided before the frames that are read, the journal is asked."""
    asked = []
    found = Book.trace
    monkeypatch.setattr(
        Book, "trace", lambda book, digest, before=None: asked.append(digest) or found(book, digest, before)
    )
    whole = reader.state.spend()
    late = {event.intent_hash for record in reader.records() for event in record.body.out
            if getattr(event, "how", "") == "late" or type(event).__name__ == "Refunded"}  # fmt: skip
    assert set(asked) == late
    half = reader.state.seq // 2
    parts = [reader.state.spend(until=half - 1), reader.state.spend(since=half)]
    assert len(asked) > len(late)
    for name in ("charges", "charged", "refunded", "paid", "repaid"):
        assert sum(row[name] for part in parts for row in part) == sum(row[name] for row in whole)


@pytest.mark.req("X8-07")
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"grant": "jan"}, "there is no grant `jan`; did you mean `jane`?"),
        ({"under": "teem"}, "there is no grant `teem`; did you mean `team`?"),
        ({"principal": "zoe"}, "there is no principal `zoe`"),
        ({"kind": "test.actt"}, "there is no kind `test.actt`; did you mean `test.act`?"),
        ({"resource": "usd"}, "there is no resource `usd`; did you mean `USD`?"),
        ({"outcome": "alow"}, "there is no outcome `alow`; did you mean `allow`?"),
        ({"by": ["grants"]}, "did you mean `grant`?"),
        ({"by": ["window:dey"]}, "did you mean `window:day`?"),
        ({"by": ["label:"]}, "groups are grant, principal"),
        ({"by": "grant"}, "`by` is a list of groups"),
        ({"grant": 3}, "`grant` is a name, not int"),
        ({"labels": {"a=b": "1"}}, "is no name of a label"),
        ({"since": 9, "until": 3}, "the range ends before it begins"),
    ],
)
def test_what_names_nothing_is_a_mistake_and_no_empty_answer(reader, asked, said):
    with pytest.raises(InvalidInput) as raised:
        reader.state.spend(**asked)
    assert said in str(raised.value)


def test_a_name_that_only_a_record_knows_is_known(tmp_path):
    """Of a dimension that no limit names and a principal that holds nothing."""
    with world({"g": {}}) as kernel:
        guest = kernel.as_principal("guest")
        guest.submit(Intent(ACT, {"a": reserves({"b": 1})}, "g"))
        settle(kernel, held(kernel, {"b": 3}), {"b": 2})
        state = kernel.state
        assert [row.charged for row in state.spend(resource="b")] == [2]
        assert state.spend(principal="guest") == []


# --- the command line -------------------------------------------------------------------------------


@pytest.mark.req("X8-07")
def test_the_command_prints_the_rows_of_python_and_their_sums(books, reader):
    words = ["--by", "principal,window:day", "--by", "label:run", "--since", str(START + DAY)]
    found = run("-w", books, "spend", *words, "--json").json
    by = ["principal", "window:day", "label:run"]
    rows = reader.state.spend(by, since=START + DAY)
    assert found["by"] == by
    assert [{**row, "window:day": int(row["window:day"])} for row in found["spend"]] == rows
    assert found["scales"] == {"USD": 2, "tokens": 0}
    for total in found["totals"]:
        own = [row for row in rows if row.resource == total["resource"]]
        assert total["charged"] == sum(row.charged for row in own)


@pytest.mark.req("X8-07")
def test_people_read_units_days_and_a_line_for_all(books):
    said = run("-w", books, "spend", "--by", "window:day,grant", "--resource", "USD").out.splitlines()
    day = (datetime(1970, 1, 1) + timedelta(days=20_000)).date().isoformat()
    assert said[0].split() == ["day", "grant", "charges", "charged", "refunded", "net", "paid"]
    assert said[2].startswith(day)
    assert " USD" in said[2]
    assert said[-1].startswith("in all")


@pytest.mark.req("X8-07")
def test_as_it_stood_then_is_until_then(books, reader):
    at = reader.state.seq // 2
    then = run("-w", books, "spend", "--at", at, "--json").json
    until = run("-w", books, "spend", "--until", at, "--json").json
    assert (then["seq"], then["spend"]) == (at, until["spend"])
    assert run("-w", books, "spend", "--at", 1).out == "nothing was charged\n"
