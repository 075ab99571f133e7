"""What somebody may have meant by a word that names nothing."""

from collections.abc import Iterable
from difflib import get_close_matches


def meant(word: str, known: Iterable[str]) -> str:
    """`; did you mean `allow`?` for a word that is close to one that is known; empty where none is.

    Whether letters are capitals does not count.
    """
    folded = {name.casefold(): name for name in sorted(known)}
    near = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean `{folded[near[0]]}`?" if near else ""
