"""Questions that no careful host would ask and that a world can ask all the same.

Rule 1. All of them are messages of spec/03-abi.md: what is wrong with them is what hosts and adapters can
        get wrong, inside cap params, params, payloads and amounts.
Rule 2. They come from the author's cases and a fixed seed: the same cases give the same questions.
Rule 3. They stay small, so that `over_limit`, which a module may answer to a large input, is no excuse.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError
from splittally.core.limits import INT_MIN, NATURAL_MAX
from splittally.core.types import RECEIPT_STATUSES

SEED = 20_240_229
COUNT = 400  # of each of Check and Settle
QUESTION_BYTES_MAX = 8 * 1024
NUMBERS = (0, 1, -1, INT_MIN, 2**31, 2**32, 2**53, 2**63, NATURAL_MAX)
ATOMS: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "x",
    '\u202e`\\"\x00',
    "é" * 40,
    b"",
    b"\xff",
    1.5,
    -0.0,
    1e300,
    [],
    {},
    *NUMBERS,
)
KINDS = ("other.kind", "llm.generate", "x")
UNREADABLE = (
    b"",
    b"\xff",
    b"\x00\x00",
    b"\xa1",
    b"\xbf\xff",
    b"\xc0\x00",
    b"\x1b",
    b"\xf9\x7e\x00",
    b"\xa2aa\x01aa\x02",
)
SOURCES: tuple[Any, ...] = ({}, {"amount": 1}, [], "text", 7)  # where a folder has no case
_INTENT = bytes(range(32))


def hostile_checks(questions: list[bytes]) -> list[bytes]:
    """Checks made from those of the cases."""
    chance = random.Random(SEED)
    return list(_distinct(lambda: {"Check": _asked(chance, questions)}))


def hostile_settles(questions: list[bytes]) -> list[bytes]:
    """Settles made from those of the cases; every status, with and without cost, readable and not."""
    chance = random.Random(SEED + 1)
    seeds = [_body(question) for question in questions]
    payloads = [seed["receipt"]["payload"] for seed in seeds if "receipt" in seed]
    dims = sorted({dim for seed in seeds for dim in seed.get("reserve_estimate", {})}) or ["amount"]

    def made() -> dict[str, Any]:
        receipt: dict[str, Any] = {
            "status": chance.choice(RECEIPT_STATUSES),
            "adapter_id": chance.choice(("", "adapter", "é" * 64)),
            "payload": _payload(chance, payloads),
        }
        if chance.random() < 0.5:
            receipt["cost_cents"] = chance.choice((0, 1, 2**32, NATURAL_MAX))
        reserve = {dim: chance.choice((0, 1, 2**32, NATURAL_MAX)) for dim in dims if chance.random() < 0.7}
        rest = {"receipt": receipt, "reserve_estimate": reserve, "intent_hash": _INTENT}
        return {"Settle": {**_asked(chance, questions), **rest}}

    return list(_distinct(made))


def _distinct(made: Callable[[], dict[str, Any]]) -> Iterator[bytes]:
    found: set[bytes] = set()
    for _ in range(COUNT):
        question = encode(made())
        if len(question) <= QUESTION_BYTES_MAX and question not in found:
            found.add(question)
            yield question


def _asked(chance: random.Random, questions: list[bytes]) -> dict[str, Any]:
    """The seven fields, from one of the cases with something in them changed."""
    seed = _body(chance.choice(questions)) if questions else {}
    kind = seed.get("effect_kind", "some.kind")
    return {
        "origin": seed.get("origin", {"kind": "plan", "name": "host/operator@1"}),
        "cap_def": seed.get("cap_def", "example/cap@1"),
        "cap_params": _params(chance, seed.get("cap_params"), 0.5),
        "grant_name": chance.choice((seed.get("grant_name", "grant"), "é" * 64)),
        "effect_kind": chance.choice(KINDS) if chance.random() < 0.15 else kind,
        "effect_params": _params(chance, seed.get("effect_params"), 0.8),
        "logical_now_ns": chance.choice((seed.get("logical_now_ns", 0), 0, 2**63 - 1)),
    }


def _params(chance: random.Random, data: bytes | None, share: float) -> bytes:
    value = decode(data) if data is not None else chance.choice(SOURCES)
    return encode(_mutated(chance, value) if chance.random() < share else value)


def _payload(chance: random.Random, payloads: list[bytes]) -> bytes:
    if chance.random() < 0.25:
        return chance.choice(UNREADABLE)
    data = chance.choice(payloads) if payloads else b"\xa0"
    try:
        whole = encode(_mutated(chance, decode(data)))
    except CanonicalError:
        return data
    return whole[: chance.randrange(len(whole))] if chance.random() < 0.2 else whole


def _mutated(chance: random.Random, value: Any) -> Any:
    """The value with one place in it replaced, taken away, wrapped or added."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        rest = {name: item for name, item in value.items() if name != key}
        drawn = chance.random()
        if drawn < 0.15:
            return rest
        if drawn < 0.3:
            return {**value, chance.choice(("", "x", "x-note", "é")): chance.choice(ATOMS)}
        return {**rest, key: _mutated(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.5:
        at = chance.randrange(len(value))
        return [*value[:at], _mutated(chance, value[at]), *value[at + 1 :]]
    if chance.random() < 0.15:
        return _nested(chance.choice(ATOMS), chance.randrange(1, 50))
    return chance.choice(ATOMS)


def _nested(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return value


def _body(question: bytes) -> dict[str, Any]:
    (body,) = decode(question).values()
    assert isinstance(body, dict)
    return body
