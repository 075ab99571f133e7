"""sys/CapEnforceLlm@1: what a receipt is charged, in the shape of every large provider."""

import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from splittally.edge.release_receipts import receipt_schema
from splittally_enforcers.build import HERE

from tests.llm_providers import NATURAL_MAX, USAGES, Used, cost
from tests.test_enforcers_abi import LLM, check, settle

KIND = "llm.generate"
ROW: dict[str, Any] = {"prompt": 2_500_000, "completion": 10_000_000}
PARTS = ("cached", "cache_write", "reasoning")
counts = st.one_of(st.integers(0, 9), st.integers(0, 10**6))
prices = st.integers(0, 10**8)
rows = st.fixed_dictionaries(
    {"prompt": prices, "completion": prices},
    optional={
        **dict.fromkeys(PARTS, prices),
        "call": st.integers(0, 10**6),
        "tiers": st.lists(st.integers(0, 10**6), max_size=3, unique=True).flatmap(
            lambda bounds: st.tuples(
                *(
                    st.fixed_dictionaries(
                        {"above": st.just(above)},
                        optional=dict.fromkeys(("prompt", "completion", *PARTS), prices),
                    )
                    for above in sorted(bounds)
                )
            ).map(list)
        ),
    },
)


def priced(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"prices": {"prices": b"\x01" * 32, "row": {"resource": "usd", **row, **more}}}


def charged(
    payload: Any, cap: Any = None, reserve: Any = None, status: str = "ok", **params: Any
) -> tuple[Any, str]:
    asked = {"max_tokens": 50, "prompt_tokens": 200, **params}
    settled = settle(
        LLM, KIND, cap or {}, asked, {"tokens": 250} if reserve is None else reserve, payload, status
    )
    return settled.usage, settled.violation_code


@pytest.mark.req("X7-01")
@pytest.mark.parametrize("shape", USAGES)
@given(used=st.builds(Used, counts, counts, counts, counts, counts), row=rows)
@example(used=Used(86, 1920, 0, 300, 0), row=ROW | {"cached": 1_250_000})
@example(used=Used(0, 0, 0, 0, 5), row=ROW)
@example(used=Used(0, 7, 9, 0, 0), row=ROW)
def test_every_part_is_counted_once_at_its_own_price(shape: str, used: Used, row: dict[str, Any]) -> None:
    say, told = USAGES[shape]
    if not (used.prompt and used.completion) and shape == "gemini":
        return  # it leaves out zeros, and with them what tells nothing from unknown
    usage, violation = charged(say(used), priced(row), {})
    assert (usage["tokens"], violation) == (used.prompt + used.completion, "")
    assert usage["usd"] == cost(row, used, told)


# As the providers' own pages show them, with what they say is billed.
DOCUMENTED: dict[str, tuple[Any, int, int]] = {
    "openai audio": (
        {
            "usage": {
                "prompt_tokens": 31,
                "completion_tokens": 121,
                "total_tokens": 152,
                "prompt_tokens_details": {"audio_tokens": 20, "cached_tokens": 0, "text_tokens": 11},
                "completion_tokens_details": {"audio_tokens": 100, "reasoning_tokens": 0, "text_tokens": 21},
            }
        },
        152,
        11 * 2 + 20 * 8 + 21 * 10 + 100 * 40,
    ),
    "realtime, cached sound": (
        {
            "response": {
                "usage": {
                    "total_tokens": 253,
                    "input_tokens": 132,
                    "output_tokens": 121,
                    "input_token_details": {
                        "text_tokens": 119,
                        "audio_tokens": 13,
                        "cached_tokens": 64,
                        "cached_tokens_details": {"text_tokens": 61, "audio_tokens": 3},
                    },
                    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
                }
            }
        },
        253,
        (132 - 64 - 10) * 2 + 64 * 1 + 10 * 8 + 30 * 10 + 91 * 40,
    ),
    "gemini, by modality": (
        {
            "usageMetadata": {
                "promptTokenCount": 1_310,
                "candidatesTokenCount": 20,
                "totalTokenCount": 1_330,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 252},
                    {"modality": "IMAGE", "tokenCount": 258},
                    {"modality": "AUDIO", "tokenCount": 800},
                ],
            }
        },
        1_330,
        252 * 2 + 258 * 3 + 800 * 8 + 20 * 10,
    ),
    "gemini, thought to the ceiling": (
        {"usageMetadata": {"promptTokenCount": 10, "thoughtsTokenCount": 50, "totalTokenCount": 60}},
        60,
        10 * 2 + 50 * 10,
    ),
    "parts that overlap": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 10},
        },
        10,
        10 * 8,
    ),
    "a part beside its whole": (
        {"prompt_tokens": 5, "completion_tokens": 1, "cached_tokens": 7},
        13,
        5 * 2 + 7 + 10,
    ),
    "two shapes": (
        {"usage": {"prompt_tokens": 9, "completion_tokens": 1}, "input_tokens": 4, "output_tokens": 3},
        12,
        9 * 2 + 30,
    ),
    "litellm": (
        {
            "usage": {
                "prompt_tokens": 30,
                "completion_tokens": 2,
                "total_tokens": 32,
                "cache_read_input_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 20},
            }
        },
        32,
        10 * 2 + 20 + 20,
    ),
    "more than the parts": ({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 9}, 9, 2 + 80),
    "a total alone": ({"usage": {"total_tokens": 9}}, 9, 90),
    "an embedding": ({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, 8, 16),
}


@pytest.mark.req("X7-01")
@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_usage_is_what_its_provider_bills(name: str) -> None:
    payload, tokens, dollars = DOCUMENTED[name]
    parts = {"cached": 1, "audio_prompt": 8, "image_prompt": 3, "audio_completion": 40}
    row = {part: price * 10**6 for part, price in ({"prompt": 2, "completion": 10} | parts).items()}
    assert charged(payload, priced(row), {}) == ({"tokens": tokens, "usd": dollars}, "")


@pytest.mark.req("X7-02")
@pytest.mark.parametrize(
    ("payload", "tokens"),
    [
        ({}, 250),
        ({"choices": []}, 250),
        ({"usage": None}, 250),
        ({"usage": {}}, 250),
        ({"usage": {"prompt_tokens": None, "completion_tokens": None}}, 250),
        ({"usage": {"prompt_tokens_details": {"cached_tokens": 3}}}, 250),
        ({"usage": [9]}, 250),
        ({"usage": "9"}, 250),
        ({"prompt_tokens": 10.0, "completion_tokens": 20.0}, 250),
        ({"prompt_tokens": "10", "completion_tokens": 20}, 250),
        ({"prompt_tokens": -1, "completion_tokens": 20}, 250),
        ({"prompt_tokens": True, "completion_tokens": 20}, 250),
        ({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30.0}, 250),
        ({"tokens": 7}, 250),
        ({"completion_tokens": 7}, 207),
        ({"prompt_tokens": 7}, 57),
    ],
)
def test_usage_that_is_not_known_is_never_free(payload: Any, tokens: int) -> None:
    usage, violation = charged(payload)
    assert (usage, violation) == ({"tokens": tokens}, "usage_unknown")
    assert charged(payload, priced(ROW), {"tokens": 250, "usd": 1_000})[0]["usd"] > 0


@pytest.mark.req("X7-02")
def test_only_a_stated_zero_is_zero() -> None:
    assert charged({"prompt_tokens": 0, "completion_tokens": 0}) == ({"tokens": 0}, "")
    assert charged({"usageMetadata": {"totalTokenCount": 0}}) == ({"tokens": 0}, "")
    assert charged({"prompt_tokens": 0, "completion_tokens": None})[1] == "usage_unknown"


@pytest.mark.req("X7-02")
@pytest.mark.parametrize("status", ["error", "timeout"])
def test_an_error_that_states_no_usage_used_nothing_and_one_that_does_is_charged(status: str) -> None:
    assert charged({}, status=status) == ({}, "")
    assert charged({"error": {"message": "overloaded"}, "usage": None}, status=status) == ({}, "")
    assert charged([], status=status) == ({}, "receipt_unreadable")
    assert charged({"prompt_tokens": 9, "completion_tokens": 0}, status=status) == ({"tokens": 9}, "")
    assert charged({"prompt_tokens": 9}, status=status) == ({"tokens": 59}, "usage_unknown")


def test_the_missing_side_is_charged_what_its_bound_was() -> None:
    """Not more than was reserved, whatever the bound rests on."""
    params = {
        "messages": [{"role": "user", "content": "hello"}],
        "tools": [{"type": "web_search"}],
        "n": 3,
        "max_tokens": 5,
    }
    reserve = check(LLM, KIND, priced(ROW), params).reserve
    settled = settle(LLM, KIND, priced(ROW), params, reserve, {"completion_tokens": 15})
    assert (settled.usage, settled.violation_code) == (reserve, "usage_unknown")


# --- models and the provider's own figure ---------------------------------------------------------------


@pytest.mark.req("X7-08")
@pytest.mark.parametrize(
    ("asked", "told", "violation"),
    [
        ("gpt-x", "gpt-x", ""),
        ("gpt-x", "gpt-x-2026-01-01", ""),
        ("gpt-x", "gpt-x@20260101", ""),
        ("gpt-4", "gpt-4-0613", ""),
        ("gemini-2.0-flash", "models/gemini-2.0-flash-001", ""),
        ("acme/gpt-x", "gpt-x", ""),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", ""),
        ("gpt-x", "gpt-y", "model_differs"),
        ("gpt-4", "gpt-4o", "model_differs"),
        ("gpt-4", "gpt-4-32k", "model_differs"),
        ("claude-3", "claude-3-5", "model_differs"),
        ("gpt-x-2026-01-01", "gpt-x-2026-02-02", "model_differs"),
    ],
)
def test_another_model_is_charged_by_the_row_that_was_asked_for(
    asked: str, told: str, violation: str
) -> None:
    said = {"model": told, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    for payload in (said, {"message": said}):
        usage = {"tokens": 2, "usd": 13}
        assert charged(payload, priced(ROW), {"tokens": 9, "usd": 99}, model=asked) == (usage, violation)


decimals = st.decimals(0, 10**6, places=9)
UNSTATED = {"prompt_tokens": 0, "completion_tokens": 0}


def half_up(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


@pytest.mark.req("X7-08")
@given(value=st.floats(0, 10**9), scale=st.integers(0, 9))
@example(value=0.005615, scale=6)
@example(value=0.5, scale=0)
@example(value=1.5, scale=0)
@example(value=5e-324, scale=9)
@example(value=65504.0, scale=2)
def test_a_float_cost_is_read_exactly_from_its_bits(value: float, scale: int) -> None:
    usage, violation = charged({"usage": {**UNSTATED, "cost": value}}, priced(ROW, scale=scale), {})
    assert (usage["usd.provider"], violation) == (half_up(Fraction(value) * 10**scale), "")


@pytest.mark.req("X7-08")
@given(value=decimals, scale=st.integers(0, 12))
def test_a_decimal_text_of_a_cost_is_read_exactly(value: Decimal, scale: int) -> None:
    expected = half_up(Fraction(value) * 10**scale)
    for text in (f"{value:f}", f"{value:E}".replace("E+", "e")):
        assert (
            charged({**UNSTATED, "total_cost": text}, priced(ROW, scale=scale), {})[0]["usd.provider"]
            == expected
        )
    assert expected == int((value * 10**scale).quantize(Decimal(1), ROUND_HALF_UP))


@pytest.mark.parametrize(
    "value", ["", "1.2.3", "-1", "$5", "1e", "e5", "1e99999", "9" * 40, -1, -0.5, True, [1], {"a": 1}]
)
def test_what_is_no_cost_is_no_figure_and_no_violation(value: Any) -> None:
    assert charged({**UNSTATED, "cost": value}, priced(ROW, scale=6), {}) == ({"tokens": 0, "usd": 0}, "")


def test_the_figure_stands_beside_ours_only_where_the_row_has_a_scale() -> None:
    shapes: list[Any] = [
        {"cost": 2},
        {"usage": {"cost": {"total_cost": 2}}},
        {"cost_in_usd_ticks": 2 * 10**10},
    ]
    for shape in shapes:
        payload = {**UNSTATED, **shape}
        assert charged(payload, priced(ROW, scale=6), {})[0]["usd.provider"] == 2 * 10**6
        assert charged(payload, priced(ROW), {})[0] == {"tokens": 0, "usd": 0}


def test_a_batch_pays_its_share_and_pictures_are_priced_each() -> None:
    used = {"prompt_tokens": 1_000, "completion_tokens": 100}
    row = priced(ROW, call=100, batch=[1, 3], image=7)
    assert charged({**used, "images": ["a", "b"]}, row, {})[0]["usd"] == 3_500 + 100 + 14
    assert charged({**used, "images": 2}, row, {}, batch=True)[0]["usd"] == 1_205  # 3614 / 3, rounded up once
    assert charged(used, row, {}, n=4) == ({"tokens": 1_100, "usd": 3_500 + 100 + 28}, "usage_unknown")


def test_a_settle_stops_at_the_largest_natural() -> None:
    payload = {"prompt_tokens": NATURAL_MAX, "completion_tokens": NATURAL_MAX}
    assert charged(payload, priced(ROW), {})[0] == {"tokens": NATURAL_MAX, "usd": NATURAL_MAX}


def test_a_receipt_that_is_cut_keeps_every_name_that_is_read() -> None:
    """A provider's whole answer is cut to the receipt schema of its kind before the module sees it."""
    source = (HERE / "llm" / "usage.zig").read_text()
    tables = source[source.index("const of_usage") : source.index("const of_prompt_parts")]
    names = set(re.findall(r'"([\w-]+)"', tables))
    assert len(names) > 60
    assert names <= set(receipt_schema(KIND)["properties"])
