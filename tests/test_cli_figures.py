"""Figures, words and exit codes that people look at first: status, digest, lines of the ledger, natives."""

import json
import time

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.core.limits import NATIVE_PARAMS_BYTES_MAX

from tests.cli_tools import busy_world, intent, make_world, run

DAY = 86_400 * 10**9
TEAM, SHOP = "accounts/team", "accounts/shop"


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    return busy_world(tmp_path_factory.mktemp("figures") / "world")


@pytest.fixture
def fresh(tmp_path):
    return make_world(tmp_path / "world")


# --- status -----------------------------------------------------------------------------------------


def test_the_status_counts_frames_and_open_intents(busy):
    told = run("-w", busy, "status", "--json").json
    head, text, opened = run("-w", busy, "status").out.splitlines()
    assert head.startswith(f"{told['seq'] + 1} frames, logical time 1970-01-01 00:00:00 +00:00")
    assert told["seq"] + 1 == len(run("-w", busy, "log", "--json").lines)
    assert (text.strip(), opened.strip()) == ("the clock is given with each command", "3 open intents")


@pytest.mark.req("X7-13")
@pytest.mark.parametrize(
    ("ahead", "code", "state", "said"),
    [(-DAY, 0, "steady", "is steady"), (DAY, 0, "behind", "is behind"), (-999 * DAY, 1, "jumped", "jumped")],
)
def test_only_a_clock_that_has_jumped_ends_the_command_with_one(tmp_path, ahead, code, state, said):
    """The world was written by a clock that was so far ahead of the machine's."""
    path, wall = tmp_path / "w", time.time_ns() + ahead
    splittally.open(path, clock=(lambda: wall, lambda: 7)).close()
    ran = run("-w", path, "status", "--json")
    assert (ran.code, ran.json["state"]) == (code, state)
    shown = run("-w", path, "status")
    assert shown.code == code
    assert f"the clock {said}" in shown.out or f"the clock has {said}" in shown.out


def test_the_status_names_each_thing_that_an_opening_will_rebuild(fresh):
    (fresh / "index").mkdir(exist_ok=True)
    for first in (0, 1):
        (fresh / "index" / f"{first:016x}-{first + 1:016x}.run").write_bytes(b"no run")
    repairs = run("-w", fresh, "status", "--json").json["repairs"]
    shown = run("-w", fresh, "status").out
    assert repairs and shown.count("to be rebuilt: ") == len(repairs)


# --- digest -----------------------------------------------------------------------------------------


def governed(amount):
    """A cap of so many USD a day over grants that reserve 2 or 3, in a world with two lanes."""
    grants = {
        f"usd{usd}": {
            "cap": "acme/job@1",
            "params": {"reserve": {"USD": usd}},
            "draws_on": {"USD": TEAM},
            "pays_to": [SHOP],
        }
        for usd in (2, 3)
    }
    return {
        "resources": {"USD": 0},
        "accounts": {TEAM: {}, SHOP: {}},
        "effects": {"job.run": {"cap_type": "job"}},
        "caps": {"acme/job@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "job"}},
        "grants": grants,
        "governor": {
            "caps": [{"resource": "USD", "per": "day", "amount": amount}],
            "fields": {"job.run": {"lane": "/lane"}},
        },
    }


@pytest.mark.req("X3-14")
def test_people_read_what_counts_against_a_cap_what_is_reserved_and_when_it_is_passed(tmp_path):
    """Today 3 without a lane and twice 2 in lane `b`; open are 2 of the day before and 3 of today."""
    path = tmp_path / "w"
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply(governed(12)).allowed
        kernel.native("ledger.issue", resource="USD", amount=100, to=TEAM)
        kernel.submit(Intent("job.run", {}, "usd2"), now_ns=1)
        past = kernel.submit(Intent("job.run", {"lane": "b"}, "usd3"))
        kernel.settle(Receipt(past.intent_hash, "ok", "h", {"usage": past.reserve}))
        kernel.native("account.open", account="accounts/x", now_ns=2 * DAY)
        for grant, lane in (("usd3", None), ("usd2", "b"), ("usd2", "b"), ("usd3", "a")):
            params = {} if lane is None else {"lane": lane}
            decision = kernel.submit(Intent("job.run", params, grant))
            assert decision.allowed, decision
            if lane != "a":
                kernel.settle(Receipt(decision.intent_hash, "ok", "h", {"usage": decision.reserve}))
    row = run("-w", path, "digest", "--json").json["governor"]["caps"][0]
    shown = run("-w", path, "digest").out
    assert f"{row['counted']} USD of 12 USD a day, {row['reserved']} USD of it reserved\n" in shown
    told = [line.split() for line in shown.splitlines() if line.startswith("USD ")]
    assert told == [["USD", "b", "4", "USD"], ["USD", "no", "lane", "3", "USD"]]
    for amount, over in ((row["counted"], ""), (row["counted"] - 1, ", above the cap")):
        with splittally.open(path, clock="given") as kernel:
            assert kernel.apply(governed(amount)).allowed
        line = run("-w", path, "digest").out.splitlines()[0]
        assert line == (
            f"{row['counted']} USD of {amount} USD a day, {row['reserved']} USD of it reserved{over}"
        )


# --- lines of the ledger ----------------------------------------------------------------------------


def test_lines_are_those_of_the_account_that_is_named_from_the_frame_that_is_named(busy):
    every = run("-w", busy, "ledger", "--entries", "--json").lines
    issued, moved = sorted({row["seq"] for row in every})
    sides = [(row["seq"], row["direction"], row["account"], row["amount"]) for row in every]
    assert sides == [
        (issued, "debit", "external/issuer", 1250), (issued, "credit", TEAM, 1250),
        (moved, "debit", TEAM, 250), (moved, "credit", "accounts/vendor", 250),
    ]  # fmt: skip
    for account in ("external/issuer", TEAM, "accounts/vendor"):
        for since in (0, issued + 1):
            found = run("-w", busy, "ledger", "--entries", "--account", account, "--since", since, "--json")
            assert found.lines == [x for x in every if x["account"] == account and x["seq"] >= since]
    missing = run("-w", busy, "ledger", "--entries", "--account", "accounts/nobody", "--json")
    assert (missing.code, missing.json["error"]["code"]) == (2, "invalid_input")


# --- labels -----------------------------------------------------------------------------------------


@pytest.mark.req("X7-22")
def test_a_frame_is_about_intents_with_all_the_labels_also_of_one_that_was_decided_before(fresh):
    asked = [{"run": "7", "user": "ann"}, {"run": "7"}, {"user": "ann"}, {}]
    decided = run("-w", fresh, "submit", text="".join(intent(tokens=1, labels=x) for x in asked)).lines
    told = [{"intent_hash": row["intent_hash"], "status": "ok"} for row in decided]
    settled = run("-w", fresh, "settle", text="".join(json.dumps(x) + "\n" for x in told)).lines
    frames = [
        (row["seq"], labels) for rows in (decided, settled) for row, labels in zip(rows, asked, strict=True)
    ]
    for wanted in ({"run": "7"}, {"user": "ann"}, {"run": "7", "user": "ann"}, {"run": "8"}):
        said = [word for name, text in wanted.items() for word in ("--label", f"{name}={text}")]
        for since in (0, settled[0]["seq"]):
            listed = run("-w", fresh, "log", "--json", "--since", since, *said).lines
            assert [line["seq"] for line in listed] == [
                seq for seq, labels in frames if seq >= since and wanted.items() <= labels.items()
            ]


@pytest.mark.req("X7-22")
def test_a_frame_that_put_an_intent_off_is_about_the_labels_that_it_had_then(tmp_path):
    """Labels are in no hash, so the same intent may come again with others."""
    path = tmp_path / "w"
    limit = {"dim": "tokens", "per": "day", "amount": 10, "over": "defer"}
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1", "limits": [limit]}}}).allowed
        params, told = {"model": "m", "max_tokens": 10}, []
        for at, key, labels in ((1, "first", {}), (2, "second", {}), (DAY, "second", {"run": "7"})):
            asked = Intent("llm.generate", params, "g", idempotency_key=key, labels=labels)
            told.append(kernel.submit(asked, now_ns=at))
        assert [x.outcome for x in told] == ["allow", "defer", "allow"]
    for since in (0, told[1].seq):
        listed = run("-w", path, "log", "--since", since, "--label", "run=7", "--json").lines
        assert [line["seq"] for line in listed] == [told[2].seq]


# --- words of native effects ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--budget", "tokens"], "`--budget` is KEY=VALUE, each key once"),
        (["--budget", "=1"], "`--budget` is KEY=VALUE, each key once"),
        (["--budget", "a=1", "--budget", "a=1"], "`--budget` is KEY=VALUE, each key once"),
        (["--hold-ns-max", "x"], "`--hold_ns_max` is a whole number"),
        (["--hold-ns-max", "²"], "`--hold_ns_max` is a whole number"),
        (["--params", "{"], "`--params` is JSON: "),
    ],
)
def test_words_that_do_not_fit_an_option_are_a_usage_error_that_names_it(fresh, words, says):
    frames = run("-w", fresh, "log", "--json").out
    ran = run("-w", fresh, "native", "grant.issue", "--name", "n", "--cap", "sys/llm.basic@1", *words)
    assert (ran.code, says in ran.err) == (2, True), ran.err
    assert run("-w", fresh, "log", "--json").out == frames


@pytest.mark.parametrize(
    ("word", "status"), [("yes", "settled"), ("true", "settled"), ("no", "released"), ("false", "released")]
)
def test_yes_and_no_are_what_became_of_an_intent_that_was_unknown(fresh, word, status):
    digest = run("-w", fresh, "submit", text=intent()).json["intent_hash"]
    line = json.dumps({"intent_hash": digest, "status": "unknown"})
    assert run("-w", fresh, "settle", text=line).json["status"] == "held"
    attest = ("-w", fresh, "native", "outcome.attest", "--intent-hash", digest, "--happened")
    assert run(*attest, "maybe").code == 2
    usage = ("--usage", "tokens=3") if status == "settled" else ()
    assert run(*attest, word, *usage).code == 0
    told = run("-w", fresh, "outcome", digest, "--json").json
    assert (told["status"], told["charged"]) == (status, {"tokens": 3} if usage else None)


def test_a_file_of_bytes_is_read_up_to_its_bound_and_no_further(fresh, tmp_path):
    file = tmp_path / "module.wasm"
    ran = run("-w", fresh, "native", "module.install", "--name", "m", "--wasm", f"@{file}")
    assert (ran.code, "cannot be read: No such file" in ran.err) == (2, True)
    with file.open("wb") as made:
        made.truncate(NATIVE_PARAMS_BYTES_MAX + 1)
    ran = run("-w", fresh, "native", "module.install", "--name", "m", "--wasm", f"@{file}")
    assert (ran.code, f"is larger than {NATIVE_PARAMS_BYTES_MAX} bytes" in ran.err) == (2, True)


def test_a_budget_that_is_not_there_or_not_named_is_a_usage_error(fresh, tmp_path):
    plan = json.dumps({"resources": {"USD": 2}})
    assert run("-w", fresh, "native", "budget.create", "--budget", "budgets/b", "--schema", plan).code == 0
    for words, says in (
        (["--part", "schema"], "say which budget"),
        (["--cell", "x"], "say which budget"),
        (["budgets/c"], "there is no budget `budgets/c`"),
        (["budgets/b", "--cell", "x"], "the solution of `budgets/b` has no cell `x`"),
    ):
        ran = run("-w", fresh, "budgets", *words)
        assert (ran.code, says in ran.err) == (2, True), ran.err
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.req("X7-21")
def test_a_budget_shows_its_balance_what_is_in_flight_and_its_lines_as_they_stood(tmp_path):
    path, plan = tmp_path / "w", {"resources": {"USD": 2}, "lines": {"ads": {"resource": "USD"}}}
    plan["lines"]["ads"] |= {"amount": 36_500, "per": "year"}
    grant = {
        "cap": "sys/spend@1", "budget": {"USD": 500}, "draws_on": {"USD": "budgets/b"}, "pays_to": [SHOP]
    }  # fmt: skip
    with splittally.open(path, clock="given") as kernel:
        assert kernel.apply({"resources": {"USD": 2}, "accounts": {SHOP: {}}}).allowed
        assert kernel.native("budget.create", budget="budgets/b", schema=plan).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=100, to="budgets/b").allowed
        before = kernel.state.seq - 1
        assert kernel.native("grant.issue", name="g", terms=grant).allowed
        assert kernel.submit(Intent("task.post", {"result": "ad", "amounts": {"USD": 30}}, "g")).allowed
    for at, balance, flying in ((before, "1.00", "0.00"), (before + 2, "0.70", "0.30")):
        (row,) = (x.split() for x in run("-w", path, "budgets", "--at", at).out.splitlines() if "USD" in x)
        assert [row[0], *row[2:6]] == ["budgets/b", balance, "USD", flying, "USD"]
    for per, planned in (("total", 36_500), ("year", 36_500), ("day", 100)):
        lines = run("-w", path, "budgets", "budgets/b", "--per", per, "--json").json["lines"]
        assert lines["ads"]["planned"] == planned
        every = run("-w", path, "budgets", "--per", per, "--json").json["budgets"]
        assert every["budgets/b"]["lines"] == lines


@pytest.mark.req("X7-21")
def test_the_sheet_of_a_budget_says_amounts_with_units_what_is_missing_and_what_is_no_whole_amount(tmp_path):
    path, plan = tmp_path / "w", {"resources": {"USD": 2, "HOURS": 0}}
    plan["lines"] = {"ads": {"resource": "USD", "amount": 10_000, "per": "month"}}
    plan["constraints"] = [
        {"name": "least", "resource": "USD", "minimum": 5_000},
        {"name": "desk", "resource": "HOURS", "minimum": 3},
    ]
    with splittally.open(path, clock="given") as kernel:
        assert kernel.native("budget.create", budget="budgets/b", schema=plan).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=7_500, to="budgets/b").allowed
    said = run("-w", path, "budgets", "budgets/b", "--per", "day").out
    rows = [line.split() for line in said.splitlines()]
    assert rows[0][:2] == ["budgets/b:", "planning,"]
    assert ["USD", "75.00", "USD", "0.00", "USD", "75.00", "USD"] in rows
    assert ["ads", "day", "about", "3.28", "USD", "75.00", "USD", "███████░░░", "75", "%"] in rows
    assert "keeps at least 50.00 USD (least, for the tier full)" in said
    assert [line for line in said.splitlines() if "missing" in line] == ["3 HOURS missing for desk"]
    assert not any(title in said for title in ("metrics", "expected", "waiting", "solution", "below"))
    month = run("-w", path, "budgets", "budgets/b", "--per", "month").out
    assert "month   100.00 USD" in month
    assert "about" not in month


def test_a_digest_is_of_the_queue_and_of_the_world_that_are_named_by_option_or_environment(
    fresh, tmp_path, monkeypatch
):
    queue = tmp_path / "jobs.sqlite"
    assert run("drain", "add", "--queue", queue, "{}").code == 0
    assert set(run("digest", "--queue", queue, "--json").json) >= {"total_usd"}
    assert "governor" not in run("digest", "--queue", queue, "--json").json
    for words in (["-w", fresh], []):
        assert set(run(*words, "digest", "--queue", queue, "--json").json) >= {"total_usd", "governor"}
        monkeypatch.setenv("TALLY_WORLD", str(fresh))
    assert set(run("digest", "--json").json) == {"governor"}


@pytest.mark.req("X8-04")
def test_the_parts_of_a_budget_have_units_for_people_and_are_integers_for_programs(tmp_path):
    path, plan = tmp_path / "w", {"resources": {"USD": 2, "EUR": 2}}
    plan["constraints"] = [{"name": "least", "resource": "USD", "minimum": 6_050}]
    plan["conversions"] = {"change": {"gives": "USD", "gets": "EUR", "rate": [1, 2], "counter": "accounts/x"}}
    plan["ends_ns"] = 60 * 10**9
    with splittally.open(path, clock="given") as kernel:
        made = {"resources": {"USD": 2, "EUR": 2}, "accounts": {"accounts/x": {}}}
        assert kernel.apply(made).allowed
        assert kernel.native("budget.create", budget="budgets/b", schema=plan).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=5_000, to="budgets/b").allowed
    part = ("-w", path, "budgets", "budgets/b", "--part", "schema")
    assert "minimum=60.50 USD" in run(*part).out
    assert "1970-01-01 00:01:00 +00:00" in run(*part).out
    assert run(*part, "--json").json["schema"]["constraints"][0]["minimum"] == 6_050
    (expected,) = (x for x in run(*part[:4]).out.splitlines() if x.startswith("expected"))
    assert "expected=25.00 EUR" in expected
    assert "held=50.00 USD" in expected
