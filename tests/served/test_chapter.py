"""The chapter on the service says every operation as it is, and spend is counted by labels."""

import os
import subprocess

import splittally
from splittally import Intent, Receipt
from splittally.host.service.operations import OPERATIONS

from tests.cli_tools import ROOT, command, environment
from tests.served.serving import MANIFEST, Running, make_world

CHAPTER = (ROOT / "spec" / "17-service.md").read_text("utf-8")


def test_the_table_of_the_chapter_is_the_table_of_operations():
    rows = [line for line in CHAPTER.splitlines() if line.startswith("| `") and line.count("|") == 6]
    said = []
    for row in OPERATIONS:
        fields = ", ".join(f"`{name}`" for name in row.fields.__struct_fields__) or "-"
        said.append(f"| `{row.name}` | `{row.method} {row.path}` | {row.who} | {fields} | {row.summary} |")
    assert rows == said


def test_spend_is_counted_by_labels(tmp_path):
    with splittally.open(None, clock="given") as kernel, Running(kernel, tmp_path) as clients:
        assert kernel.apply(MANIFEST).allowed
        for run, tokens in (("7", 3), ("8", 5)):
            asked = Intent("llm.generate", {"max_tokens": 10}, "own", labels={"run": run, "user": "x"})
            held = kernel.submit(asked)
            used = {"prompt_tokens": 0, "completion_tokens": tokens}
            assert kernel.settle(Receipt(held.intent_hash, "ok", "a", used)).status == "settled"
        told = clients.ask("GET", "/v1/spend?by=grant&labels=run=7,user=x").json["items"]
        assert [row["charged"] for row in told] == [3]
        assert clients.ask("GET", "/v1/spend?labels=nothing").status == 400


def test_without_its_packages_a_service_says_what_to_install(tmp_path):
    """As where the extra is not installed: a module of that name that is none stands first."""
    folder = make_world(tmp_path / "w")
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('no uvicorn here')\n")
    environ = environment()
    environ["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environ.get("PYTHONPATH", "")])
    ran = subprocess.run(command("-w", folder, "serve"), env=environ, capture_output=True, text=True)
    assert (ran.returncode, "splittally[serve]" in ran.stderr, "Traceback" in ran.stderr) == (3, True, False)


def test_a_caller_learns_who_it_is(tmp_path):
    with splittally.open(None, clock="given") as kernel, Running(kernel, tmp_path) as clients:
        assert clients.ask("GET", "/v1/me").json["roles"] == ["operator"]
        me = clients.as_("alice", "GET", "/v1/me").json
        assert (me["principal"], me["roles"]) == ("alice", [])
        assert clients.frames(principal="alice").ask({"call": "me"}) == me
