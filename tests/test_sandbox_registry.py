"""The registry hands out a built-in only when its bytes are the ones that the index names."""

from hashlib import sha256

import pytest
from splittally.core.errors import InvalidInput, WorldError
from splittally.core.hashing import hash_module
from splittally.sandbox import Sandbox, admit_anew, builtin, builtin_names
from splittally.sandbox.registry import read_builtin, read_index

from tests.test_sandbox_fixtures import module

NAME = "sys/Example@1"
WASM = module()


def write_package(root, **changes):
    entry = {
        "file": "example/example.wasm",
        "blake3": hash_module(WASM).hex(),
        "sha256": sha256(WASM).hexdigest(),
        "bytes": len(WASM),
    } | changes
    lines = [f'[modules."{NAME}"]', *(f"{key} = {value!r}" for key, value in entry.items())]
    (root / "HASHES.toml").write_text("\n".join(lines))
    (root / "example").mkdir()
    (root / "example" / "example.wasm").write_bytes(WASM)


def test_a_built_in_whose_bytes_match_is_handed_out(tmp_path):
    write_package(tmp_path)
    assert list(read_index(tmp_path)) == [NAME]
    assert read_builtin(tmp_path, NAME) == WASM


@pytest.mark.parametrize(
    "change",
    [
        {"blake3": hash_module(WASM + b"x").hex()},
        {"blake3": sha256(WASM).hexdigest()},
        {"sha256": hash_module(WASM).hex()},
        {"bytes": len(WASM) + 1},
        {"file": "example/another.wasm"},
    ],
    ids=str,
)
def test_a_built_in_that_differs_from_its_index_is_never_handed_out(tmp_path, change):
    write_package(tmp_path, **change)
    with pytest.raises(WorldError, match="reinstall"):
        read_builtin(tmp_path, NAME)


@pytest.mark.parametrize("text", [None, "[modules", "[modules.x]\nfile = 3", '[modules.x]\nfile = "a"'])
def test_an_index_that_cannot_be_read_says_what_to_do(tmp_path, text):
    if text is not None:
        (tmp_path / "HASHES.toml").write_text(text)
    with pytest.raises(WorldError, match="make enforcers"):
        read_index(tmp_path)


def test_an_unknown_name_is_the_callers_mistake(tmp_path):
    write_package(tmp_path)
    with pytest.raises(InvalidInput, match="no built-in enforcer `sys/Other@1`"):
        read_builtin(tmp_path, "sys/Other@1")


@pytest.mark.req("S4-10", "X8-13")
def test_every_built_in_of_this_release_is_admitted_and_pure():
    sandbox = Sandbox()
    assert builtin_names() == tuple(sorted(builtin_names())) != ()
    for name in builtin_names():
        admit_anew(builtin(name))  # what lets its hash stand for its admission
        judged = sandbox.load(builtin(name))
        for data in (b"", b"\xa0", b"\xa1eCheck\xa0", bytes(10_000)):
            assert len({(sandbox.judge(judged, data), sandbox.fuel_used) for _ in range(20)}) == 1, name
    sandbox.close()
