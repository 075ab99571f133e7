"""The kept breakages apply to the product as it is, each in one place, and name tests that are there."""

import ast
import builtins
import re
from collections import Counter
from functools import cache

import pytest

from tests.mutants import PROJECT, mutants

MUTANTS = mutants()
ROWS = set(
    re.findall(r"^\| ([SX]\d+-\d+) \|", (PROJECT / "spec" / "requirements.md").read_text(), re.MULTILINE)
)


FILES = sorted({mutant.file for mutant in MUTANTS})


@pytest.mark.parametrize("file", FILES)
def test_each_mutant_of_a_file_breaks_one_place_and_names_its_rule_and_its_test(file):
    text = (PROJECT / file).read_text()
    sound = [ast.dump(node) for node in ast.parse(text).body] if file.endswith(".py") else []
    known = {*re.findall(r"\w+", text), *dir(builtins)}
    for mutant in (mutant for mutant in MUTANTS if mutant.file == file):
        broken = mutant.broken(text)
        if file.endswith(".py"):
            changed = changed_statements(sound, broken)
            assert changed, mutant.name
            unknown = unbound_names(changed) - known
            assert not unknown, f"`{mutant.name}` fails every test that comes by, and shows nothing"
        rule = mutant.rule.split()[0]
        assert rule in ROWS or (PROJECT / rule).exists(), "a row of the requirements or a chapter of the spec"
        tests, _, name = mutant.test.partition("::")
        assert not name or f"def {name.partition('[')[0]}(" in text_of(tests)


def changed_statements(sound, broken):
    """The statements at the outermost level of `broken` that `sound` does not have at the same place."""
    statements = ast.parse(broken).body
    dumps = iter(sound)
    return [node for node in statements if ast.dump(node) != next(dumps, "")]


def unbound_names(statements):
    names = [node for top in statements for node in ast.walk(top) if isinstance(node, ast.Name)]
    return {name.id for name in names} - {name.id for name in names if isinstance(name.ctx, ast.Store)}


@cache
def text_of(file):
    return (PROJECT / file).read_text()


def test_every_mutant_has_a_name_of_its_own():
    assert [name for name, count in Counter(x.name for x in MUTANTS).items() if count > 1] == []
