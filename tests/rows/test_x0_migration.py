"""A breaking change of a plan is another budget, and what goes over to it is said."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import InvalidInput

from tests.rows.budgets import LOG, create, deposit, done, ended, held, world
from tests.rows.test_s0_charters import spend
from tests.rows.test_s0_overdraft import OVERDRAFT, QUALITY
from tests.rows.worlds import codes, few

PARENT, OLD, NEW = "budgets/house", "budgets/press", "budgets/press2"


def metrics(*names):
    return {name: {"description": name, "nature": "output"} for name in names}


def plan(*names, **more):
    return {"resources": {"USD": 0}, "metrics": metrics(*names)} | more


def migrate(kernel, schema, **more):
    return kernel.native("budget.migrate", budget=NEW, source=OLD, schema=schema, **more)


def press(kernel, schema, funds=400, **more):
    create(kernel, {}, PARENT)
    done(kernel, "budget.create", budget=OLD, parent=PARENT, pays_to=[LOG], schema=schema, **more)
    deposit(kernel, funds, OLD)


@pytest.mark.req("X0-09")
def test_a_renamed_metric_is_migrated_by_a_mapping_and_the_old_budget_stays_readable():
    with world() as kernel:
        press(kernel, plan("articles", "readers"), holder="ann", delegations=2)
        for value in (4, 6):
            done(kernel, "metric.record", budget=OLD, metric="articles", value=value)
        before = kernel.state.budgets[OLD]
        refused = migrate(kernel, plan("stories", "readers"))
        assert [(x.code, x.facts["field"], x.facts["name"]) for x in refused.findings] == [
            ("migration_unmapped", "metrics", "articles")
        ]
        mapping = {"metrics": {"articles": "stories"}}
        told = migrate(kernel, plan("stories", "readers"), mapping=mapping, move_funds=True)
        assert told.allowed, told
        old, new = kernel.state.budgets[OLD], kernel.state.budgets[NEW]
        assert new["metrics"]["stories"]["value"] == 6
        assert new["metrics"]["readers"]["value"] is None
        assert (held(kernel, OLD), held(kernel, NEW)) == (0, 400)
        assert old["schema_hash"] == before["schema_hash"] != new["schema_hash"]
        assert old["metrics"] == before["metrics"]
        assert (old["replaced_by"], new["replaced_by"], new["parent"]) == (NEW, "", PARENT)
        grants = kernel.state.grants
        same = ("holder", "pays_to", "delegations", "parent")
        assert [grants[NEW][x] for x in same] == [grants[OLD][x] for x in same]


def test_funds_stay_where_nothing_moves_them_and_what_is_in_flight_settles_where_it_was():
    with world() as kernel:
        press(kernel, plan("a", constraints=[{"name": "floor", "resource": "USD", "minimum": 100}]))
        decision = spend(kernel, 300, OLD)
        assert migrate(kernel, plan("a"), move_funds=True).allowed
        assert (held(kernel, OLD), held(kernel, NEW)) == (0, 100)
        kernel.release(decision.intent_hash, "cancel")
        assert (held(kernel, OLD), held(kernel, NEW)) == (300, 100)


def test_a_budget_is_migrated_once():
    with world() as kernel:
        press(kernel, plan("a"))
        assert migrate(kernel, plan("a")).allowed
        again = kernel.native("budget.migrate", budget="budgets/third", source=OLD, schema=plan("a"))
        assert codes(again) == ["cannot_change"]
        assert again.findings[0].facts["needed"] == NEW
        assert codes(kernel.native("budget.migrate", budget=NEW, source=NEW, schema=plan("a"))) == [
            "name_taken"
        ]
        lost = kernel.native("budget.migrate", budget="budgets/x", source="budgets/none", schema=plan("a"))
        assert codes(lost) == ["not_found"]


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ({"metrics": {"a": "z", "b": ""}}, "not_found"),
        ({"metrics": {"q": "n", "a": "", "b": ""}}, "not_found"),
        ({"metrics": {"a": "n", "b": ""}}, ""),
        ({"metrics": {"a": "n"}}, "migration_unmapped"),
        ({"metrics": {"a": "", "b": ""}}, ""),
        ({"metrics": {"a": "kept", "b": ""}}, "migration_unmapped"),
        ({"lines": {"rent": "n"}, "metrics": {"a": "", "b": ""}}, "not_found"),
    ],
)
def test_every_name_of_the_old_plan_goes_somewhere_or_is_left_behind_in_so_many_words(mapping, code):
    with world() as kernel:
        press(kernel, plan("a", "b", "kept"))
        told = migrate(kernel, plan("n", "kept"), mapping=mapping)
        assert set(codes(told)) == ({code} if code else set())
        assert told.allowed == (not code)


def test_two_names_mapped_to_one_and_a_name_that_is_none_are_no_mapping():
    with world() as kernel:
        press(kernel, plan("a", "b"))
        for names in ({"a": "n", "b": "n"}, {"a": "\n"}):
            told = migrate(kernel, plan("n"), mapping={"metrics": names})
            assert codes(told) == ["params.invalid"]


def test_cells_and_lines_go_over_by_their_new_names():
    def written(line, cell, value):
        lines = {line: {"resource": "USD", "amount": 5}}
        return plan("a", lines=lines, formulas={cell: {"value": value, "unit": "USD"}})

    old, new = written("rent", "x", "7"), written("lease", "y", "8")
    with world() as kernel:
        press(kernel, old)
        done(kernel, "budget.solve", budget=OLD)
        refused = migrate(kernel, new)
        assert [(x.code, x.facts["name"]) for x in refused.findings] == [
            ("migration_unmapped", "rent"), ("migration_unmapped", "x"),
        ]  # fmt: skip
        assert migrate(kernel, new, mapping={"lines": {"rent": "lease"}, "cells": {"x": "y"}}).allowed
        assert kernel.state.budgets[NEW]["solution"]["cells"] == {"y": {"value": 7, "unit": "USD"}}


def test_values_that_go_over_make_no_rule_due_and_parts_share_the_funds_that_come():
    rules = [{"name": "r", "on": "metric", "of": "a", "do": []}, {"name": "d", "on": "deposit", "do": []}]
    with world() as kernel:
        press(kernel, plan("a"))
        done(kernel, "metric.record", budget=OLD, metric="a", value=3)
        schema = plan("a", rules=rules, allocations={"USD": {"p": 3, "q": 1}})
        assert migrate(kernel, schema, move_funds=True).allowed
        kernel.tick()
        assert [x for x in ended(kernel) if x[0] == "r"] == []
        assert kernel.state.grants[f"{NEW}/p"].budget == {"USD": 300}
        assert kernel.state.grants[f"{NEW}/q"].budget == {"USD": 100}


def test_a_new_name_gives_no_new_allowance():
    limited = {"metrics": QUALITY | {"USD": {"target": -100, "description": "most"}}}
    schema = limited | {"overdraft": OVERDRAFT | {"amount": 50}}
    with world() as kernel:
        press(kernel, schema, funds=0)
        deposit(kernel, 1_000, PARENT)
        done(kernel, "metric.record", budget=OLD, metric="quality", value=90)
        assert spend(kernel, 40, OLD).allowed  # all of it drawn
        assert migrate(kernel, schema).allowed
        assert kernel.state.budgets[NEW]["overdraft"]["drawn"] == 40
        deposit(kernel, 1_000, NEW)
        assert codes(spend(kernel, 111, NEW))[0] == "budget_exceeded"
        assert spend(kernel, 110, NEW).allowed


def test_who_may_not_take_over_the_budget_does_not_migrate_it():
    with world() as kernel:
        press(kernel, plan("a"))
        done(kernel, "grant.issue", name="desk", terms={
            "cap": "sys/native@1", "holder": "eve",
            "params": {"operations": ["budget.migrate"], "accounts": [NEW]},
        })  # fmt: skip
        told = kernel.as_principal("eve").native(
            "budget.migrate", under="desk", budget=NEW, source=OLD, schema=plan("a"), move_funds=True
        )
        assert "account_not_covered" in codes(told)
        assert held(kernel, OLD) == 400


def test_a_tactical_grant_works_within_plans_and_replaces_none():
    with world() as kernel:
        press(kernel, plan("a"))
        for rank in ("strategic", "tactical"):
            params = {"operations": ["budget.migrate"], "rank": rank}
            done(kernel, "grant.issue", name=rank, terms={"cap": "sys/native@1", "params": params})
        told = kernel.native("budget.migrate", under="tactical", budget=NEW, source=OLD, schema=plan("a"))
        assert codes(told) == ["authority_lacking"]
        told = kernel.native("budget.migrate", under="strategic", budget=NEW, source=OLD, schema=plan("a"))
        assert told.allowed, told


NAMES = st.sets(st.sampled_from("abcd"), max_size=4)


@few
@given(old=NAMES, new=NAMES, mapping=st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["", *"abcd"])))
def test_a_migration_is_the_mapping_that_a_dictionary_is(old, new, mapping):
    targets = {name: mapping.get(name, name) for name in old}
    taken = [x for x in targets.values() if x]
    may = set(mapping) <= old and set(taken) <= new and len(taken) == len(set(taken))
    with world() as kernel:
        press(kernel, plan(*sorted(old)))
        for at, name in enumerate(sorted(old)):
            done(kernel, "metric.record", budget=OLD, metric=name, value=at)
        try:
            told = migrate(kernel, plan(*sorted(new)), mapping={"metrics": mapping}).allowed
        except InvalidInput:
            told = False
        assert told == may
        if may:
            values = {name: x["value"] for name, x in kernel.state.budgets[NEW]["metrics"].items()}
            wanted = {targets[name]: at for at, name in enumerate(sorted(old)) if targets[name]}
            assert values == dict.fromkeys(new) | wanted
