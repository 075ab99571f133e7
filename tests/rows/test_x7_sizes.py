"""Row X7-06: what is too large is said by field, with both numbers and a way out; receipts are cut."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
import splittally
from blake3 import blake3
from hypothesis import given
from splittally import Intent, Receipt
from splittally.core.errors import InvalidInput, InvalidManifest
from splittally.core.limits import (
    LONG_PARAMS_BYTES_MAX,
    MEMBERS_MAX,
    NAME_BYTES_MAX,
    PARAMS_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    RECEIPT_WHOLE_BYTES_MAX,
    SENT_BYTES_MAX,
    TEXT_BYTES_MAX,
)
from splittally.edge.payloads import seal_payload
from splittally.edge.release import RELEASE_KINDS
from splittally.edge.release_receipts import receipt_schema
from splittally.edge.schema.params import ANY_PARAMS, ParamsSchema

from tests.cli_tools import run
from tests.rows.worlds import bodies, canonical, codes

ROW = pytest.mark.req("X7-06")
DRAWS = {"llm.generate": "sys/llm.basic@1", "mcp.call": "sys/mcp@1", "tool.call": "sys/mcp@1"}


def world(cap: str = "sys/llm.basic@1", **more: Any) -> splittally.Kernel:
    kernel = splittally.open(None, clock="given")
    kernel.apply({"grants": {"g": {"cap": cap, **more}}})
    return kernel


def sent_hash(value: Any) -> bytes:
    return blake3(canonical(value), derive_key_context="splittally 1 payload").digest()


def settle_command(kernel: splittally.Kernel) -> Any:
    return next(body.command for body in bodies(kernel) if hasattr(body.command, "fits"))


# --- params ---------------------------------------------------------------------------------------


def params_of(kind: str, size: int) -> dict[str, Any]:
    """Params of a kind whose canonical bytes are so many."""
    params: dict[str, Any] = {
        "llm.generate": {"max_tokens": 5, "prompt_tokens": 5, "messages": [{"role": "user", "content": ""}]},
        "mcp.call": {"server": "s", "tool": "t", "arguments": {"text": ""}},
        "tool.call": {"tool": "t", "arguments": {"text": ""}},
    }[kind]
    holder = params["messages"][0] if kind == "llm.generate" else params["arguments"]
    name = "content" if kind == "llm.generate" else "text"
    holder[name] = "x" * (size - 100)
    holder[name] += "x" * (size - len(canonical(params)))
    return params


@ROW
@pytest.mark.parametrize("kind", ["mcp.call", "tool.call"])
def test_a_call_of_a_tool_takes_256_kib_to_the_byte(kind):
    with world(DRAWS[kind]) as kernel:
        fits = kernel.submit(Intent(kind, params_of(kind, LONG_PARAMS_BYTES_MAX), "g"))
        over = kernel.submit(Intent(kind, params_of(kind, LONG_PARAMS_BYTES_MAX + 1), "g"))
        assert fits.allowed
        assert (over.seq, codes(over)) == (None, ["params.too_large"])
        facts = over.findings[0].facts
        assert (facts["field"], facts["needed"], facts["available"]) == (
            "params", LONG_PARAMS_BYTES_MAX + 1, LONG_PARAMS_BYTES_MAX,
        )  # fmt: skip
        assert facts["part"] == "arguments.text"
        settled = kernel.settle(Receipt(fits.intent_hash, "ok", "h", {"content": "y" * 60_000}))
        assert (settled.usage, settled.violations) == ({"calls": 1}, ())


@ROW
def test_too_long_messages_are_refused_with_the_part_both_numbers_and_what_to_send():
    with world() as kernel:
        decision = kernel.submit(
            Intent("llm.generate", params_of("llm.generate", LONG_PARAMS_BYTES_MAX + 9), "g")
        )
        facts = decision.findings[0].facts
        assert codes(decision) == ["params.too_large"]
        assert (facts["needed"], facts["available"]) == (LONG_PARAMS_BYTES_MAX + 9, LONG_PARAMS_BYTES_MAX)
        assert facts["part"] == "messages"
        assert facts["part_bytes"] > 200_000
        assert "send prompt_tokens, keep the text outside" in facts["message"]
        short = {"max_tokens": 5, "prompt_tokens": 5, "messages": {"$digest": "ab" * 32, "bytes": 300_000}}
        assert (
            codes(kernel.submit(Intent("llm.generate", {**short, "messages": [short["messages"]]}, "g")))
            == []
        )


@ROW
@pytest.mark.parametrize(
    ("cap", "kind", "params", "part"),
    [
        ("sys/http.out@1", "http.request", {"url": "https://x.org/" + "x" * 30_000}, "url"),
        ("sys/email@1", "email.send", {"to": ["a@b.c"], "subject": "s" * 30_000}, "subject"),
        ("sys/sql@1", "sql.execute", {"statement": "SELECT 1", "parameters": ["p" * 30_000]}, "parameters"),
        ("sys/rules@1", "tool.call", {"tool": "t", "arguments": {"text": "x" * 100_000}}, "arguments.text"),
    ],
)
def test_what_a_module_does_not_take_is_refused_without_a_record_and_what_fits_is_told_to_the_byte(
    cap, kind, params, part
):
    more = {"params": {"kinds": [kind], "reserve": {"n": 1}, "usage": {"n": 1}}} if "rules" in cap else {}
    with world(cap, **more) as kernel:
        frames = kernel.state.seq
        decision = kernel.submit(Intent(kind, params, "g", idempotency_key="k"))
        facts = decision.findings[0].facts
        assert (codes(decision), decision.seq, kernel.state.seq) == (["params.too_large"], None, frames)
        assert facts["needed"] == len(canonical(params))
        assert facts["part"] == part
        assert facts["available"] < 24 * 1024
        cut = json.loads(json.dumps(params))
        holder, names = cut, part.split(".")
        for name in names[:-1]:
            holder = holder[name]
        text = holder[names[-1]]
        left = len(canonical(params)) - facts["available"]
        holder[names[-1]] = [text[0][:-left]] if isinstance(text, list) else text[:-left]
        taken = kernel.submit(Intent(kind, cut, "g", idempotency_key="k"))
        assert taken.seq is not None  # judged, whatever the module says of it
        assert "over_limit" not in str(taken.findings)


@ROW
def test_a_fault_of_another_kind_stays_a_fault():
    with world("sys/sql@1") as kernel:
        decision = kernel.submit(Intent("sql.execute", {"statement": "SELECT " + "(" * 3000}, "g"))
        assert codes(decision) != ["params.too_large"]
        assert decision.seq is not None


# --- every other bound of a host's records --------------------------------------------------------


@ROW
@pytest.mark.parametrize(
    ("fields", "field", "needed", "available"),
    [
        ({"idempotency_key": "k" * 513}, "idempotency_key", 513, TEXT_BYTES_MAX),
        ({"idempotency_key": bytes(33)}, "idempotency_key", 32, 33),
        (
            {"origin": ("plan", "a" * NAME_BYTES_MAX + "/b@1")},
            "origin.name", NAME_BYTES_MAX + 4, NAME_BYTES_MAX,
        ),
        ({"labels": {"run": "x" * 257}}, "labels.run", 257, 256),
    ],
)  # fmt: skip
def test_a_part_of_an_intent_above_its_bound_is_named_with_both_numbers(fields, field, needed, available):
    with world() as kernel:
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 5}, "g", **fields))
        facts = decision.findings[0].facts
        assert (facts["field"], facts["needed"], facts["available"]) == (field, needed, available)


@ROW
@pytest.mark.parametrize("field", ["adapter_id", "pays_to"])
def test_a_name_of_a_receipt_above_its_bound_is_named_with_both_numbers(field):
    with world() as kernel, pytest.raises(InvalidInput) as caught:
        kernel.settle(Receipt(bytes(32), "ok", **{"adapter_id": "h", field: "n" * (NAME_BYTES_MAX + 1)}))
    facts = caught.value.facts
    assert (facts["field"], facts["needed"], facts["available"]) == (
        field,
        NAME_BYTES_MAX + 1,
        NAME_BYTES_MAX,
    )


@ROW
def test_an_order_and_a_group_above_their_bounds_are_named_with_both_numbers():
    with world() as kernel:
        with pytest.raises(InvalidInput) as caught:
            kernel.release(bytes(32), order="o" * (TEXT_BYTES_MAX + 1))
        facts = caught.value.facts
        assert (facts["field"], facts["needed"], facts["available"]) == (
            "order",
            TEXT_BYTES_MAX + 1,
            TEXT_BYTES_MAX,
        )
        many = [Intent("llm.generate", {"max_tokens": 5}, "g")] * (MEMBERS_MAX + 1)
        facts = kernel.submit(many, mode="all")[0].findings[0].facts
        assert (facts["field"], facts["needed"], facts["available"]) == (
            "intents",
            MEMBERS_MAX + 1,
            MEMBERS_MAX,
        )


# --- receipts -------------------------------------------------------------------------------------


ANSWER = {
    "id": "a", "model": "m", "object": "chat.completion",
    "choices": [{"message": {"role": "assistant", "content": "word " * 200_000}}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 9},
}  # fmt: skip


@ROW
@pytest.mark.parametrize("form", ["value", "bytes"])
def test_a_providers_whole_answer_of_a_megabyte_is_settled_by_its_usage_block(form):
    with world() as kernel:
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50, "prompt_tokens": 40}, "g"))
        payload = ANSWER if form == "value" else canonical(ANSWER)
        settled = kernel.settle(Receipt(decision.intent_hash, "ok", "h", payload))
        assert (settled.usage, settled.violations) == ({"tokens": 49}, ())
        command = settle_command(kernel)
        kept = {name: ANSWER[name] for name in ("id", "model", "usage")}
        assert command.payload == canonical(kept)
        assert (command.fits, command.sent) == ("ok", sent_hash(ANSWER))
        assert command.sent_bytes == len(canonical(ANSWER)) > 1_000_000


@ROW
def test_the_same_answer_settles_as_a_line_of_json(tmp_path):
    folder = tmp_path / "w"
    with splittally.open(folder, clock="given") as kernel:
        kernel.apply({"grants": {"g": {"cap": "sys/llm.basic@1"}}})
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50, "prompt_tokens": 40}, "g"))
    line = json.dumps({"intent_hash": decision.intent_hash.hex(), "status": "ok", "payload": ANSWER})
    answer = run("-w", folder, "settle", "--json", text=line).json
    assert (answer["status"], answer["usage"]) == ("settled", {"tokens": 49})
    shown = run("-w", folder, "log", "--kind", "settle", "--json").json["command"]
    assert (shown["sent"], shown["sent_bytes"]) == (sent_hash(ANSWER).hex(), len(canonical(ANSWER)))
    assert run("-w", folder, "verify", "--rejudge").code == 0


@ROW
@pytest.mark.parametrize("over", [0, 1])
def test_a_short_receipt_of_a_released_kind_is_kept_whole_up_to_its_bound(over):
    with world() as kernel:
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50, "prompt_tokens": 40}, "g"))
        payload = {"text": "", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        payload["text"] = "x" * (RECEIPT_WHOLE_BYTES_MAX - len(canonical(payload)) - 2 + over)
        assert len(canonical(payload)) == RECEIPT_WHOLE_BYTES_MAX + over
        assert kernel.settle(Receipt(decision.intent_hash, "ok", "h", payload)).usage == {"tokens": 3}
        command = settle_command(kernel)
        assert (b"text" in command.payload, bool(command.sent)) == (not over, bool(over))


@ROW
@pytest.mark.parametrize("kind", sorted(RELEASE_KINDS))
@given(st.dictionaries(st.text(max_size=3), st.binary() | st.floats(allow_nan=False, allow_infinity=False)))
def test_the_release_refuses_no_receipt_of_the_data_model(kind, value):
    schema = ParamsSchema.load(receipt_schema(kind))
    assert seal_payload(schema, value) == (canonical(value), "ok", b"", 0)


@ROW
def test_what_is_too_large_even_when_cut_is_dropped_with_both_numbers():
    with world() as kernel:
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50, "prompt_tokens": 40}, "g"))
        payload = {"usage": {"note": "x" * PAYLOAD_BYTES_MAX}}
        settled = kernel.settle(Receipt(decision.intent_hash, "ok", "h", payload))
        assert (settled.status, settled.usage) == ("settled", {"tokens": 90})
        found = settled.violation
        assert (found.code, found.facts["field"]) == ("receipt_too_large", "payload")
        assert found.facts["available"] == PAYLOAD_BYTES_MAX
        command = settle_command(kernel)
        assert (command.fits, command.payload) == ("too_large", b"")
        assert command.sent_bytes == found.facts["needed"] >= PAYLOAD_BYTES_MAX


@ROW
def test_every_released_kind_keeps_what_its_module_reads_of_a_long_receipt():
    with world() as kernel:
        effects = kernel._world.state.caps.effects
        for kind in RELEASE_KINDS:
            schema = kernel._world.sealer.schema(kernel._world.state, effects[kind].receipt_schema)
            read = {"amounts": {"USD": 1}, "rows": 1, "seconds": 1, "bytes": 1, "size": 1, "recipients": 1}
            kept = schema.cut({**read, "text": "x" * 100, "usage": {"prompt_tokens": 1}})
            assert "text" not in kept
            assert {"bytes", "usage"} <= kept.keys()
        assert schema.cut({"amounts": {"USD": 1}})["amounts"] == {"USD": 1}


# --- cutting, as a property with its model --------------------------------------------------------

NAMES = st.sampled_from("abcd")
VALUES = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def cutting(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda cuts, named: {"x-cut": cuts, "properties": named},
        st.booleans(),
        st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    )


SCHEMAS = cutting(st.recursive(st.just(True), cutting, max_leaves=5))


def model_of_cut(schema: Any, value: Any) -> Any:
    if schema is True or not isinstance(value, dict):
        return value
    left = {}
    for name, part in value.items():
        below = schema["properties"].get(name)
        if below is None:
            if not schema["x-cut"]:
                left[name] = part
        elif below is True or not below["x-cut"] or isinstance(part, dict):
            left[name] = model_of_cut(below, part)
    return left


@ROW
@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_receipt_is_cut_to_what_is_named_and_says_what_was_sent(schema, value):
    loaded = ParamsSchema.load(schema)
    expected = model_of_cut(schema, value)
    sealed = seal_payload(loaded, value)
    assert (sealed.data, sealed.fits) == (canonical(expected), "ok")
    assert sealed.sent == (b"" if expected == value else sent_hash(value))
    assert sealed == seal_payload(loaded, canonical(value))
    assert loaded.cut(expected) is expected


@ROW
@given(VALUES)
def test_a_schema_without_a_cut_and_none_at_all_keep_the_whole(value):
    for schema in (ANY_PARAMS, ParamsSchema.load({"properties": {"a": True}})):
        whole = canonical({} if value is None else value)
        assert seal_payload(schema, value) == (whole, "ok", b"", 0)


@ROW
def test_a_misfit_stays_a_misfit_and_what_is_cut_is_not_judged():
    strict = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    assert seal_payload(ParamsSchema.load(strict), {"n": 1, "text": "x"}).fits == "misfit"
    cut = ParamsSchema.load({**strict, "x-cut": True})
    assert seal_payload(cut, {"n": 1, "text": object()})[:2] == (canonical({"n": 1}), "ok")
    assert seal_payload(cut, {"n": "1", "text": "x"}).fits == "misfit"
    secret = ParamsSchema.load({"x-cut": True, "properties": {"key": {"x-secret": True}}})
    assert seal_payload(secret, {"key": "hunter2", "text": "x"}) == (b"", "withheld", b"", 0)


@ROW
@pytest.mark.parametrize("over", [0, 1])
def test_bytes_are_read_up_to_a_bound_and_known_by_their_hash_beyond(over):
    schema = ParamsSchema.load({"x-cut": True, "properties": {"n": True}})
    value = {"n": 1, "text": b""}
    value["text"] = bytes(SENT_BYTES_MAX - len(canonical(value)) - 4 + over)
    data = canonical(value)
    assert len(data) == SENT_BYTES_MAX + over
    sealed = seal_payload(schema, data)
    assert (sealed.fits, sealed.data) == (("too_large", b"") if over else ("ok", canonical({"n": 1})))
    assert (sealed.sent, sealed.sent_bytes) == (sent_hash(value), len(data))


@ROW
@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"x-cut": "yes", "properties": {"a": True}}, "true or false"),
        ({"x-cut": 0, "properties": {"a": True}}, "a number of bytes"),
        ({"properties": {"a": {"x-cut": 5, "properties": {"b": True}}}}, "at the root"),
        ({"x-cut": True}, "there are none beside it"),
        ({"x-cut": True, "$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": True}}}}, "none beside it"),
        ({"anyOf": [{"x-cut": True, "properties": {"a": True}}]}, "only constrains"),
        ({"x-cute": True}, "x-cut"),
    ],
)
def test_a_cut_that_says_nothing_or_stands_where_it_cannot_count_is_refused_at_apply(schema, said):
    with world() as kernel, pytest.raises(InvalidManifest, match=said):
        kernel.apply({"effects": {"job.run": {"receipt_schema": schema}}})


@ROW
@pytest.mark.parametrize("table", ["effects", "caps"])
def test_params_are_never_cut(table):
    schema = {"x-cut": True, "properties": {"a": True}}
    entry = {"effects": {"job.run": {"params_schema": schema}}, "caps": {
        "acme/a@1": {"enforcer": "sys/CapAllowAll@1", "params_schema": schema}}}[table]  # fmt: skip
    with world() as kernel, pytest.raises(InvalidManifest, match="`x-cut` is for receipts"):
        kernel.apply({table: entry})


@ROW
def test_a_kind_of_a_manifest_keeps_its_own_bound_and_says_it():
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"effects": {"job.run": {}}, "grants": {"g": {"cap": "sys/allow@1"}}})
        decision = kernel.submit(Intent("job.run", {"a": "x" * PARAMS_BYTES_MAX}, "g"))
        facts = decision.findings[0].facts
        assert (codes(decision), facts["available"]) == (["params.too_large"], PARAMS_BYTES_MAX)
