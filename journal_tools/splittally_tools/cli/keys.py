"""Keys of checkpoints: who signs, and whose signature counts.

Rule 1. A private key is a file of its own, outside the world, readable by nobody else.
Rule 2. Whose signature counts is what the reader says: `--public`, else TALLY_PUBLIC_KEY, else the keys
        that signed here before, which the world's folder lists in `checkpoint.keys`.
"""

import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from splittally.journal.proof.signed_note import VerifierKey, generate_key, load_key, parse_key

from splittally_tools.cli.session import Session

KEY_VARIABLE, PUBLIC_VARIABLE = "TALLY_KEY", "TALLY_PUBLIC_KEY"
KNOWN_FILE = "checkpoint.keys"
KNOWN_BYTES_MAX = 64 * 1024


def signing_key(file: Path | None, is_new: bool) -> Ed25519PrivateKey:
    """The private key to sign with; made first where that is asked for."""
    named = file or (Path(os.environ[KEY_VARIABLE]) if os.environ.get(KEY_VARIABLE) else None)
    if named is None:
        raise click.UsageError(
            f"which key signs? say `--key FILE` (and `--new-key` to make it) or set {KEY_VARIABLE}"
        )
    return generate_key(named) if is_new else load_key(named)


def public_keys(session: Session, said: str | None) -> list[VerifierKey]:
    """The keys whose signature counts."""
    text = said or os.environ.get(PUBLIC_VARIABLE)
    if text:
        path = Path(text)
        return [parse_key(line) for line in _lines(path if path.is_file() else None, text)]
    known = session.folder / KNOWN_FILE if session.is_named else None
    return [parse_key(line) for line in _lines(known, "")]


def remember_key(folder: Path, key: VerifierKey) -> None:
    """Lists a key that signs for this world, where the folder can be written."""
    known = folder / KNOWN_FILE
    if key.text in _lines(known, ""):
        return
    try:
        with open(known, "a", encoding="ascii") as file:
            file.write(f"{key.text}\n")
    except OSError:
        return  # whoever verifies says the key then


def _lines(file: Path | None, text: str) -> list[str]:
    if file is not None and file.is_file():
        text = file.read_text("ascii", "replace")[:KNOWN_BYTES_MAX]
    return [line for line in text.splitlines() if line.strip()]
