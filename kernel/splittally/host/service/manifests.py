"""A manifest that came over a wire, with the files that it names, as a file of its own for a while.

Rule 1. A file's path is relative to the manifest and stays below it: nothing else of this machine is read.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from splittally.edge.manifest import Source
from splittally.host.service.problems import Problem


class Sent(NamedTuple):
    """A document, or a text in a form; `files` are bytes as hex, by path."""

    manifest: dict[str, Any] | str
    form: str
    files: Mapping[str, str]


@contextmanager
def opened(sent: Sent) -> Iterator[Source]:
    """What `apply` takes; a text is a file as long as this lasts."""
    if isinstance(sent.manifest, dict):
        if sent.files:
            raise Problem(400, "invalid_input", "`files` go with a text; a document holds bytes itself")
        yield sent.manifest
        return
    with tempfile.TemporaryDirectory(prefix="splittally-") as folder:
        for name, digits in sent.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
                raise Problem(400, "invalid_input", f"`{name}` is no path below the manifest")
            place = Path(folder, path)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(bytes.fromhex(digits))
            except (OSError, ValueError) as error:
                raise Problem(400, "invalid_input", f"`{name}` cannot be taken: {error}") from None
        manifest = Path(folder, f"manifest.{sent.form}")
        manifest.write_text(sent.manifest, "utf-8")
        yield manifest
