"""What an author of enforcers is told: why an answer is none, which option was wrong, what to install."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.abi import BAD_OUTPUT, read_check, read_settle
from splittally.core.canonical import encode
from splittally_enforcers import toolchains
from splittally_tools.cli import enforcer_make
from splittally_tools.enforcers import building
from splittally_tools.enforcers.misreadings import why_unread

from tests.cli_tools import run

READERS = {"Check": read_check, "Settle": read_settle}
NAMES = st.sampled_from(
    ["constraints_ok", "reserve_estimate", "deny", "usage", "violation", "code", "message", "x"]
)
LEAVES = (
    st.booleans() | st.integers(-1, 2) | st.just(2**63) | st.text(max_size=2) | st.just("m" * 300) | st.none()
)
VALUES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
RIGHT = {
    "Check": st.fixed_dictionaries(
        {"constraints_ok": st.booleans(), "reserve_estimate": VALUES},
        optional={"deny": st.fixed_dictionaries({"code": LEAVES, "message": LEAVES}), "x": LEAVES},
    ),
    "Settle": st.fixed_dictionaries(
        {"usage": st.dictionaries(NAMES, LEAVES, max_size=2)},
        optional={"violation": st.fixed_dictionaries({"code": LEAVES, "message": LEAVES}), "x": LEAVES},
    ),
}


@given(st.data(), st.sampled_from(["Check", "Settle"]))
def test_an_answer_has_a_reason_exactly_where_the_kernel_reads_no_verdict(data, variant):
    answer = data.draw(
        st.binary(max_size=8)
        | st.one_of(VALUES, st.fixed_dictionaries({variant: RIGHT[variant]})).map(encode)
    )
    assert bool(why_unread(variant, answer)) == (READERS[variant](answer) == BAD_OUTPUT)


@pytest.mark.parametrize(
    ("variant", "answer", "reason"),
    [
        ("Check", b"", "empty"),
        ("Check", b"\xff", "canonical CBOR"),
        ("Check", encode({"Settle": {}}), 'the one key "Check"'),
        ("Check", encode({"Check": {"constraints_ok": 1}}), '"constraints_ok" is true or false'),
        (
            "Check",
            encode({"Check": {"constraints_ok": True, "reserve_estimate": {"n": -1}}}),
            "`n` is a natural",
        ),
        ("Check", encode({"Check": {"constraints_ok": False, "reserve_estimate": {}}}), '"deny" is a map'),
        ("Settle", encode({"Settle": {"usage": {}, "violations": {}}}), '"violations" has no place here'),
        ("Settle", encode({"Settle": {"usage": {}, "violation": {"code": "", "message": ""}}}), "is empty"),
    ],
)
def test_the_reason_names_the_place(variant, answer, reason):
    assert reason in why_unread(variant, answer)


@pytest.mark.parametrize("kind", ["llm.generate", "task.post", "mail.send"])
def test_the_manifest_of_a_new_enforcer_applies_whatever_kind_it_judges(kind, tmp_path, monkeypatch):
    folder = tmp_path / "mail"
    assert run("enforcer", "new", "mail", "--lang", "wat", "--into", folder, "--kind", kind).code == 0
    assert run("enforcer", "build", folder).code == 0
    assert run("-w", tmp_path / "world", "init").code == 0
    applied = run("-w", tmp_path / "world", "apply", folder / "manifest.toml")
    assert applied.code == 0, applied.out + applied.err


@pytest.mark.parametrize("option", ["--cap-params", "--receipt"])
def test_json_that_cannot_be_read_is_told_with_its_option(option, tmp_path):
    folder = tmp_path / "mail"
    assert run("enforcer", "new", "mail", "--lang", "wat", "--into", folder).code == 0
    assert run("enforcer", "build", folder).code == 0
    intent = '{"kind": "mail.use", "params": {"to": "a"}, "grant": "g"}'
    ran = run("enforcer", "run", folder, "-i", "-", option, "{not json", text=intent)
    assert (ran.code, f"`{option}`" in ran.err) == (2, True)


# --- the compiler -----------------------------------------------------------------------------------


@pytest.fixture
def fetching(tmp_path, monkeypatch):
    """A folder without its compiler, and pip as a list of what it was asked for."""
    folder, asked = tmp_path / "mail", []
    assert run("enforcer", "new", "mail", "--lang", "wat", "--into", folder).code == 0
    found = toolchains.version

    def version(package):
        if not asked:
            raise toolchains.PackageNotFoundError(package)
        return found(package)

    def pip(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(toolchains, "version", version)
    monkeypatch.setattr(building.subprocess, "run", pip)
    return folder, asked


def test_a_missing_compiler_is_fetched_where_that_is_said_and_nowhere_else(fetching):
    folder, asked = fetching
    assert (run("enforcer", "build", folder).code, asked) == (3, [])
    assert run("enforcer", "build", folder, "--fetch").code == 0
    package = toolchains.LANGUAGES["wat"]
    assert asked == [[sys.executable, "-m", "pip", "install", f"{package.package}=={package.version}"]]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 3)])
def test_a_person_at_a_terminal_is_asked(fetching, monkeypatch, answer, code):
    folder, asked = fetching
    monkeypatch.setattr(enforcer_make, "for_people", lambda session: True)
    monkeypatch.setattr(enforcer_make, "is_asked", lambda: True)
    ran = run("enforcer", "build", folder, text=answer)
    assert (ran.code, len(asked)) == (code, 1 - code // 3)
    assert "fetch it now?" in ran.err


def test_a_compiler_that_pip_does_not_find_is_told_in_its_words(fetching, monkeypatch):
    def pip(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "looking\nERROR: No matching distribution")

    monkeypatch.setattr(building.subprocess, "run", pip)
    ran = run("enforcer", "build", fetching[0], "--fetch")
    assert (ran.code, "No matching distribution" in ran.err) == (3, True)
