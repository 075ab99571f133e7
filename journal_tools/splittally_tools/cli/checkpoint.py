"""`checkpoint` signs what the journal is now; `prove` shows a frame to be in it, to people without the world.

Rule 1. Only a journal that was found sound is signed.
"""

import sys
from pathlib import Path
from typing import Any

import click
from msgspec import json
from splittally.core.errors import InvalidInput, JournalDamaged
from splittally.journal.proof.checkpoint import Checkpoint, checkpoint_of, sign
from splittally.journal.proof.signed_note import verifier_of

from splittally_tools.audit.against_checkpoint import origin_of
from splittally_tools.audit.proofs import (
    FILE_BYTES_MAX,
    UNPROVED,
    Proof,
    check_proof,
    open_checkpoint,
    read_proof,
)
from splittally_tools.audit.proofs import prove as prove_frame
from splittally_tools.audit.verify import verify
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.keys import public_keys, remember_key, signing_key
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, progress, say
from splittally_tools.cli.session import Session, shared
from splittally_tools.export.files import write_file

_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@shared
@click.option("--key", type=_FILE, help="The private key, a PEM file (or TALLY_KEY).")
@click.option("--new-key", is_flag=True, help="Make the key file first; it must not be there.")
@click.option("--out", type=_FILE, help="A file for the checkpoint (standard output).")
@click.pass_obj
def checkpoint(session: Session, key: Path | None, new_key: bool, out: Path | None) -> int:
    """Sign what the journal is now, once it is found sound. Keep the result away from the world.

    With it `tally verify --against FILE` finds what no chain can show: a lost end, an old copy put back,
    a history written anew, a second history.
    """
    private = signing_key(key, new_key)
    with reader_of(session) as reader, progress(session) as bar:
        task = bar.add_task("verifying", total=reader.head.size)
        report = verify(reader, progress=lambda done: bar.update(task, completed=done))
        if report.damage is not None:
            raise JournalDamaged(f"not signed: {report.damage['message']}", **report.damage["facts"])
        made = checkpoint_of(reader.store, origin_of(report.world), report.state_root)
    note = sign(made, private, made.origin)
    verifier = verifier_of(private, made.origin)
    remember_key(session.folder, verifier)
    if out is not None:
        write_file(out, note.encode())
    document = {**_fields(made), "checkpoint": note, "public_key": verifier.text}
    emit(session, document, lambda console: _show(console, note, out))
    if not session.as_json:
        click.echo(f"to verify it: --public {verifier.text}", err=True)
    return DONE


def _fields(made: Checkpoint) -> dict[str, Any]:
    return {
        "origin": made.origin,
        "size": made.size,
        "root": made.root.hex(),
        "head": made.head.hex(),
        "state_root": made.state.hex(),
    }


def _show(console: Page, note: str, out: Path | None) -> None:
    """The note itself, byte for byte, unless it went into a file."""
    if out is None:
        sys.stdout.write(note)
    else:
        say(console, f"checkpoint written to {out}")


@click.command()
@shared
@click.argument("seq", type=click.IntRange(0), required=False)
@click.option("--against", type=_EXISTING, help="A checkpoint, to prove that it covers the frame.")
@click.option("--check", type=_EXISTING, help="Check the proof in this file; no world is needed.")
@click.option("--out", type=_FILE, help="A file for the proof (standard output).")
@click.option("--public", metavar="KEY|FILE", help="Whose signature counts.")
@click.pass_obj
def prove(
    session: Session,
    seq: int | None,
    against: Path | None,
    check: Path | None,
    out: Path | None,
    public: str | None,
) -> int:
    """Prove that frame SEQ is in the journal that a checkpoint signed; or --check such a proof.

    A proof is one JSON document: the frame, and the hashes that lead from it to the signed root. Without a
    checkpoint it proves nothing, and --check says so.
    """
    if (seq is None) == (check is None):
        raise click.UsageError("say which frame to prove, or `--check FILE`")
    if check is not None:
        return _check(session, check, public)
    assert seq is not None
    signed = None
    if against is not None:
        note = read_text(against)
        signed = (note, open_checkpoint(note, public_keys(session, public)))
    with reader_of(session) as reader:
        proof = prove_frame(reader, seq, signed)
    text = json.encode(proof) + b"\n"
    if out is None:
        sys.stdout.write(text.decode())
        return DONE
    write_file(out, text)
    document = {"seq": seq, "size": proof.size, "out": str(out)}
    emit(session, document, lambda console: say(console, f"proof of frame {seq} written to {out}"))
    return DONE


def _check(session: Session, file: Path, public: str | None) -> int:
    proof = read_proof(_read(file))
    keys = public_keys(session, public) if proof.checkpoint else []
    try:
        wrong = check_proof(proof, keys)
    except InvalidInput as error:
        wrong = str(error)
    document = {
        "holds": not wrong,
        "signed": not wrong,
        "seq": proof.seq,
        "size": proof.size,
        "origin": proof.origin,
        "root": proof.root,
        "message": wrong,
    }
    emit(session, document, lambda console: _show_check(console, proof, wrong))
    return REFUSED if wrong else DONE


def _show_check(console: Page, proof: Proof, wrong: str) -> None:
    if wrong:
        say(console, wrong if wrong == UNPROVED else f"refused: {wrong}", "red")
        return
    where = f"frame {proof.seq} is in the journal of {proof.size} frames of {proof.origin}"
    say(console, f"{where}, as a checkpoint signed it", "green")


def read_text(file: Path) -> str:
    """The text of a checkpoint; `InvalidInput` for a file that is none."""
    try:
        return _read(file).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"`{file}` is not UTF-8 text", field="file") from error


def _read(file: Path) -> bytes:
    with open(file, "rb") as opened:
        data = opened.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise InvalidInput(f"`{file}` is too large to be a checkpoint or a proof", field="file")
    return data
