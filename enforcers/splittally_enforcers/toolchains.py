"""The compilers of enforcers: one source file in Zig, C or WebAssembly text to one module.

1. The bytes depend on the sources and the compiler's version only: never on folder, time or machine.
2. A compiler is a Python package of exactly one version; nothing else on the machine is used.
3. Nothing is written but the target and the cache.
4. What is built need not be admitted: the kernel's static checks (spec/03-abi.md) have the last word.
"""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from splittally_enforcers.assembler import AssemblyFailed, assemble

ZIG_VERSION = "0.17.1"
WASMTIME_VERSION = "50.0.1"
PAGE_BYTES = 65_536
SDK = Path(__file__).parent / "sdk"


class Language(msgspec.Struct, frozen=True):
    """A language that enforcers are written in, and the Python package that compiles it."""

    suffix: str
    package: str
    version: str

    @property
    def install_command(self) -> str:
        return f"python -m pip install {self.package}=={self.version}"


LANGUAGES = {
    "c": Language(suffix=".c", package="ziglang", version=ZIG_VERSION),
    "wat": Language(suffix=".wat", package="wasmtime", version=WASMTIME_VERSION),
    "zig": Language(suffix=".zig", package="ziglang", version=ZIG_VERSION),
}

# Without the mvp processor a copy may become an instruction that admission refuses. Every safety check
# stays in, so that a bug is a trap and denies. 8 KiB of the first page are stack, below the data.
_MODULE_FLAGS = (
    *("-target", "wasm32-freestanding", "-mcpu=mvp", "-O", "ReleaseSafe"),
    *("-fstrip", "-fsingle-threaded", "-fno-unwind-tables"),
)
_LINK_FLAGS = (
    *("-fno-entry", "--stack", "8192"),
    *("--export=alloc", "--export=run", "--export=splittally_abi_1"),
)
# Undefined behaviour is a trap, and a loop that copies never becomes a call of the function it stands in.
_C_FLAGS = (
    *("-std=c11", "-ffreestanding", "-fno-builtin", "-Wall", "-Wextra"),
    *("-Werror=implicit", "-Werror=unused-result", "-Werror=undefined-internal"),
)
# What a compiler needs of its surroundings. Others steer it, such as CPATH or CCC_OVERRIDE_OPTIONS.
_ENVIRONMENT = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")


class CompilerMissing(Exception):
    """There is no compiler, or another version of it; the text names the command that installs it."""


class CompileFailed(Exception):
    """The compiler refused the source; the text is what it said."""


def compile_source(source: Path, target: Path, cache: Path, sdk: Path = SDK, pages: int = 1) -> None:
    """Compiles the enforcer `source` to the module `target`; the suffix says the language.

    A source in Zig or C may include files of its own folder. `cache` is a folder for the compiler's own
    files: sharing it between calls saves seconds each. `sdk` is the folder of the three SDKs. `pages`
    of 64 KiB are the memory of a module in Zig or C; in text it says so itself.
    """
    language = _language_of(source)
    _refuse_other_compiler(language)
    source, target, cache = source.absolute(), target.absolute(), cache.absolute()
    if not source.is_file():
        raise CompileFailed(f"there is no source `{source}`")
    target.parent.mkdir(parents=True, exist_ok=True)
    match language.suffix:
        case ".wat":
            _assemble(source, target, sdk.absolute())
        case ".c":
            _run_zig(source, target, cache, pages, _c_arguments(source, sdk.absolute()))
        case _:
            _run_zig(source, target, cache, pages, _zig_arguments(source, sdk.absolute()))


def _language_of(source: Path) -> Language:
    for language in LANGUAGES.values():
        if source.suffix == language.suffix:
            return language
    known = ", ".join(f"`{language.suffix}`" for language in LANGUAGES.values())
    raise CompileFailed(
        f"`{source.name}` is in no language with a compiler here; a source ends in one of {known}"
    )


def _refuse_other_compiler(language: Language) -> None:
    try:
        found = version(language.package)
    except PackageNotFoundError:
        raise CompilerMissing(f"the compiler is not installed; run `{language.install_command}`") from None
    if found != language.version:
        raise CompilerMissing(
            f"{language.package} {found} builds other bytes; run `{language.install_command}`"
        )


def _zig_arguments(source: Path, sdk: Path) -> tuple[str, ...]:
    return (
        *(*_MODULE_FLAGS, "--dep", "splittally", f"-Mroot={source}"),
        *(*_MODULE_FLAGS, f"-Msplittally={sdk / 'zig' / 'splittally.zig'}"),
    )


def _c_arguments(source: Path, sdk: Path) -> tuple[str, ...]:
    """`__FILE__` and the like are names within the source's folder, wherever that is."""
    flags = (*_C_FLAGS, f"-ffile-prefix-map={source.parent}=.", f"-I{sdk / 'c'}")
    return (*_MODULE_FLAGS, "-fsanitize-c=trap", "-cflags", *flags, "--", str(source))


def _run_zig(source: Path, target: Path, cache: Path, pages: int, arguments: tuple[str, ...]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    memory = f"memory={pages * PAGE_BYTES}"
    command = (
        *(sys.executable, "-m", "ziglang", "build-exe", f"-femit-bin={target}", *_LINK_FLAGS),
        *(f"--initial-{memory}", f"--max-{memory}"),
        *("--cache-dir", str(cache / "local"), "--global-cache-dir", str(cache / "global")),
        *arguments,
    )
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    done = subprocess.run(command, cwd=cache, env=kept, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().replace(f"{source.parent}{os.sep}", "")
        raise CompileFailed(said or f"the compiler ended with {done.returncode}")


def _assemble(source: Path, target: Path, sdk: Path) -> None:
    try:
        target.write_bytes(assemble(source.read_text("utf-8"), sdk / "wat"))
    except AssemblyFailed as failed:
        place = f"{source.name}:{failed.line}" if failed.line else source.name
        raise CompileFailed(f"{place}: {failed}") from failed
    except UnicodeDecodeError as refused:
        raise CompileFailed(f"{source.name}: the source is no UTF-8") from refused
