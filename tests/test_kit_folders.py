"""From an empty directory to a world that uses the module, and to its next version, in each language."""

import json
import os
import re
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.resources import files

import pytest
from splittally.core.hashing import hash_module
from splittally.sandbox import ReferenceSandbox
from splittally_enforcers import toolchains
from splittally_enforcers.conformance import differences, encode_input, read_cases
from splittally_enforcers.toolchains import LANGUAGES

from tests.cli_tools import ROOT, process, run
from tests.kit_tools import (
    ALLOWED,
    CAP,
    DENIED,
    DIM,
    KIND,
    LISTED,
    NAME,
    SETTLED,
    SOURCES,
    built,
    change,
    compiled,
    made,
    mail,
    used_by,
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """The compilers' own files, apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp().parent / "kit-cache"))
        yield


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_folder_goes_all_the_way_from_nothing_to_its_next_version(tmp_path, language, monkeypatch):
    """new, build, check, test, run, a world that uses it, a change, replay, and the upgrade."""
    monkeypatch.chdir(tmp_path)
    told = run("enforcer", "new", NAME, "--lang", language, "--kind", KIND, "--dim", DIM, "--json").json
    assert told["next"] == [f"tally enforcer {verb} mail" for verb in ("build", "test", "check")]
    folder = tmp_path / "mail"
    (folder / "enforcer.wasm").write_bytes(compiled(language, False))
    checked = run("enforcer", "check", "mail", "--json").json
    assert (checked["admitted"], checked["failed"], len(checked["cases"])) == (True, {}, 3)
    assert {rule["status"] for rule in checked["rules"]} == {"passed"}
    tested = run("enforcer", "test", "mail", "--json")
    assert (tested.code, tested.json["passed"], tested.json["failed"]) == (0, 3, 0)
    asked = run("enforcer", "run", "mail", "-i", "-", "--cap-params", LISTED, "--json", text=mail())
    assert asked.json["check"]["reserve"] == {DIM: 3}

    world = used_by(folder, tmp_path / "world")
    same = run("enforcer", "replay", world, "--module", folder, "--json").json
    assert (same["checks"], same["settles"], same["otherwise"]) == (3, 1, [])
    change(folder, language)
    found = run("enforcer", "replay", world, "--module", folder, "--json").json
    assert [(row["was"], row["now"]) for row in found["otherwise"]] == [
        ({"reserve": {DIM: 1}}, {"reserve": {DIM: 2}}), ({"reserve": {DIM: 3}}, {"reserve": {DIM: 4}}),
    ]  # fmt: skip
    applied = run("-w", world, "apply", folder / "manifest.toml", "--json").json
    assert applied["report"]["totals"]["reserve"] == {DIM: {"was": 4, "now": 6}}
    assert run("-w", world, "submit", text=mail(count=5)).lines[0]["reserve"] == {DIM: 6}
    assert run("-w", world, "verify", "--rejudge").code == 0


def test_the_three_languages_answer_every_question_alike(tmp_path):
    answers = set()
    for language in LANGUAGES:
        folder = built(tmp_path / language, language)
        document = [
            run("enforcer", "run", folder, "-i", "-", "--cap-params", params, "--json", text=line).json[
                "check"
            ]
            for params in (LISTED, "{}", '{"too": []}', '{"to": 5}', '{"count_max": 2}')
            for line in (
                mail(),
                mail("stranger"),
                mail(count=11),
                mail(kind="other.kind"),
                mail(params={"to": 1}),
            )
        ]
        for cost in document:
            for key in ("fuel", "fuel_percent"):
                del cost[key]
        answers.add(json.dumps(document, sort_keys=True))
    assert len(answers) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_of_the_readme_can_be_had(tmp_path, language):
    folder = built(tmp_path / "folder", language)
    codes = set(
        re.findall(r"^\| `(\w+)` \| (?:Check|Settle)", (folder / "README.md").read_text(), re.MULTILINE)
    )
    found = set()
    for params, line, receipt in (
        (LISTED, mail(kind="other.kind"), None),
        ('{"too": 1}', mail(), None),
        (LISTED, mail(params={}), None),
        (LISTED, mail("stranger"), None),
        (LISTED, mail(count=11), None),
        (LISTED, mail(), '{"count": "two"}'),
        (LISTED, mail(), '{"count": 4}'),
    ):
        options = ["--receipt", f'{{"status": "ok", "payload": {receipt}}}'] if receipt else []
        told = run(
            "enforcer", "run", folder, "-i", "-", "--cap-params", params, *options, "--json", text=line
        ).json
        answer = told["settle"] or told["check"]
        found.add((answer.get("deny") or answer.get("violation"))["code"])
    assert found == codes


def test_the_files_of_a_folder_name_what_was_asked_for(tmp_path):
    folder = made(tmp_path / "mail", "c")
    described = tomllib.loads((folder / "enforcer.toml").read_text())
    assert described == {
        "name": NAME,
        "cap": CAP,
        "language": "c",
        "source": "enforcer.c",
        "kinds": [KIND],
        "dimensions": [DIM],
    }
    assert not re.findall(
        r"@[A-Z]+@", "".join(file.read_text() for file in folder.rglob("*") if file.is_file())
    )
    assert {ALLOWED, DENIED, SETTLED} == {file.name for file in (folder / "cases").iterdir()}
    assert tomllib.loads((folder / "manifest.toml").read_text())["modules"] == {NAME: "enforcer.wasm"}


@pytest.mark.parametrize(
    ("name", "module", "cap", "kind"),
    [
        ("mail", "local/CapEnforceMail@1", "local/mail@1", "mail.use"),
        ("gpu_rent", "local/CapEnforceGpuRent@1", "local/gpu_rent@1", "gpu_rent.use"),
        ("acme/CapEnforceGpuRent@3", "acme/CapEnforceGpuRent@3", "acme/gpu_rent@3", "gpu_rent.use"),
        ("a.b/c/mail@1", "a.b/c/mail@1", "a.b/c/mail@1", "mail.use"),
    ],
)
def test_a_name_gives_the_module_the_cap_and_the_kind(tmp_path, name, module, cap, kind):
    told = run("enforcer", "new", name, "--into", tmp_path / "x", "--json").json
    assert (told["name"], told["cap"], told["kind"]) == (module, cap, kind)


def test_the_cases_of_a_folder_are_read_by_the_conformance_of_any_author(tmp_path):
    """`splittally_enforcers.conformance` reads the same files and knows no command line."""
    folder = built(tmp_path / "mail", "wat")
    sandbox = ReferenceSandbox()
    module = sandbox.load((folder / "enforcer.wasm").read_bytes())
    cases = read_cases(folder)
    assert len(cases) == 3
    for case in cases.values():
        assert differences(case, sandbox.judge(module, encode_input(case["input"]))) == []


def test_templates_are_data_of_the_package():
    """They are read through importlib.resources, and the build takes every file of its packages."""
    root = files("splittally_tools.enforcers") / "templates"
    assert {entry.name for entry in root.iterdir()} == {"shared", *LANGUAGES}
    for language, source in SOURCES.items():
        assert (root / language / source).is_file()
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "journal_tools/splittally_tools" in wheel["packages"]
    assert not {"exclude", "only-include", "artifacts"} & set(wheel)


# --- building ---------------------------------------------------------------------------------------


def test_a_build_says_what_it_wrote_and_what_changed(tmp_path):
    folder = made(tmp_path / "mail", "wat")
    first = run("enforcer", "build", folder, "--json").json
    wasm = (folder / "enforcer.wasm").read_bytes()
    assert (first["module"], first["bytes"]) == (hash_module(wasm).hex(), len(wasm))
    assert (first["was"], first["changed"], first["written"]) == (None, True, True)
    again = run("enforcer", "build", folder, "--json").json
    assert (again["changed"], again["written"]) == (False, False)
    change(folder, "wat", compile_it=False)
    other = run("enforcer", "build", folder, "--json").json
    assert other["was"] == {"module": first["module"], "bytes": first["bytes"]}
    assert other["module"] != first["module"]
    assert sorted(file.name for file in folder.iterdir() if file.name.startswith(".")) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bytes_do_not_depend_on_the_folder(tmp_path, language):
    folder = made(tmp_path / "elsewhere with a space", language)
    assert run("enforcer", "build", folder).code == 0
    assert (folder / "enforcer.wasm").read_bytes() == compiled(language, False)


def test_a_build_is_compared_and_nothing_is_written(tmp_path):
    folder = made(tmp_path / "mail", "wat")
    missing = run("enforcer", "build", "--check", folder)
    assert missing.code == 1
    assert f"tally enforcer build {folder}" in missing.out
    assert not (folder / "enforcer.wasm").exists()
    assert run("enforcer", "build", folder).code == 0
    assert run("enforcer", "build", "--check", folder).code == 0
    (folder / "enforcer.wasm").write_bytes(b"other")
    assert run("enforcer", "build", "--check", folder).code == 1
    assert (folder / "enforcer.wasm").read_bytes() == b"other"


def test_a_missing_compiler_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(toolchains, "version", absent)
    folder = made(tmp_path / "mail")
    ran = run("enforcer", "build", folder)
    assert ran.code == 3
    assert f"`{LANGUAGES['zig'].install_command}`" in ran.err
    assert ran.err.count("\n") == 1
    assert run("enforcer", "build", folder, "--json").json["error"]["code"] == "no_compiler"


def test_what_the_compiler_says_is_shown_and_the_old_module_stays(tmp_path):
    folder = made(tmp_path / "mail", "wat")
    run("enforcer", "build", folder)
    wasm = (folder / "enforcer.wasm").read_bytes()
    source = folder / "enforcer.wat"
    source.write_text(source.read_text().replace("i64.gt_u", "i64.gt_uu"))
    ran = run("enforcer", "build", folder)
    assert ran.code == 1
    assert "enforcer.wat:30:" in ran.err
    error = run("enforcer", "build", folder, "--json")
    assert (error.code, error.json["error"]["code"]) == (1, "not_compiled")
    assert (folder / "enforcer.wasm").read_bytes() == wasm


def test_a_source_that_is_newer_than_its_module_is_said(tmp_path):
    folder = built(tmp_path / "mail", "wat")
    assert run("enforcer", "test", folder).err == ""
    os.utime(folder / "enforcer.wasm", (1, 1))
    for verb in (["test", folder], ["check", folder], ["run", folder, "-i", "-"]):
        assert f"run `tally enforcer build {folder}`" in run("enforcer", *verb, text=mail()).err
    assert run("enforcer", "build", folder, "--json").json["changed"] is False
    assert run("enforcer", "test", folder).err == ""


def test_the_kit_works_as_a_program_of_its_own(tmp_path):
    folder = built(tmp_path / "mail", "wat")
    for verb in ("test", "check"):
        ran = process("enforcer", verb, folder)
        assert (ran.code, ran.err) == (0, "")
