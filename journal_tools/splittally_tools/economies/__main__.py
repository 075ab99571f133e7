"""`python -m splittally_tools.economies`: plays every economy and compares it with its transcript.

    --rewrite    write the transcripts anew; review them as a diff

Rule 1. One line each; the exit code is 1 where a transcript differs or something does not add up.
"""

import sys
from pathlib import Path

import click

from splittally_tools.economies.economy import read_economy
from splittally_tools.economies.play import Played, Unexpected, play

FOLDER = Path("fixtures") / "economies"


@click.command()
@click.option("--rewrite", is_flag=True, help="Write the transcripts anew.")
@click.option("--dir", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              default=FOLDER, help="Where the economies stand.")  # fmt: skip
def main(rewrite: bool, folder: Path) -> None:
    """Play every economy of a folder."""
    files = sorted(folder.glob("*.toml"))
    differ = 0
    for file in files:
        try:
            played = play(read_economy(file))
        except Unexpected as error:
            click.echo(f"{file.stem:<20} {error}")
            differ += 1
            continue
        stored = file.with_suffix(".txt")
        if rewrite:
            stored.write_text(played.text, "utf-8")
        is_same = stored.exists() and stored.read_text("utf-8") == played.text
        click.echo(line_of(file.stem, played, is_same))
        differ += not (is_same and played.conserved and played.folds)
    if not files:
        click.echo(f"there is no economy in {folder}")
    sys.exit(1 if differ or not files else 0)


def line_of(name: str, played: Played, is_same: bool) -> str:
    """One run on one line."""
    words = [
        f"{name:<20}",
        f"{played.steps:>3} steps",
        f"{played.frames:>3} frames",
        "conserved" if played.conserved else "NOT CONSERVED",
        "folds" if played.folds else "DOES NOT FOLD",
    ]
    return "  ".join(words if is_same else [*words, "THE TRANSCRIPT DIFFERS"])


if __name__ == "__main__":
    main()
