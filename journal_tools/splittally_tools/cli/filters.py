"""The options that narrow a list to what has one name: a grant, a principal, a kind, a word of a closed list.

Rule 1. Each is a `Filter` or a `Word`. What names nothing in the world is a usage error that says what is
        close to it; an empty list would say that nothing happened.
Rule 2. Words are checked when the line is read, names when the world is opened (`open_world.reader_of`), so
        that no command can forget it.
Rule 3. A label is the host's own word: any text may be asked for (`labelled.py`).
"""

from collections.abc import Callable, Iterable
from typing import Any

import click
from splittally.core.types import STRICTEST_FIRST
from splittally.edge.near import meant
from splittally.runtime.named import Names, require_named
from splittally.runtime.reader import Reader


class Filter(click.Option):
    """An option whose value is the name of something in the world."""

    def __init__(self, *parts: Any, names: Names, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self.names = names


class Word(click.Option):
    """An option whose value is one of a few words."""

    def __init__(self, *parts: Any, words: Iterable[str], **settings: Any) -> None:
        super().__init__(*parts, callback=self._checked, **settings)
        self.words = tuple(words)

    def _checked(self, ctx: click.Context, option: click.Parameter, value: Any) -> Any:
        for word in value if self.multiple else filter(None, (value,)):
            if word not in self.words:
                text = f"it is {', '.join(self.words)}, not `{word}`{meant(word, self.words)}"
                raise click.BadParameter(text, ctx, option)
        return value


def by_name(option: str, names: Names, help: str) -> Callable[[Any], Any]:
    """An option that takes the name of something in the world."""
    return click.option(option, cls=Filter, names=names, metavar="NAME", help=help)


def by_word(option: str, words: Iterable[str], help: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that takes one of these words."""
    return click.option(option, cls=Word, words=words, metavar="WORD", help=help, **settings)


by_outcome = by_word("--outcome", STRICTEST_FIRST, "Only intents that were answered so.")


def require_filters(reader: Reader) -> None:
    """Refuses the first name among the options of the present command that names nothing in the world."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if isinstance(option, Filter) and value is not None:
            require_named(reader.folded, reader.book(), option.names, value)
