"""That a frame stands in a signed journal, shown to people who do not have the journal (RFC 6962).

Rule 1. A proof is checked from its own fields and, where it has one, from the checkpoint in it.
Rule 2. Without a checkpoint whose signature counts, a proof vouches for nothing but itself.
"""

from collections.abc import Sequence

from msgspec import Struct, ValidationError, json
from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.journal.checkpoint import Checkpoint, parse_and_verify
from splittally.journal.frame import seq_of
from splittally.journal.merkle import inclusion_proof, root, verify_inclusion
from splittally.journal.note import VerifierKey
from splittally.runtime.reader import Reader

from splittally_tools.audit.against_checkpoint import origin_of


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
    if not seq < size:
        raise InvalidInput(f"there is no frame {seq} among the first {size}", field="seq")
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
    """The proof in a JSON document; `InvalidInput` when it is not one."""
    try:
        return json.decode(text, type=Proof)
    except (ValidationError, ValueError) as error:
        raise InvalidInput(f"this is not a proof: {error}", field="proof") from error


def check_proof(proof: Proof, keys: Sequence[VerifierKey]) -> str:
    """What is wrong with a proof; empty when it holds. A checkpoint in it must be signed by one of `keys`."""
    try:
        frame, top = bytes.fromhex(proof.frame), bytes.fromhex(proof.root)
        steps = [bytes.fromhex(step) for step in proof.steps]
    except ValueError:
        return "its bytes are not hex"
    if not verify_inclusion(frame, proof.seq, proof.size, steps, top):
        return f"it does not lead from the frame to the root of {proof.size} frames"
    try:
        if seq_of(frame) != proof.seq:
            return f"the frame does not say that it is frame {proof.seq}"
    except JournalDamaged as error:
        return str(error)
    if not proof.checkpoint:
        return ""
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
