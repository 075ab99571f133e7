"""Which characters a name may hold: a table of our own, the same under every interpreter.

Rule 1. The methods of `str` that know characters (`isprintable`, `strip` without an argument) carry the
        Unicode version of the interpreter. What is recorded under one must mean the same under another, so
        the core uses none of them.
Rule 2. Refused is what nobody sees: controls, formats, surrogates, private use, noncharacters, every blank
        but the plain space, and what Unicode keeps for more of these. A character that a later version
        assigns is accepted before and after.
Rule 3. Names are judged when they come in. What is recorded is read back without being judged.
"""

import re

# First and last code point of what is refused (Unicode 14 and 15: Cc, Cf, Cs, Co, Zl, Zp, Zs, and reserved).
UNSEEN = (
    (0x0000, 0x001F), (0x007F, 0x00A0), (0x00AD, 0x00AD), (0x0600, 0x0605), (0x061C, 0x061C),
    (0x06DD, 0x06DD), (0x070F, 0x070F), (0x0890, 0x0891), (0x08E2, 0x08E2), (0x1680, 0x1680),
    (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000),
    (0xD800, 0xF8FF), (0xFDD0, 0xFDEF), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF),
    (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0x10000, 0xE0000, 0x10000)),
    (0xE0000, 0xE00FF), (0xE01F0, 0x10FFFF),
)  # fmt: skip
BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
_SEEN = re.compile("[^" + "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSEEN) + "]*")


def is_seen(text: str) -> bool:
    """Whether every character of a text is one that people see, or a plain space."""
    return _SEEN.fullmatch(text) is not None


def is_blank(text: str) -> bool:
    """Whether a text is empty or holds nothing but blanks."""
    return text.strip(BLANKS) == ""
