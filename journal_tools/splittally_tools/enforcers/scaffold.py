"""A new enforcer's folder: one that builds, is admitted and passes its cases as it stands.

Rule 1. Templates are files of the package, those of the language over those that all share, and differ
        from what is written in the words of `Words` only.
Rule 2. A kind of the release is used and not defined: worlds have it. The cap has the type that covers it.
Rule 3. A folder that holds anything is left alone.
"""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.release_kinds import RELEASE_KINDS
from splittally.core.types import SYS, is_kind, is_name
from splittally_enforcers.toolchains import LANGUAGES

NAMESPACE = "local"  # of a plain name
_WORD = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_DIMENSION = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN = re.compile(r"@([A-Z]+)@")


class Words(NamedTuple):
    """What stands in the place of the templates' tokens."""

    name: str
    cap: str
    word: str
    kind: str
    dim: str
    lang: str

    def tokens(self) -> dict[str, str]:
        source = f"enforcer{LANGUAGES[self.lang].suffix}"
        cap_type = RELEASE_KINDS.get(self.kind, self.word)
        own = "" if self.kind in RELEASE_KINDS else f'[effects."{self.kind}"]\ncap_type = "{cap_type}"\n\n'
        words = {key.upper(): value for key, value in self._asdict().items()}
        return words | {"SOURCE": source, "TYPE": cap_type, "EFFECTS": own}


def words_of(name: str, lang: str, kind: str | None = None, dim: str | None = None) -> Words:
    """The words of a new enforcer from a name such as `acme/CapEnforceMail@1`, or a plain `mail`."""
    if is_name(name):
        namespace, _, rest = name.rpartition("/")
        stem, _, version = rest.partition("@")
        word = _snake(stem.removeprefix("CapEnforce") or stem)
        full = name
    else:
        namespace, version, word = NAMESPACE, "1", name
        full = f"{NAMESPACE}/CapEnforce{''.join(part.capitalize() for part in name.split('_'))}@1"
    if _WORD.fullmatch(word) is None or not is_name(full):
        text = "a name is like acme/CapEnforceMail@1, or a plain word such as mail"
        raise InvalidInput(f"`{name}`: {text}", field="name")
    if full.startswith(SYS):
        raise InvalidInput(f"`{name}`: names in `{SYS}` belong to the release; use your own", field="name")
    kind, dim = kind or f"{word}.use", dim or f"{word}_count"
    if not is_kind(kind):
        raise InvalidInput(f"`{kind}`: a kind is like mail.send", field="kind")
    if _DIMENSION.fullmatch(dim) is None:
        text = "a dimension is 1 to 64 letters, digits and `_.-`; say --dim with one"
        raise InvalidInput(f"`{dim}`: {text}", field="dim")
    return Words(name=full, cap=f"{namespace}/{word}@{version}", word=word, kind=kind, dim=dim, lang=lang)


def make_folder(folder: Path, words: Words) -> list[str]:
    """Writes the folder; the names of its files, sorted. `InvalidInput` where it holds anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        text = f"`{folder}` is not empty; say --into with a folder that is new or empty"
        raise InvalidInput(text, path=str(folder))
    root = files(__package__) / "templates"
    found = dict(_files(root / "shared", "")) | dict(_files(root / words.lang, ""))
    tokens = words.tokens()
    for name, text in found.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_TOKEN.sub(lambda token: tokens[token[1]], text), "utf-8")
    return sorted(found)


def _files(folder: Traversable, above: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry, f"{above}{entry.name}/")
        else:
            found.append((above + entry.name, entry.read_text("utf-8")))
    return found


def _snake(stem: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()
