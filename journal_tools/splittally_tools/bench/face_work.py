"""How much work the faces of a service are measured on, and whether they can be.

Rule 1. They need the extra `serve`; without it everything else is measured.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from splittally.core.errors import WorldError

_FACES = "splittally_tools.bench.faces"


class NoFaces(WorldError):
    """There is no service here to be measured: it needs packages that are not installed."""


class Work(NamedTuple):
    """How many intents each connection of a face asks in one turn, and how many turns there are."""

    posts: int
    bodies: int
    lines: int  # of one body
    frames: int
    turns: int


FACES = Work(posts=24, bodies=1, lines=500, frames=256, turns=9)
QUICK_FACES = Work(posts=2, bodies=1, lines=70, frames=64, turns=1)


def measure_faces(folder: Path, work: Work, tell: Callable[[str], None]) -> dict[str, Any]:
    """The measurements of every face as JSON, made in `folder`; `NoFaces` without the extra `serve`."""
    try:
        faces = import_module(_FACES)
    except ImportError as error:
        raise NoFaces("a service needs more packages: `pip install 'splittally[serve]'`") from error
    found: dict[str, Any] = faces.measure(folder, work, tell).document()
    return found
