"""What a receipt carries: canonical all the way down, one normal form, no reason not to settle."""

from typing import Any

import cbor2
import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent, Receipt
from splittally.core.canonical import decode, encode
from splittally.core.commands import FITS, MISFIT, WITHHELD
from splittally.core.hashing import hash_schema

from tests.rows.worlds import bodies

GRANT = {"cap": "sys/allow@1", "params": {"reserve": {"calls": 1}}, "budget": {"calls": 500}}
SECRET = {"alias": "mail/key", "version": 3}
SCHEMA = {"properties": {"to": {"x-set": True}, "key": {"x-secret": True}, "n": {"type": "integer"}}}
SPOILED = [
    b"",
    b"\xa1\x61a\x18\x17",  # 23 has a shorter head
    b"\xa1\x61a\x81\x9f\xff",  # an indefinite length within
    b"\xa1\x61a\x81\xa2\x61b\x00\x61a\x00",  # keys out of order within
    b"\xa1\x61a\x81\xa2\x61a\x00\x61a\x00",  # a key twice within
    b"\xa1\x61a\x81\xa1\x01\x00",  # a key that is no text within
    b"\xa1\x61a\x81\xfb\x3f\xf8" + bytes(6),  # 1.5 fits in 16 bits
    b"\xa1\x61a\xc1\x00",  # a tag
    b"\xa0\x00",  # bytes after the value
]


def world(**schemas: Any) -> Any:
    kernel = splittally.open(None, clock="given")
    kernel.apply(
        {"effects": {"mail.send": {"cap_type": "mail", **schemas}}, "grants": {"g": GRANT}}, now_ns=1
    )
    return kernel


def settled(kernel: Any, payload: Any, grant: str = "g") -> tuple[bytes, str, list[str]]:
    """The payload as it was recorded, how it fits, and the codes of what was noted."""
    digest = kernel.submit(Intent("mail.send", {}, grant), now_ns=2).intent_hash
    answer = kernel.settle(Receipt(digest, "ok", "adapter", payload), now_ns=2)
    assert answer.status == "settled"
    command = [body.command for body in bodies(kernel) if hasattr(body.command, "fits")][-1]
    return command.payload, command.fits, [violation.code for violation in answer.violations]


@pytest.mark.req("S4-52")
@pytest.mark.parametrize("payload", SPOILED, ids=bytes.hex)
@pytest.mark.parametrize("schemas", [{}, {"receipt_schema": {}}], ids=["no schema", "a schema"])
def test_bytes_that_are_not_canonical_are_noted_and_settle_with_a_schema_or_without(
    payload: bytes, schemas: Any
) -> None:
    with world(**schemas) as kernel:
        data, fits, codes = settled(kernel, payload)
    if payload == b"" and not schemas:  # no bytes are no payload
        assert (data, fits) == (b"", FITS)
        assert "receipt_invalid" not in codes  # the module says what it thinks of none
        return
    assert (data, fits) == (payload, MISFIT)
    assert codes[0] == "receipt_invalid"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=3))
def test_a_payload_is_the_same_record_as_a_map_and_as_canonical_bytes(value: Any) -> None:
    with world() as kernel:
        data, fits, codes = settled(kernel, value)
        assert (data, fits, codes) == settled(kernel, cbor2.dumps(value, canonical=True))
    assert (data, fits) == (encode(value), FITS)


def test_bytes_are_recorded_in_the_normal_form_of_the_receipts_schema() -> None:
    value = {"to": ["b", "a", "b"], "key": {"secret": SECRET}, "n": f"{2**53 + 1}"}
    normal = {"to": ["a", "b"], "key": {"$secret": SECRET}, "n": 2**53 + 1}
    with world(receipt_schema=SCHEMA) as kernel:
        data, fits, _ = settled(kernel, encode(value))
        assert (decode(data), fits) == (normal, FITS)
        assert settled(kernel, value)[:2] == settled(kernel, encode(normal))[:2] == (data, fits)


def test_a_late_receipt_is_read_by_the_schema_of_its_kind_too() -> None:
    """What has ended still has a kind, and a payload that may hold a secret is never kept as it is."""
    with world(receipt_schema=SCHEMA) as kernel:
        digest = kernel.submit(Intent("mail.send", {}, "g"), now_ns=2).intent_hash
        assert kernel.release(digest, now_ns=2).status == "released"
        late = kernel.settle(Receipt(digest, "ok", "adapter", {"key": "in plain words"}), now_ns=3)
        assert (late.status, "receipt_invalid" in [x.code for x in late.violations]) == ("late", True)
        command = bodies(kernel)[-1].command
        assert (command.payload, command.fits) == (b"", WITHHELD)


@pytest.mark.req("S4-52")
@pytest.mark.parametrize("schema", [{"allOf": [{"x-secret": True}]}, {"type": "text"}], ids=repr)
def test_a_receipt_settles_where_the_schema_in_the_journal_cannot_be_read(schema: Any) -> None:
    """A schema that this release refuses may have secrets anywhere, so the payload is not kept."""
    data = encode(schema)
    with world() as kernel:
        effect = {"cap_type": "mail", "receipt_schema": hash_schema(data)}
        raw = {"effects": {"mail.send": effect}, "schemas": [data]}
        assert kernel.submit(Intent("manifest.apply", raw, "root"), now_ns=1).allowed
        assert kernel.native("grant.issue", name="h", terms=GRANT, now_ns=1).allowed
        payload, fits, codes = settled(kernel, {"token": "hunter2"}, "h")
    assert (payload, fits, codes[0]) == (b"", WITHHELD, "receipt_invalid")
