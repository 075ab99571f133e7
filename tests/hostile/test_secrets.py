"""A secret that is given instead of named stands in no byte of a world, no answer and no output.

Also here: schemas that would open files or connections, and manifests that name them.
"""

import json
import os
import socket
import threading

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt, SplittallyError

from tests.rows.worlds import (
    ACT,
    apply,
    budget,
    codes,
    few,
    held,
    manifest,
    reserves,
    run_python,
    save_snapshot,
    tally,
    uses,
    world,
)

CANARY = "sk-live-CANARY-7f3a"
SECRET = {"x-secret": True}
PLACES = {
    "properties": {"type": "object", "properties": {"a": {"x-bytes": True}, "t": SECRET}},
    "items": {
        "type": "object",
        "properties": {"a": {"x-bytes": True}, "t": {"type": "array", "items": SECRET}},
    },
    "additionalProperties": {
        "type": "object",
        "properties": {"a": {"x-bytes": True}, "t": {"additionalProperties": SECRET}},
    },
    "$ref": {
        "type": "object",
        "properties": {"a": {"x-bytes": True}, "t": {"$ref": "#/$defs/token"}},
        "$defs": {"token": SECRET},
    },
}
SHAPES = {
    "properties": lambda x: x,
    "items": lambda x: [x],
    "additionalProperties": lambda x: {"k": x},
    "$ref": lambda x: x,
}
INLINE = [
    CANARY,
    {"secret": CANARY},
    {"$secret": {"alias": "a", "version": 1, "value": CANARY}},
    {"$secret": {"alias": "a", "version": CANARY}},
    {"secret": {"alias": "a", "version": 1}, "also": CANARY},
    [CANARY],
    {CANARY: CANARY},
    CANARY.encode(),
    {"$bytes": CANARY.encode().hex()},
]


def bytes_of(folder):
    """Every name and every byte below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)


def is_clean(text):
    data = text if isinstance(text, bytes) else str(text).encode()
    return CANARY.encode() not in data and CANARY.encode().hex().encode() not in data


@pytest.mark.parametrize("place", PLACES)
def test_an_inline_secret_in_params_or_receipts_reaches_no_byte_of_the_world(folder, place):
    path = folder / "w"
    effects = {ACT: {"cap_type": "test", "params_schema": PLACES[place], "receipt_schema": PLACES[place]}}
    with splittally.open(path, clock="given") as kernel:
        apply(kernel, manifest(budget(tokens=100), effects=effects))
        told = []
        for inline in INLINE:
            value = SHAPES[place](inline)
            decision = kernel.submit(Intent(ACT, {"a": reserves({"tokens": 1}), "t": value}, "g"))
            assert (decision.seq, codes(decision)) == (None, ["params.invalid"])
            for fate in ("open", "released"):
                digest = held(kernel, {"tokens": 1})
                if fate == "released":
                    kernel.release(digest)
                answer = kernel.settle(Receipt(digest, "ok", "adapter", {"a": b"", "t": value}))
                assert answer.status == ("settled" if fate == "open" else "late")
                assert "receipt_invalid" in [violation.code for violation in answer.violations]
                assert answer.usage == {"tokens": 1}  # what was dropped costs what was reserved
                told += [decision, answer, kernel.outcome(digest)]
        assert is_clean(told)
        save_snapshot(kernel)
        assert is_clean(kernel.state.tables())
    assert is_clean(bytes_of(path))


@few
@given(payload=st.binary(max_size=30), wrapped=st.booleans())
def test_a_payload_of_bytes_that_cannot_be_read_is_not_kept_where_secrets_may_be(payload, wrapped):
    effects = {ACT: {"cap_type": "test", "receipt_schema": PLACES["properties"]}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, manifest(budget(tokens=100), effects=effects))
        data = payload + CANARY.encode()
        answer = kernel.settle(
            Receipt(held(kernel, {"tokens": 1}), "ok", "", uses({}) + data if wrapped else data)
        )
        assert answer.status == "settled"
        assert is_clean(b"".join(frame for _, frame in kernel._world.store.scan()))


def test_both_spellings_of_a_reference_are_one_intent():
    effects = {ACT: {"cap_type": "test", "params_schema": PLACES["properties"]}}
    with splittally.open(None, clock="given") as kernel:
        apply(kernel, manifest(budget(tokens=100), effects=effects))
        named = {"alias": "mail/api", "version": 3}
        asked = [
            Intent(ACT, {"a": reserves({}), "t": {spelling: named}}, "g", idempotency_key=bytes(32))
            for spelling in ("secret", "$secret")
        ]
        first, second = kernel.submit(asked)
        assert (first.allowed, second.duplicate, second.intent_hash) == (True, True, first.intent_hash)


def test_the_command_line_repeats_no_secret(folder):
    path, document = folder / "w", folder / "m.json"
    effects = {"x.do": {"cap_type": "x", "params_schema": {"properties": {"token": SECRET}}}}
    grants = {"g": {"cap": "sys/allow@1"}}
    document.write_text(json.dumps({"effects": effects, "grants": grants}))
    for arguments in (["init", "--clock", "given"], ["apply", str(document)]):
        assert tally(path, *arguments)[0] == 0
    line = json.dumps({"kind": "x.do", "params": {"token": CANARY}, "grant": "g"})
    for arguments in (["submit"], ["--json", "submit", "--keys", "from-line"], ["--json", "decide"]):
        told = run_python("-m", "splittally_tools", "-w", str(path), *arguments, input=line + "\n")
        assert told.returncode in (1, 2)
        assert is_clean(told.stdout + told.stderr)
    assert is_clean(bytes_of(path))


# --- schemas that would open something --------------------------------------------------------------

REFERENCES = [
    "file:///etc/passwd",
    "/etc/passwd",
    "passwd",
    "../schema.json",
    "http://127.0.0.1:{port}/s.json",
    "https://127.0.0.1:{port}/s.json",
    "//127.0.0.1:{port}/s.json",
    "urn:x:y",
    "https://json-schema.org/draft/2020-12/schema#foo",
]


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$schema", "$id"])
def test_no_schema_opens_a_file_or_a_connection(tmp_path, keyword):
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        def listen():
            while not stop.is_set():
                try:
                    connections.append(server.accept()[1])
                except TimeoutError:
                    continue

        stop = threading.Event()
        listener = threading.Thread(target=listen)
        listener.start()
        try:
            with world({}) as kernel:
                before = kernel.state.root
                for reference in REFERENCES:
                    target = reference.format(port=port)
                    for schema in ({keyword: target}, {"properties": {"t": {keyword: target}}}):
                        document = {"effects": {"x.do": {"cap_type": "test", "params_schema": schema}}}
                        if keyword == "$id":  # a name, and nothing is looked up by it
                            document["effects"]["x.do"]["params_schema"] = {**schema, "$ref": target}
                        with pytest.raises(SplittallyError):
                            kernel.apply(document)
                assert kernel.state.root == before
        finally:
            stop.set()
            listener.join()
    assert connections == []


@pytest.mark.parametrize(
    "name", ["missing.toml", ".", "fifo", "zero", "loop.json", "sparse.json", "binary.toml"]
)
def test_a_manifest_that_is_no_file_of_a_decent_size_is_refused_at_once(tmp_path, name):
    """A FIFO would block, a device never ends, a sparse file fills memory."""
    path = tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    elif name == "zero":
        path.symlink_to("/dev/zero")
    elif name == "loop.json":
        path.symlink_to(path)
    elif name == "sparse.json":
        with open(path, "wb") as file:
            file.truncate(10 << 30)
    elif name == "binary.toml":
        path.write_bytes(bytes(range(256)))
    with world({}) as kernel:
        with pytest.raises(splittally.InvalidManifest):
            kernel.apply(path)
        schema = {"effects": {"x.do": {"cap_type": "test", "params_schema": str(path)}}}
        with pytest.raises(splittally.InvalidManifest):
            kernel.apply(schema)
        module = {"caps": {"a/b@1": {"enforcer": str(path)}}}
        if name == "binary.toml":  # small enough to be a module, but it is none
            assert codes(kernel.apply(module)) == ["not_admitted"]
        else:
            with pytest.raises(splittally.InvalidManifest):
                kernel.apply(module)


def test_unknown_keys_are_refused_by_name_wherever_they_stand():
    with world({}) as kernel:
        for document in (
            {"grant": {}},
            {"grants": {"g": {"cap": "sys/allow@1", "bugdet": {"t": 1}}}},
            {"effects": {"x.do": {"cap_type": "test", "params": {}}}},
            {"caps": {"a/b@1": {"enforcer": "sys/CapAllowAll@1", "fuel": 9}}},
            {"accounts": {"a": {"debt": 9}}},
            {"resources": {"USD": {"decimals": 2}}},
            {"policy": [{"decision": "allow", "match": {"kind": "x"}}]},
            {"grants": {"g": {"cap": "sys/allow@1", "limits": [{"dim": "t", "amount": 1, "window": "day"}]}}},
            {"world": {"time_zone": "UTC"}},
        ):
            with pytest.raises(splittally.InvalidManifest, match="has no `"):
                kernel.apply(document)
