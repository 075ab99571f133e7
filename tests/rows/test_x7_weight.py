"""Grants made for one run: once others were revoked after them, only the hashes of their names stay."""

import gc
import tracemalloc
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core import step
from splittally.core.caps.names import NO_NAMES, digest_of, has_name, require_names, with_names
from splittally.core.caps.state import GRANTS
from splittally.core.errors import CanonicalError
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.state import TABLES
from splittally.runtime.reader import open_reader, read_store
from splittally.runtime.recover import fold
from splittally_tools.audit.explanation import explain
from splittally_tools.audit.verify import verify
from splittally_tools.testing.journal_walk import Walk

from tests.cli_tools import run
from tests.rows.worlds import (
    CAP,
    act,
    applied,
    apply,
    codes,
    held,
    listen,
    manifest,
    save_snapshot,
    settle,
    uses,
)

KEPT = 3
TOP = {"g": {"budget": {"tokens": 10_000}, "delegations": 8}}
BYTES_FOR_EACH_MAX = 40


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Worlds made here remember the last three grants that were revoked."""
    monkeypatch.setattr(step, "REVOKED_KEPT_MAX", KEPT)


def made(path=None, **more):
    return applied(manifest(TOP, **more), path)


def issue(kernel, name, under="root", **terms):
    terms = {"cap": CAP, "budget": {"tokens": 100}, "parent": under, **terms}
    return kernel.native("grant.issue", name=name, terms=terms, under=under)


def revoke(kernel, *names):
    for name in names:
        assert kernel.native("grant.revoke", name=name).allowed


def a_run(kernel, name, **terms):
    """A grant that is issued, used and revoked; the intent that was charged 3 of its 5."""
    assert issue(kernel, name, **terms).allowed
    digest = held(kernel, {"tokens": 5}, name)
    settle(kernel, digest, {"tokens": 3})
    revoke(kernel, name)
    return digest


def others(kernel, count=2 * KEPT + 1):
    """So many runs that everything revoked before them is forgotten, if it may be."""
    for _ in range(count):
        a_run(kernel, f"other/{kernel.state.seq}")


def standing(kernel, *names):
    return [name for name in names if name in kernel.state.grants]


def tables_with(kernel, name):
    """The tables in which anything of this name stands."""
    tables = kernel.state.tables().items()
    return [table for table, rows in tables if any(repr(name)[1:-1] in repr(row) for row in rows)]


def audited(kernel):
    """The state is a fold of the frames, comes back from bytes, and each frame is decided again as it was."""
    root, state = kernel.state.root, kernel._world.state
    assert root == state_root(fold(kernel._world.store)) == state_root(load_state(dump_state(state)))
    assert root == state_root(load_state(dump_state(state), is_dumped=True)) == state_root(state.copy())
    walk = Walk(read_store(kernel), is_rejudging=True)
    walk.finish()
    assert not walk.other_engines
    report = verify(read_store(kernel))
    assert (report.damage, report.problems) == (None, [])


# --- what is forgotten --------------------------------------------------------------------------------


@pytest.mark.req("X7-23")
def test_the_last_revoked_grants_are_remembered_and_of_older_ones_a_hash_stands():
    kernel = made()
    runs = [f"run/{at}" for at in range(2 * KEPT + 1)]
    for name in runs[:-1]:
        a_run(kernel, name, params={"of": name})
    assert standing(kernel, *runs) == runs[:-1]
    a_run(kernel, runs[-1])
    assert standing(kernel, *runs) == runs[-KEPT:]
    assert all(tables_with(kernel, name) == [] for name in runs[:-KEPT])
    assert set(kernel.state.counters) == {"g", *runs[-KEPT:]}
    assert len(kernel._world.state.caps.forgotten[GRANTS]) == 32 * (len(runs) - KEPT)
    audited(kernel)


@pytest.mark.req("X7-23")
def test_many_runs_add_a_hash_each_to_a_world_and_its_snapshots():
    kernel, sizes = made(), []
    others(kernel)
    for _ in range(4):
        for at in range(KEPT + 1):
            a_run(kernel, f"run/{kernel.state.seq:06}/{at}", params={"of": f"{kernel.state.seq:06}"})
        state = kernel._world.state
        sizes.append((len(dump_state(state)), sum(len(state.table(table)) for table in TABLES)))
    assert len({rows for _, rows in sizes}) == 1
    grown = [after - before for (before, _), (after, _) in pairwise(sizes)]
    assert all(0 <= more <= BYTES_FOR_EACH_MAX * (KEPT + 1) for more in grown), grown


@pytest.mark.req("X7-23")
def test_a_world_after_many_runs_is_as_light_as_before_them():
    """Memory and objects of a state that was read from a snapshot, beside one that had no runs."""
    kernel, held_bytes = made(), []
    others(kernel)
    few_runs = dump_state(kernel._world.state)
    others(kernel, 60)
    for data in (few_runs, dump_state(kernel._world.state)):
        load_state(data)
        gc.collect()
        tracemalloc.start()
        try:
            loaded = load_state(data)
            gc.collect()
            held_bytes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert loaded.size
    assert held_bytes[1] - held_bytes[0] < 60 * BYTES_FOR_EACH_MAX + 8_000


@pytest.mark.req("X7-23")
def test_windows_top_ups_and_keyed_counters_go_with_their_grant():
    kernel = made()
    limits = [
        {"dim": "tokens", "per": "day", "amount": 50},
        {"dim": "tokens", "per": "90s", "amount": 60},
        {"dim": "tokens", "per": "hour", "amount": 9, "per_key": "params.user"},
    ]
    assert issue(kernel, "run/0", limits=limits).allowed
    settle(kernel, held(kernel, {"tokens": 2}, "run/0", params={"user": "ada"}), {"tokens": 1})
    top_up = {"name": "run/0", "dim": "tokens", "amount": 5, "until_ns": 10**17}
    assert kernel.native("grant.topup", **top_up).allowed
    assert {"keyed", "topups", "windows", "counters"} <= set(tables_with(kernel, "run/0"))
    revoke(kernel, "run/0")
    others(kernel)
    assert tables_with(kernel, "run/0") == []
    assert not any(map(len, (kernel._world.state.ledger.raised, kernel._world.state.ledger.slices)))
    size = kernel.state.seq
    kernel.tick(now_ns=2 * 10**17)
    assert kernel.state.seq == size
    audited(kernel)


# --- what keeps a grant -------------------------------------------------------------------------------


@pytest.mark.req("X7-23")
def test_a_grant_stays_as_long_as_a_hold_has_a_leg_of_it_and_goes_after():
    kernel = made()
    assert issue(kernel, "mid", "g", delegations=3).allowed
    for name in ("mid/a", "mid/b"):
        assert issue(kernel, name, "mid").allowed
    digest = held(kernel, {"tokens": 5}, "mid/a")
    revoke(kernel, "mid")
    others(kernel)
    assert standing(kernel, "mid", "mid/a", "mid/b") == ["mid", "mid/a"]
    assert kernel.state.counters["mid"]["tokens"].reserved == 5
    assert settle(kernel, digest, {"tokens": 4}).status == "settled"
    assert kernel.state.counters["mid"]["tokens"].spent == 4
    others(kernel)
    assert standing(kernel, "mid", "mid/a", "g") == ["g"]
    audited(kernel)


@pytest.mark.req("X7-23")
def test_cap_params_stay_as_long_as_another_grant_names_them():
    kernel = made()
    assert issue(kernel, "live", params={"only": "both"}).allowed
    a_run(kernel, "run", params={"only": "both"})
    others(kernel)
    assert standing(kernel, "live", "run") == ["live"]
    settle(kernel, held(kernel, {"tokens": 1}, "live"), {"tokens": 1})
    audited(kernel)


@pytest.mark.req("X7-23")
def test_a_child_that_was_revoked_lately_keeps_those_above_it():
    kernel = made()
    assert issue(kernel, "mid", "g", delegations=3).allowed
    assert issue(kernel, "mid/a", "mid").allowed
    revoke(kernel, "mid")
    others(kernel, 2 * KEPT - 1)
    revoke(kernel, "mid/a")
    assert standing(kernel, "mid", "mid/a") == ["mid", "mid/a"]
    others(kernel)
    assert standing(kernel, "mid", "mid/a") == []
    audited(kernel)


@pytest.mark.req("X7-23")
def test_a_charter_an_adopter_and_a_lender_stay():
    kernel = made(resources={"USD": 0}, accounts={"accounts/team": {}})
    draws = {"cap": "sys/all@1", "budget": {"USD": 50}, "delegations": 4}
    for name in ("chief", "banker"):
        assert kernel.native("grant.issue", name=name, terms={**draws, "parent": "root"}).allowed
        assert kernel.native(
            "grant.issue", under=name, name=f"{name}/desk",
            terms={"cap": "sys/native@1", "parent": name, "delegations": 2},
        ).allowed  # fmt: skip
    plan = {"resources": {"USD": 0}}
    created = kernel.native("budget.create", budget="budgets/b", schema=plan, under="chief/desk")
    assert created.allowed, created
    opened = kernel.native("account.open", account="accounts/owes", debt_limit=20, under="banker/desk")
    assert opened.allowed, opened
    revoke(kernel, "budgets/b", "chief", "banker")
    others(kernel)
    kept = ["budgets/b", "chief", "chief/desk", "banker", "banker/desk"]
    assert standing(kernel, *kept) == kept
    assert codes(kernel.native("budget.split", budget="budgets/b", resource="USD", shares={"x": 100}))
    audited(kernel)


# --- its name -------------------------------------------------------------------------------------------


@pytest.mark.req("X7-23")
def test_no_door_gives_the_name_of_a_forgotten_grant_again():
    kernel = made(resources={"USD": 0}, accounts={"accounts/team": {}})
    plan = {"resources": {"USD": 0}}
    assert kernel.native("budget.create", budget="budgets/b", schema=plan).allowed
    assert kernel.native("ledger.issue", resource="USD", amount=10, to="budgets/b").allowed
    runs = ["run", "budgets/b/x", "budgets/new", "budgets/other/y"]
    for name in runs:
        a_run(kernel, name)
    others(kernel)
    assert standing(kernel, *runs) == []
    taken = issue(kernel, "run")
    assert [(x.code, x.facts["revoked"]) for x in taken.findings] == [("name_taken", True)]
    stated = kernel.apply(manifest({**TOP, "run": {}}, resources={"USD": 0}, accounts={"accounts/team": {}}))
    assert codes(stated) == ["name_taken"]
    split = {"budget": "budgets/b", "resource": "USD", "shares": {"x": 100}}
    assert codes(kernel.native("budget.split", **split)) == ["name_taken"]
    assert codes(kernel.native("budget.create", budget="budgets/new", schema=plan)) == ["name_taken"]
    parts = plan | {"allocations": {"USD": {"y": 100}}}
    assert codes(kernel.native("budget.create", budget="budgets/other", schema=parts)) == ["name_taken"]
    with kernel.fork() as what_if:
        assert codes(issue(what_if, "run")) == ["name_taken"]
    audited(kernel)


@pytest.mark.req("X7-23")
def test_what_names_a_forgotten_grant_hears_that_it_was_revoked():
    kernel = made()
    a_run(kernel, "run")
    others(kernel)
    asked = act(kernel, {"tokens": 1}, "run")
    assert (asked.seq, codes(asked)) == (None, ["unknown_grant"])
    assert asked.findings[0].facts == {
        "grant": "run",
        "revoked": True,
        "next": asked.findings[0].facts["next"],
    }
    for mode in ("all", "first"):
        group = kernel.submit([Intent("test.act", {"a": b"x"}, name) for name in ("g", "run")], mode=mode)
        answers = group if mode == "all" else [group]
        assert {(x.seq, *codes(x)) for x in answers} == {(None, "unknown_grant")}
    assert codes(kernel.native("grant.revoke", name="run")) == ["revoked"]
    assert codes(kernel.native("grant.topup", name="run", dim="tokens", amount=1)) == ["revoked"]
    assert codes(issue(kernel, "child", parent="run", under="root"))
    [missing] = kernel.native("usage.record", grant="run", usage={"tokens": 1}, under="root").findings
    assert (missing.code, missing.facts["revoked"]) == ("not_found", True)
    never = act(kernel, {"tokens": 1}, "never").findings[0]
    assert (never.code, "revoked" in never.facts) == ("unknown_grant", False)
    audited(kernel)


@pytest.mark.req("X7-23")
def test_who_asked_under_a_forgotten_grant_hears_the_first_answer_again_and_nobody_else_does():
    kernel = made()
    assert issue(kernel, "run", holder="ann").allowed
    ann, intent = (
        kernel.as_principal("ann"),
        Intent("test.act", {"a": b"x"}, "run", idempotency_key=b"k" * 32),
    )
    first = ann.submit(intent)
    revoke(kernel, "run")
    others(kernel)
    again = ann.submit(intent)
    assert (again.duplicate, again.seq, again.outcome) == (True, first.seq, first.outcome)
    for stranger in (kernel, kernel.as_principal("eve")):
        assert codes(stranger.submit(intent)) == ["unknown_grant"]


# --- what comes late --------------------------------------------------------------------------------------


@pytest.mark.req("X7-23")
def test_a_late_receipt_is_judged_by_the_params_of_the_forgotten_grant_and_charged_to_those_that_stand():
    kernel = made()
    assert issue(kernel, "run", "g", params={"only": "run"}).allowed
    digest = held(kernel, {"tokens": 5}, "run")
    assert kernel.release(digest).status == "released"
    revoke(kernel, "run")
    others(kernel)
    calls = listen(kernel)
    settlement = settle(kernel, digest, {"tokens": 7})
    assert (settlement.status, settlement.usage) == ("late", {"tokens": 7})
    assert [call.message["cap_params"] for call in calls] == [b"\xa1donlycrun", b"\xa0"]
    assert kernel.state.counters["g"]["tokens"].spent == 7 and "run" not in kernel.state.counters
    assert kernel.outcome(digest).charged == {"tokens": 7}
    assert settle(kernel, digest, {"tokens": 7}).status == "duplicate"
    refund = {"intent_hash": digest, "amounts": {"tokens": 2}}
    assert kernel.native("settlement.refund", **refund).allowed
    assert kernel.state.counters["g"]["tokens"].refunded == 2 and "run" not in kernel.state.counters
    audited(kernel)


@pytest.mark.req("X7-23")
def test_a_late_receipt_tells_nobody_the_figures_of_a_forgotten_grant_they_did_not_hold():
    kernel = made()
    assert issue(kernel, "run", "g", holder="ann").allowed
    ann = kernel.as_principal("ann")
    digest = ann.submit(Intent("test.act", {"a": b"\xa1eCheck" + RESERVES_FIVE}, "run")).intent_hash
    ann.release(digest)
    revoke(kernel, "run")
    others(kernel)
    settlement = ann.settle(splittally.Receipt(digest, "ok", "adapter", uses({"tokens": 9})))
    assert settlement.status == "late"
    told = {x.facts["grant"]: x.facts for x in settlement.violations if x.code == "usage_exceeds_reserve"}
    assert "usage" not in told["run"] and "usage" not in told["g"]
    audited(kernel)


RESERVES_FIVE = b"\xa2nconstraints_ok\xf5preserve_estimate\xa1ftokens\x05"


# --- where it is found again -------------------------------------------------------------------------------


@pytest.mark.req("X7-23")
def test_a_forgotten_grant_is_found_by_the_index_and_its_intents_are_explained(folder, monkeypatch):
    with made(folder / "w") as kernel:
        assert issue(kernel, "mid", "g", delegations=2).allowed
        assert issue(kernel, "mid/run", "mid", params={"only": "run"}).allowed
        digest, before = held(kernel, {"tokens": 5}, "mid/run"), dict(kernel.state.grant("mid/run"))
        settle(kernel, digest, {"tokens": 3})
        revoke(kernel, "mid/run", "mid")
        others(kernel)
        assert "mid/run" not in kernel.state.grants
        found = dict(kernel.state.grant("mid/run"))
        assert found.pop("revoked") and found == {x: before[x] for x in before if x != "revoked"}
        assert found["chain"] == ["mid/run", "mid", "g", "root"]
        assert kernel.at(kernel.state.seq - 1).grant("mid/run").revoked
        save_snapshot(kernel)
    with open_reader(folder / "w") as reader:
        read = []
        body = reader.history.body
        monkeypatch.setattr(reader.history, "body", lambda seq: (read.append(seq), body(seq))[1])
        assert reader.state.grant("mid/run").cap == CAP and reader.state.grant("never") is None
        assert len(read) == 5  # what set and revoked the two, and the params
        row = explain(reader, digest)
        assert [link["grant"] for link in row["chain"]] == ["mid/run", "mid", "g", "root"]
        assert reader.outcome(digest).charged == {"tokens": 3}


@pytest.mark.req("X7-23")
def test_the_command_line_shows_a_forgotten_grant_and_lists_those_that_stand(folder):
    with made(folder / "w") as kernel:
        a_run(kernel, "run/0", params={"only": "run"})
        others(kernel)
        names = {*kernel.state.grants}
    world = ("-w", folder / "w", "--json", "grants")
    (row,) = run(*world, "run/0").json["grants"].values()
    assert (row["name"], row["revoked"], row["cap_params"]) == ("run/0", True, {"only": "run"})
    assert {*run(*world).json["grants"]} == names
    history = run(*world, "run/0", "--history").json["history"]
    assert [change["what"] for change in history] == ["made", "revoked with run/0"]
    assert run(*world, "never").code == 1


# --- worlds on disk ---------------------------------------------------------------------------------------


@pytest.mark.req("X7-23")
def test_a_world_that_is_opened_from_a_snapshot_goes_on_as_one_that_never_was_closed(folder):
    roots = []
    for is_closed in (False, True):
        path = folder / str(is_closed)
        kernel = made(path)
        for at in range(12):
            a_run(kernel, f"run/{at}", params={"of": at})
            if is_closed and at % 4 == 2:
                save_snapshot(kernel)
                kernel.close()
                kernel = splittally.open(path)
                assert kernel.repairs == ()
        forgotten = kernel._world.state.caps.forgotten[GRANTS]
        roots.append((sorted(kernel.state.grants), sorted(kernel.state.counters), forgotten))
        audited(kernel)
        kernel.close()
    assert roots[0] == roots[1]


@pytest.mark.req("X7-23")
@pytest.mark.parametrize("names", [b"", b"a" * 31, b"b" * 32 + b"a" * 32, b"a" * 64])
def test_a_snapshot_whose_forgotten_names_are_no_set_is_refused(names):
    kernel = made()
    others(kernel)
    state = kernel._world.state.copy()
    for is_dumped in (False, True):
        state.caps.forgotten[GRANTS] = names
        with pytest.raises(CanonicalError):
            load_state(dump_state(state), is_dumped=is_dumped)
    state.caps.forgotten = {"other": b"a" * 32}
    with pytest.raises(CanonicalError):
        load_state(dump_state(state))


@pytest.mark.req("X7-23")
def test_a_world_that_never_said_how_many_it_remembers_forgets_none(monkeypatch):
    """As those of older releases: what their frames say folds to what it did."""
    monkeypatch.setattr(step, "REVOKED_KEPT_MAX", 0)
    kernel = made()
    others(kernel, 3 * KEPT)
    assert not kernel._world.state.caps.forgotten and len(kernel.state.grants) == 2 + 3 * KEPT
    assert {"forgotten", "revoked_at"}.isdisjoint(kernel.state.tables())


@pytest.mark.req("X7-23")
def test_a_manifest_that_revokes_many_at_once_forgets_all_but_the_last_of_them():
    kernel = made()
    apply(kernel, manifest({**TOP, **{f"m/{at}": {} for at in range(9)}}))
    apply(kernel, manifest(TOP))
    assert standing(kernel, *(f"m/{at}" for at in range(9))) == ["m/6", "m/7", "m/8"]
    assert codes(kernel.apply(manifest({**TOP, "m/0": {}}))) == ["name_taken"]
    audited(kernel)


# --- names -------------------------------------------------------------------------------------------------

TEXTS = st.sets(st.text(max_size=3), max_size=12)


@given(st.lists(TEXTS, max_size=5), TEXTS)
def test_a_set_of_names_is_the_set_of_their_hashes_however_it_was_made(batches, others):
    names, added = NO_NAMES, set()
    for batch in batches:
        names = with_names(names, batch - added)
        added |= batch
    assert names == b"".join(sorted(map(digest_of, added))) == with_names(NO_NAMES, added)
    assert all(has_name(names, text) == (text in added) for text in added | others)
    if added:
        require_names(names)
