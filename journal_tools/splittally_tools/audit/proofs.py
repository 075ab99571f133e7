"""That a frame stands in a signed journal, shown to people who do not have the journal (RFC 6962).

Rule 1. A proof is checked from its own fields and from the checkpoint in it.
Rule 2. Without a checkpoint whose signature counts nothing is proved: anybody makes a frame and its root.
Rule 3. A proof is read as strictly as all JSON: each field once and of its type, bytes in lower case hex.
"""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.core.limits import HASH_BYTES
from splittally.edge.arguments import require_frame
from splittally.edge.json_values import parse_json, printable
from splittally.journal.frame import seq_of
from splittally.journal.proof.checkpoint import Checkpoint, parse_and_verify
from splittally.journal.proof.merkle import inclusion_proof, root, verify_inclusion
from splittally.journal.proof.signed_note import VerifierKey
from splittally.runtime.reader import Reader

from splittally_tools.audit.against_checkpoint import origin_of

FILE_BYTES_MAX = 64 * 1024 * 1024
STEPS_MAX = 64  # of a tree of 2^64 frames
UNPROVED = "unproved: no checkpoint is in it, so nobody vouches that its root is that of a journal"
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


class Proof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That `frame` stands at `seq` in a journal of `size` frames with this `root`; bytes in hex.

    `checkpoint` is the signed note that vouches for size and root, empty where there is none.
    """

    origin: str
    seq: int
    size: int
    root: str
    frame: str
    steps: list[str]
    checkpoint: str = ""


def prove(reader: Reader, seq: int, signed: tuple[str, Checkpoint] | None) -> Proof:
    """The proof of frame `seq` in the journal as it is, or as a checkpoint (note and content) saw it."""
    note, size = ("", reader.head.size) if signed is None else (signed[0], signed[1].size)
    if size > reader.head.size:
        raise JournalDamaged(
            f"the checkpoint saw {size} frames; the journal ends after {reader.head.size}",
            seq=reader.head.size,
        )
    if require_frame(seq, reader.head.size) >= size:
        raise InvalidInput(f"the checkpoint saw {size} frames and not frame {seq}", field="seq")
    frames = [data for _, _, data in reader.entries(0, size)]
    top = root(frames)
    if signed is not None and top != signed[1].root:
        raise JournalDamaged(f"the first {size} frames are not those that were signed", seq=size - 1)
    return Proof(
        origin=origin_of(reader.world),
        seq=seq,
        size=size,
        root=top.hex(),
        frame=frames[seq].hex(),
        steps=[step.hex() for step in inclusion_proof(frames, seq)],
        checkpoint=note,
    )


def read_proof(text: bytes) -> Proof:
    """The proof in a JSON document; `InvalidInput` names the field when it is not one."""
    document = parse_json(text, FILE_BYTES_MAX)
    if type(document) is not dict:
        raise InvalidInput("a proof is a JSON object", field="proof")
    fields = Proof.__struct_fields__
    for name in document:
        if name not in fields:
            raise InvalidInput(f"a proof has no field `{printable(name)}`", field=printable(name))
    for name in fields:
        if name not in document and name != "checkpoint":
            raise InvalidInput(f"the proof lacks `{name}`", field=name)
    for name in ("origin", "checkpoint"):
        if type(document.get(name, "")) is not str:
            raise InvalidInput(f"`{name}` is text", field=name)
    for name in ("seq", "size"):
        if type(document[name]) is not int or document[name] < 0:
            raise InvalidInput(f"`{name}` is a natural", field=name)
    _require_hex(document["frame"], "frame")
    _require_hex(document["root"], "root", HASH_BYTES)
    steps = document["steps"]
    if type(steps) is not list or len(steps) > STEPS_MAX:
        raise InvalidInput(f"`steps` is a list of at most {STEPS_MAX}", field="steps")
    for at, step in enumerate(steps):
        _require_hex(step, f"steps[{at}]", HASH_BYTES)
    return Proof(**document)


def _require_hex(value: Any, field: str, size: int | None = None) -> None:
    """Refuses what is not lower case hex, of so many bytes."""
    if type(value) is not str or not _HEX.fullmatch(value) or (size is not None and len(value) != 2 * size):
        told = "pairs of lower case hex digits" if size is None else f"{size} bytes in lower case hex"
        raise InvalidInput(f"`{field}` is {told}", field=field)


def check_proof(proof: Proof, keys: Sequence[VerifierKey]) -> str:
    """What is wrong with a proof; empty when it holds, which none does without a checkpoint.

    The checkpoint must be signed by one of `keys`, else `InvalidInput`.
    """
    frame, top = bytes.fromhex(proof.frame), bytes.fromhex(proof.root)
    steps = [bytes.fromhex(step) for step in proof.steps]
    if not verify_inclusion(frame, proof.seq, proof.size, steps, top):
        return f"it does not lead from the frame to the root of {proof.size} frames"
    try:
        if seq_of(frame) != proof.seq:
            return f"the frame does not say that it is frame {proof.seq}"
    except JournalDamaged as error:
        return str(error)
    if not proof.checkpoint:
        return UNPROVED
    signed = open_checkpoint(proof.checkpoint, keys)
    if (signed.origin, signed.size, signed.root) != (proof.origin, proof.size, top):
        return "it is not about what the checkpoint signed"
    return ""


def open_checkpoint(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in a note that one of `keys` signed; `InvalidInput` for anything else."""
    refused = InvalidInput("no key is known whose signature counts; say `--public KEY`", field="public")
    for key in keys:
        try:
            return parse_and_verify(note, key)
        except InvalidInput as error:
            refused = error
    raise refused
