"""Makes texts and values for the rules enforcer: expressions, words in any order, damaged texts."""

import random
from typing import Any

EDGES = [0, 1, 2, 3, 7, 10, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = ["", "a", "b", "ab", "é", "😀", "a😀b", "\n", "\\", "x'y", "\u202e", "aé", "zz", "acme.com"]
KEYS = ["a", "b", "aa", "ab", "é", "k", "in", "zz", "", "ba", "😀"]
words = str.split
WORDS = [
    *words(
        "params params.a params.b params.aa kind grant origin origin.kind now_ns foo null as foo( size( has("
    ),
    *words("1 2 0 -1 0x1F 1.5 1x 18446744073709551615 18446744073709551616 9223372036854775808 true false"),
    *words("+ - * / % == != < <= > >= in && || ! ? : ( ) [ ] , . .a .zz [0] [] ['a'] $ & ="),
    *words(".contains( .startsWith( .endsWith( .matches( 'a' \"b\" 'é' '\\n' '\\u00e9' '\\q' '\\ud800' \\"),
    *("'open", " ", "\n", "//c\n", "\r"),
]
USAGE_WORDS = words(
    "receipt receipt.status receipt.cost_cents receipt.payload payload payload.a reserve reserve.a"
)
SIGNS = "()[]{}.,?:!=<>&|+-*/%\"'\\ \n\rxuUé0129aein"


class Texts:
    """Texts of one stream of chance; `is_usage` says which values may be named."""

    def __init__(self, rng: random.Random, is_usage: bool = False) -> None:
        self.rng = rng
        self.roots = ["params", "params", "params", "origin"]
        if is_usage:
            self.roots += ["payload", "receipt", "receipt.payload", "reserve"]
        self.words = WORDS + USAGE_WORDS * is_usage

    def any_words(self) -> str:
        return "".join(self.rng.choice(self.words) for _ in range(self.rng.randrange(1, 9)))

    def damaged(self, text: str) -> str:
        """The text after one or two edits: something dropped, added, or said twice."""
        rng = self.rng
        for _ in range(rng.randrange(1, 3)):
            at, to = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
            match rng.randrange(4):
                case 0:
                    text = text[:at] + text[at + 1 :]
                case 1:
                    text = text[:at] + rng.choice(SIGNS) + text[at:]
                case 2:
                    text = text[:at] + text[to:]
                case _:
                    text = text[:to] + text[at:]
        return text

    def quoted(self, text: str) -> str:
        rng = self.rng

        def shown(char: str) -> str:
            if char not in "\n\\'\"" and rng.random() < 0.9:
                return char
            return (
                f"\\U{ord(char):08x}" if ord(char) > 0xFFFF or rng.random() < 0.3 else f"\\u{ord(char):04X}"
            )

        quote = rng.choice("'\"")
        return quote + "".join(map(shown, text)) + quote

    def known(self, kind: str) -> str:
        """A leaf of a kind: i, b, s or l for int, bool, string, list; a for what is known when it runs."""
        rng = self.rng
        match kind:
            case "i":
                return rng.choice([str(rng.choice(EDGES)), hex(rng.choice(EDGES)), "now_ns", "size(kind)"])
            case "b":
                return rng.choice(["true", "false"])
            case "s":
                return rng.choice([self.quoted(rng.choice(TEXTS)), "kind", "grant", "origin.name"])
            case "l":
                return "[" + ", ".join(str(rng.choice(EDGES)) for _ in range(rng.randrange(4))) + "]"
        return self.path(0)

    def path(self, left: int) -> str:
        rng = self.rng
        text = rng.choice(self.roots)
        for _ in range(rng.randrange(1, 4)):
            key, form = rng.choice(KEYS), rng.random()
            if form < 0.5 and key.isascii() and key not in ("in", ""):
                text += f".{key}"
            elif form < 0.7:
                text += f"[{self.quoted(key)}]"
            else:
                text += f"[{self.of(rng.choice('is'), left - 1) if left > 0 else rng.randrange(3)}]"
        return text

    def part(self, kinds: str, left: int) -> str:
        """An operand, mostly of one of these kinds, in brackets or not."""
        rng = self.rng
        text = self.of(rng.choice(kinds if rng.random() < 0.93 else "ibsla"), left)
        return rng.choice(["{}", "({})", "({})", " {} ", "{}\n", "//é\n{}"]).format(text)

    def of(self, kind: str, left: int) -> str:
        rng = self.rng
        if left <= 0 or rng.random() < 0.1:
            return self.known(kind)
        left -= 1
        form = rng.random()
        if form < 0.08:
            return f"{self.part('b', left)}?{self.part(kind, left)}:{self.part(kind, left)}"
        if form < 0.2 or kind == "a":
            return self.path(left)
        match kind:
            case "i":
                return self.number(left)
            case "b":
                return self.claim(left)
            case "s":
                return rng.choice(["{0}+{1}", "{0}"]).format(self.part("s", left), self.part("s", left))
        if rng.random() < 0.4:
            return f"{self.part('l', left)}+{self.part('l', left)}"
        return "[" + ",".join(self.part(rng.choice("iiisla"), left) for _ in range(rng.randrange(4))) + "]"

    def number(self, left: int) -> str:
        match self.rng.randrange(6):
            case 0:
                return f"-{self.part('i', left)}"
            case 1:
                return f"size({self.part('sla', left)})"
            case 2:
                return f"{self.part('l', left)}[{self.part('i', left)}]"
        return f"{self.part('i', left)}{self.rng.choice('+-*/%')}{self.part('i', left)}"

    def claim(self, left: int) -> str:
        rng = self.rng
        kind = rng.choice("iibslaa")
        match rng.randrange(9):
            case 0 | 1:
                return f"{self.part('b', left)}{rng.choice(['&&', '||'])}{self.part('b', left)}"
            case 2:
                return f"!{self.part('b', left)}"
            case 3 | 4:
                return f"{self.part(kind, left)}{rng.choice(['==', '!='])}{self.part(kind, left)}"
            case 5:
                sign = rng.choice(["<", "<=", ">", ">="])
                return f"{self.part('isa', left)}{sign}{self.part('isa', left)}"
            case 6:
                some = ",".join(self.known(rng.choice("is")) for _ in range(rng.randrange(1, 4)))
                return f"{self.part('isa', left)} in " + rng.choice([f"[{some}]", self.part("la", left)])
            case 7:
                return f"has({self.path(0)}.a)"
        method = rng.choice(["contains", "startsWith", "endsWith"])
        return f"({self.part('s', left)}).{method}({self.part('s', left)})"


def some_value(rng: random.Random, left: int = 3) -> Any:
    """A value of the data model, nested up to `left` deep."""
    form = rng.random()
    if left == 0 or form < 0.5:
        return rng.choice(
            [rng.choice(EDGES), -rng.choice(EDGES[:10]), rng.choice(TEXTS), True, False, rng.randrange(99)]
        )
    if form < 0.6:
        return rng.choice([None, 1.5, 0.1, b"xx", b""])
    if form < 0.7:
        return [rng.randrange(3) for _ in range(rng.randrange(40))]
    if form < 0.8:
        return [some_value(rng, left - 1) for _ in range(rng.randrange(4))]
    return some_map(rng, left - 1)


def some_map(rng: random.Random, left: int = 3) -> dict[str, Any]:
    return {key: some_value(rng, left) for key in KEYS if rng.random() < 0.5}


def changed(rng: random.Random, value: Any) -> Any:
    """A value that is like another but in one or two places."""
    if type(value) is list and value and rng.random() < 0.85:
        places = {rng.randrange(len(value)) for _ in range(rng.randrange(1, 3))}
        return [changed(rng, item) if at in places else item for at, item in enumerate(value)]
    if type(value) is dict and value and rng.random() < 0.85:
        names = rng.sample(sorted(value), min(len(value), rng.randrange(1, 4)))
        if rng.random() < 0.1:
            return {rng.choice(KEYS) if key in names else key: item for key, item in value.items()}
        return {key: changed(rng, item) if key in names else item for key, item in value.items()}
    return rng.choice([value, 0, 1, "a", "zz", None, True, [], {}, 1.5, [value]])
