"""JSON at the edges: nothing is repaired, nothing is lost, and every refusal says where or what."""

import json
import math
import os
import random
import secrets
import subprocess
import sys
import time
from typing import Any

import pytest
from splittally.core.errors import InvalidInput
from splittally.core.limits import DEPTH_MAX, INT_MAX, INT_MIN, LINE_BYTES_MAX
from splittally.edge.json_values import json_form, parse_json, printable

from tests.canonical_model import encode_model, some_value

SEED = int(os.environ.get("SPLITTALLY_SEED", secrets.randbelow(2**32)))
ROUNDS = int(os.environ.get("SPLITTALLY_ROUNDS", "3000"))

READS: list[tuple[str, Any]] = [
    ("null", None),
    (" \t\r\n[true , false]\n", [True, False]),
    ("1", 1),
    ("-0", 0),
    ("1.0", 1.0),
    ("-0.0", -0.0),
    ("1e2", 100.0),
    ("1E-2", 0.01),
    (f"{INT_MAX}", INT_MAX),
    (f"{INT_MIN}", INT_MIN),
    ("9007199254740993", 2**53 + 1),
    (r'"\u0061\n\/\u20ac"', "a\n/€"),
    (r'"\ud83d\ude00"', "😀"),
    (r'"\\ud800"', "\\ud800"),
    (r'"\ud800\udc00\udbff\udfff"', "\U00010000\U0010ffff"),
    ('"\u2028"', "\u2028"),
    ('{"a":{},"b":[]}', {"a": {}, "b": []}),
    ('{"$bytes":""}', b""),
    ('[{"$bytes":"00Ff"}]', [b"\x00\xff"]),
    ('{"$secret":{"alias":"k","version":1}}', {"$secret": {"alias": "k", "version": 1}}),
]


@pytest.mark.parametrize(("text", "value"), READS, ids=[text for text, _ in READS])
def test_a_document_is_read_as_the_value_it_states(text: str, value: Any) -> None:
    for given in (text, text.encode()):
        assert encode_model(parse_json(given)) == encode_model(value)


NOT_JSON = [
    ("", 1, 1),
    ("  \n ", 2, 2),
    ("1 2", 1, 3),
    ("{} x", 1, 4),
    ("\n\nx", 3, 1),
    ("[,]", 1, 2),
    ("[:]", 1, 2),
    ("{[", 1, 2),
    ("{,}", 1, 2),
    ("{:1}", 1, 2),
    ("[1 2]", 1, 4),
    ('{"a" 1}', 1, 6),
    ("{a:1}", 1, 2),
    ("{1:1}", 1, 2),
    ("['a']", 1, 2),
    ("[1}", 1, 3),
    ("[", 1, 2),
    ('"open', 1, 1),
    ('"a\nb"', 1, 3),
    ('"a\tb"', 1, 3),
    ("NaN", 1, 1),
    ("[1,\n Infinity]", 2, 2),
    ("-Infinity", 1, 1),
    ("True", 1, 1),
    ("nulll", 1, 5),
    ("01", 1, 2),
    ("+1", 1, 1),
    ("1.", 1, 2),
    (".5", 1, 1),
    ("1e", 1, 2),
    ("0x10", 1, 2),
    ("1_000", 1, 2),
    ("\u0661", 1, 1),
    ("\ufeff1", 1, 1),
    ("\u00a01", 1, 1),
    ("/* a */ 1", 1, 1),
    ("1e999", 1, 1),
    ("[0, -1e999]", 1, 5),
    (f"{INT_MAX + 1}", 1, 1),
    (f"[\n {INT_MIN - 1}]", 2, 2),
    ("9" * 5000, 1, 1),
]


@pytest.mark.parametrize(("text", "line", "column"), NOT_JSON, ids=[ascii(row[0][:24]) for row in NOT_JSON])
def test_what_is_no_json_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    for given in (text, text.encode()):
        with pytest.raises(InvalidInput) as refusal:
            parse_json(given)
        assert refusal.value.facts == {"line": line, "column": column}
        assert str(refusal.value).startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize("text", ["[1,]", '{"a":1,}', r'"\x41"', r'"\u12"', r'["\ud8"]'])
def test_what_python_places_differently_from_version_to_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="line 1, column"):
        parse_json(text)


REFUSED = [
    ('{"a":1,\n"a":2}', "the key `a` stands twice"),
    (r'{"a":1,"\u0061":2}', "the key `a` stands twice"),
    ('[{"b":{"a\u202e":1,"c":2,"a\u202e":2}}]', r"the key `a\u202e` stands twice"),
    ('{"$bytes":"11","$bytes":"11"}', "the key `$bytes` stands twice"),
    (r'"ab\ud800"', r"`\ud800` is half of a surrogate pair"),
    (r'"\udc00\ud800"', r"`\udc00` is half"),
    (r'"\ud800\ud800\udc00"', r"`\ud800` is half"),
    (r'[{"\ud800":1}]', r"`\ud800` is half"),
    (r'{"a":["\uD83D x \uDE00"]}', r"`\ud83d` is half"),
    ('[{"$bytes":"0"}]', "pairs of hex digits"),
    ('{"$bytes":"0g"}', "pairs of hex digits"),
    ('{"$bytes":"00 11"}', "pairs of hex digits"),
    ('{"$bytes":"0x11"}', "pairs of hex digits"),
    ('{"$bytes":"\u0661\u0661"}', "pairs of hex digits"),
    ('{"$bytes":11}', "pairs of hex digits"),
    ('{"$bytes":null}', "pairs of hex digits"),
    ('{"$bytes":"11","a":1}', "stands alone"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[ascii(row[0][:24]) for row in REFUSED])
def test_json_that_would_lose_something_is_refused_by_name(text: str, why: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(InvalidInput) as refusal:
            parse_json(given)
        assert why in str(refusal.value)
        assert str(refusal.value).isprintable()


def test_a_key_that_stands_twice_is_found_and_cut_in_time_proportional_to_the_map() -> None:
    keys = [f"k{at}" for at in range(50_000)]
    text = "{" + ",".join(f'"{key}":0' for key in [*keys, keys[-1]]) + "}"
    started = time.monotonic()
    with pytest.raises(InvalidInput, match="`k49999` stands twice"):
        parse_json(text)
    assert time.monotonic() - started < 5
    with pytest.raises(InvalidInput) as refusal:
        parse_json('{"' + "k" * 9_000 + '":0,"' + "k" * 9_000 + '":0}')
    assert len(str(refusal.value)) < 200


def test_text_that_is_not_unicode_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_json(b'["a",\n"\xff"]')
    assert refusal.value.facts == {"line": 2, "column": 2}
    with pytest.raises(InvalidInput) as refusal:
        parse_json('"é\ud800"')
    assert refusal.value.facts == {"line": 1, "column": 3}
    for odd in (None, 1, bytearray(b"1")):
        with pytest.raises(InvalidInput):
            parse_json(odd)  # type: ignore[arg-type]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "maps"])
def test_sixty_four_levels_are_read_and_one_more_is_refused(opening: str, closing: str) -> None:
    value = parse_json(opening * DEPTH_MAX + "1" + closing * DEPTH_MAX)
    assert len(encode_model(value)) > DEPTH_MAX
    with pytest.raises(InvalidInput, match="nested deeper than 64"):
        parse_json(opening * (DEPTH_MAX + 1) + "1" + closing * (DEPTH_MAX + 1))
    wide = "[" + ",".join(["[]", "{}"] * 500) + ',"[[[["]'
    assert len(parse_json(wide)) == 1001


def test_ten_thousand_levels_are_refused_by_a_process_that_lives_on() -> None:
    program = (
        "from splittally.core.errors import InvalidInput\n"
        "from splittally.edge.json_values import parse_json\n"
        "for text in ('[' * 10_000, '[' * 10_000 + ']' * 10_000, '{\"a\":' * 10_000 + '1' + '}' * 10_000):\n"
        "    try: parse_json(text)\n"
        "    except InvalidInput as refusal: print(refusal)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert [line.endswith("nested deeper than 64") for line in run.stdout.splitlines()] == [True] * 3


def test_the_size_is_counted_in_bytes() -> None:
    assert parse_json('"aa"', bytes_max=4) == "aa"
    for text in ('"aaa"', '"éa"', '"éa"'.encode()):
        with pytest.raises(InvalidInput, match="more than 4 bytes"):
            parse_json(text, bytes_max=4)
    with pytest.raises(InvalidInput):
        parse_json(" " * (LINE_BYTES_MAX + 1))


def without_bytes_key(value: Any) -> bool:
    if type(value) is dict:
        return "$bytes" not in value and all(map(without_bytes_key, value.values()))
    return type(value) is not list or all(map(without_bytes_key, value))


def text_of(value: Any) -> str:
    """The JSON form of a value as text."""
    return json.dumps(json_form(value), allow_nan=False)


def test_a_value_comes_back_from_its_json_form() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        value = some_value(rng)
        assert encode_model(parse_json(text_of(value))) == encode_model(value), f"seed {SEED}: {value!r}"


ALPHABET = [
    '"',
    "\\",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "1",
    "-",
    ".",
    "e",
    "a",
    "\\u",
    "d800",
    "$bytes",
    " ",
    "\n",
    "é",
]
WORDS = ["null", "true", "false", "NaN", '{"a":1}', '"$bytes"', "\\ud83d\\ude00", "[]", '"00"']


def test_broken_text_is_refused_and_what_is_read_prints_and_reads_as_itself() -> None:
    """Python's own reader is the oracle: what it refuses is refused, what it reads as data is read alike."""
    rng = random.Random(SEED)
    taken = refused = 0
    for _ in range(ROUNDS):
        text = text_of(some_value(rng)) if rng.random() < 0.7 else ""
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(ALPHABET + WORDS) + text[at + rng.randrange(2) :]
        meant = plain_reading(text)
        try:
            value = parse_json(text)
        except InvalidInput:
            assert meant is None or is_refused_data(meant), f"seed {SEED}: {text!r}"
            refused += 1
        else:
            assert meant is not None, f"seed {SEED}: {text!r}"
            assert encode_model(value) == encode_model(as_value(meant)), f"seed {SEED}: {text!r}"
            taken += 1
    assert taken > ROUNDS // 8 and refused > ROUNDS // 8, "the generator must make both kinds"


class Map(list[tuple[str, Any]]):
    """A map as the pairs that stand in it."""


def plain_reading(text: str) -> Any:
    """A list of what Python reads, maps as their pairs; None where it is no JSON."""
    try:
        value = json.loads(text, object_pairs_hook=Map)
    except (ValueError, RecursionError):
        return None
    return [value]


def is_refused_data(value: Any) -> bool:
    """Whether JSON as such holds what the data model has no place for."""
    if type(value) is Map:
        keys = [key for key, _ in value]
        is_bytes = keys == ["$bytes"] and type(value[0][1]) is str and is_hex(value[0][1])
        if len(set(keys)) < len(keys) or ("$bytes" in keys and not is_bytes):
            return True
        return any(is_refused_data(part) for pair in value for part in pair)
    if type(value) is list:
        return any(map(is_refused_data, value))
    if type(value) is str:
        return any("\ud800" <= char <= "\udfff" for char in value)
    if type(value) is int:
        return not INT_MIN <= value <= INT_MAX
    return type(value) is float and not math.isfinite(value)


def is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdefABCDEF")


def as_value(read: Any) -> Any:
    """The one value in `plain_reading`, with maps and bytes."""

    def made(value: Any) -> Any:
        if type(value) is Map:
            entries = {key: made(part) for key, part in value}
            return bytes.fromhex(entries["$bytes"]) if "$bytes" in entries else entries
        return list(map(made, value)) if type(value) is list else value

    return made(read)[0]


PRINTED = [
    ("plain é 😀", "plain é 😀"),
    ("a\nb\r\tc", "a\\nb\\r\\tc"),
    ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    ("user\u202egnp.exe", "user\\u202egnp.exe"),
    ("\u2066\u2069\u200f\u061c", "\\u2066\\u2069\\u200f\\u061c"),
    ("a\u2028b\x85c\x7f", "a\\u2028b\\x85c\\x7f"),
    ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
    ("\U000e0041\ud800", "\\U000e0041\\ud800"),
    ("C:\\new", "C:\\\\new"),
    ("\\n", "\\\\n"),
]


@pytest.mark.parametrize(("text", "shown"), PRINTED, ids=[ascii(text) for text, _ in PRINTED])
def test_text_for_a_terminal_holds_nothing_that_could_move_it(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_no_two_texts_are_shown_alike() -> None:
    rng = random.Random(SEED)
    parts = ["\\", "n", "\n", "x1b", "\x1b", "u202e", "\u202e", "a"]
    texts = {"".join(rng.choice(parts) for _ in range(rng.randrange(5))) for _ in range(ROUNDS)}
    assert len({printable(text) for text in texts}) == len(texts), f"seed {SEED}"
