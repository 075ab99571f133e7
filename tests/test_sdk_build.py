"""What the compilers of enforcers keep to, and what they say to an author who made a mistake."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from splittally.core.abi import CheckVerdict, Fault, SettleVerdict, read_check, read_settle
from splittally.core.canonical import encode
from splittally.sandbox import ReferenceSandbox, failed_checks
from splittally_enforcers import toolchains
from splittally_enforcers.assembler import AssemblyFailed, assemble
from splittally_enforcers.toolchains import (
    LANGUAGES,
    SDK,
    WASMTIME_VERSION,
    ZIG_VERSION,
    CompileFailed,
    CompilerMissing,
    compile_source,
)

from tests.sdk_modules import FOLDER
from tests.test_enforcers_abi import check_body, settle_body

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of the compilers' own files for the whole file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder for one author's source."""
    folder = tmp_path / "the author's own folder"
    folder.mkdir()
    return folder


def refusal(folder: Path, cache: Path, name: str, source: str) -> str:
    (folder / name).write_text(source)
    with pytest.raises(CompileFailed) as refused:
        compile_source(folder / name, folder / "out.wasm", cache)
    assert [file.name for file in folder.iterdir()] == [name]
    return str(refused.value)


def compiled(folder: Path, cache: Path, name: str, source: str) -> bytes:
    (folder / name).write_text(source)
    compile_source(folder / name, folder / "out.wasm", cache)
    return (folder / "out.wasm").read_bytes()


def judged(wasm: bytes, question: dict[str, object]) -> bytes | Fault:
    sandbox = ReferenceSandbox()
    return sandbox.judge(sandbox.load(wasm), encode(question))


CHECK = {"Check": check_body("demo.put", {}, {})}
SETTLE = {"Settle": settle_body("demo.put", {}, {}, {}, {})}


def test_the_versions_are_those_that_the_project_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"wasmtime=={WASMTIME_VERSION}" in project["dependencies"]
    assert f"ziglang=={ZIG_VERSION}" in project["optional-dependencies"]["build"]
    assert f"'ziglang=={ZIG_VERSION}'" in (ROOT / "Makefile").read_text()
    assert {language.package for language in LANGUAGES.values()} == {"wasmtime", "ziglang"}


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("found", [None, "0.0.1"])
def test_a_missing_or_other_compiler_names_the_one_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, found: str | None
) -> None:
    def version(_: str) -> str:
        if found is None:
            raise PackageNotFoundError
        return found

    monkeypatch.setattr(toolchains, "version", version)
    source = FOLDER / "mail" / f"enforcer{LANGUAGES[name].suffix}"
    with pytest.raises(CompilerMissing) as missing:
        compile_source(source, tmp_path / "out.wasm", tmp_path)
    assert re.findall("`(.*?)`", str(missing.value)) == [LANGUAGES[name].install_command]
    assert list(tmp_path.iterdir()) == []


def test_a_source_in_no_known_language_or_none_at_all_is_refused(written: Path, cache: Path) -> None:
    assert "`.c`, `.wat`, `.zig`" in refusal(written, cache, "mail.rs", "fn check() {}")
    with pytest.raises(CompileFailed, match="no source"):
        compile_source(written / "mail.c", written / "out.wasm", cache)


# --- C ------------------------------------------------------------------------------------------------

CARELESS = """
#include <splittally.h>
#include "names.h"
#ifdef STEERED
#error steered by the environment
#endif
const char *where = __FILE__;
bool check(void) { return tally_kind().size > SIZE_OF_A_KIND; }
bool settle(const tally_receipt *receipt) {
    uint8_t few[4] = {0};
    few[receipt->payload.size + 3] = where[0];
    tally_put("bytes", few[3]);
    return true;
}
"""


def test_c_depends_on_nothing_but_its_sources_and_a_bug_in_it_is_a_trap(
    monkeypatch: pytest.MonkeyPatch, written: Path, cache: Path
) -> None:
    """False without a refusal would allow, and a write past an array would change what stands behind it."""
    (written / "names.h").write_text("#define SIZE_OF_A_KIND 100\n")
    plain = compiled(written, cache, "careless.c", CARELESS)
    assert str(written).encode() not in plain
    assert failed_checks(plain) == {}
    assert judged(plain, CHECK) == judged(plain, SETTLE) == Fault("trap")
    (written / "stdint.h").write_text("#error a header of the machine\n")
    for name, value in (("CPATH", str(written)), ("CCC_OVERRIDE_OPTIONS", "+-DSTEERED")):
        monkeypatch.setenv(name, value)
    assert compiled(written, cache, "careless.c", CARELESS + "// compiled anew\n") == plain
    assert sorted(file.name for file in written.iterdir()) == [
        "careless.c",
        "names.h",
        "out.wasm",
        "stdint.h",
    ]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("return tally_refuse(", r"author\.c:2:\d+: error"),
        ('tally_kind_in("demo.put"); return true;', "ignoring return value"),
        ("return missing();", "undeclared function 'missing'"),
        ("return __TIME__[0] == '1';", "not reproducible"),
        ('return tally_refuse("code", "half", 0.5);', "'double' not compatible"),
        ("return true;", "function 'settle' .* not defined"),
    ],
)
def test_what_the_compiler_of_c_refuses_is_said_with_its_place(
    written: Path, cache: Path, check: str, said: str
) -> None:
    source = f"#include <splittally.h>\nbool check(void) {{ {check} }}\n"
    assert re.search(said, refusal(written, cache, "author.c", source))


def test_c_finds_no_library_of_the_machine(written: Path, cache: Path) -> None:
    assert "'stdio.h' file not found" in refusal(written, cache, "author.c", "#include <stdio.h>\n")


# --- Zig ----------------------------------------------------------------------------------------------

FAITHLESS = """
const sdk = @import("splittally");
const names = @import("names.zig");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}

pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    try ask.kindIn(&.{names.kind}, answer);
}

pub fn settle(_: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    answer.put("bytes", @as(u8, @intCast(300 - receipt.payload.len)));
}
"""


def test_zig_reads_files_beside_its_source_and_a_bug_in_it_is_a_trap(written: Path, cache: Path) -> None:
    (written / "names.zig").write_text('pub const kind = "demo.put";\n')
    wasm = compiled(written, cache, "faithless.zig", FAITHLESS)
    answer = judged(wasm, CHECK)
    assert isinstance(answer, bytes)
    assert read_check(answer).reserve == {}
    assert judged(wasm, SETTLE) == Fault("trap")
    assert str(written).encode() not in wasm


def test_what_the_compiler_of_zig_refuses_is_said_with_its_place(written: Path, cache: Path) -> None:
    assert re.search(r"(?m)^broken\.zig:2:", refusal(written, cache, "broken.zig", "\npub fn check("))


# --- WebAssembly text ---------------------------------------------------------------------------------


def module_of(check: str, fields: str = "") -> str:
    return f"(module\n  (@splittally)\n  {fields}\n  (func $settle)\n  (func $check\n    {check}))\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            module_of("(call $put)"),
            "author.wat:6: unknown func: failed to find name `$put`\n    (call $put)))",
        ),
        (module_of("(i32.cosnt 1)"), "author.wat:6: unknown operator or unexpected token, at `i32.cosnt`"),
        (module_of("(call $tally.put"), "author.wat:7: expected `)`"),
        (
            module_of('(call $tally.put (@text "a") (i32.const 1))'),
            "author.wat:5: in `$check`: type mismatch",
        ),
        (module_of("(i32.const 1)"), "author.wat:5: in `$check`: type mismatch"),
        (module_of("", "(func $tally.put)"), "author.wat:3: duplicate func identifier, at `$tally.put`"),
        (module_of("", "(@splittally codec)"), "author.wat: `(@splittally)` stands more than once"),
        (module_of('(drop (@text "' + "a" * 9000 + '"))'), "author.wat: the texts take more than 8192 bytes"),
        (
            module_of("").replace("$check", "$chekc"),
            "author.wat:2: unknown func: failed to find name `$check`",
        ),
        (
            module_of("").replace("$settle", "$settle (param i32)"),
            "author.wat: in `$tally._run`: type mismatch",
        ),
        ('(module (func (drop (@text "a"))))', "author.wat: `(@text ...)` needs `(@splittally)`"),
        ("(module\n  (func (@text 7)))", 'author.wat:2: write `(@text "...")`'),
        ("(module\n\n  (@splittally sdk))", "author.wat:3: write "),
        (module_of(r'(drop (@text "\u{d800}"))'), 'author.wat: `(@text "\\u{d800}")` names no code point'),
        (
            module_of(r'(drop (@text "\u{110000}"))'),
            'author.wat: `(@text "\\u{110000}")` names no code point',
        ),
        ("", "author.wat"),
        ("(component)", "author.wat"),
    ],
)
def test_what_the_assembler_refuses_is_said_with_the_authors_line(
    written: Path, cache: Path, source: str, said: str
) -> None:
    assert refusal(written, cache, "author.wat", source).startswith(said)


def test_a_source_that_is_no_text_is_refused(written: Path, cache: Path) -> None:
    (written / "author.wat").write_bytes(b"(module) ;; \xff")
    with pytest.raises(CompileFailed, match="UTF-8"):
        compile_source(written / "author.wat", written / "out.wasm", cache)


def test_texts_mean_what_they_mean_in_the_text_format(written: Path, cache: Path) -> None:
    """Comments and strings that look like what the build replaces are left alone."""
    check = r"""
    ;; (@text "in a comment") (@splittally)
    (; (; nested (@text "x") ;) (@splittally) ;)
    (call $tally.put (@text "a\t\"\\\u{e9}\65;; (;") (i64.const 1))
    (call $tally.put (@text
      "in two "
      "parts") (i64.const 2))
    (call $tally.put (@text "(@text \"b\")") (i64.extend_i32_u (i32.load8_u (i32.const 50000))))
    """
    wasm = compiled(
        written, cache, "author.wat", module_of(check, r'(data (i32.const 50000) "(@text \"c\")")')
    )
    assert failed_checks(wasm) == {}
    answer = judged(wasm, CHECK)
    assert isinstance(answer, bytes)
    assert read_check(answer).reserve == {'a\t"\\ée;; (;': 1, "in two parts": 2, '(@text "b")': ord("(")}
    wrong = module_of(check + "(call $nobody)")
    line = wrong[: wrong.index("$nobody")].count("\n") + 1
    with pytest.raises(AssemblyFailed, match="nobody") as failed:
        assemble(wrong, SDK / "wat")
    assert failed.value.line == line


def test_a_name_leaves_no_trace_in_a_module_of_text(written: Path, cache: Path) -> None:
    check = "(local $count i64) (local.set $count (i64.const 1))"
    modules = {
        compiled(written, cache, "author.wat", module_of(text))
        for text in (check, check.replace("$count", "$n"))
    }
    assert len(modules) == 1


def test_a_module_of_text_needs_no_sdk(written: Path, cache: Path) -> None:
    echo = ROOT / "fixtures" / "enforcers" / "pure" / "echo.wat"
    assert failed_checks(compiled(written, cache, "echo.wat", echo.read_text())) == {}


def test_the_sdk_in_text_takes_no_name_that_an_author_would() -> None:
    for file in ("codec.wat", "splittally.wat"):
        fields = (SDK / "wat" / file).read_text()
        names = re.findall(r"\((?:func|global) (\$\S+)", fields)
        assert names
        assert all(name.startswith("$tally.") for name in names)


@pytest.mark.parametrize(
    ("named", "files"),
    [
        (r"\b(tally_\w+|TALLY_\w+)", ["c/splittally.h"]),
        (r"(\$tally\.\w+)", ["wat/codec.wat", "wat/splittally.wat"]),
        (
            r"\b(?:sdk|ask|answer|receipt|item)\.([a-z]\w+)\(",
            ["zig/splittally.zig", "zig/answer.zig", "zig/cbor.zig"],
        ),
    ],
)
def test_every_name_in_the_guide_is_in_the_sdk(named: str, files: list[str]) -> None:
    sources = "".join((SDK / file).read_text() for file in files)
    names = set(re.findall(named, (SDK / "README.md").read_text()))
    assert len(names) > 9
    assert [name for name in sorted(names) if not re.search(rf"(?<!\w){re.escape(name)}\b", sources)] == []


# --- Zig ----------------------------------------------------------------------------------------------

CURIOUS = """
const sdk = @import("splittally");
pub const panic = sdk.panic;
comptime {
    sdk.serve(@This());
}
pub fn check(ask: *const sdk.Ask, answer: *sdk.Answer) sdk.Refused!void {
    answer.put(ask.grantName(), 1);
    answer.put(ask.origin().map().?.find("name").?.text().?, 2);
}
pub fn settle(_: *const sdk.Ask, receipt: *const sdk.Receipt, answer: *sdk.Answer) sdk.Refused!void {
    answer.put("n", receipt.whole().find("payload").?.map().?.find("n").?.natural().?);
}
"""


def test_an_enforcer_in_zig_reads_its_grant_the_origin_and_the_whole_receipt(
    written: Path, cache: Path
) -> None:
    wasm = compiled(written, cache, "curious.zig", CURIOUS)
    told = read_check(judged(wasm, CHECK))  # type: ignore[arg-type]
    assert told == CheckVerdict({"grants/test": 1, "host/operator@1": 2})
    used = read_settle(judged(wasm, {"Settle": settle_body("demo.put", {}, {}, {}, {"n": 7})}))  # type: ignore[arg-type]
    assert used == SettleVerdict({"n": 7})
