"""`tally bench`: what the kernel costs against a straight-line floor, in one run."""

import tempfile
from pathlib import Path

import click

from splittally_tools.bench.economy import measure_economy
from splittally_tools.bench.face_work import FACES, QUICK_FACES, NoFaces, measure_faces
from splittally_tools.bench.plan import DEFAULT, QUICK, measure
from splittally_tools.bench.report import document, face_table, show
from splittally_tools.cli.output import emit, progress, table
from splittally_tools.cli.session import Session, shared


@click.command("bench")
@click.option("--quick", is_flag=True, help="A few seconds, for a look; the numbers are rough.")
@click.option("--holds", type=click.IntRange(1_000, 4_000_000), metavar="N",
              help="How many open holds are many (30,000).")  # fmt: skip
@click.option("--dir", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Where to measure; the disk there is part of the numbers.")  # fmt: skip
@click.option("--economy", "postings", type=click.IntRange(1, 100_000_000), metavar="N",
              help="Measure tasks in an economy of N postings instead.")  # fmt: skip
@click.option("--faces", is_flag=True, help="Measure the faces of a service alone.")
@click.option("--accounts", type=click.IntRange(1, 10_000_000), default=100_000, metavar="N",
              show_default=True, help="How many accounts that economy has.")  # fmt: skip
@shared
@click.pass_obj
def bench(
    session: Session,
    /,
    quick: bool,
    holds: int | None,
    folder: Path | None,
    postings: int | None,
    accounts: int,
    faces: bool,
) -> None:
    """Measure the kernel against a floor that does nothing but the work itself.

    Ratios are taken in turns within one run, so they hold on a busy machine; rates do not.
    """
    size = QUICK if quick else DEFAULT
    if holds is not None:
        size = size._replace(many_holds=holds)
    with tempfile.TemporaryDirectory(prefix="tally-bench-", dir=folder) as work, progress(session) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str) -> None:
            bar.update(task, description=what)

        if postings is not None:
            economy = measure_economy(Path(work), accounts, postings, tell).document()
            emit(session, economy, lambda out: out.print(table(("what", "how much"), economy.items())))
            return
        served_work = QUICK_FACES if quick else FACES
        if faces:
            served = measure_faces(Path(work) / "faces", served_work, tell)
            emit(session, served, lambda out: out.print(face_table(served)))
            return
        measured = measure(Path(work), size, tell)
        try:
            served = measure_faces(Path(work) / "faces", served_work, tell)
        except NoFaces:
            served = {}
    emit(session, document(measured) | served, lambda out: show(measured, served, out))
