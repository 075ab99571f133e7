"""Signed notes (c2sp.org/signed-note): a text and Ed25519 signatures that name their keys.

Rule 1. The text is nothing until a signature of a key that the reader chose has been verified.
Rule 2. A signature of another key is ignored; one of a known key that does not verify refuses the note.
Rule 3. A private key is a PEM file that only its owner can read. It is never written over.
Rule 4. A public key of low order is refused where a key is read and where a note is verified
        (`core/public_keys.py`).
"""

import base64
import binascii
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from splittally.core.errors import InvalidInput
from splittally.core.public_keys import is_weak
from splittally.journal import disk

ED25519 = b"\x01"  # the signature type that stands in key ids and key texts
NOTE_BYTES_MAX = 64 * 1024
_DASH = "\N{EM DASH} "


class VerifierKey(NamedTuple):
    """A public key and the name under which it signs."""

    name: str
    public: bytes

    @property
    def text(self) -> str:
        """The one-line form that verifiers are given: name, key id and key, joined by plus signs."""
        return f"{self.name}+{key_id(self).hex()}+{_base64(ED25519 + self.public)}"


def key_id(key: VerifierKey) -> bytes:
    return sha256(key.name.encode() + b"\n" + ED25519 + key.public).digest()[:4]


def parse_key(text: str) -> VerifierKey:
    """The key of its one-line form; `InvalidInput` for anything else."""
    name, _, rest = text.strip().partition("+")
    id_hex, _, encoded = rest.partition("+")
    key = VerifierKey(name, _bytes_of(encoded)[1:])
    if not is_name(name) or _bytes_of(encoded)[:1] != ED25519 or len(key.public) != 32:
        raise InvalidInput("this is not an Ed25519 key in the form `name+id+key`", field="key")
    if key_id(key).hex() != id_hex:
        raise InvalidInput("the id of this key does not fit its name and key", field="key")
    if is_weak(key.public):
        raise InvalidInput("this key is of low order: signatures under it show nothing", field="key")
    return key


def is_name(name: str) -> bool:
    """Whether a key or an origin may have this name: not empty, no space, no plus, no control character."""
    return bool(name) and name.isprintable() and not any(char.isspace() or char == "+" for char in name)


def generate_key(path: Path) -> Ed25519PrivateKey:
    """A new private key in a file of its own; `InvalidInput` if there is a file, else `WorldError`."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise InvalidInput(f"there is already a file `{path}`", field="key") from error
    except OSError as error:
        raise disk.refusal(f"the key file `{path}` cannot be made", error) from error
    try:
        with open(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        disk.remove(path)  # half a key is none, and nothing overwrites it
        raise disk.refusal(f"the key file `{path}` cannot be written", error) from error
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a file that nobody but its owner can read; `InvalidInput` otherwise."""
    try:
        with open(path, "rb") as file:
            mode, pem = os.fstat(file.fileno()).st_mode, file.read(NOTE_BYTES_MAX)
    except OSError as error:
        raise InvalidInput(f"the key file `{path}` cannot be read: {error.strerror}", field="key") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidInput(f"others can read the key file `{path}`; make it 0600", field="key")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"`{path}` is not a private key in PEM form", field="key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"the key in `{path}` is not an Ed25519 key", field="key")
    return key


def verifier_of(key: Ed25519PrivateKey, name: str) -> VerifierKey:
    """The public half of `key`, signing as `name`."""
    return VerifierKey(name, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def sign_note(text: str, key: Ed25519PrivateKey, name: str) -> str:
    """The note: `text`, which ends with a line end, and one signature as `name`."""
    assert text.endswith("\n")
    assert is_name(name)
    signature = key_id(verifier_of(key, name)) + key.sign(text.encode())
    return f"{text}\n{_DASH}{name} {_base64(signature)}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """The text that `key` signed; `InvalidInput` when it did not sign this."""
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not lines.endswith("\n") or len(note) > NOTE_BYTES_MAX or not _is_clean(note):
        raise _refused("it is not a signed note")
    text += "\n"
    is_signed = False
    for line in lines[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        signature = _bytes_of(encoded)
        if not line.startswith(_DASH) or not is_name(name) or len(signature) < 5:
            raise _refused("it has a malformed signature line")
        if name == key.name and signature[:4] == key_id(key):
            _verify(key, signature[4:], text)
            is_signed = True
    if not is_signed:
        raise _refused(f"`{key.name}` did not sign it with this key")
    return text


def _verify(key: VerifierKey, signature: bytes, text: str) -> None:
    if is_weak(key.public):
        raise _refused(f"the key of `{key.name}` is of low order: signatures under it show nothing")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature as error:
        raise _refused(f"the signature of `{key.name}` does not fit it") from error


def _is_clean(note: str) -> bool:
    return all(char == "\n" or char >= " " for char in note)


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"the note is refused: {why}", field="note")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes_of(text: str) -> bytes:
    """The bytes of standard base64; none for any other text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if _base64(data) == text else b""
