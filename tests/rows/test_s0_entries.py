"""What rules did can be computed by hand: each entry names its formula, its plan's version and its inputs."""

import json
import random

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally.core.budget.expressions import amount_of, names_read
from splittally.core.errors import ExpressionError
from splittally.core.expr import ANY, INT
from splittally.core.limits import EXPR_DEPTH_MAX
from splittally.runtime.entry_views import entries_of
from splittally.runtime.reader import read_store

from tests.cli_tools import run
from tests.expr_maker import text_of
from tests.expr_model import Model, ModelFault
from tests.rows.acting import USD, create, issues, measure, pays, records, rule, world
from tests.rows.budgets import LOG, B, deposit, done, held
from tests.rows.worlds import few

LEAVES = [("balance", USD), ("balance", "T"), ("metric", "m"), ("metric", "n"), ("cause", "amount")]


def entries(kernel, budget=B):
    return list(entries_of(read_store(kernel).records(), budget))


class ByHand(Model):
    """The independent model of expressions, over what an entry says that was read."""

    def __init__(self, read):
        super().__init__({})
        self.read = read

    def on_key(self, base, key, found, _):
        name = f"{base[1]}.{key}"
        if name not in self.read:
            raise ModelFault("missing_key")
        return self.read[name]


def key(name, field):
    return ("key", ("name", name), field, INT, ".")


TREES = st.recursive(
    st.builds(lambda n: ("lit", n), st.integers(0, 60)) | st.sampled_from([key(*x) for x in LEAVES]),
    lambda below: st.builds(
        lambda sign, a, b: ("bin", sign, a, b, ANY), st.sampled_from("+-*/%"), below, below
    ),
    max_leaves=6,
)


@pytest.mark.req("S0-134")
@few
@given(trees=st.lists(TREES, min_size=1, max_size=3), seed=st.integers(0, 2**32), m=st.integers(0, 99))
def test_every_entry_is_recomputed_by_hand_from_what_it_says(trees, seed, m):
    chance = random.Random(seed)
    texts = [text_of(tree, chance) for tree in trees]
    actions = [issues("T", texts[0]), *(records("n", text) for text in texts[1:])]
    with world("T") as kernel:
        create(kernel, {"rules": [rule("r", "metric", "m", *actions)]}, {USD: 0, "T": 0}, metrics="mn")
        deposit(kernel, 50)
        deposit(kernel, 7, resource="T")
        measure(kernel, "m", m)
        for entry in entries(kernel):
            assert (entry["rule"], entry["version"], entry["dim"], entry["amount"]) == ("r", 1, "m", m)
            for tree, text, action in zip(trees, texts, entry["actions"], strict=True):
                assert action["formula"] == text
                assert ByHand(action["read"]).of(tree) == action["gave"]
                assert [x["amount"] for x in action["postings"]] == (
                    [action["gave"]] if action["kind"] == "issue" and action["gave"] else []
                )


@pytest.mark.req("S0-134")
def test_an_entry_names_formula_version_and_inputs_and_what_moved():
    split = rule("split", "metric", "NetProfit", pays("cause.amount * metric.share / 100"),
                 when="cause.amount > 0 && balance.USD >= cause.amount")  # fmt: skip
    with world() as kernel:
        create(kernel, {"rules": [split]}, {USD: 0}, metrics=["NetProfit", "share"])
        deposit(kernel, 5_000)
        for share in (70, 60):
            measure(kernel, "share", share)
            measure(kernel, "NetProfit", 1_000)
        first, second = entries(kernel)
        assert (first["rule"], first["version"], first["dim"], first["amount"]) == (
            "split",
            1,
            "NetProfit",
            1_000,
        )
        assert first["when"] == split["when"]
        assert first["read"] == {"cause.amount": 1_000, "balance.USD": 5_000}
        (action,) = first["actions"]
        assert action["formula"] == "cause.amount * metric.share / 100"
        assert (action["read"], action["gave"]) == ({"cause.amount": 1_000, "metric.share": 70}, 700)
        assert action["postings"] == [{"debit": B, "credit": LOG, "resource": USD, "amount": 700}]
        assert second["read"] == {"cause.amount": 1_000, "balance.USD": 4_300}
        assert second["actions"][0]["gave"] == 600


def test_an_entry_is_explained_by_the_plan_that_was_in_force_and_by_what_an_earlier_action_left():
    with world() as kernel:
        create(kernel, {"rules": [rule("r", "deposit", USD, pays("1"), pays("balance.USD / 2"))]}, {USD: 0})
        deposit(kernel, 9)
        schema = {"resources": {USD: 0}, "rules": [rule("r", "deposit", USD, pays("2"))]}
        done(kernel, "budget.amend", budget=B, schema=schema)
        deposit(kernel, 3)
        first, second = entries(kernel)
        assert [x["gave"] for x in first["actions"]] == [1, 4]
        assert first["actions"][1]["read"] == {"balance.USD": 8}
        assert (second["version"], [x["formula"] for x in second["actions"]]) == (2, ["2"])
        assert held(kernel, LOG) == 7


def test_what_was_approved_is_explained_by_what_held_when_it_was():
    with world() as kernel:
        asks = rule("asks", "deposit", USD, pays("balance.USD / 3"), approval=True)
        create(kernel, {"rules": [asks]}, {USD: 0})
        deposit(kernel, 9)
        (waiting,) = kernel.state.budgets[B].waiting
        assert entries(kernel) == []
        done(kernel, "ledger.transfer", resource=USD, amount=3, to=LOG, **{"from": B})
        done(kernel, "budget.answer", budget=B, item=waiting["item"], answer="approve")
        (entry,) = entries(kernel)
        assert entry["actions"][0]["read"] == {"balance.USD": 6}
        assert entry["actions"][0]["gave"] == 2


@pytest.mark.req("S0-134")
def test_tally_shows_what_rules_did(tmp_path):
    schema = {"resources": {USD: 0}, "rules": [rule("half", "deposit", USD, pays("cause.amount / 2"))]}
    manifest = tmp_path / "world.json"
    manifest.write_text(
        json.dumps({"resources": {USD: 0}, "accounts": {LOG: {}}, "budgets": {B: {"schema": schema}}})
    )
    where = ["--world", tmp_path / "w"]
    assert run("init", *where).code == 0
    assert run("apply", manifest, *where).code == 0
    assert run("native", "ledger.issue", *where, "--resource", USD, "--amount", 9, "--to", B).code == 0
    (entry,) = run("budgets", "entries", B, *where, "--json").json["entries"]
    assert (entry["rule"], entry["actions"][0]["read"]) == ("half", {"cause.amount": 9})
    said = run("budgets", "entries", B, *where).out
    assert "half of plan 1" in said and "4 = cause.amount / 2 with cause.amount=9" in said
    assert f"{B} -> {LOG}: 4 USD" in said
    assert "no rule" in run("budgets", "entries", B, *where, "--rule", "other").out
    assert run("budgets", "entries", "budgets/none", *where).code != 0


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("1 + 2", []),
        ("cause.amount", ["cause.amount"]),
        ('balance["USD"] + balance.USD', ["balance.USD"]),
        ("has(metric.m) ? metric.m : digest.d.sum", ["digest.d.sum", "metric.m"]),
        ("balance[cause.dim]", ["balance", "cause.dim"]),
        ("size(balance) + now_ns", ["balance", "now_ns"]),
        ('cause.dim.startsWith("U") && input.x > 0 ? 1 : 0', ["cause.dim", "input.x"]),
    ],
)
def test_the_names_that_an_expression_reads_are_those_that_it_states(text, paths):
    amount_of(text)
    assert [".".join(path) for path in names_read(text)] == paths


def test_names_are_read_of_texts_as_deep_as_they_may_be():
    text = "-" * (EXPR_DEPTH_MAX - 1) + "cause.amount"
    try:
        amount_of(text)
    except ExpressionError:
        text = "-" * (EXPR_DEPTH_MAX // 2) + "cause.amount"
        amount_of(text)
    assert names_read(text) == (("cause", "amount"),)
