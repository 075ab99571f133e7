"""Hashes as people type them: whole, or any beginning of at least 4 digits that only one has.

Rule 1. What is taken is a hash of this world: of an intent that a frame decides, of a frame, a grant or a
        module. A whole hash is passed on as it is, known or not; the command says what there is of it.
Rule 2. A beginning that several have is a usage error that lists them, and so is one that none has.
Rule 3. Digits alone are the sequence of a frame where the journal has it, or where no hash begins so.
Rule 4. Where only an intent can be meant, text that is neither is a usage error that says where hashes are.
"""

import re
from collections.abc import Callable, Iterable

import click
from splittally.core.hashing import hash_module
from splittally.edge.wording import short_hash
from splittally.runtime.reader import Reader

from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.session import Session

LISTED_MAX = 8
LOOK_UP = "`tally log` lists what was decided, `tally log --json` with whole hashes"
_BEGINNING = re.compile(r"[0-9a-fA-F]{4,63}")
_SEQUENCE_DIGITS = 19
_WHOLE = re.compile(r"[0-9a-fA-F]{64}")
Known = Callable[[Reader, str], Iterable[bytes]]


def is_beginning(text: str) -> bool:
    """Whether a text may be the beginning of a hash."""
    return _BEGINNING.fullmatch(text) is not None


def is_whole(text: object) -> bool:
    """Whether this is the text of a whole hash."""
    return isinstance(text, str) and _WHOLE.fullmatch(text) is not None


def intents(reader: Reader, beginning: str) -> list[bytes]:
    """The intents whose hashes begin so."""
    return [x for x in reader.index_keys(beginning) if reader.trace(x) is not None]


def frames(reader: Reader, beginning: str) -> list[bytes]:
    """The frames whose hashes begin so."""
    return [hash_ for _, hash_, _ in reader.entries() if hash_.hex().startswith(beginning)]


def grants(reader: Reader, beginning: str) -> list[bytes]:
    """The grants whose hashes begin so."""
    every = reader.folded.caps.grants.values()
    return [grant.grant_hash for grant in every if grant.grant_hash.hex().startswith(beginning)]


def modules(reader: Reader, beginning: str) -> list[bytes]:
    """The modules whose hashes begin so, also those that no name means any more."""
    blobs = reader.folded.caps.blobs
    return [x for x in blobs if x.hex().startswith(beginning) and hash_module(blobs[x]) == x]


def whole(reader: Reader, text: str, *known: Known) -> str:
    """The hash that a text means, as 64 digits; a text that is no beginning of one is given back."""
    if not is_beginning(text):
        return text
    found = sorted({digest for each in known for digest in each(reader, text.lower())})
    if len(found) == 1:
        return found[0].hex()
    if not found:
        advice = "`tally enforcer list` lists modules" if modules in known else LOOK_UP
        raise click.UsageError(f"no hash here begins with `{text}`; {advice}")
    digits = max(len(text) + 1, len(short_hash(found[0])))
    listed = ", ".join(digest.hex()[:digits] for digest in found[:LISTED_MAX])
    more = f" and {len(found) - LISTED_MAX} more" if len(found) > LISTED_MAX else ""
    raise click.UsageError(f"`{text}` begins {len(found)} hashes: {listed}{more}")


def whole_or_sequence(reader: Reader, text: str, *known: Known) -> str | int:
    """The same, or the sequence of a frame where the text is one."""
    if text.isascii() and text.isdecimal() and len(text) <= _SEQUENCE_DIGITS:
        begins = int(text) >= reader.head.size and is_beginning(text)
        if not begins or not any(each(reader, text) for each in known):
            return int(text)
    return whole(reader, text, *known)


def intent_in(reader: Reader, text: str) -> str:
    """The hash of the intent that a text means in the world of a reader."""
    found = whole(reader, text, intents)
    if not _WHOLE.fullmatch(found):
        how = "name an intent by the first 4 or more of its hex digits; `tally log` lists them"
        raise click.UsageError(f"`{text}` is no hash: {how}")
    return found


def intent_of(session: Session, text: str) -> str:
    """The same in the world of a session, which is read only where digits are missing."""
    if _WHOLE.fullmatch(text):
        return text
    with reader_of(session) as reader:
        return intent_in(reader, text)
