"""`prices import`: a public price list becomes a snapshot that a manifest can hold.

Rule 1. Nothing is written where anything in the list is no price. Nothing is fetched: the list is a file.
Rule 2. What goes to standard output is the snapshot and nothing else; what was passed over is said beside it.
"""

import datetime
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
from splittally.core.errors import InvalidInput
from splittally.core.native.money import SCALE_MAX
from splittally.edge.prices import NEWEST

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.output import to_line
from splittally_tools.cli.session import Session, shared
from splittally_tools.price_lists.listed import LIST_BYTES_MAX
from splittally_tools.price_lists.snapshot import read_list, snapshot_of, to_toml

FILE = click.Path(dir_okay=False, path_type=Path)
SKIPPED_SHOWN_MAX = 20


@click.group(cls=Commands)
def prices() -> None:
    """Price tables for model calls; `[prices]` in chapter 6 says how a manifest uses them."""


@prices.command("import")
@shared
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--name", help="The name of the snapshot; the day where absent.")
@click.option("--since", metavar="DAY", help="The day from which it holds, such as 2026-11-01; else today.")
@click.option("--resource", default="USD", show_default=True, help="The resource that is paid.")
@click.option(
    "--scale", type=click.IntRange(0, SCALE_MAX), help="Round up what has more decimals than the resource."
)
@click.option(
    "--source", help="Where the list comes from, such as its address; the file's name where absent."
)
@click.option("--out", type=FILE, help="Write here; `.json` for JSON, else TOML.")
@click.pass_obj
def import_(
    session: Session, file: Path, name: str | None, since: str | None, resource: str,
    scale: int | None, source: str | None, out: Path | None,
) -> int:  # fmt: skip
    """Writes `[prices.NAME]` from a list of LiteLLM or genai-prices.

    FILE is LiteLLM's `model_prices_and_context_window.json` or the `data.json` of genai-prices. The snapshot
    goes to standard output, or to --out; a manifest takes it in its text, or as `prices.NAME = "FILE"`.
    """
    data, day = _read(file), _day(since)
    kind, found = read_list(data, day)
    rounded = 0
    if scale is not None:
        rounded = sum(listed.rounded(scale) for listed in found.models.values())
    name = name or day.isoformat()
    if name == NEWEST:
        raise InvalidInput(f"`{NEWEST}` cannot be the name of a price snapshot", field="name")
    entry = snapshot_of(found, name, resource, day, source or file.name, data)
    fragment = {"prices": {name: entry}}
    told = {
        "name": name,
        "list": kind,
        "since": entry["since"],
        "resource": resource,
        "scale_min": max(listed.decimals for listed in found.models.values()),
        "source": entry["source"],
        "source_hash": entry["source_hash"],
        "models": len(found.models),
        "rounded": rounded,
        "skipped": found.skipped,
        "ignored": dict(sorted(found.ignored.items())),
    }
    text = to_line(fragment) + "\n" if out is not None and out.suffix == ".json" else to_toml(name, entry)
    if out is not None:
        _write(out, text)
        told["out"] = str(out)
    if session.as_json:
        sys.stdout.write(to_line(told if out is not None else {**told, "manifest": fragment}) + "\n")
        return DONE
    if out is None:
        sys.stdout.write(text)
    for line in _summary(told):
        click.echo(line, err=out is None)
    return DONE


def _summary(told: dict[str, Any]) -> list[str]:
    """What was taken and what was not, for people."""
    lines = [f"{told['models']} models of {told['list']} as `{told['name']}`, from {told['since']} on"]
    lines += [f"`{told['resource']}` needs at least {told['scale_min']} decimals for them"]
    if told["rounded"]:
        lines.append(f"{told['rounded']} models have a price that was rounded up")
    reasons = Counter(told["skipped"].values())
    for why, count in sorted(reasons.items()):
        names = [model for model, reason in told["skipped"].items() if reason == why]
        more = f" and {count - SKIPPED_SHOWN_MAX} more" if count > SKIPPED_SHOWN_MAX else ""
        lines.append(f"{count} passed over, {why}: {', '.join(names[:SKIPPED_SHOWN_MAX])}{more}")
    if told["ignored"]:
        columns = ", ".join(f"{column} ({count})" for column, count in told["ignored"].items())
        lines.append(f"columns that a snapshot has nothing for: {columns}")
    return lines


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(LIST_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"`{file}` cannot be read: {error.strerror}", field="file") from error


def _write(out: Path, text: str) -> None:
    """The whole file or nothing of it."""
    beside = out.with_name(f"{out.name}.new")
    try:
        beside.write_text(text, "utf-8")
        os.replace(beside, out)
    except OSError as error:
        raise InvalidInput(f"`{out}` cannot be written: {error.strerror}", field="out") from error


def _day(text: str | None) -> datetime.date:
    if text is None:
        return datetime.datetime.now(datetime.UTC).date()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"`--since` is a day such as 2026-11-01, not `{text}`", field="since") from None
