"""Assembles an enforcer in WebAssembly text, with the SDK where the source asks for it.

`(@splittally)` in a module stands for the SDK's fields, `(@splittally codec)` for its reader and writer
alone. `(@text "...")` is then the i64 constant `address << 32 | size` of a text in the module's memory. Both
are annotations of the text format, which other assemblers ignore.

1. What is inserted takes no line of its own: a line in an error is a line of the author's file.
2. Types are checked here, and an error names the function: the assembler itself writes what it reads.
3. Names leave no trace in the module, so renaming a variable does not change its hash.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from wasmtime import Engine, Module, WasmtimeError, wat2wasm

TEXTS_START = 1024
TEXTS_END = 9216  # where the SDK's own memory begins
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_PIECE = re.compile(
    rf"(?P<text>\(@text(?:\s*{_STRING})+\s*\))|(?P<sdk>\(@splittally(?:\s+codec)?\s*\))"
    rf"|(?P<odd>\(@(?:text|splittally)\b)|(?P<comment>;;[^\n]*|\(;)|{_STRING}"
)
_COMMENT_EDGE = re.compile(r"\(;|;\)")
_ESCAPE = re.compile(rb"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))")
_NAMED = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}
_AT = re.compile(r"(?P<what>.*?)\s*(?:-->|at) <anon>:(?P<line>\d+):(?P<column>\d+)", re.DOTALL)
_OFFSET = re.compile(r"(?P<what>.*?) \(at offset 0x(?P<offset>[0-9a-f]+)\)", re.DOTALL)
_CUSTOM, _CODE = 0, 10
_Section = tuple[int, int, int, int]  # id, where it starts, where its body starts, where it ends


class AssemblyFailed(Exception):
    """The source is no module; `line` is where it shows, 0 where that is unknown."""

    def __init__(self, said: str, line: int = 0) -> None:
        super().__init__(said)
        self.line = line


def assemble(source: str, sdk: Path) -> bytes:
    """The module that `source` says; `AssemblyFailed` where it says none. `sdk` is the folder of the SDK."""
    expanded = _expand(source, sdk)
    try:
        module = bytes(wat2wasm(expanded))
    except WasmtimeError as refused:
        raise _at_line(str(refused), source, expanded) from refused
    try:
        Module.validate(Engine(), module)
    except WasmtimeError as refused:
        raise _in_function(str(refused), source, module) from refused
    kept = (module[start:end] for kind, start, _, end in _sections(module) if kind != _CUSTOM)
    return b"".join((module[:8], *kept))


# --- the text ---------------------------------------------------------------------------------------


class _Texts:
    """The texts of a module: each stands once in its memory."""

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.end = TEXTS_START

    def place(self, annotation: str) -> str:
        """The constant that stands for `(@text "...")`, with as many line breaks."""
        try:
            text = b"".join(_bytes_of(literal[1:-1]) for literal in re.findall(_STRING, annotation))
        except ValueError as unknown:
            raise AssemblyFailed(f"`{annotation}` names no code point") from unknown
        if text not in self.places:
            self.places[text] = self.end
            self.end += len(text)
        if self.end > TEXTS_END:
            raise AssemblyFailed(
                f"the texts take more than {TEXTS_END - TEXTS_START} bytes, those of the SDK included"
            )
        return f"(i64.const {self.places[text] << 32 | len(text)})" + "\n" * annotation.count("\n")

    def segment(self) -> str:
        written = "".join(f"\\{byte:02x}" for byte in b"".join(self.places))
        return f'(data (i32.const {TEXTS_START}) "{written}")'


def _bytes_of(literal: str) -> bytes:
    """The bytes that the inside of a string literal stands for."""

    def unescaped(found: re.Match[bytes]) -> bytes:
        point, pair, other = found.groups()
        if point:
            return chr(int(point, 16)).encode()
        return bytes.fromhex(pair.decode()) if pair else _NAMED.get(other, other)

    return _ESCAPE.sub(unescaped, literal.encode())


def _pieces(source: str) -> Iterator[tuple[str, str]]:
    """The source in pieces, each with its kind: `text`, `sdk`, `comment`, or nothing in particular."""
    at = 0
    while found := _PIECE.search(source, at):
        end = _comment_end(source, found.start()) if found[0] == "(;" else found.end()
        yield "", source[at : found.start()]
        yield found.lastgroup or "", source[found.start() : end]
        at = end
    yield "", source[at:]


def _comment_end(source: str, start: int) -> int:
    """Where the block comment ends; one may stand inside another."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(source, start):
        depth += 1 if edge[0] == "(;" else -1
        if depth == 0:
            return edge.end()
    return len(source)


def _expand(source: str, sdk: Path) -> str:
    """The source with the SDK in its place and each text as its constant, line for line."""
    pieces = list(_pieces(source))
    marker = _marker_of(pieces)
    if not marker:
        return source
    texts = _Texts()
    names = ("codec.wat",) if "codec" in marker else ("codec.wat", "splittally.wat")
    fields = " ".join(_one_line((sdk / name).read_text("utf-8"), texts) for name in names)
    author = [texts.place(piece) if kind == "text" else piece for kind, piece in pieces]
    inserted = f"{fields} {texts.segment()}" + "\n" * marker.count("\n")
    return "".join(inserted if piece == marker else piece for piece in author)


def _marker_of(pieces: list[tuple[str, str]]) -> str:
    """The one annotation that stands for the SDK, or nothing."""
    kinds = [kind for kind, _ in pieces]
    if "odd" in kinds:
        line = "".join(piece for _, piece in pieces[: kinds.index("odd")]).count("\n") + 1
        raise AssemblyFailed('write `(@text "...")`, `(@splittally)` or `(@splittally codec)`', line)
    if kinds.count("sdk") > 1:
        raise AssemblyFailed("`(@splittally)` stands more than once")
    if "sdk" in kinds:
        return pieces[kinds.index("sdk")][1]
    if "text" in kinds:
        raise AssemblyFailed("`(@text ...)` needs `(@splittally)` in the module")
    return ""


def _one_line(fields: str, texts: _Texts) -> str:
    pieces = ((kind, piece) for kind, piece in _pieces(fields) if kind != "comment")
    words = (texts.place(piece) if kind == "text" else piece for kind, piece in pieces)
    return " ".join("".join(words).split("\n"))


# --- errors -----------------------------------------------------------------------------------------


def _at_line(said: str, source: str, expanded: str) -> AssemblyFailed:
    """What the assembler said, with the author's line in place of the one it shows."""
    found = _AT.match(said)
    if not found:
        return AssemblyFailed(said)
    line, column = int(found["line"]), int(found["column"])
    near = re.match(r"[^\s()]*", expanded.split("\n")[line - 1][column - 1 :])
    what = f"{found['what']}, at `{near[0]}`" if near and near[0] not in found["what"] else found["what"]
    shown = source.split("\n")[line - 1].strip()
    return AssemblyFailed(f"{what}\n    {shown}" if shown else what, line)


def _in_function(said: str, source: str, module: bytes) -> AssemblyFailed:
    """What the validator said, with a function and its line in place of an offset."""
    found = _OFFSET.match(said)
    name = _function_at(module, int(found["offset"], 16)) if found else ""
    if not found or not name:
        return AssemblyFailed(said)
    opening = re.search(rf"\(\s*func\s+\${re.escape(name)}(?![^\s()])", source)
    what = f"in `${name}`: {found['what']}"
    if opening:
        return AssemblyFailed(what, source.count("\n", 0, opening.start()) + 1)
    return AssemblyFailed(f"{what}; `$check` and `$settle` have no parameters and no results")


def _function_at(module: bytes, offset: int) -> str:
    """The name of the function whose body holds the offset, empty where it has none."""
    for kind, _, at, end in _sections(module):
        if kind == _CODE and at <= offset < end:
            count, at = _unsigned(module, at)
            for index in range(count):
                size, at = _unsigned(module, at)
                if at <= offset <= at + size:
                    return _function_names(module).get(index, "")
                at += size
    return ""


def _function_names(module: bytes) -> dict[int, str]:
    """The names of functions in a module without imports, from its section `name`."""
    for kind, _, at, end in _sections(module):
        if kind == _CUSTOM and module[at : at + 5] == b"\x04name":
            at += 5
            while at < end:
                part, (size, start) = module[at], _unsigned(module, at + 1)
                if part == 1:
                    return dict(_names(module, start))
                at = start + size
    return {}


def _names(module: bytes, at: int) -> Iterator[tuple[int, str]]:
    count, at = _unsigned(module, at)
    for _ in range(count):
        index, at = _unsigned(module, at)
        size, at = _unsigned(module, at)
        yield index, module[at : at + size].decode()
        at += size


def _sections(module: bytes) -> Iterator[_Section]:
    at = 8
    while at < len(module):
        size, body = _unsigned(module, at + 1)
        yield module[at], at, body, body + size
        at = body + size


def _unsigned(module: bytes, at: int) -> tuple[int, int]:
    """The LEB128 number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = module[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at
