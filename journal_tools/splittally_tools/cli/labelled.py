"""`--label NAME=TEXT`: only what is about intents with these labels, in every list that has intents.

Rule 1. Said several times, all must be there. A label is compared byte for byte.
Rule 2. A frame is about the intents that it decides and about those that it settles, releases or refunds.
"""

from collections.abc import Callable, Iterator
from typing import Any

import click
from splittally.core.commands import Submit
from splittally.core.errors import InvalidInput
from splittally.edge.labels import has_labels, parse_labels
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record

from splittally_tools.cli.output import word

Labels = dict[str, str]


def _parsed(context: click.Context, option: click.Parameter, pairs: tuple[str, ...]) -> Labels:
    try:
        return parse_labels(pairs)
    except InvalidInput as error:
        raise click.BadParameter(str(error), context, option) from None


by_label: Callable[[Any], Any] = click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=TEXT",
    callback=_parsed,
    help="Only intents with this label; may be said again.",
)


def shown_labels(labels: Labels) -> str:
    """Labels for people, as `--label` takes them."""
    return " ".join(word(f"{name}={text}") for name, text in labels.items())


class Labelled:
    """Tells frames that are about intents with these labels, asked of frames in order from `start` on."""

    def __init__(self, reader: Reader, wanted: Labels, start: int) -> None:
        self._reader = reader
        self._wanted = wanted
        self._start = start
        self._found: set[bytes] = set()  # intents that have the labels

    def __call__(self, record: Record) -> bool:
        """Whether the frame is about one of them; every frame where no label is asked for."""
        if not self._wanted:
            return True
        command = record.body.command
        if isinstance(command, Submit):
            for member in command.members:
                if has_labels(member.labels, self._wanted):
                    self._found.add(member.intent_hash)
        return any(self.has(digest) for digest in _intents_of(record))

    def has(self, digest: bytes) -> bool:
        """Whether this intent has the labels; of one that an earlier frame decided the journal is asked."""
        if not self._wanted or digest in self._found:
            return True
        found = self._reader.trace(digest) if self._start else None
        if found is None or found.seq >= self._start or not has_labels(found.member.labels, self._wanted):
            return False
        self._found.add(digest)
        return True


def _intents_of(record: Record) -> Iterator[bytes]:
    for told in (record.body.command, *record.body.out):
        digest = getattr(told, "intent_hash", b"")
        if digest:
            yield digest
