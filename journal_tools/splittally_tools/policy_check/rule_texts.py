"""Params out of what expressions say of them: rules of a grant and of a policy name fields and compare them.

It reads texts and understands nothing: whether an effect is admitted the kernel says.

Rule 1. A field gets the values with which it is compared, then those beside them, then a plain one.
Rule 2. Nothing of it depends on chance: the same texts give the same params in the same order.

Example. `params.to[0].endsWith("@acme.com")` and `params.cents > 50000`: `{to: ["a@acme.com"], cents: 50000}`
and the same with 49999, 50001, 100, 10 and 1 cents.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product
from typing import Any

COMBINATIONS_MAX = 300
VALUES_MAX = 12
PLACES_MAX = 64  # of a list that is made so long
_TEXT = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_STEPS = r"((?:\.[A-Za-z_]\w*(?!\w*\()|\[\d+\]|\[" + _TEXT + r"\])+)"
_FIELD = re.compile(r"\bparams" + _STEPS)
_PAYLOAD = re.compile(r"\bpayload((?:\.[A-Za-z_]\w*(?!\w*\())+)")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\[" + _TEXT + r"\]")
_CALL = re.compile(r"^\.(startsWith|endsWith|contains)\(" + _TEXT)
_COMPARED = re.compile(r"^\s*(==|!=|<=|>=|<|>)\s*(?:(-?\d+)|" + _TEXT + r"|(true|false))")
_LISTED = re.compile(r"^\s*in\s*\[([^\]]*)\]")
_ARITHMETIC = re.compile(r"^\s*[-+*/%]")
Path = tuple[str | int, ...]


def _plain(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\'", "'").replace("\\\\", "\\")


def _path(steps: str) -> Path:
    return tuple(
        found[1] or (int(found[2]) if found[2] else _plain(found[3])) for found in _STEP.finditer(steps)
    )


class _Field:
    """What texts say of one field."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.begins, self.ends, self.has = "", "", ""
        self.is_number = False

    def note(self, after: str, is_reckoned: bool) -> None:
        """Reads what stands behind the field."""
        if call := _CALL.match(after):
            text = _plain(call[2])
            match call[1]:
                case "startsWith":
                    self.begins = text
                case "endsWith":
                    self.ends = text
                case _:
                    self.has = text
        elif compared := _COMPARED.match(after):
            self._compared(compared)
        elif listed := _LISTED.match(after):
            self.values += [_plain(text) for text in re.findall(_TEXT, listed[1])]
            self.values += [int(n) for n in re.findall(r"(?<![\w\"'])-?\d+", listed[1])]
        elif is_reckoned or _ARITHMETIC.match(after):
            self.is_number = True

    def _compared(self, found: re.Match[str]) -> None:
        if found[2] is not None:
            n = int(found[2])
            self.is_number = True
            self.values += [n, n - 1, n + 1]
        elif found[3] is not None:
            self.values.append(_plain(found[3]))
        else:
            self.values += [found[4] == "true", found[4] != "true"]

    def options(self, numbers: Sequence[int]) -> list[Any]:
        """Values to try, in order."""
        shaped = [f"{self.begins}a{self.ends}"] if self.begins or self.ends else []
        if self.has and (self.begins or self.ends):
            shaped.append(f"{self.begins}{self.has}{self.ends}")
        plain: list[Any] = list(numbers) if self.is_number else [self.has or "a"]
        every = [*shaped, *self.values, *plain]
        kept: list[Any] = []
        for value in every:
            if not any(type(value) is type(other) and value == other for other in kept):
                kept.append(value)
        return kept[:VALUES_MAX]


def params_of_texts(
    texts: Iterable[tuple[str, bool]], numbers: Sequence[int], base: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Params with a value for every field that the texts name, over `base`; at most `COMBINATIONS_MAX`.

    A text is one with whether its result is a number, as those of `reserve` and `usage` are.
    """
    fields: dict[Path, _Field] = {}
    for text, is_reckoned in texts:
        for found in _FIELD.finditer(text):
            is_whole = is_reckoned and found[0] == text.strip()
            fields.setdefault(_path(found[1]), _Field()).note(text[found.end() :], is_whole)
    fields = {path: field for path, field in fields.items() if max(_places(path), default=0) < PLACES_MAX}
    leaves = [path for path in fields if not any(path == other[: len(path)] != other for other in fields)]
    options = [fields[path].options(numbers) for path in leaves]
    made = []
    for values in islice(_varied(options), COMBINATIONS_MAX):
        params: dict[str, Any] = dict(base)
        for path, value in zip(leaves, values, strict=True):
            params = _with(params, path, value)
        made.append(params)
    return made


def _places(path: Path) -> list[int]:
    return [step for step in path if isinstance(step, int)]


def payload_names(texts: Iterable[str]) -> list[tuple[str, ...]]:
    """The fields of a receipt's payload that expressions read, by path."""
    paths = [tuple(found[1].split(".")[1:]) for text in texts for found in _PAYLOAD.finditer(text)]
    return list(dict.fromkeys(paths))


def _varied(options: list[list[Any]]) -> Iterable[tuple[Any, ...]]:
    """First each field by itself beside the first values of the others, then all combinations."""
    firsts = tuple(values[0] for values in options)
    yield firsts
    for at, values in enumerate(options):
        for value in values[1:]:
            yield (*firsts[:at], value, *firsts[at + 1 :])
    yield from product(*options)


def _with(value: Any, path: Path, last: Any) -> Any:
    """The value with another one at a path; lists and maps on the way are made."""
    if not path:
        return last
    step, *rest = path
    if isinstance(step, int):
        items = list(value) if isinstance(value, list) else []
        items += ["a"] * (step + 1 - len(items))
        items[step] = _with(items[step], tuple(rest), last)
        return items
    whole = dict(value) if isinstance(value, Mapping) else {}
    whole[step] = _with(whole.get(step), tuple(rest), last)
    return whole
