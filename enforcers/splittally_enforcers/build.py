"""Builds the built-in enforcers from source, or checks that the committed modules are what it builds.

`python -m splittally_enforcers.build` writes `<folder>/enforcer.wasm` and `HASHES.toml`; `--check`
builds in a temporary folder and compares every byte. Exit 0 done, 1 different, 3 no such compiler.

1. The bytes depend on the sources and the compiler's version only: never on folder, time or machine.
2. The compiler is the package `ziglang` of exactly `ZIG_VERSION`; nothing else on the machine is used.
3. Nothing here runs when worlds are opened: the kernel reads the committed modules.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from blake3 import blake3

ZIG_VERSION = "0.17.1"
INSTALL_COMMAND = f"python -m pip install ziglang=={ZIG_VERSION}"
HERE = Path(__file__).parent
HASHES = "HASHES.toml"

# Every built-in and the folder of its source. `sys/all@1` asks nobody, so it has no module.
MODULES = {
    "sys/CapAllowAll@1": "allow_all",
    "sys/CapEnforceBlob@1": "blob",
    "sys/CapEnforceCost@1": "cost",
    "sys/CapEnforceEmail@1": "email",
    "sys/CapEnforceFs@1": "fs",
    "sys/CapEnforceHttpOut@1": "http_out",
    "sys/CapEnforceLlmBasic@1": "llm_basic",
    "sys/CapEnforceMcp@1": "mcp",
    "sys/CapEnforceNative@1": "native",
    "sys/CapEnforceShell@1": "shell",
    "sys/CapEnforceSpend@1": "spend",
    "sys/CapEnforceSql@1": "sql",
}

# Without the mvp processor a copy may become an instruction that admission refuses. Every safety check
# stays in, so that a bug is a trap and denies. One page in all, 8 KiB of it stack below the data.
_MODULE_FLAGS = (
    *("-target", "wasm32-freestanding", "-mcpu=mvp", "-O", "ReleaseSafe"),
    *("-fstrip", "-fsingle-threaded", "-fno-unwind-tables"),
)
_LINK_FLAGS = (
    *("-fno-entry", "--stack", "8192", "--initial-memory=65536", "--max-memory=65536"),
    *("--export=alloc", "--export=run", "--export=splittally_abi_1"),
)


class CompilerMissing(Exception):
    """There is no compiler, or another version of it; the text names the command that installs it."""


class CompileFailed(Exception):
    """The compiler refused the source; the text is what it said."""


def compile_enforcer(source: Path, target: Path, cache: Path, sdk: Path = HERE / "sdk") -> None:
    """Compiles one enforcer's `source` to the module `target`, with the SDK in `sdk` as `splittally`.

    `cache` is a folder for the compiler's own files; sharing it between calls saves seconds each.
    """
    _refuse_other_compiler()
    command = (
        *(sys.executable, "-m", "ziglang", "build-exe", f"-femit-bin={target}", *_LINK_FLAGS),
        *("--cache-dir", str(cache / "local"), "--global-cache-dir", str(cache / "global")),
        *(*_MODULE_FLAGS, "--dep", "splittally", f"-Mroot={source}"),
        *(*_MODULE_FLAGS, f"-Msplittally={sdk / 'splittally.zig'}"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompileFailed(done.stderr.strip() or f"the compiler ended with {done.returncode}")


def build_all(sources: Path, work: Path) -> dict[str, bytes]:
    """Every built-in's module, compiled from the folder `sources` with `work` as scratch space."""
    modules: dict[str, bytes] = {}
    for name, folder in MODULES.items():
        target = work / f"{folder}.wasm"
        compile_enforcer(sources / folder / "enforcer.zig", target, work / "cache", sources / "sdk")
        modules[name] = target.read_bytes()
    return modules


def hashes_text(modules: Mapping[str, bytes]) -> str:
    """What `HASHES.toml` says of these modules."""
    lines = ["# Written by `python -m splittally_enforcers.build`; the kernel pins these modules by hash."]
    for name, module in modules.items():
        lines += [
            "",
            f'[modules."{name}"]',
            f'file = "{MODULES[name]}/enforcer.wasm"',
            f'blake3 = "{hash_module(module)}"',
            f'sha256 = "{sha256(module).hexdigest()}"',
            f"bytes = {len(module)}",
        ]
    return "\n".join(lines) + "\n"


def hash_module(module: bytes) -> str:
    """The kernel's identity of a module, as hex (spec/01-canonical-form.md)."""
    return blake3(module, derive_key_context="splittally 1 module").hexdigest()


def committed_modules(folder: Path = HERE) -> dict[str, bytes]:
    """The modules that `HASHES.toml` in `folder` names, as they lie on disk."""
    rows = tomllib.loads((folder / HASHES).read_text())["modules"]
    return {name: (folder / row["file"]).read_bytes() for name, row in rows.items()}


def _refuse_other_compiler() -> None:
    try:
        found = version("ziglang")
    except PackageNotFoundError:
        raise CompilerMissing(f"the compiler is not installed; run `{INSTALL_COMMAND}`") from None
    if found != ZIG_VERSION:
        raise CompilerMissing(f"ziglang {found} builds other bytes; run `{INSTALL_COMMAND}`")


def _write(modules: Mapping[str, bytes]) -> int:
    for name, module in modules.items():
        (HERE / MODULES[name] / "enforcer.wasm").write_bytes(module)
        print(f"{name}  {len(module)} bytes  {hash_module(module)}")
    (HERE / HASHES).write_text(hashes_text(modules))
    return 0


def _compare(modules: Mapping[str, bytes]) -> int:
    committed = committed_modules()
    for name, module in modules.items():
        verdict = "same" if committed.get(name) == module else "different"
        print(f"{name}  {len(module)} bytes  {hash_module(module)}  {verdict}")
    is_same = committed == dict(modules) and (HERE / HASHES).read_text() == hashes_text(modules)
    if not is_same:
        print(f"{HASHES} or a module differs from its source; run `python -m splittally_enforcers.build`")
    return 0 if is_same else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m splittally_enforcers.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    chosen = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as work:
            modules = build_all(HERE, Path(work))
    except CompilerMissing as missing:
        print(missing, file=sys.stderr)
        return 3
    except CompileFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return _compare(modules) if chosen.check else _write(modules)


if __name__ == "__main__":
    sys.exit(main())
