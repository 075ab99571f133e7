"""Row X6-20: names are judged when they come in, by a table of our own, and never again."""

import ast
import hashlib
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, InvalidManifest
from splittally.core.names import BLANKS, UNSEEN, is_seen
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.types import is_id
from splittally.runtime.reader import read_store
from splittally.runtime.recover import fold
from splittally_tools.testing.journal_walk import Walk

from tests.rows.worlds import codes, few, tally

NEW_IN_15 = "smile\U0001fae8"  # Python 3.11 calls it unprintable, Python 3.12 does not
ANY_NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
OF_THE_INTERPRETER = {
    "isprintable", "isspace", "isalpha", "isalnum", "isdecimal", "isdigit", "isidentifier", "islower",
    "isnumeric", "istitle", "isupper", "capitalize", "casefold", "swapcase", "title", "upper", "splitlines",
}  # fmt: skip
BLANK_WITHOUT_ARGUMENT = {"strip", "lstrip", "rstrip", "split", "rsplit"}
CORE = Path(splittally.__file__).parent / "core"


@pytest.mark.req("X6-20")
def test_the_core_asks_no_interpreter_what_a_character_is():
    """`lower` stands once, on the digits of a number; no pattern has a class of characters by name."""
    asked = set()
    for file in sorted(CORE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = node.func.attr
                if name in OF_THE_INTERPRETER or (name in BLANK_WITHOUT_ARGUMENT and not node.args):
                    asked.add(f"{file.name}: {name}")
            if (
                isinstance(node, ast.Constant)
                and type(node.value) is str
                and re.search(r"\\[wWdDsSbB]", node.value)
            ):
                asked.add(f"{file.name}: {node.value}")
            if isinstance(node, ast.Import | ast.ImportFrom):
                asked |= {f"{file.name}: {each.name}" for each in node.names if each.name == "unicodedata"}
    assert asked == set()


@pytest.mark.req("X6-20")
def test_the_table_refuses_what_this_interpreter_knows_to_be_unseen_and_nothing_else_that_it_knows():
    kinds = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
    for point in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(point))
        if kind != "Cn":
            assert is_seen(chr(point)) == (kind not in kinds or chr(point) == " "), hex(point)
    assert list(UNSEEN) == sorted(UNSEEN)
    assert set(BLANKS) == {chr(point) for point in range(sys.maxunicode + 1) if chr(point).isspace()}


@pytest.mark.req("X6-20")
def test_the_table_answers_the_same_under_every_interpreter_that_is_here():
    program = (
        "import hashlib, importlib.util, sys;"
        f"spec = importlib.util.spec_from_file_location('names', {str(CORE / 'names.py')!r});"
        "names = importlib.util.module_from_spec(spec); spec.loader.exec_module(names);"
        "print(hashlib.sha256(bytes(names.is_seen(chr(x)) for x in range(0x110000))).hexdigest())"
    )
    known = hashlib.sha256(bytes(is_seen(chr(point)) for point in range(sys.maxunicode + 1))).hexdigest()
    for python in {
        sys.executable,
        *filter(None, map(shutil.which, ("python3.11", "python3.12", "python3.13"))),
    }:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout.strip() in (known, ""), python
        assert done.stdout or python != sys.executable


@pytest.mark.req("X6-20")
@pytest.mark.parametrize(
    "name", [" a", "a ", "a\xa0b", "a\u200bb", "a\u202eb", "\ue000", "\ufffe", "a\x00", "\u3000", ""]
)
def test_a_name_with_what_nobody_sees_is_refused_everywhere(name):
    assert not is_id(name)
    with splittally.open(clock="given") as opened:
        with pytest.raises(InvalidManifest):
            opened.apply({"resources": {name: 0}})
        assert codes(opened.native("account.open", account=name)) == ["params.invalid"]


def document_of(name):
    plan = {"resources": {name: 0}, "metrics": {name: {"description": name, "nature": "output"}}}
    return plan, {
        "resources": {name: 0},
        "accounts": {name: {}},
        "governor": {"caps": [{"resource": name, "per": "day", "amount": 5}], "classes": [name]},
        "grants": {name: {"cap": "sys/llm.basic@1", "limits": [{"dim": name, "per": "day", "amount": 9}]}},
        "policy": [{"name": name, "decision": "allow", "rate": {"per": "day", "amount": 3}}],
    }  # fmt: skip


def world_of(name, path):
    plan, document = document_of(name)
    with splittally.open(path, clock="given") as opened:
        assert opened.apply(document).allowed
        assert opened.native("budget.create", budget="budgets/b", schema=plan).allowed
        assert opened.native("metric.record", budget="budgets/b", metric=name, value=3).allowed
        assert opened.submit(Intent("llm.generate", {"max_tokens": 1}, name)).allowed
        return opened.state.root


@pytest.mark.req("X6-20")
@pytest.mark.parametrize("name", [NEW_IN_15, "\u0378 unassigned", "日本 😀", "a"])
def test_a_name_of_any_unicode_version_is_taken_and_read_by_every_tool(name, folder):
    root = world_of(name, folder / "w")
    for command in ("verify", "accounts", "state", "grants"):
        code, _ = tally(folder / "w", command)
        assert code == 0, command
    with splittally.open(folder / "w") as opened:
        assert opened.state.root == root
        assert opened.state.governor.caps[0].resource == name


@pytest.mark.req("X6-20")
@few
@given(name=ANY_NAME)
def test_what_is_recorded_is_read_back_without_being_judged(name):
    """A name that a later release, or an earlier one, takes and this one does not: folding asks nobody."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as home:
        for module in list(sys.modules.values()):
            for judge in ("is_id", "is_seen"):
                if hasattr(module, judge) and module.__name__.startswith("splittally"):
                    patch.setattr(module, judge, lambda text: True)
        patch.setattr(splittally.core.budget.plan, "is_blank", lambda text: False)
        root = world_of(name, Path(home) / "w")
        patch.undo()
        splittally.core.budget.plan.read_plan.cache_clear()
        with splittally.open(Path(home) / "w") as opened:
            assert opened.state.root == root
            state = load_state(dump_state(opened._world.state))
            assert state_root(state) == root == state_root(fold(opened._world.store))
            assert opened.state.budgets["budgets/b"].metrics
            assert opened.submit(Intent("llm.generate", {"max_tokens": 1}, name)).allowed
            walk = Walk(read_store(opened), is_rejudging=False)
            walk.finish()
