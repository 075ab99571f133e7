"""`verify`: prove the journal sound, or name the first thing that is not."""

import tempfile
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import JournalDamaged
from splittally.core.snapshot import dump_state, state_root
from splittally.core.state import State
from splittally.journal.checkpoint import Checkpoint
from splittally.runtime.reader import Reader

from splittally_tools.audit.proofs import open_checkpoint
from splittally_tools.audit.ranges import Range, Start, boundaries_of, rejudge_here, rejudge_ranges
from splittally_tools.audit.rejudge import Result
from splittally_tools.audit.verify import Report, damage_of
from splittally_tools.audit.verify import verify as verify_world
from splittally_tools.cli.checkpoint import read_text
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.keys import public_keys
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, progress, say, word
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.option("--rejudge", is_flag=True, help="Ask every pinned module again and compare every byte.")
@click.option(
    "--strict", is_flag=True, help="Frames of another engine, which cannot be compared, count as refused."
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A checkpoint: finds lost tails, old copies, rewritten and forked histories.",
)
@click.option("--public", metavar="KEY|FILE", help="Whose signature the checkpoint must bear.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, metavar="N", help="Processes that judge again (1)."
)
@click.pass_obj
def verify(
    session: Session, rejudge: bool, strict: bool, against: Path | None, public: str | None, jobs: int
) -> int:
    """Prove the journal sound, or name the first frame that is not.

    Structure, hashes and chain; a fold from genesis; every intent's hash; no intent decided twice; money
    neither made nor lost; snapshots and index equal to what the frames say. Nothing is written.
    """
    checkpoint = None
    if against is not None:
        checkpoint = open_checkpoint(read_text(against), public_keys(session, public))
    try:
        with reader_of(session) as reader:
            report, result = _audit(session, reader, checkpoint, jobs if rejudge else 0)
    except JournalDamaged as error:
        report, result = Report(damage=damage_of(error)), None
    document = _document(report, result, strict)
    emit(session, document, lambda out: _show(out, document))
    return DONE if document["sound"] else REFUSED


def _audit(
    session: Session, reader: Reader, checkpoint: Checkpoint | None, jobs: int
) -> tuple[Report, Result | None]:
    """Verifies, and judges again in `jobs` processes where that is wanted and makes sense."""
    size = reader.head.size
    starts: list[Start] = []
    with tempfile.TemporaryDirectory(prefix="tally-") as folder, progress(session) as bar:

        def keep(at: int, state: State) -> None:
            file = Path(folder) / str(at)
            file.write_bytes(dump_state(state))
            starts.append(Start(at, file, state_root(state)))

        task = bar.add_task("verifying", total=size)
        report = verify_world(
            reader, checkpoint, lambda done: bar.update(task, completed=done), boundaries_of(size, jobs), keep
        )
        if not jobs or report.damage is not None or not size:
            return report, None
        is_trusted = not any(problem.startswith("index") for problem in report.problems)
        task = bar.add_task("judging again", total=size)
        if not starts:
            return report, rejudge_here(reader, is_trusted, size, lambda done: bar.advance(task, done))
        begins = [None, *starts]
        ends = [*((start.size, start.root) for start in starts), (size, report.state_root)]
        ranges = [
            Range(reader.folder, is_trusted, begin, *end) for begin, end in zip(begins, ends, strict=True)
        ]
        return report, rejudge_ranges(ranges, lambda done: bar.advance(task, done))


def _document(report: Report, result: Result | None, strict: bool) -> dict[str, Any]:
    """The report as JSON; it depends on the world alone."""
    document: dict[str, Any] = {
        "sound": report.is_sound,
        "frames": report.frames,
        "head": report.head.hex(),
        "state_root": report.state_root.hex(),
        "world": report.world.hex(),
        "intents": report.intents,
        "resources": report.resources,
        "open_holds": report.open_holds,
        "snapshots_equal": report.snapshots_equal,
        "index_runs_equal": report.index_runs_equal,
        "checkpoint_size": report.checkpoint_size,
        "problems": report.problems,
    }
    if result is not None:
        others = sum(result.other_engines.values())
        document |= {
            "rejudged": result.compared,
            "not_rejudged": others,
            "other_engines": result.other_engines,
        }
        if result.drift is not None:
            seq, intent, message = result.drift
            facts = {"seq": seq, "intent_hash": intent.hex() or None}
            text = f"frame {seq} comes out otherwise: {message}"
            document |= {"sound": False, "error": {"code": "drift", "message": text, "facts": facts}}
        elif strict and others:
            text = f"{others} frames are of another engine and were not judged again"
            document |= {"sound": False, "error": {"code": "not_rejudged", "message": text, "facts": {}}}
    if report.damage is not None:
        document["error"] = report.damage
    return document


def _show(out: Page, document: dict[str, Any]) -> None:
    error = document.get("error")
    if error is not None:
        say(out, f"{error['code']}: {error['message']}", "bold red")
        if error["facts"].get("intent_hash"):
            say(out, f"  intent {word(error['facts']['intent_hash'])}")
    for problem in document["problems"]:
        say(
            out,
            f"damaged: {problem}; the journal stands: remove the file, the next writer makes it anew",
            "red",
        )
    if error is not None and error["code"] == "damaged":
        return
    if document["sound"]:
        say(out, f"sound: {document['frames']} frames", "bold green")
    say(out, f"  head         {document['head']}")
    say(out, f"  state root   {document['state_root']}")
    say(out, f"  intents      {document['intents']} hashed again, none finally decided twice")
    say(out, f"  money        {document['resources']} resources, each sums to zero after every record")
    say(out, f"  open holds   {document['open_holds']}")
    say(out, f"  snapshots    {document['snapshots_equal']} equal to the fold")
    say(out, f"  index runs   {document['index_runs_equal']} equal to the frames")
    if document["checkpoint_size"] is not None:
        say(out, f"  checkpoint   the first {document['checkpoint_size']} frames are those that were signed")
    if "rejudged" in document:
        say(out, f"  judged again {document['rejudged']} frames, {document['not_rejudged']} of other engines")
