"""The committed modules are what their sources build, byte for byte, wherever they are built."""

import re
import shutil
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from splittally.core.canonical import encode
from splittally.core.hashing import hash_module
from splittally.core.verdict import CheckVerdict, read_check
from splittally.sandbox import ReferenceSandbox, builtin_names
from splittally_enforcers import build, toolchains
from splittally_enforcers.toolchains import LANGUAGES, CompileFailed, compile_source

from tests.test_enforcers_abi import check_body

HERE = build.HERE


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of the compiler's own files for the single compilations; the whole build has its own."""
    pytest.importorskip("ziglang", reason=LANGUAGES["zig"].install_command)
    return tmp_path_factory.mktemp("cache")


def test_the_index_names_each_module_with_its_hashes() -> None:
    rows = tomllib.loads((HERE / build.HASHES).read_text())["modules"]
    assert tuple(rows) == tuple(sorted(build.MODULES)) == builtin_names()
    for row in rows.values():
        wasm = (HERE / row["file"]).read_bytes()
        facts = {"blake3": hash_module(wasm).hex(), "sha256": sha256(wasm).hexdigest(), "bytes": len(wasm)}
        assert row == {"file": row["file"]} | facts


def test_modules_built_in_another_folder_are_the_committed_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason=LANGUAGES["zig"].install_command)
    sources = tmp_path / "a folder with another, longer name" / "sources"
    shutil.copytree(HERE, sources, ignore=shutil.ignore_patterns("*.wasm", "*.py", "__pycache__"))
    modules = build.build_all(sources, tmp_path)
    assert modules == build.committed_modules()
    assert build.hashes_text(modules) == (HERE / build.HASHES).read_text()


def test_the_enforcer_of_the_guide_is_built_admitted_and_answers(tmp_path: Path, cache: Path) -> None:
    guide = (HERE / "sdk" / "README.md").read_text()
    source = re.search(r"```zig\n(.*?)```", guide, re.DOTALL)
    assert source
    (tmp_path / "mail.zig").write_text(source[1])
    compile_source(tmp_path / "mail.zig", tmp_path / "mail.wasm", cache)
    sandbox = ReferenceSandbox()
    module = sandbox.load((tmp_path / "mail.wasm").read_bytes())
    cap = {"domains": ["example.org"]}
    answers = [
        sandbox.judge(module, encode({"Check": check_body("mail.send", cap, {"domain": domain})}))
        for domain in ("example.org", "example.com")
    ]
    verdicts = [read_check(answer) for answer in answers if isinstance(answer, bytes)]
    assert verdicts[0] == CheckVerdict({"mails": 1})
    assert isinstance(verdicts[1], CheckVerdict)
    assert verdicts[1].deny_code == "domain_not_allowed"


def test_a_source_that_does_not_compile_says_why(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "broken.zig").write_text("pub fn check(")
    with pytest.raises(CompileFailed, match=r"broken\.zig"):
        compile_source(tmp_path / "broken.zig", tmp_path / "broken.wasm", cache)


def test_check_compares_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = build.committed_modules()
    before = (HERE / build.HASHES).read_bytes()

    def rebuilt(modules: Mapping[str, bytes]) -> int:
        monkeypatch.setattr(build, "build_all", lambda *_: dict(modules))
        return build.main(["--check"])

    assert rebuilt(committed) == 0
    assert capsys.readouterr().out.count(" same\n") == len(build.MODULES)
    assert rebuilt(committed | {"sys/CapAllowAll@1": b"other"}) == 1
    assert "sys/CapAllowAll@1  5 bytes" in capsys.readouterr().out
    assert rebuilt({name: wasm for name, wasm in committed.items() if "Cost" not in name}) == 1
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
