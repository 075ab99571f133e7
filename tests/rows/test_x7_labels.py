"""Row X7-22: an intent says what it belongs to; that is recorded, in no hash, and filters every view."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.limits import LABEL_BYTES_MAX, LABEL_NAME_BYTES_MAX, LABELS_MAX
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.edge.labels import has_labels

from tests.cli_tools import run
from tests.rows.worlds import codes, few

ROW = pytest.mark.req("X7-22")
GRANTS: dict[str, Any] = {
    "g": {"cap": "sys/allow@1", "params": {"reserve": {"calls": 1}}, "budget": {"calls": 100}}
}


def world(path: Any = None, **more: Any) -> splittally.Kernel:
    kernel = splittally.open(path, clock="given")
    kernel.apply({"effects": {"job.run": {}}, "grants": GRANTS, **more})
    return kernel


def job(n: int = 0, **labels: str) -> Intent:
    return Intent("job.run", {"n": n}, "g", idempotency_key=f"job {n}", labels=labels)


@ROW
def test_the_same_key_with_another_trace_id_is_a_duplicate_and_keeps_the_first_labels():
    with world() as kernel:
        first = kernel.submit(job(trace="a"))
        again = kernel.submit(job(trace="b", run="7"))
        bare = kernel.submit(Intent("job.run", {"n": 0}, "g", idempotency_key="job 0"))
        for other in (again, bare):
            assert (other.duplicate, other.intent_hash, other.findings) == (
                True,
                first.intent_hash,
                again.findings,
            )
        assert kernel.outcome(first.intent_hash).labels == {"trace": "a"}
        assert kernel.state.reservations[first.intent_hash].labels == {"trace": "a"}


@ROW
@few
@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
    st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")), max_size=6),
)
def test_open_holds_are_found_by_any_part_of_their_labels(wanted, given_labels):
    """The model: every wanted name is there with its text."""
    with world() as kernel:
        made = [kernel.submit(job(n, **labels)).intent_hash for n, labels in enumerate(given_labels)]
        expected = {
            digest
            for digest, labels in zip(made, given_labels, strict=True)
            if all(labels.get(name) == text for name, text in wanted.items())
        }
        assert set(kernel.state.reservations(labels=wanted)) == expected


@ROW
def test_labels_come_back_from_the_journal_and_from_a_snapshot_and_leave_with_the_hold(tmp_path):
    with world(tmp_path / "w") as kernel:
        kept = kernel.submit(job(1, run="7", a="long name first?"))
        gone = kernel.submit(job(2, run="7"))
        kernel.settle(Receipt(gone.intent_hash, "ok", "h", {"usage": {"calls": 1}}))
        released = kernel.submit(job(3, run="7"))
        kernel.release(released.intent_hash)
        state = kernel._world.state
        assert state.ledger.labels == {kept.intent_hash: {"run": "7", "a": "long name first?"}}
        folded = load_state(dump_state(state))
        assert state_root(folded) == state_root(state)
        assert folded.ledger.labels == state.ledger.labels
        root = kernel.state.root
    with splittally.open(tmp_path / "w") as kernel:
        assert kernel.state.root == root
        assert list(kernel.state.reservations(labels={"run": "7"})) == [kept.intent_hash]


@ROW
def test_a_world_without_labels_has_the_frames_and_the_root_that_it_had_before_there_were_any():
    with world() as plain, world() as labelled:
        plain.submit(Intent("job.run", {}, "g"))
        assert not plain._world.state.ledger.labels
        assert "labels" not in plain.state.tables()
        labelled.submit(job(run="7"))
        assert labelled.state.tables()["labels"]


@ROW
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({f"n{i}": "x" for i in range(LABELS_MAX + 1)}, ("labels", LABELS_MAX + 1, LABELS_MAX)),
        ({"n" * (LABEL_NAME_BYTES_MAX + 1): "x"}, (None, LABEL_NAME_BYTES_MAX + 1, LABEL_NAME_BYTES_MAX)),
        ({"é" * 33: "x"}, (None, 66, LABEL_NAME_BYTES_MAX)),
        ({"run": "x" * (LABEL_BYTES_MAX + 1)}, ("labels.run", LABEL_BYTES_MAX + 1, LABEL_BYTES_MAX)),
        ({"run": "é" * 129}, ("labels.run", 258, LABEL_BYTES_MAX)),
    ],
)
def test_a_label_above_a_bound_is_refused_by_name_with_both_numbers(labels, said):
    field, needed, available = said
    with world() as kernel:
        frames = kernel.state.seq
        decision = kernel.submit(Intent("job.run", {}, "g", labels=labels))
        facts = decision.findings[0].facts
        assert (codes(decision), facts["needed"], facts["available"]) == (
            ["input.too_large"],
            needed,
            available,
        )
        assert field in (None, facts["field"])
        assert (decision.seq, kernel.state.seq) == (None, frames)


@ROW
@pytest.mark.parametrize(
    "labels",
    [
        {f"n{i}": "x" for i in range(LABELS_MAX)},
        {"n" * LABEL_NAME_BYTES_MAX: "x" * LABEL_BYTES_MAX},
        {},
        None,
    ],
)
def test_labels_at_their_bounds_are_taken(labels):
    with world() as kernel:
        decision = kernel.submit(Intent("job.run", {}, "g", labels=labels))
        assert decision.allowed
        assert kernel.state.reservations[decision.intent_hash].labels == (labels or {})


@ROW
@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ({"run": 7}, "labels.run"),
        ({"run": ""}, "labels.run"),
        ({"run": None}, "labels.run"),
        ({"run": "\ud800"}, "labels.run"),
        ({"": "x"}, "labels"),
        ({"a=b": "x"}, "labels"),
        ({"a\n": "x"}, "labels"),
        ({7: "x"}, "labels"),
        (["run"], "labels"),
        ("run=7", "labels"),
    ],
)
def test_what_is_no_label_is_refused_by_name(labels, field):
    with world() as kernel:
        decision = kernel.submit(Intent("job.run", {}, "g", labels=labels))
        assert codes(decision) == ["input.invalid"]
        assert decision.findings[0].facts["field"] == field


@ROW
def test_policy_may_read_labels_and_nothing_else_depends_on_them():
    policy = [
        {"name": "off", "decision": "deny", "when": '"run" in labels && labels.run == "7"'},
        {"name": "on", "decision": "allow"},
    ]
    with world(policy=policy) as kernel:
        refused = kernel.submit(job(1, run="7"))
        allowed = kernel.submit(job(2, run="8"))
        bare = kernel.submit(Intent("job.run", {}, "g"))
        assert (refused.outcome, codes(refused)) == ("deny", ["policy_denied"])
        assert allowed.allowed
        assert bare.allowed


@ROW
def test_every_list_of_the_command_line_is_filtered_by_label(tmp_path):
    folder = tmp_path / "w"
    with world(folder) as kernel:
        one, two = kernel.submit(job(1, run="7", user="ann")), kernel.submit(job(2, run="8"))
        other = kernel.submit(job(3, run="7"))
        kernel.settle(Receipt(one.intent_hash, "ok", "h", {"usage": {"calls": 1}}))
        kernel.settle(Receipt(two.intent_hash, "ok", "h", {"usage": {"calls": 1}}))
        settled = kernel.state.seq - 2
    listed = run("-w", folder, "reservations", "--label", "run=7", "--json").json["reservations"]
    assert [row["intent_hash"] for row in listed] == [other.intent_hash.hex()]
    assert listed[0]["labels"] == {"run": "7"}
    assert (
        run("-w", folder, "reservations", "--label", "run=7", "--label", "user=ann", "--json").json[
            "reservations"
        ]
        == []
    )
    assert "run=7" in run("-w", folder, "reservations", "--wide").out

    def frames(*arguments: str) -> list[int]:
        return [line["seq"] for line in run("-w", folder, "log", "--json", *arguments).lines]

    assert frames("--label", "run=7") == [one.seq, other.seq, settled]
    assert frames("--label", "run=7", "--label", "user=ann") == [one.seq, settled]
    assert frames("--label", "run=9") == []
    assert frames("--label", "run=8", "--from", str(settled)) == [settled + 1]  # of one decided before
    for wrong in ("run", "=7", "run="):
        assert run("-w", folder, "log", "--label", wrong).code == 2


@ROW
def test_explain_and_outcome_show_labels_and_lines_of_json_take_them(tmp_path):
    folder = tmp_path / "w"
    with world(folder):
        pass
    line = json.dumps({"kind": "job.run", "params": {}, "grant": "g", "labels": {"run": "7"}})
    answer = run("-w", folder, "submit", "--json", text=line).json
    digest = answer["intent_hash"]
    assert run("-w", folder, "explain", digest, "--json").json["labels"] == {"run": "7"}
    assert "labelled run=7" in run("-w", folder, "explain", digest).out
    assert run("-w", folder, "outcome", digest, "--json").json["labels"] == {"run": "7"}
    refused = run("-w", folder, "submit", "--json", text=line.replace('"7"', "7"))
    assert refused.json["findings"][0]["facts"]["field"] == "labels.run"
    assert run("-w", folder, "verify", "--rejudge").code == 0


@ROW
def test_the_money_that_labelled_intents_moved_is_listed_alone(tmp_path):
    folder = tmp_path / "w"
    more = {"resources": {"USD": 2}, "accounts": {"accounts/team": {}, "accounts/shop": {}}}
    grant = {
        "cap": "sys/allow@1", "params": {"reserve": {"USD": 100}}, "budget": {"USD": 1_000},
        "draws_on": {"USD": "accounts/team"}, "pays_to": ["accounts/shop"],
    }  # fmt: skip
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply({"effects": {"job.run": {}}, "grants": {"g": grant}, **more})
        kernel.native("ledger.issue", resource="USD", amount=1_000, to="accounts/team")
        one, two = kernel.submit(job(1, run="7")), kernel.submit(job(2, run="8"))
        assert one.allowed, one
        for each in (one, two):
            kernel.settle(Receipt(each.intent_hash, "ok", "h", {"usage": {"USD": 40}}))
    rows = run("-w", folder, "ledger", "--entries", "--label", "run=7", "--json").lines
    assert {row["intent_hash"] for row in rows} == {one.intent_hash.hex()}
    assert sum(row["amount"] for row in rows if row["account"] == "accounts/shop") == 40
    assert run("-w", folder, "ledger", "--label", "run=7").code == 2
    levels = run("-w", folder, "trace", one.intent_hash.hex(), "--json").lines
    assert {"run": "7"} in [level.get("labels") for level in levels]
    assert "labelled run=7" in run("-w", folder, "trace", one.intent_hash.hex()).out


@ROW
@given(
    st.dictionaries(st.text(max_size=2), st.text(max_size=1)),
    st.dictionaries(st.text(max_size=2), st.text(max_size=1)),
)
def test_labels_match_where_each_that_is_wanted_is_there(labels, wanted):
    assert has_labels(labels, wanted) == all(labels.get(name) == text for name, text in wanted.items())
