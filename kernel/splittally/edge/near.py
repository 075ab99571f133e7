"""What somebody may have meant by a word that names nothing."""

from collections.abc import Iterable
from difflib import get_close_matches


def meant(word: str, known: Iterable[str], closeness: float = 0.6) -> str:
    """`; did you mean `allow`?` for a word that is close to one that is known; empty where none is.

    Whether letters are capitals does not count. `closeness` is the share of letters in common, from 0 to 1.
    """
    folded = {name.casefold(): name for name in sorted(known)}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=closeness)
    return f"; did you mean `{folded[near[0]]}`?" if near else ""
