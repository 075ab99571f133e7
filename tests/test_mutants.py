"""The kept breakages apply to the product as it is, each in one place, and name tests that are there."""

import ast
import builtins
import re
from collections import Counter

import pytest

from tests.mutants import PROJECT, mutants

MUTANTS = mutants()
ROWS = set(
    re.findall(r"^\| ([SX]\d+-\d+) \|", (PROJECT / "spec" / "requirements.md").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_breaks_one_place_and_names_its_rule_and_its_test(mutant):
    broken = mutant.broken()
    if mutant.file.endswith(".py"):
        text = (PROJECT / mutant.file).read_text()
        assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse(text))
        names = [node for node in ast.walk(ast.parse(broken)) if isinstance(node, ast.Name)]
        bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        unknown = {name.id for name in names} - bound - {*re.findall(r"\w+", text), *dir(builtins)}
        assert not unknown, "a name that is bound nowhere fails every test that comes by, and shows nothing"
    rule = mutant.rule.split()[0]
    assert rule in ROWS or (PROJECT / rule).exists(), "a row of the requirements or a chapter of the spec"
    file, _, name = mutant.test.partition("::")
    assert not name or f"def {name.partition('[')[0]}(" in (PROJECT / file).read_text()


def test_every_mutant_has_a_name_of_its_own():
    assert [name for name, count in Counter(x.name for x in MUTANTS).items() if count > 1] == []
