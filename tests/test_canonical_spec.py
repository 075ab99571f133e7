"""What chapter 1 shows is what the code does: its tables and vectors are read from the page."""

import re
from hashlib import sha256
from pathlib import Path

import blake3
import pytest
from splittally.core import hashing
from splittally.core.canonical import decode, encode
from splittally.core.errors import CanonicalError
from splittally.core.intent import intent_hash
from splittally.edge.json_values import parse_json

from tests.canonical_model import encode_model

PAGE = (Path(__file__).parent.parent / "spec" / "01-canonical-form.md").read_text()
VECTORS = [
    dict(re.split(r"\s{2,}", line) for line in block.strip().splitlines())
    for block in re.findall(r"```vector\n(.*?)```", PAGE, re.DOTALL)
]


def table(heading: str) -> list[list[str]]:
    """The rows under a table's heading, each cell without its quotes."""
    rows = PAGE.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize(("text", "data"), table("value | canonical bytes"))
def test_the_bytes_of_the_page_are_the_bytes_of_the_code(text: str, data: str) -> None:
    value = parse_json(text)
    assert encode(value).hex() == encode_model(value).hex() == data


@pytest.mark.parametrize("data", [row[0] for row in table("refused bytes | why")])
def test_the_bytes_that_the_page_refuses_are_refused(data: str) -> None:
    with pytest.raises(CanonicalError):
        decode(bytes.fromhex(data))


def test_every_hash_of_the_code_is_in_the_table_with_its_context() -> None:
    contexts = {row[0] for row in table("context | over")}
    assert contexts == {f"splittally 1 {name[5:]}" for name in dir(hashing) if name.startswith("hash_")} - {
        "splittally 1 grant"
    }
    for context in contexts:
        meant = blake3.blake3(b"x", derive_key_context=context).digest()
        assert getattr(hashing, f"hash_{context.split()[-1]}")(b"x") == meant
    assert hashing.hash_grant(b"x") == sha256(b"x").digest()


def test_the_intent_of_the_page_has_the_hash_of_the_page() -> None:
    vector = VECTORS[0]
    params, key = bytes.fromhex(vector["params"]), bytes.fromhex(vector["idempotency_key"])
    preimage = {"kind": vector["kind"], "params": params, "cap": vector["cap"], "idempotency_key": key}
    assert encode_model(preimage).hex() == vector["preimage"]
    meant = blake3.blake3(
        bytes.fromhex(vector["preimage"]), derive_key_context="splittally 1 intent"
    ).hexdigest()
    assert intent_hash(vector["kind"], params, vector["cap"], key).hex() == meant == vector["intent_hash"]


def test_the_grant_of_the_page_has_the_hash_of_the_page() -> None:
    vector = VECTORS[1]
    preimage = {
        "defcap_ref": vector["defcap_ref"],
        "params_cbor": bytes.fromhex(vector["params_cbor"]),
        "budget": parse_json(vector["budget"]),
        "expiry": parse_json(vector["expiry"]),
    }
    assert encode_model(preimage).hex() == vector["preimage"]
    assert sha256(bytes.fromhex(vector["preimage"])).hexdigest() == vector["grant_hash"]
