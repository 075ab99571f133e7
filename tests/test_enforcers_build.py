"""The committed modules are what their sources build, byte for byte, wherever they are built."""

import re
import shutil
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from splittally.core.hashing import hash_module
from splittally.sandbox import builtin_names
from splittally_enforcers import build, toolchains
from splittally_enforcers.toolchains import LANGUAGES

from tests.sdk_modules import NAMES, committed

HERE = build.HERE


def test_the_index_names_each_module_with_its_hashes() -> None:
    rows = tomllib.loads((HERE / build.HASHES).read_text())["modules"]
    assert tuple(rows) == tuple(sorted(build.MODULES)) == builtin_names()
    for row in rows.values():
        wasm = (HERE / row["file"]).read_bytes()
        facts = {"blake3": hash_module(wasm).hex(), "sha256": sha256(wasm).hexdigest(), "bytes": len(wasm)}
        assert row == {"file": row["file"]} | facts


def test_modules_built_in_another_folder_are_the_committed_bytes(tmp_path: Path) -> None:
    """Built-ins, and the probes and examples of the SDKs in every language."""
    sources = tmp_path / "a folder with another, longer name" / "sources"
    shutil.copytree(HERE, sources, ignore=shutil.ignore_patterns("*.wasm", "*.py", "__pycache__"))
    modules = build.build_all(sources, tmp_path)
    assert modules == build.committed_modules()
    assert build.hashes_text(modules) == (HERE / build.HASHES).read_text()
    examples = sources / "examples"
    shutil.copytree(build.EXAMPLES, examples, ignore=shutil.ignore_patterns("*.wasm"))
    before = sorted(sources.rglob("*"))
    built = build.build_examples(examples, sources / "sdk", tmp_path)
    assert built == {
        Path(name, f"{language}.wasm"): committed(name, language) for name in NAMES for language in LANGUAGES
    }
    assert sorted(sources.rglob("*")) == before


def test_a_released_module_is_shipped_as_it_was_and_never_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Worlds of older releases pin its hash and must find its bytes."""
    assert build.RELEASED
    for name, digest in build.RELEASED.items():
        folder = HERE / build.MODULES[name]
        assert sorted(path.name for path in folder.glob("*.*")) == ["README.md", "enforcer.wasm"]
        assert hash_module(build.committed_modules()[name]).hex() == digest
    built = []
    monkeypatch.setattr(build, "compile_source", lambda *asked: built.append(asked))
    monkeypatch.setattr(build, "MODULES", {name: build.MODULES[name] for name in build.RELEASED})
    assert build.build_all(HERE, HERE) == {name: build.committed_modules()[name] for name in build.RELEASED}
    monkeypatch.setitem(build.RELEASED, name, "0" * 64)
    assert build.main(["--check"]) == 1
    assert built == []
    assert f"{name} is not the one that was released" in capsys.readouterr().err


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_enforcer_of_the_guide_is_the_one_that_is_built_and_asked(language: str) -> None:
    guide = (HERE / "sdk" / "README.md").read_text()
    shown = re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)
    suffix = LANGUAGES[language].suffix
    assert shown[:1] == [(build.EXAMPLES / "mail" / f"enforcer{suffix}").read_text()]


def test_check_compares_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = build.committed_modules()
    examples = {
        Path(name, f"{language}.wasm"): committed(name, language) for name in NAMES for language in LANGUAGES
    }
    before = (HERE / build.HASHES).read_bytes()

    def rebuilt(modules: Mapping[str, bytes], examples: Mapping[Path, bytes]) -> int:
        monkeypatch.setattr(build, "build_all", lambda *_: dict(modules))
        monkeypatch.setattr(build, "build_examples", lambda *_: dict(examples))
        return build.main(["--check"])

    assert rebuilt(modules, examples) == 0
    assert capsys.readouterr().out.count(" same\n") == len(modules) + len(examples)
    assert rebuilt(modules | {"sys/CapAllowAll@1": b"other"}, examples) == 1
    assert "sys/CapAllowAll@1  5 bytes" in capsys.readouterr().out
    assert rebuilt({name: wasm for name, wasm in modules.items() if "Cost" not in name}, examples) == 1
    assert rebuilt(modules, examples | {Path("mail", "c.wasm"): b"other"}) == 1
    assert "mail/c.wasm  5 bytes" in capsys.readouterr().out
    assert rebuilt(modules, {file: wasm for file, wasm in examples.items() if file.parts[0] != "mail"}) == 1
    assert (HERE / build.HASHES).read_bytes() == before


@pytest.mark.parametrize("found", [None, "0.16.0"])
def test_a_missing_or_other_compiler_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: str | None
) -> None:
    def version(_: str) -> str:
        if found is None:
            raise PackageNotFoundError
        return found

    monkeypatch.setattr(toolchains, "version", version)
    assert build.main(["--check"]) == 3
    assert LANGUAGES["zig"].install_command in capsys.readouterr().err
