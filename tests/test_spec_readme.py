"""What the README prints works as printed, on an empty folder."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import splittally
from splittally import Intent

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SOURCES = os.pathsep.join(str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(arguments: list[str], folder: Path, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("TALLY_WORLD", None)
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.req("X5-01")
def test_the_python_example_prints_what_the_readme_says(tmp_path):
    (example,) = blocks("python")
    printed = next(text for text in blocks("text") if text.startswith("allow"))
    assert len(example.splitlines()) <= 15
    assert run([sys.executable, "-c", example], tmp_path) == printed


def test_the_example_for_a_scheduler_prints_what_the_readme_says(tmp_path):
    (example,) = blocks("py")
    lines = run([sys.executable, "-c", example], tmp_path).splitlines()
    assert len(lines) == 3
    assert [line for line in lines if f"`{line}`" not in README] == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("TALLY_QUEUE=jobs.sqlite", ["done, $0.04", "standup", "$0.05 per quality point"]),
        ("TALLY_WORLD=demo", ['"outcome":"allow"', "cap_llm", "sound"]),
        ("TALLY_WORLD=mails", ["3 passed, 0 failed", '"reserve":{"mails":3}', "0 answered otherwise"]),
        ("TALLY_WORLD=money", ['"outcome":"allow"', "120.00 USD", "external/issuer"]),
    ],
)
def test_the_first_steps_on_the_command_line_work_in_an_empty_folder(tmp_path, names, expected):
    steps = next(block for block in blocks("sh") if names in block)
    (tmp_path / "bin").mkdir()
    tally = tmp_path / "bin" / "tally"
    tally.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m splittally_tools "$@"\n')
    tally.chmod(0o755)
    folder = tmp_path / "empty"
    folder.mkdir()
    told = run(["sh", "-e", "-c", steps], folder, str(tally.parent))
    assert [text for text in expected if text not in told] == []


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", blocks("sh")[0], re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_the_rules_of_the_readme_can_be_granted_and_deny():
    (example,) = blocks("toml")
    manifest = {"effects": {"shop.buy": {"cap_type": "shop"}}, **tomllib.loads(example)}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(manifest).allowed
        asked = [Intent("shop.buy", {"amount_cents": cents}, "purchases") for cents in (1200, 50001)]
        assert [decision.outcome for decision in kernel.submit(asked)] == ["allow", "deny"]
