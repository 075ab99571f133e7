"""The ledger decides, the statistics tell: they lag, are lost and come back, and no answer depends on it."""

import shutil
import sqlite3
import threading

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.errors import SplittallyError
from splittally.journal.index import Index
from splittally.journal.lmdb import LmdbStore
from splittally.runtime.reader import open_reader
from splittally_tools.statistics.feed import FILE, update
from splittally_tools.statistics.store import open_statistics

from tests.cli_tools import run
from tests.rows.worlds import act, codes, few, held, settle, world

ACCOUNTS = {"accounts/team": {}, "accounts/vendor": {}, "accounts/credit": {"debt_limit": 500}}
TEAM, VENDOR, CREDIT = ACCOUNTS
GRANTS = {"g": {"budget": {"USD": 10**9}, "draws_on": {"USD": TEAM}, "pays_to": [VENDOR]}}


def money_world(path):
    return world(GRANTS, path, resources={"USD": 0}, accounts=ACCOUNTS)


def issue(kernel, amount, to=TEAM):
    assert kernel.native("ledger.issue", resource="USD", amount=amount, to=to).allowed


def transfer(amount, debit=TEAM, to=VENDOR):
    params = {"resource": "USD", "amount": amount, "from": debit, "to": to}
    return Intent("ledger.transfer", params, "root")


def stats(path, *arguments, code=0):
    ran = run("-w", path, "--json", "stats", *arguments)
    assert ran.code == code, ran
    return ran.json


def of(document, account):
    return document["accounts"][account]["resources"]["USD"]


def ledger_of(kernel):
    """What the ledger says of every account, in the form of `stats show`."""
    return {
        name: {
            resource: (balance, row.in_flight.get(resource, 0)) for resource, balance in row.balances.items()
        }
        for name, row in kernel.state.accounts.items()
    }


def told(document):
    return {
        name: {
            resource: (found["balance"], found["in_flight"]) for resource, found in row["resources"].items()
        }
        for name, row in document["accounts"].items()
    }


# --- a layer of its own -----------------------------------------------------------------------------


@pytest.mark.req("S0-218")
def test_balances_are_answered_with_their_version_while_nobody_reads_the_ledger(folder):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 1_000)
        updated = stats(path, "update")
        assert (updated["seq"], updated["behind"]) == (kernel.state.seq - 1, 0)
        issue(kernel, 500)  # nobody reads it
        shown = stats(path, "show")
        assert (shown["seq"], shown["behind"]) == (updated["seq"], 1)
        assert of(shown, TEAM)["balance"] == 1_000
        assert ledger_of(kernel)[TEAM] == {"USD": (1_500, 0)}
    shutil.move(path / "journal", folder / "away")
    shown = stats(path, "show")
    assert (shown["seq"], shown["behind"], of(shown, TEAM)["balance"]) == (updated["seq"], None, 1_000)
    shutil.move(folder / "away", path / "journal")
    assert stats(path, "update")["frames"] == 1
    assert of(stats(path, "show"), TEAM)["balance"] == 1_500


@pytest.mark.req("S0-219")
@pytest.mark.parametrize(
    ("change", "what", "ledger", "wrong"),
    [
        ("UPDATE balances SET amount='999999' WHERE account='accounts/team'", "balance", 700, 999_999),
        ("DELETE FROM balances WHERE account='accounts/vendor'", "balance", 300, None),
        ("UPDATE draws SET amount='1'", "in_flight", 200, 1),
        ("UPDATE accounts SET debt_limit='7' WHERE account='accounts/credit'", "account", 500, 7),
        ("UPDATE totals SET max='1' WHERE account='accounts/team' AND direction='in'", "window", 1_200, 1),
    ],
)
def test_the_first_difference_is_named_and_the_ledger_is_right(folder, change, what, ledger, wrong):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 1_200)
        assert kernel.submit(transfer(300)).allowed
        held(kernel, {"USD": 200})
    stats(path, "update")
    right = stats(path, "show", "--per", "year")
    assert stats(path, "check") == {k: right[k] for k in ("seq", "now_ns", "behind")} | {
        "equal": True,
        "difference": None,
    }
    db = sqlite3.connect(path / FILE)
    with db:
        assert db.execute(change).rowcount > 0
    db.close()
    found = stats(path, "check", code=1)
    assert not found["equal"]
    sides = [found["difference"]["ledger"], found["difference"]["statistics"]]
    field = {"account": "debt_limit", "window": "max"}.get(what)
    assert found["difference"]["what"] == what
    assert [side[field] if field else side for side in sides] == [ledger, wrong]
    stats(path, "rebuild")
    assert stats(path, "show", "--per", "year") == right
    assert stats(path, "check")["equal"]


@pytest.mark.req("S0-219")
@pytest.mark.parametrize("harm", ["garbage", "cut", "page", "cell", "deleted"])
def test_a_damaged_or_deleted_file_says_so_and_rebuilding_brings_the_same_answers(folder, harm):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 1_000)
        assert kernel.submit(transfer(300)).allowed
    stats(path, "update")
    right = stats(path, "show", "--per", "month")
    file = path / FILE
    data = file.read_bytes()
    match harm:
        case "garbage":
            file.write_bytes(b"not a database, " * 999)
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "page":
            file.write_bytes(data[:4_096] + b"\xff" * (len(data) - 4_096))
        case "cell":
            file.write_bytes(data.replace(b"USD1000", b"USDabcd").replace(b"USD700", b"USDabc"))
            assert file.read_bytes() != data
        case _:
            file.unlink()
    ran = run("-w", path, "stats", "show")
    assert ran.code == (3 if harm == "deleted" else 1)
    assert ("stats update" if harm == "deleted" else "stats rebuild") in ran.err
    assert ran.err.count("\n") == 1
    assert stats(path, "rebuild")["behind"] == 0
    assert stats(path, "show", "--per", "month") == right
    assert stats(path, "check")["equal"]


moves = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), st.integers(1, 1_000), st.sampled_from([TEAM, CREDIT])),
        st.tuples(st.just("move"), st.integers(1, 800), st.sampled_from([(TEAM, CREDIT), (CREDIT, VENDOR)])),
        st.tuples(st.just("hold"), st.integers(1, 400), st.sampled_from(["settle", "release", "open"])),
        st.tuples(st.just("read"), st.integers(1, 9), st.just("")),
    ),
    max_size=12,
)


@pytest.mark.req("S0-223")
@few
@given(moves=moves)
def test_reading_as_it_happens_reading_from_zero_and_the_ledger_agree(tmp_path_factory, moves):
    """And a frame that is read a second time changes nothing."""
    path = tmp_path_factory.mktemp("fast") / "w"
    with money_world(path) as kernel:
        for at_ns, (verb, amount, how) in enumerate(moves, 1):
            now_ns = at_ns * 3 * 86_400 * 10**9
            match verb:
                case "issue":
                    issue(kernel, amount, how)
                case "move":
                    kernel.submit(transfer(amount, *how), now_ns=now_ns)
                case "hold":
                    decision = act(kernel, {"USD": amount}, now_ns=now_ns)
                    if decision.allowed and how == "settle":
                        settle(kernel, decision.intent_hash, {"USD": amount // 2})
                    elif decision.allowed and how == "release":
                        kernel.release(decision.intent_hash, "cancel")
                case _:
                    stats(path, "update")
        stats(path, "update")
        live = stats(path, "show", "--per", "week")
        assert told(live) == ledger_of(kernel)
        assert stats(path, "check")["equal"]
        with open_reader(path) as reader, open_statistics(path / FILE) as statistics:
            statistics.take(reader.records())
            assert update(reader, path / FILE).frames == 0
        assert stats(path, "show", "--per", "week") == live
        stats(path, "rebuild")
        assert stats(path, "show", "--per", "week") == live


@pytest.mark.req("S0-224")
def test_what_is_in_flight_is_not_spendable_and_not_taken_twice(folder):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 10_000)
        issue(kernel, 100, CREDIT)
        digest = held(kernel, {"USD": 3_000})
        stats(path, "update")
        row = of(stats(path, "show"), TEAM)
        assert row == {"balance": 7_000, "in_flight": 3_000, "spendable": 7_000}
        assert row["balance"] + row["in_flight"] == 10_000
        assert of(stats(path, "show"), CREDIT)["spendable"] == 600  # with the debt that it may make
        assert codes(act(kernel, {"USD": 7_001})) == ["insufficient_balance"]
        settle(kernel, digest, {"USD": 1_000})
        stats(path, "update")
        assert of(stats(path, "show"), TEAM) == {"balance": 9_000, "in_flight": 0, "spendable": 9_000}
        assert act(kernel, {"USD": 9_000}).allowed


# --- what an admission reads ------------------------------------------------------------------------

READS = [(LmdbStore, name) for name in ("entry", "entries", "read", "verified", "scan", "chained", "refresh")]
READS.append((Index, "seqs"))


@pytest.fixture
def reads(monkeypatch):
    """The calls of the store's and the index's reading methods; the list grows."""
    calls: list[str] = []
    for owner, name in READS:
        real = getattr(owner, name)

        def counted(self, *args, real=real, name=f"{owner.__name__}.{name}", **kwargs):
            calls.append(name)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.mark.req("S0-225", "S0-226")
def test_an_admission_reads_no_frame_however_long_the_ledger_is(folder, reads):
    with money_world(folder / "w") as kernel:
        issue(kernel, 1_000_000)
        oldest = kernel.submit(transfer(1)).intent_hash
        taken, postings = {}, 2
        for size in (1_000, 3_000):
            while postings < size:
                assert all(answer.allowed for answer in kernel.submit([transfer(1)] * 250))
                postings += 250
            del reads[:]
            held(kernel, {"USD": 10})
            assert kernel.submit(transfer(1)).allowed
            taken[size] = list(reads)
            assert kernel.state.seq > size
        assert taken[1_000] == taken[3_000]
        assert not [name for name in taken[3_000] if name.startswith("LmdbStore.")]
        assert kernel.outcome(oldest).outcome == "allow"
        assert [name for name in reads if name.startswith("LmdbStore.")]  # what reads frames is counted


@pytest.mark.req("S0-225")
def test_an_admission_never_opens_the_statistics(folder, monkeypatch):
    """Statistics that say the opposite of the ledger change no answer."""
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 100)
        stats(path, "update")
        db = sqlite3.connect(path / FILE)
        with db:
            db.execute("UPDATE balances SET amount='0' WHERE account='accounts/team'")
        db.close()
        monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: pytest.fail("opened"))
        assert act(kernel, {"USD": 100}).allowed
        assert codes(act(kernel, {"USD": 1})) == ["insufficient_balance"]


@pytest.mark.req("S0-227")
@pytest.mark.parametrize("round_", range(5))
def test_of_two_that_race_for_the_last_thousand_one_is_accepted_while_statistics_lag(folder, round_):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 1_000)
        stats(path, "update")
        answers, start = [], threading.Barrier(2)

        def post(estimate):
            start.wait()
            answers.append(act(kernel, {"USD": 1_000}, params={"for": estimate}))

        threads = [threading.Thread(target=post, args=(name,)) for name in ("one", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.outcome for answer in answers) == ["allow", "deny"]
        (refused,) = [answer for answer in answers if not answer.allowed]
        assert codes(refused) == ["insufficient_balance"]
        shown = stats(path, "show")
        assert (shown["behind"], of(shown, TEAM)["spendable"]) == (2, 1_000)  # it has seen neither
        stats(path, "update")
        assert of(stats(path, "show"), TEAM) == {"balance": 0, "in_flight": 1_000, "spendable": 0}


# --- two stores -------------------------------------------------------------------------------------


@pytest.mark.req("S0-234")
def test_either_store_is_restarted_alone_and_nothing_is_lost(folder):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 1_000)
        stats(path, "update")
        first = stats(path, "show", "--per", "day")
    with splittally.open(path) as kernel:  # the ledger anew, the statistics as they were
        shown = stats(path, "show", "--per", "day")
        assert shown["accounts"] == first["accounts"] and shown["windows"] == first["windows"]
        assert kernel.submit(transfer(250)).allowed
        root = kernel.state.root
        missed = stats(path, "show")["behind"]
        assert stats(path, "update")["frames"] == missed > 0
        right = stats(path, "show", "--per", "day")
        assert told(right) == ledger_of(kernel)
        (path / FILE).unlink()  # the statistics anew, the ledger as it was
        assert kernel.submit(transfer(1)).allowed
        assert kernel.state.root != root
        again = stats(path, "update")
        assert (again["behind"], again["frames"]) == (0, kernel.state.seq)
        assert told(stats(path, "show")) == ledger_of(kernel)
    assert run("-w", path, "verify").code == 0


@pytest.mark.req("S0-234")
def test_an_update_that_dies_leaves_the_cursor_and_the_sums_of_before(folder):
    path = folder / "w"
    with money_world(path) as kernel:
        issue(kernel, 1_000)
        stats(path, "update")
        before = stats(path, "show", "--per", "hour")
        assert kernel.submit(transfer(250)).allowed
        with open_reader(path) as reader, open_statistics(path / FILE) as statistics:
            statistics.db.execute(
                "CREATE TEMP TRIGGER dies BEFORE UPDATE ON cursor BEGIN SELECT RAISE(ABORT, 'dies'); END"
            )
            with pytest.raises(SplittallyError):  # the cursor is the last that is written
                statistics.take(reader.records(before["seq"] + 1))
        after = stats(path, "show", "--per", "hour")
        assert after == {**before, "behind": 1}
        stats(path, "update")
        assert told(stats(path, "show")) == ledger_of(kernel)
