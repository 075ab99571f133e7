"""What the tests of the kit share: folders as `tally enforcer new` makes them, built once a process."""

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from splittally_enforcers.toolchains import LANGUAGES

from tests.cli_tools import run

NAME, CAP, KIND, DIM = "acme/CapEnforceMail@1", "acme/mail@1", "mail.send", "mails"
ALLOWED = "allows_somebody_who_is_listed.json"
DENIED = "denies_somebody_who_is_not_listed.json"
SETTLED = "settles_on_the_receipt.json"
LISTED = '{"to": ["team"], "count_max": 10}'
SOURCES = {language: f"enforcer{each.suffix}" for language, each in LANGUAGES.items()}
# What an author may do to the template: reserve one more, and say so nowhere.
CHANGES = {
    "zig": ('answer.put("mails", params.count)', 'answer.put("mails", params.count + 1)'),
    "c": ('tally_put("mails", params.count)', 'tally_put("mails", params.count + 1)'),
    "wat": (
        '(call $tally.put (@text "mails") (local.get $count))',
        '(call $tally.put (@text "mails") (i64.add (local.get $count) (i64.const 1)))',
    ),
}


def made(folder: Path, language: str = "zig") -> Path:
    """A new folder, not built."""
    ran = run("enforcer", "new", NAME, "--lang", language, "--kind", KIND, "--dim", DIM, "--into", folder)
    assert ran.code == 0, ran.err
    return folder


def built(folder: Path, language: str = "zig") -> Path:
    """A new folder with its module, out of what was compiled before in this process."""
    made(folder, language)
    (folder / "enforcer.wasm").write_bytes(compiled(language, False))
    return folder


def change(folder: Path, language: str = "zig", compile_it: bool = True) -> Path:
    """The folder with the change of `CHANGES`."""
    source = folder / SOURCES[language]
    before, after = CHANGES[language]
    assert before in source.read_text()
    source.write_text(source.read_text().replace(before, after))
    if compile_it:
        (folder / "enforcer.wasm").write_bytes(compiled(language, True))
    return folder


@cache
def compiled(language: str, is_changed: bool) -> bytes:
    """The module of a new folder, as it is made or with the change."""
    with TemporaryDirectory() as work:
        folder = made(Path(work) / "folder", language)
        if is_changed:
            change(folder, language, compile_it=False)
        assert run("enforcer", "build", folder).code == 0
        return (folder / "enforcer.wasm").read_bytes()


def mail(to: str = "team", count: int = 3, **fields: Any) -> str:
    """A line of input."""
    return json.dumps({"kind": KIND, "params": {"to": to, "count": count}, "grant": "mail", **fields}) + "\n"


def told(intent_hash: str, count: Any = 2, **fields: Any) -> str:
    """A receipt for it."""
    line = {"intent_hash": intent_hash, "status": "ok", "adapter_id": "me", "payload": {"count": count}}
    return json.dumps({**line, **fields}) + "\n"


def used_by(folder: Path, world: Path, counts: tuple[int, ...] = (1, 3, 11)) -> Path:
    """A world that uses the folder's module: each count was asked for, the first was settled."""
    assert run("-w", world, "init", "--clock", "given").code == 0
    assert run("-w", world, "apply", folder / "manifest.toml").code == 0
    decided = run("-w", world, "submit", text="".join(mail(count=count) for count in counts)).lines
    assert run("-w", world, "settle", text=told(decided[0]["intent_hash"], 1)).code == 0
    return world


def edit_case(folder: Path, name: str, **fields: Any) -> None:
    """The case with other fields."""
    file = folder / "cases" / name
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target
