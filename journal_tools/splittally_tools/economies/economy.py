"""The file of an economy: a manifest and the steps that are played on it.

Rule 1. A step says what it expects: it is carried out, or `refused` with the code that it names.
Rule 2. A step has a `label`; its idempotency key is made of it, and later steps name it by it.
Rule 3. An unknown key is refused by name, as in a manifest.
"""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from splittally.core.types import OPERATOR


class Step(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", rename={"by": "as"}
):
    """What every step has: when, in whose name, why, and with which code it is refused."""

    at: datetime | None = None
    by: str = OPERATOR
    note: str = ""
    refused: str = ""


class Native(Step, frozen=True, kw_only=True, tag="native"):
    """A native effect; `under` is a grant where it is not the principal's own native one."""

    kind: str
    params: dict[str, Any]
    label: str = ""
    under: str = ""


class Submit(Step, frozen=True, kw_only=True, tag="submit"):
    """An intent under a grant, or offered to several in order; it may have to wait for approval."""

    kind: str
    label: str
    under: str | list[str]
    params: dict[str, Any]
    expires: datetime | None = None
    waits: bool = False


class Receipt(Step, frozen=True, kw_only=True, tag="receipt"):
    """What became of a labelled intent."""

    of: str
    status: str = "ok"
    payload: dict[str, Any] = {}
    pays_to: str | None = None


class Release(Step, frozen=True, kw_only=True, tag="release"):
    """The end of a labelled intent without a receipt."""

    of: str
    cause: str = "cancel"


class Answer(Step, frozen=True, kw_only=True, tag="answer"):
    """Approve or reject a labelled intent, or the `rule` of a `budget` that waits."""

    answer: str = "approve"
    of: str = ""
    budget: str = ""
    rule: str = ""


class Wait(Step, frozen=True, kw_only=True, tag="wait"):
    """Time passes."""


AnyStep = Native | Submit | Receipt | Release | Answer | Wait


class Economy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: a title, what it shows, the time at which it starts, a manifest and steps."""

    title: str
    about: str
    starts: datetime
    manifest: dict[str, Any]
    steps: list[AnyStep]


def read_economy(path: Path) -> Economy:
    """The economy in a TOML file; `msgspec.ValidationError` says which key is wrong."""
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Economy, strict=True)
