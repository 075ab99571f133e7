"""The folder of one enforcer: its source, its module, its cases, and what `enforcer.toml` says of it.

Rule 1. Nothing is guessed: a key that is not known is refused by name, and each message says what to do.
Rule 2. Only building needs `enforcer.toml`; a folder with a module and cases can be checked without it.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

import msgspec
from splittally.core.errors import InvalidInput, NotAdmitted
from splittally.core.hashing import hash_module
from splittally.core.limits import ENFORCER_BYTES_MAX
from splittally.core.types import is_id, is_kind, is_name
from splittally.sandbox import failed_checks
from splittally_enforcers.toolchains import LANGUAGES

DESCRIPTION = "enforcer.toml"
MODULE = "enforcer.wasm"
CASES = "cases"
MANIFEST = "manifest.toml"
CONFIG_BYTES_MAX = 64 * 1024


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `enforcer.toml` says: the module's name, its source, and what it judges and counts."""

    name: str
    language: str
    source: str
    cap: str
    kinds: list[str]
    dimensions: list[str]

    def __post_init__(self) -> None:
        for field in ("name", "cap"):
            if not is_name(getattr(self, field)):
                raise ValueError(f"`{field}` is like acme/mail@1")
        if self.language not in LANGUAGES:
            raise ValueError(f"`language` is one of {', '.join(LANGUAGES)}")
        if not self.source.endswith(LANGUAGES[self.language].suffix) or Path(self.source).is_absolute():
            raise ValueError(f"`source` is a {LANGUAGES[self.language].suffix} file of this folder")
        if not all(map(is_kind, self.kinds)) or not all(map(is_id, self.dimensions)):
            raise ValueError("`kinds` are like mail.send, `dimensions` are names")


class Project(NamedTuple):
    """A folder; `description` is None where it has no `enforcer.toml`."""

    folder: Path
    description: Description | None

    @property
    def module(self) -> Path:
        return self.folder / MODULE

    @property
    def cases(self) -> Path:
        return self.folder / CASES

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which a journal may know the module: its own and its cap's."""
        return (self.description.name, self.description.cap) if self.description else ()

    def described(self) -> Description:
        """What `enforcer.toml` says; `InvalidInput` where there is none."""
        if self.description is None:
            advice = "make a folder with `tally enforcer new NAME`"
            text = f"there is no `{DESCRIPTION}` in `{self.folder}`; {advice}"
            raise InvalidInput(text, path=str(self.folder))
        return self.description

    @property
    def is_stale(self) -> bool:
        """Whether a source is newer than the module, so that the module may not be what it says."""
        if self.description is None or not self.module.is_file():
            return False
        built = self.module.stat().st_mtime_ns
        suffix = LANGUAGES[self.description.language].suffix
        return any(file.stat().st_mtime_ns > built for file in self.folder.glob(f"*{suffix}"))


def open_project(folder: Path) -> Project:
    """The enforcer in `folder`; `InvalidInput` when it is no folder or its description cannot be read."""
    if not folder.is_dir():
        text = f"`{folder}` is no folder; make one with `tally enforcer new NAME --into {folder}`"
        raise InvalidInput(text, path=str(folder))
    file = folder / DESCRIPTION
    if not file.is_file():
        return Project(folder, None)
    try:
        if file.stat().st_size > CONFIG_BYTES_MAX:
            raise ValueError(f"more than {CONFIG_BYTES_MAX} bytes")
        document = tomllib.loads(file.read_text("utf-8"))
        return Project(folder, msgspec.convert(document, Description, strict=True))
    except (ValueError, msgspec.ValidationError) as error:
        raise InvalidInput(f"`{file}` cannot be read: {error}; correct it", path=str(file)) from error


class Module(NamedTuple):
    """A module as it lies in a file, admitted or not."""

    path: Path
    wasm: bytes

    @property
    def hash(self) -> bytes:
        return hash_module(self.wasm)


def read_module(path: Path) -> Module:
    """The module in the file `path`, or in the folder; `InvalidInput` when there is none."""
    if path.is_dir():
        project = open_project(path)
        path = project.module
        if not path.is_file():
            advice = f"run `tally enforcer build {project.folder}`"
            raise InvalidInput(f"there is no `{MODULE}` in `{project.folder}`; {advice}", path=str(path))
    if not path.is_file():
        raise InvalidInput(f"`{path}` is no module and no folder of an enforcer", path=str(path))
    with open(path, "rb") as file:
        return Module(path, file.read(ENFORCER_BYTES_MAX + 1))


def admitted_module(path: Path) -> Module:
    """The same; `NotAdmitted` where it may not be an enforcer."""
    module = read_module(path)
    failed = failed_checks(module.wasm)
    if failed:
        check, why = next(iter(failed.items()))
        text = f"`{module.path}` is not admitted: {check}: {why}; see `tally enforcer check {path}`"
        raise NotAdmitted(text, check=check, path=str(module.path))
    return module
