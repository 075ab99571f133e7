"""The pytest plug-in: fixtures by marker and factory, journals kept on failure, nothing for other suites."""

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from splittally_tools import testing
from splittally_tools.testing import make_world, open_journal, save_world, strategies
from splittally_tools.testing.artifacts import KEEPING

from tests.cli_tools import environment, run

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "fixtures" / "testing"
IS_INSTALLED = any(point.name == "splittally" for point in entry_points(group="pytest11"))
PLUGIN = () if IS_INSTALLED else ("-p", "splittally_tools.testing.plugin")  # twice it would be refused
HEAVY = ("hypothesis", "wasmtime", "lmdb", "splittally.runtime", "splittally.core", "cbor2")
WORLD = '{"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}}'
HEAD = f"""
import pytest
from splittally import Intent
WORLD = {WORLD}
def asked(kernel, tokens=5):
    return kernel.submit(Intent("llm.generate", {{"max_tokens": tokens}}, "g"))
"""


@pytest.fixture
def suite(pytester):
    """Runs a suite of one file with the plug-in and gives the result."""

    def ran(text, *options):
        pytester.makepyfile(HEAD + text)
        return pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider", *options)

    return ran


# --- whoever does not use it ------------------------------------------------------------------------


def test_loading_it_imports_no_engine_no_store_and_no_hypothesis():
    found = f"[name for name in {HEAVY} if name in sys.modules]"
    program = f"import json, sys, splittally_tools.testing.plugin; print(json.dumps({found}))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_a_suite_that_uses_nothing_of_it_is_not_changed(pytester):
    pytester.makepyfile("def test_one(): pass\ndef test_two(tmp_path): assert not list(tmp_path.iterdir())")
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings = error")
    with_it = pytester.runpytest(*PLUGIN)
    with_it.assert_outcomes(passed=2)
    without = pytester.runpytest("-p", "no:splittally")
    assert with_it.outlines[-3:-1] == without.outlines[-3:-1]


def test_the_entry_point_names_the_plug_in():
    assert '[project.entry-points.pytest11]\nsplittally = "splittally_tools.testing.plugin"' in (
        ROOT / "pyproject.toml"
    ).read_text("utf-8")


# --- fixtures ---------------------------------------------------------------------------------------


def test_worlds_get_what_the_nearest_marker_says(suite):
    suite("""
@pytest.mark.splittally(manifest=WORLD)
class TestMarked:
    def test_class(self, splittally_world):
        assert asked(splittally_world).allowed
        assert splittally_world.state.clock == "given"

    @pytest.mark.splittally(clock="host")
    def test_clock(self, splittally_lmdb_world, tmp_path):
        assert asked(splittally_lmdb_world).allowed
        assert splittally_lmdb_world.state.clock == "host"
        assert (tmp_path / "world-0" / "journal").is_dir()

    @pytest.mark.splittally(manifest={"grants": {}})
    def test_nearer(self, splittally_world):
        assert not asked(splittally_world).allowed
""").assert_outcomes(passed=3)


def test_the_factory_makes_worlds_and_closes_them(suite):
    suite("""
MADE = []
def test_made(make_world):
    MADE.extend([make_world(WORLD), make_world(WORLD, store="lmdb"), make_world(clock="host")])
    assert [x.state.clock for x in MADE] == ["given", "given", "host"]
    assert asked(MADE[0]).allowed and asked(MADE[1]).allowed and not asked(MADE[2]).allowed

def test_closed():
    for kernel in MADE:
        with pytest.raises(Exception, match="closed"):
            kernel.state.seq
""").assert_outcomes(passed=2)


def test_a_suite_may_say_its_manifest_once(suite, pytester):
    (pytester.path / "shop.json").write_text(WORLD)
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef splittally_manifest(): return 'shop.json'")
    suite("""
def test_it(splittally_world):
    assert asked(splittally_world).allowed
""").assert_outcomes(passed=1)


def test_a_journal_is_opened_read_only_beside_the_test(suite, pytester):
    with make_world({"grants": {}}) as kernel:
        folder = save_world(kernel, pytester.path / "golden")
    with open_journal(folder) as reader:
        (pytester.path / "golden.cborseq").write_bytes(b"".join(x.data for x in reader.records()))
    before = (folder / "journal" / "data.mdb").read_bytes()
    suite("""
from splittally_tools.testing import assert_conserved, assert_replays
@pytest.mark.splittally(journal="golden")
def test_folder(splittally_journal):
    assert_replays(splittally_journal)
    assert splittally_journal.head.size == 1

@pytest.mark.splittally(journal="golden.cborseq")
def test_frames(splittally_journal):
    assert_conserved(splittally_journal)
    assert splittally_journal.record(0).seq == 0
""").assert_outcomes(passed=2)
    assert (folder / "journal" / "data.mdb").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("@pytest.mark.splittally(manifets=WORLD)\ndef test_it(splittally_world): pass", "not `manifets`"),
        ("def test_it(splittally_journal): pass", "journal="),
        ("@pytest.mark.splittally(journal='none')\ndef test_it(splittally_journal): pass", "neither a world"),
        ("def test_it(make_world): make_world({'grants': {'g': {'cap': 'no/cap@1'}}})", "not_found"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_marker_is_said(suite, text, told):
    result = suite(text)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert told in result.stdout.str()


# --- failures ---------------------------------------------------------------------------------------

FAILS = """
@pytest.mark.splittally(manifest=WORLD)
def test_it(splittally_world, splittally_lmdb_world):
    for kernel, tokens in ((splittally_world, 7), (splittally_lmdb_world, 9)):
        assert asked(kernel, tokens).allowed
    assert not FAILS
FAILS = %s
"""


def told_folders(result):
    """The folders that a report names in the commands to type."""
    told = re.findall(r"  tally -w (\S+) (log|verify)$", result.stdout.str(), re.MULTILINE)
    assert {command for _, command in told} == {"log", "verify"}
    return sorted({folder for folder, _ in told})


def test_the_journals_of_a_failed_test_are_kept_and_opened_by_the_commands_that_are_told(suite, tmp_path):
    result = suite(FAILS % True, f"--splittally-save={tmp_path / 'kept'}")
    result.assert_outcomes(failed=1)
    folders = told_folders(result)
    assert [Path(folder).parent for folder in folders] == [tmp_path / "kept"] * 2
    for folder, tokens in zip(folders, (7, 9), strict=True):
        assert run("-w", folder, "verify", "--rejudge").code == 0
        assert len(run("-w", folder, "--json", "log").lines) == 3
        with open_journal(folder) as reader:
            assert [hold.reserve for hold in reader.state.reservations.values()] == [{"tokens": tokens}]


def test_without_the_option_they_lie_in_pytests_own_folder(suite, pytester):
    result = suite(FAILS % True, "--basetemp", pytester.path / "base")
    assert all(Path(folder).is_relative_to(pytester.path / "base") for folder in told_folders(result))


def test_a_passing_test_keeps_nothing(suite, tmp_path):
    suite(FAILS % False, f"--splittally-save={tmp_path / 'kept'}").assert_outcomes(passed=1)
    assert not (tmp_path / "kept").exists()


def test_where_nothing_can_be_kept_the_report_comes_out_all_the_same(suite, tmp_path):
    (tmp_path / "file").write_text("")
    result = suite(FAILS % True, f"--splittally-save={tmp_path / 'file'}")
    result.assert_outcomes(failed=1)
    assert "the journal could not be kept" in result.stdout.str()


def test_the_smallest_counter_example_of_a_property_is_kept(suite, tmp_path):
    result = suite(
        """
from hypothesis import given, settings, strategies as st
from splittally_tools.testing import make_world, saved_on_failure
@settings(derandomize=True, database=None)
@given(st.lists(st.integers(0, 9), max_size=4))
def test_it(amounts):
    with saved_on_failure(make_world(WORLD), name="it") as kernel:
        for amount in amounts:
            asked(kernel, amount)
        assert kernel.state.counters["g"]["tokens"].reserved < 9
""",
        f"--splittally-save={tmp_path / 'kept'}",
    )
    result.assert_outcomes(failed=1)
    (folder,) = told_folders(result)
    with open_journal(folder) as reader:
        assert [hold.reserve for hold in reader.state.reservations.values()] == [{"tokens": 9}]


def test_a_suite_that_has_ended_leaves_nothing_set(suite, tmp_path):
    before = KEEPING.under(lambda: tmp_path / "outer")
    try:
        suite(FAILS % True, f"--splittally-save={tmp_path / 'kept'}")
        assert KEEPING.root == tmp_path / "outer"
    finally:
        KEEPING.under(before)


# --- the example of chapter 15 ----------------------------------------------------------------------


def example(pytester, name):
    for file in ("shop.py", name):
        (pytester.path / file).write_text((EXAMPLE / file).read_text("utf-8"))
    return pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider", name)


def test_each_planted_bug_is_found_and_told(pytester):
    result = example(pytester, "test_planted.py")
    result.assert_outcomes(failed=3)
    told = result.stdout.str()
    chapter = (ROOT / "spec" / "15-testing.md").read_text("utf-8")
    for line in (
        "grant `till`, dimension `credits`: 20 used with nothing reserved and no violation",
        "host-1 carries out `order 7` again: host-1 did after",
        "!! lose reply: settle",
        "run it again with all else the same: simulate(..., seed=",
    ):
        assert line in told
        assert line in chapter
    assert len(told_folders(result)) == 3


def test_nothing_is_found_once_they_are_mended(pytester):
    example(pytester, "test_mended.py").assert_outcomes(passed=5)


def test_the_examples_of_the_chapter_run(pytester):
    chapter = (ROOT / "spec" / "15-testing.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    pytester.makepyfile("\n".join(blocks))
    pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_every_name_of_the_menu_is_told_in_the_chapter():
    chapter = (ROOT / "spec" / "15-testing.md").read_text("utf-8")
    untold = [name for name in (*testing.__all__, *strategies.__all__) if name not in chapter]
    assert untold == []
    assert all(getattr(testing, name) is not None for name in testing.__all__)
