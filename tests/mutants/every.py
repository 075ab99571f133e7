"""`make mutants-all`: cosmic-ray changes every place of the parts where two mechanisms meet, one at a time.

`python -m tests.mutants.every [PATH ...]` takes these files and folders below the kernel's `core` instead.
It works on a copy (`out/mutants-all/`) and goes on where it was stopped; `--anew` begins again. What
survives is killed by a test, or listed in `survivors.toml` with the reason why it changes nothing that
anybody can see.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from tests.mutants import HERE, PROJECT
from tests.mutants.__main__ import copy_of_sources, environment

CORE = "kernel/splittally/core"
PARTS = (
    "caps",
    "ledger",
    "budget",
    "governor",
    "native",
    "pipeline.py",
    "reservation.py",
    "receipts.py",
    "groups.py",
)
TESTS = (  # the quickest to notice first
    "tests/test_golden.py", "tests/test_history_model.py", "tests/test_economies.py", "tests/test_machine.py",
    "tests/test_economy_model.py", "tests/test_governor.py", "tests/rows",
)  # fmt: skip
SECONDS_MAX = 300
# What stays: `not`, `and` and `or`, == and !=, the edge of < and >, + and -, numbers, loops that never begin.
OPERATORS = (
    "core/(?!(AddNot|NumberReplacer|ZeroIterationForLoop|ReplaceAndWithOr|ReplaceOrWithAnd"
    "|ReplaceUnaryOperator_Delete_Not"
    "|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)"
    "|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul))$)",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants-all", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--anew", action="store_true")
    args = parser.parse_args()
    folder = PROJECT / "out" / "mutants-all"
    if args.anew:
        shutil.rmtree(folder, ignore_errors=True)
    session, config = folder / "session.sqlite", folder / "config.toml"
    if not session.exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy_of_sources(folder / "copy")
        config.write_text(config_of(args.parts))
        tool("cosmic-ray", "init", config, session)
        tool("cr-filter-operators", session, config)
    tool("cosmic-ray", "exec", config, session)
    return report(session)


def config_of(parts: list[str]) -> str:
    """What cosmic-ray is told, as TOML: texts are written as JSON, which is the same."""
    command = f"{sys.executable} -m pytest -x -q -p no:xdist {' '.join(TESTS)}"
    return "\n".join(
        [
            "[cosmic-ray]",
            f"module-path = {json.dumps([f'{CORE}/{part}' for part in parts])}",
            f"timeout = {SECONDS_MAX}.0",
            "excluded-modules = []",
            f"test-command = {json.dumps(command)}",
            "[cosmic-ray.distributor]",
            'name = "local"',
            "[cosmic-ray.filters.operators-filter]",
            f"exclude-operators = {json.dumps(OPERATORS)}",
        ]
    )


def tool(name: str, *arguments: object) -> None:
    """Run one of cosmic-ray's commands in the copy, whose sources come before the installed ones."""
    copy = PROJECT / "out" / "mutants-all" / "copy"
    command = [Path(sys.executable).parent / name, *map(str, arguments)]
    subprocess.run(command, cwd=copy, env=environment(copy), check=True)


def report(session: Path) -> int:
    """Each survivor that is not listed, then the figures by folder."""
    dumped = subprocess.run(
        [Path(sys.executable).parent / "cosmic-ray", "dump", session],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {each["change"] for each in tomllib.loads((HERE / "survivors.toml").read_text())["survivor"]}
    every: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    survivors = []
    for line in dumped.stdout.splitlines():
        item, result = json.loads(line)
        if result is None or result.get("worker_outcome") == "skipped":
            continue
        (mutation,) = item["mutations"]
        part = "/".join(Path(mutation["module_path"]).parts[3:4])
        change = "\n".join(
            x for x in result["diff"].splitlines() if x[:1] in "+-" and x[:3] not in ("+++", "---")
        )
        every[part] += 1
        if result["test_outcome"] == "survived" and change not in listed:
            survivors.append(f"{mutation['module_path']}:{mutation['start_pos'][0]}\n{change}")
        else:
            killed[part] += 1
    print("\n\n".join(survivors))
    for part in sorted(every):
        print(f"{part:20} {killed[part]:5} of {every[part]:5}")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
