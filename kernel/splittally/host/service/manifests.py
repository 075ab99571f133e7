"""A manifest that came over a wire, with the files that it names.

Rule 1. A file is known by the name that the manifest has for it, whatever its path: nothing of this machine
        is read, and nothing is written.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from splittally.edge.manifest_places import Parcel, Stated
from splittally.host.service.problems import Problem


class Sent(NamedTuple):
    """A document, or a text in a form; `files` are bytes, or hex, by the names that it has for them."""

    manifest: dict[str, Any] | str
    form: str
    files: Mapping[str, Any]


def stated(sent: Sent) -> Stated:
    """What `apply` takes."""
    files = {name: _bytes(name, data) for name, data in sent.files.items()}
    if isinstance(sent.manifest, dict):
        return Stated(Parcel(files), sent.manifest)
    name = f"manifest.{sent.form}"
    if name in files:
        raise Problem(400, "invalid_input", f"`{name}` is the manifest itself; send the file by another name")
    return Stated(Parcel({**files, name: sent.manifest.encode()}), name)


def _bytes(name: str, data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return bytes.fromhex(data)
    except (TypeError, ValueError):
        raise Problem(400, "invalid_input", f"the file `{name}` is hex text") from None
