"""README, guides, CONTRIBUTING, SECURITY, examples: what they print happens, what they name is there."""

import os
import re
import subprocess
import sys
from typing import get_args

import pytest
from splittally.core.events import Event
from splittally.core.native.manifest import RELEASE_KINDS
from splittally.core.pipeline import STAGES
from splittally.edge.release import KINDS

from tests import printed
from tests.cli_tools import ROOT, SOURCES

GUIDES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ADRS = sorted((ROOT / "spec" / "adr").glob("*.md"))
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
README, CONTRIBUTING, SECURITY = (page.read_text("utf-8") for page in FRONT)
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def links_of(text: str) -> list[str]:
    return re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)


# --- what is printed happens ------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*FRONT, *GUIDES], ids=lambda page: page.stem)
def test_every_block_of_a_page_does_what_the_page_prints(page, tmp_path):
    ran = printed.run_page(page, tmp_path)
    assert ran >= (1 if page in GUIDES else 0)


@pytest.mark.parametrize(
    ("example", "lines"),
    [
        (
            "retrying_host.py",
            [
                "a host starts, and is killed before the answer",
                "a host starts, and is killed after acting",
                "the model is called for: summary of the week",
                "allow, answered before: True",
                "the receipt is held; …'reserved': 50, 'spent': 0}",
            ],
        ),
        (
            "approval.py",
            [
                "the buyer approves: deny (own_approval)",
                "the chief approves: allow",
                "bought: settled, {'cents': 29900}",
                "not bought: released, rejected",
                "not bought: released, approval_timeout",
                "{'limit': 80000, 'reserved': 0, 'spent': 30800}",
            ],
        ),
        (
            "client.py",
            [
                "p-1: refunded 500",
                "p-2: LookupError",
                "p-3: NotDone",
                "p-4: TimeoutError",
                "p-5: TimeoutError",
                "p-1: not again, it is settled",
                "p-4: not again, nobody knows what became of it",
                "{'limit': 10000, 'reserved': 1000, 'spent': 500}",
                "settled, {'cents': 500}",
                "{'limit': 10000, 'reserved': 500, 'spent': 1000}",
            ],
        ),
        (
            "auditor.py",
            [
                "sound: 5 frames, 3 intents, 0 open",
                "judged again: 5 frames, first difference: None",
                "budget_exceeded: needs 71, has 70",
                "damaged: …frame 4…",
            ],
        ),
    ],
)
def test_an_example_runs_and_shows_what_it_is_about(example, lines, tmp_path):
    said = python(ROOT / "examples" / example, tmp_path)
    printed.require_said("\n".join(lines), said, False, example)
    assert said.count("the model is called") <= 1
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_shown_by_a_guide_and_run_above():
    shown = "".join(page.read_text("utf-8") for page in GUIDES)
    assert [path.name for path in EXAMPLES] == ["approval.py", "auditor.py", "client.py", "retrying_host.py"]
    assert [path.name for path in EXAMPLES if f"(../examples/{path.name})" not in shown] == []


def python(program, folder):
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the README -------------------------------------------------------------------------------------


def test_the_readme_is_two_screens_and_its_program_fifteen_lines():
    assert len(README.splitlines()) <= 130
    (program,) = [block for block in printed.blocks_of(FRONT[0]) if block.language == "python"]
    assert len(program.text.splitlines()) <= 15


def test_the_figure_of_the_readme_has_every_step_and_stage_in_order():
    (figure,) = [block.text for block in printed.blocks_of(FRONT[0]) if not block.language]
    steps = ["seal", "tick", "known?", "ask", "judge"]
    steps += [f"{number} {stage.name}" for number, stage in enumerate(STAGES, start=3)]
    steps += ["record", "commit", "receipt", "settle"]
    places = [re.search(rf"\|\s+{re.escape(step)}\s", figure) for step in steps]
    assert None not in places
    assert [place.start() for place in places] == sorted(place.start() for place in places)


def test_the_readme_leads_to_every_guide_with_one_link_each():
    assert all(README.count(f"](docs/{page.name})") == 1 for page in GUIDES)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_begins_with_the_readers_problem(page):
    title, _, problem = page.read_text("utf-8").partition("\n\n")
    assert title.startswith("# ")
    assert re.match(r"\*[A-Z][^*]+\*\n", problem), page.name


@pytest.mark.parametrize("page", [*FRONT, *GUIDES, *ADRS], ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page):
    assert [link for link in links_of(page.read_text("utf-8")) if not (page.parent / link).exists()] == []


# --- contributing -----------------------------------------------------------------------------------


def named_files(text: str) -> list[str]:
    """The paths between backticks: those with a folder of the repository in front, and its own files."""
    words = re.findall(r"`([^`\s]+)`", text)
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    return [word for word in words if word.split("/")[0] in folders and "/" in word] + [
        word for word in words if re.fullmatch(r"[A-Z]+\.md|Makefile", word)
    ]


def test_every_file_that_contributing_and_security_name_exists():
    """`NAME` stands for any name."""
    named = named_files(CONTRIBUTING) + named_files(SECURITY)
    assert len(named) > 40
    assert [name for name in named if not any(ROOT.glob(name.replace("NAME", "*")))] == []


@pytest.mark.parametrize(
    "task", ["an event", "a native effect", "a built-in enforcer", "a command of `tally`"]
)
def test_there_is_a_list_of_the_files_to_touch_for(task):
    section = CONTRIBUTING.split(f"## Add {task}\n")[1].split("\n## ")[0]
    steps = re.findall(r"^(\d+)\. ", section, re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)]
    assert len(named_files(section)) >= 4
    assert "CHANGELOG.md" in section


def test_every_event_stands_in_the_table_of_the_chapter_on_records():
    """What the list for a new event says of `spec/02-records.md` would otherwise be forgotten unseen."""
    table = (ROOT / "spec" / "02-records.md").read_text("utf-8").split("### Events\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| (\d+) \| (\w+) \|", table, re.MULTILINE)
    events = [(str(event.__struct_config__.tag), event.__name__) for event in get_args(Event)]
    assert sorted(listed) == sorted(events)


def test_every_kind_of_the_release_is_kept_from_manifests():
    """The trap of the list for an enforcer: a kind that is left out could be defined otherwise."""
    assert set(KINDS) - {"task.post"} <= set(RELEASE_KINDS)


# --- make and the checks ----------------------------------------------------------------------------


def needs_of(target: str) -> list[str]:
    return re.search(rf"^{target}:(.*)$", MAKEFILE, re.MULTILINE)[1].split()


def test_lint_is_all_that_is_no_test_and_check_is_both():
    assert needs_of("lint") == ["style", "types", "contracts", "enforcers"]
    assert needs_of("check") == ["lint", "test"]
    assert "ruff format --check" in MAKEFILE.split("\nstyle:")[1].split("\n\n")[0]
    calls = re.findall(r"^make (\w+)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    assert calls == ["test", "lint"]


# --- decisions --------------------------------------------------------------------------------------


def test_the_index_of_reference_lists_every_page_and_every_decision_record():
    index = (ROOT / "spec" / "README.md").read_text("utf-8")
    pages = [*(ROOT / "spec").glob("[0-9]*.md"), *ADRS]
    assert [page.name for page in pages if f"{page.relative_to(ROOT / 'spec')})" not in index] == []


def test_only_what_is_not_built_is_marked_later():
    """`D-25` and `D-26`: whoever builds one of them takes its mark away, here and there."""
    first = ADRS[0].read_text("utf-8")
    assert re.findall(r"^\| ([DK]-\d+) \| \*\(later\)\*", first, re.MULTILINE) == ["D-25", "D-26"]
    marked = [page.name for page in (ROOT / "spec").rglob("*.md") if "*(later)*" in page.read_text("utf-8")]
    assert marked == ["0001-decisions.md"]


# --- the mechanism itself ---------------------------------------------------------------------------

FENCE = "```"


def page_of(folder, *blocks: tuple[str, str]):
    page = folder / "page.md"
    page.write_text("# A page\n\n" + "\n".join(f"{FENCE}{kind}\n{text}{FENCE}\n" for kind, text in blocks))
    scratch = folder / "scratch"
    scratch.mkdir()
    return page, scratch


def test_blocks_share_files_exports_and_the_folder(tmp_path):
    page, scratch = page_of(
        tmp_path,
        ("python", "# a.py\nimport os\nprint(os.environ['WHO'])\n"),
        ("sh", "export WHO='you there'\nmkdir below\ncp a.py below\ncd below\n"),
        ("sh", "python a.py\necho unseen\npwd\n"),
        ("text", "you  there\n…/below\n"),
        ("python", "print('one')\n"),
        ("text", "one\n"),
    )
    assert printed.run_page(page, scratch) == 3


@pytest.mark.parametrize(
    "blocks",
    [
        [("sh", "false\n")],
        [("sh", "false\ntrue\n")],
        [("sh", "echo one\n"), ("text", "two\n")],
        [("sh", "echo one\necho two\n"), ("text", "two\none\n")],
        [("sh", "echo one\n"), ("text", "\n")],
        [("python", "print(1)\nprint(2)\n"), ("text", "1\n")],
        [("python", "raise ValueError\n")],
        [("toml", "a = 1\n")],
        [("text", "of nothing\n")],
        [("console", "make nothing\n")],
        [("console", "python -m pytest tests/test_nothing.py\n")],
    ],
    ids=lambda blocks: " ".join(text.split("\n")[0] for _, text in blocks),
)
def test_a_page_that_says_otherwise_fails(tmp_path, blocks):
    page, scratch = page_of(tmp_path, *blocks)
    with pytest.raises(AssertionError, match=r"page\.md:\d+"):
        printed.run_page(page, scratch)
