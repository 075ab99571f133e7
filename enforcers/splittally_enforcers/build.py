"""Builds the built-in enforcers from source, or checks that the committed modules are what it builds.

`python -m splittally_enforcers.build` writes `<folder>/enforcer.wasm` and `HASHES.toml`; `--check`
builds in a temporary folder and compares every byte. Exit 0 done, 1 different, 3 no such compiler. In a
checkout of the repository the modules of `fixtures/sdk`, one a language, are built and compared too.

1. The bytes depend on the sources and the compiler's version only (`toolchains`).
2. A released module without a source is never built; its bytes are compared with its released hash.
3. Nothing here runs when worlds are opened: the kernel reads the committed modules.
"""

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from blake3 import blake3

from splittally_enforcers.toolchains import LANGUAGES, CompileFailed, CompilerMissing, compile_source

HERE = Path(__file__).parent
HASHES = "HASHES.toml"
EXAMPLES = HERE.parents[1] / "fixtures" / "sdk"

# Every built-in and the folder of its source. `sys/all@1` asks nobody, so it has no module.
MODULES = {
    "sys/CapAllowAll@1": "allow_all",
    "sys/CapEnforceBlob@1": "blob",
    "sys/CapEnforceCost@1": "cost",
    "sys/CapEnforceEmail@1": "email",
    "sys/CapEnforceFs@1": "fs",
    "sys/CapEnforceHttpOut@1": "http_out",
    "sys/CapEnforceLlm@1": "llm",
    "sys/CapEnforceLlmBasic@1": "llm_basic",
    "sys/CapEnforceMcp@1": "mcp",
    "sys/CapEnforceNative@1": "native",
    "sys/CapEnforceRules@1": "rules_1",
    "sys/CapEnforceRules@2": "rules",
    "sys/CapEnforceShell@1": "shell",
    "sys/CapEnforceSpend@1": "spend",
    "sys/CapEnforceSql@1": "sql",
}

# Modules whose source is gone, with the hashes that they were released with. Worlds pin these bytes.
RELEASED = {
    "sys/CapEnforceRules@1": "1a6cbf80e36754dc771bf7147eb27ecfee2ada6aa069e5ddebe33c3607d6f6f5",
}

# Pages of memory of 64 KiB; one where nothing is said.
PAGES = {
    "llm": 8,  # a whole conversation
    "mcp": 6,  # what an agent writes into one file
    **dict.fromkeys(("rules", "rules_1"), 2),  # the values and what expressions make stand beside the input
}


def build_all(sources: Path, work: Path) -> dict[str, bytes]:
    """Every built-in's module, compiled from the folder `sources` with `work` as scratch space.

    A released module is taken as it lies here; `CompileFailed` when it is not what was released.
    """
    modules: dict[str, bytes] = {}
    for name, folder in MODULES.items():
        if name in RELEASED:
            modules[name] = _released(name)
            continue
        target = work / f"{folder}.wasm"
        source, pages = sources / folder / "enforcer.zig", PAGES.get(folder, 1)
        compile_source(source, target, work / "cache", sources / "sdk", pages)
        modules[name] = target.read_bytes()
    return modules


def _released(name: str) -> bytes:
    module = (HERE / MODULES[name] / "enforcer.wasm").read_bytes()
    if hash_module(module) != RELEASED[name]:
        raise CompileFailed(f"the module of {name} is not the one that was released; restore its file")
    return module


def build_examples(folder: Path, sdk: Path, work: Path) -> dict[Path, bytes]:
    """The modules of the enforcers in `folder`, one for each source, by their files in it.

    Empty where there is no such folder, as where the package is installed.
    """
    modules: dict[Path, bytes] = {}
    for name, language in LANGUAGES.items():
        for source in sorted(folder.glob(f"*/enforcer{language.suffix}")):
            target = work / f"{source.parent.name}-{name}.wasm"
            compile_source(source, target, work / "cache", sdk)
            modules[Path(source.parent.name, f"{name}.wasm")] = target.read_bytes()
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


def _write(modules: Mapping[str, bytes], examples: Mapping[Path, bytes]) -> int:
    for name, module in modules.items():
        if name not in RELEASED:
            (HERE / MODULES[name] / "enforcer.wasm").write_bytes(module)
        print(_row(name, module))
    (HERE / HASHES).write_text(hashes_text(modules))
    for file, module in examples.items():
        (EXAMPLES / file).write_bytes(module)
        print(_row(file.as_posix(), module))
    return 0


def _compare(modules: Mapping[str, bytes], examples: Mapping[Path, bytes]) -> int:
    committed = committed_modules()
    lie_there = {file.relative_to(EXAMPLES): file.read_bytes() for file in EXAMPLES.glob("*/*.wasm")}
    for name, module in modules.items():
        print(_row(name, module), "same" if committed.get(name) == module else "different", sep="  ")
    for file, module in examples.items():
        print(
            _row(file.as_posix(), module), "same" if lie_there.get(file) == module else "different", sep="  "
        )
    is_same = committed == dict(modules) and (HERE / HASHES).read_text() == hashes_text(modules)
    if not is_same or lie_there != dict(examples):
        print(f"{HASHES} or a module differs from its source; run `python -m splittally_enforcers.build`")
        return 1
    return 0


def _row(name: str, module: bytes) -> str:
    return f"{name}  {len(module)} bytes  {hash_module(module)}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m splittally_enforcers.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    chosen = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as work:
            modules = build_all(HERE, Path(work))
            examples = build_examples(EXAMPLES, HERE / "sdk", Path(work))
    except CompilerMissing as missing:
        print(missing, file=sys.stderr)
        return 3
    except CompileFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return _compare(modules, examples) if chosen.check else _write(modules, examples)


if __name__ == "__main__":
    sys.exit(main())
