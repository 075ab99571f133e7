"""What can be said wrongly to each command of the kit gets one line that says what to do next."""

import json
import shutil

import pytest

from tests.cli_tools import make_world, run
from tests.kit_tools import ALLOWED, built, copy_of, edit_case, mail, used_by
from tests.rows.worlds import built as assembled
from tests.test_sandbox_fixtures import REFUSED, expected, fixture

FLOATS = fixture(next(path for path in REFUSED if expected(path) == "floats"))


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    return built(tmp_path_factory.mktemp("kit") / "mail", "wat")


@pytest.fixture(scope="module")
def used(mine, tmp_path_factory):
    return used_by(mine, tmp_path_factory.mktemp("kit") / "world")


@pytest.fixture
def folder(mine, tmp_path):
    return copy_of(mine, tmp_path / "mail")


def refused(code, *args, says, text=""):
    """One line on standard error, the same in the document, and the exit code."""
    ran = run("enforcer", *args, text=text)
    assert ran.code == code
    assert ran.err.count("\n") == 1, ran.err
    for word in says:
        assert word in ran.err, (word, ran.err)
    error = run("enforcer", *args, "--json", text=text)
    assert error.code == code
    assert says[0] in error.json["error"]["message"]


FOLDER_COMMANDS = (["build"], ["test"], ["check"], ["run", "-i", "-"])


@pytest.mark.parametrize("args", FOLDER_COMMANDS, ids=lambda args: args[0])
def test_what_is_no_folder(tmp_path, args):
    verb, *rest = args
    place = tmp_path / "none"
    refused(2, verb, place, *rest, says=[str(place)], text=mail())
    assert not place.exists()


@pytest.mark.parametrize("args", FOLDER_COMMANDS[1:], ids=lambda args: args[0])
def test_a_folder_without_its_module(folder, args):
    verb, *rest = args
    (folder / "enforcer.wasm").unlink()
    refused(2, verb, folder, *rest, says=[f"tally enforcer build {folder}"], text=mail())


def test_a_folder_that_describes_nothing_cannot_be_built(folder):
    (folder / "enforcer.toml").unlink()
    refused(2, "build", folder, says=["enforcer.toml", "tally enforcer new"])
    assert run("enforcer", "test", folder).code == 0  # its module and cases can be looked at


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("language", "langwidge", "langwidge"),
        ('"wat"', '"rust"', "c, wat, zig"),
        ('"acme/CapEnforceMail@1"', '"mail"', "acme/mail@1"),
        ("enforcer.wat", "enforcer.zig", ".wat"),
        ("enforcer.wat", "/etc/enforcer.wat", "of this folder"),
        ('["mail.send"]', '["Mail Send"]', "mail.send"),
        ('["mail.send"]', "[", "line"),
    ],
)
def test_a_description_that_cannot_be_read(folder, before, after, says):
    file = folder / "enforcer.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    refused(2, "build", folder, says=[str(file), says])


def test_a_folder_is_not_made_over_anything(folder):
    before = sorted(folder.rglob("*"))
    refused(2, "new", "mail", "--into", folder, says=["not empty", "--into"])
    refused(2, "new", "mail", "--into", folder / "README.md", says=["not empty"])
    assert sorted(folder.rglob("*")) == before
    empty = folder.parent / "empty"
    empty.mkdir()
    assert run("enforcer", "new", "mail", "--into", empty).code == 0


@pytest.mark.parametrize("name", ["", "Mail", "a b", "acme/CapEnforceÄ@1", "../x", "acme/@1", "x" * 130])
def test_a_name_that_is_none(tmp_path, name):
    refused(2, "new", name, "--into", tmp_path / "x", says=["acme/CapEnforceMail@1"])
    assert not (tmp_path / "x").exists()


def test_names_kinds_and_dimensions_that_cannot_be(tmp_path):
    into = ("--into", tmp_path / "x")
    refused(2, "new", "sys/CapEnforceX@1", *into, says=["sys/", "your own"])
    refused(2, "new", "mail", "--kind", "Mail Send", *into, says=["mail.send"])
    refused(2, "new", "mail", "--dim", 'a"b', *into, says=["--dim"])
    assert run("enforcer", "new", "mail", "--lang", "rust", *into).code == 2
    assert not (tmp_path / "x").exists()


# --- cases ------------------------------------------------------------------------------------------


def test_a_folder_without_cases(folder):
    shutil.rmtree(folder / "cases")
    refused(2, "test", folder, says=["no case", "--record"])
    assert run("enforcer", "check", folder).code == 0
    assert "not asked cases" in run("enforcer", "check", folder).out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1, column 2"),
        ("[]", "input"),
        ('{"input": {}}', "expect"),
        ('{"input": {}, "expect": {}}', "Check"),
        ('{"input": {"Check": {}}, "expect": {"Check": {}}}', "spec/03-abi.md"),
        ('{"input": {"Check": {}, "Settle": {}}, "expect": {}}', "Check"),
        ('{"input": {"Check": 5}, "expect": {}}', "Check"),
        ("\x00", "line 1, column 1"),
    ],
)
def test_a_file_that_is_no_case(folder, text, says):
    file = folder / "cases" / "broken.json"
    file.write_text(text)
    for verb in ("test", "check"):
        refused(2, verb, folder, says=[str(file), says, "correct or remove it"])


@pytest.mark.parametrize(
    "change", [{"expect": {"Settle": {}}}, {"expect": {"fault": "bang"}}, {"bounds": [1]}, {"nmae": "x"}]
)
def test_a_case_that_says_what_no_case_says(folder, change):
    edit_case(folder, ALLOWED, **change)
    refused(2, "test", folder, says=[ALLOWED])


@pytest.mark.parametrize("field", ["receipt", "cap_def", "logical_now_ns", "intent_hash"])
def test_a_question_with_a_field_of_another_type(folder, field):
    file = next((folder / "cases").glob("settles*"))
    case = json.loads(file.read_text())
    case["input"]["Settle"][field] = [1]
    file.write_text(json.dumps(case))
    refused(2, "test", folder, says=[field])


# --- modules, intents, journals ---------------------------------------------------------------------


@pytest.mark.parametrize("verb", [["test"], ["run", "-i", "-"], ["replay"]], ids=lambda verb: verb[0])
def test_a_module_that_is_not_admitted(folder, used, verb):
    (folder / "enforcer.wasm").write_bytes(FLOATS)
    name, *rest = verb
    args = (used, "--module", folder) if name == "replay" else (folder, *rest)
    refused(1, name, *args, says=["floats", f"tally enforcer check {folder}"], text=mail())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expecting value"),
        ("{}", "kind"),
        ("[]", "intent"),
        ('{"kind": "k"}', "grant"),
        (mail(x=1), "`x`"),
        ('{"all": []}', "one intent"),
        (mail(kind=5), "kind"),
        (mail(origin=5), "origin"),
    ],
)
def test_an_intent_that_cannot_be_asked(mine, text, says):
    refused(2, "run", mine, "-i", "-", says=[says], text=text)


def test_other_words_of_run(mine, tmp_path):
    refused(2, "run", mine, "-i", tmp_path / "none", says=["none"])
    refused(2, "run", mine, "-i", "-", "--cap-params", "{", says=["line 1"], text=mail())
    refused(2, "run", mine, "-i", "-", "--cap-params", tmp_path / "none", says=["none"], text=mail())
    refused(2, "run", mine, "-i", "-", "--cap", "mail", says=["--cap"], text=mail())
    refused(2, "run", mine, "-i", "-", "--receipt", '{"status": "maybe"}', says=["timeout"], text=mail())
    refused(2, "run", mine, "-i", "-", "--receipt", '{"nonsense": 1}', says=["nonsense"], text=mail())
    refused(2, "run", mine, "-i", mine / "cases" / ALLOWED, "--receipt", "{}", says=["-i alone"])
    assert run("enforcer", "run", mine).code == 2


def test_a_journal_that_is_none(mine, tmp_path):
    refused(3, "replay", tmp_path / "none", "--module", mine, says=["tally init"])
    refused(3, "test", mine, "--record", tmp_path / "none", "--seq", 1, says=["tally init"])


def test_a_journal_without_the_module(mine, tmp_path):
    world = make_world(tmp_path / "world")
    refused(2, "replay", world, "--module", mine, says=["acme/CapEnforceMail@1", "--name", "sys/blob@1"])
    refused(2, "replay", world, "--module", mine / "enforcer.wasm", says=["--name"])
    refused(2, "replay", world, "--module", mine, "--old", "00" * 32, says=["00" * 32, "enforcer list"])
    refused(2, "replay", world, "--module", mine, "--old", "xyz", says=["xyz", "enforcer list"])
    refused(2, "replay", world, "--module", mine, "--old", "00" * 32, "--name", "a/b@1", says=["not both"])


def test_a_module_that_nobody_was_asked_of_is_said(mine, tmp_path):
    world = used_by(mine, tmp_path / "world")
    ran = run("enforcer", "replay", world, "--module", mine, "--name", "sys/CapEnforceBlob@1")
    assert ran.code == 0
    assert "the journal records no call of it" in ran.out


def test_calls_that_cannot_be_recorded(folder, used):
    record = ("test", folder, "--record", used)
    refused(2, *record, says=["--seq N or --intent HASH"])
    refused(2, *record, "--seq", 1, "--intent", "00" * 32, says=["--seq N or --intent HASH"])
    refused(2, "test", folder, "--seq", 1, says=["--record"])
    refused(2, *record, "--seq", 99, says=["no frame 99"])
    refused(2, *record, "--seq", 1, says=["no module was asked there"])
    refused(2, *record, "--intent", "00" * 32, says=["no module was asked there"])
    refused(2, *record, "--intent", "xyz", says=["hex"])
    refused(2, *record, "--seq", 2, "--as-case", "../escaped", says=["letters, digits"])
    assert run("enforcer", *record, "--seq", 2, "--as-case", "one").code == 0
    before = (folder / "cases" / "one.json").read_bytes()
    refused(2, *record, "--seq", 2, "--as-case", "one", says=["there already", "--as-case"])
    assert (folder / "cases" / "one.json").read_bytes() == before


def test_a_damaged_journal_is_damage(folder, used, tmp_path):
    world = copy_of(used, tmp_path / "damaged")
    file = world / "journal" / "data.mdb"
    file.write_bytes(file.read_bytes()[:100])
    refused(1, "replay", world, "--module", folder, says=["frame 0"])


def test_a_folder_that_cannot_be_written_is_the_environments_fault(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("splittally_tools.enforcers.building.tempfile.mkstemp", full)
    folder = built(tmp_path / "mail", "wat")
    (folder / "enforcer.wasm").write_bytes(assembled("(module)"))
    refused(3, "build", folder, says=["No space left"])
