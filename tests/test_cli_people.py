"""What people ask of each other about budgets, on the command line."""

import json

import splittally

from tests.cli_tools import run
from tests.rows.budgets import done
from tests.rows.worlds import apply

TOP, KID = "budgets/top", "budgets/kid"
PEOPLE = ("ann", "bob", "carl")
BOARD = {"quorum": {"agree": 2, "of": list(PEOPLE)}}
BONUS = {"name": "bonus", "on": "deposit", "of": "USD", "approval": True, "do": [
    {"kind": "transfer", "to": "accounts/log", "amount": "100"},
]}  # fmt: skip


def company(path):
    """A parent with 100.00 USD, a child without, and three people."""
    grants = {f"{name}/native": {"cap": "sys/native@1", "holder": name} for name in PEOPLE}
    with splittally.open(path, clock="given") as kernel:
        apply(kernel, {"resources": {"USD": 2}, "accounts": {"accounts/log": {}}, "grants": grants})
        plan = {"resources": {"USD": 2}}
        done(kernel, "budget.create", budget=TOP, schema={**plan, **BOARD})
        floor = {"name": "rent", "resource": "USD", "minimum": 2_000, "description": "a month of rent"}
        done(
            kernel,
            "budget.create",
            budget=KID,
            parent=TOP,
            schema={**plan, "constraints": [floor], "rules": [BONUS]},
        )
        done(kernel, "ledger.issue", resource="USD", amount=10_000, to=TOP)
    return path


def tally(path, who, *words):
    return run("-w", path, "--as", who, "budgets", *words)


def test_a_request_its_offer_and_its_answer_stand_on_the_sheet_of_the_budget(tmp_path):
    path = company(tmp_path / "w")
    asked = tally(path, "ann", "request", KID, "rent", "--gap", "rent", "--title", "the rent")
    assert asked.code == 0, asked
    assert f"next: `tally budgets answer {KID} ACT --on rent`" in asked.out
    assert f"{KID} lacks 20.00 USD (rent)" in run("-w", path, "budgets", TOP).out
    assert (
        tally(path, "bob", "answer", KID, "offer", "15.00 USD", "--on", "rent", "--note", "for now").code == 0
    )
    accepted = tally(path, "ann", "answer", KID, "accept", "--on", "rent", "--json")
    assert accepted.json["row"]["granted"] == 1_500
    sheet = run("-w", path, "budgets", KID).out
    assert "rent (fund, done, by ann): 20.00 USD - the rent" in sheet
    assert "bob offer 15.00 USD: for now" in sheet
    assert "ann accept 15.00 USD" in sheet
    again = tally(path, "bob", "answer", KID, "refuse", "--on", "rent")
    assert (again.code, "`rent` has ended: it is done" in again.out) == (1, True)


def test_votes_issue_a_part_and_say_what_is_missing(tmp_path):
    path = company(tmp_path / "w")
    proposed = tally(path, "ann", "propose", TOP, "mural", "40.00 USD", "--holder", "carl")
    assert f"tally budgets vote {TOP} agree --on mural" in proposed.out
    first = tally(path, "ann", "vote", TOP, "agree", "--on", "mural")
    assert "1 agree of 2 who must" in first.out
    assert tally(path, "bob", "vote", TOP, "agree", "--on", "mural", "--json").json["row"]["status"] == "done"
    assert f"{TOP}/mural" in run("-w", path, "grants", "--json").out
    assert tally(path, "ann", "vote", TOP, "object", "--note", "too dear").code == 0
    assert "plan 1: 1 object" in run("-w", path, "budgets", TOP).out
    assert tally(path, "ann", "propose", TOP, "look", "--title", "a look at it").code == 0
    missing = tally(path, "ann", "propose", TOP, "x", "1.00 USD")
    assert (missing.code, "--holder" in missing.err) == (2, True)


def test_a_plan_is_exported_branched_and_merged(tmp_path):
    path, file = company(tmp_path / "w"), tmp_path / "plan.json"
    assert run("-w", path, "budgets", "export", KID, file).code == 0
    plan = json.loads(file.read_text())
    file.write_text(json.dumps({**plan, "title": "a better plan"}))
    assert tally(path, "ann", "branch", KID, "better", "--file", file, "--title", "better").code == 0
    merged = tally(path, "bob", "merge", KID, "better")
    assert (merged.code, "better (amend) is done" in merged.out) == (0, True)
    assert run("-w", path, "budgets", KID, "--json").json["schema"]["title"] == "a better plan"
    file.write_text("{")
    assert tally(path, "ann", "branch", KID, "worse", "--file", file).code == 2


def test_a_rule_that_waits_is_answered_by_its_item(tmp_path):
    path = company(tmp_path / "w")
    assert run("-w", path, "budgets", "fund", KID, "30.00 USD", "--from", TOP).code == 0
    assert run("-w", path, "tick").code == 0
    (waiting,) = run("-w", path, "budgets", KID, "--json").json["waiting"]
    item = ",".join(map(str, waiting["item"]))
    for words in (["approve"], ["comment", "--item", item], ["approve", "--item", "x"]):
        assert tally(path, "ann", "answer", KID, *words).code == 2
    assert tally(path, "ann", "answer", KID, "approve", "--item", item).code == 0
    assert run("-w", path, "budgets", KID, "--json").json["balances"] == {"USD": 2_900}
