"""`make mutants-all`: every place of the parts where two mechanisms meet is changed, one at a time.

`python -m tests.mutants.every [PATH ...]` takes these files and folders below `kernel/splittally` instead,
and `--sample N --seed S` takes N places of each. cosmic-ray knows the changes; the tests that reach a place
are asked in a fork of one process that has collected them (`forks.py`). It works on a copy
(`out/mutants-all/`) and goes on where it was stopped; `--anew` begins again. What survives is killed by a
test, or listed in `survivors.toml` with the reason why it changes nothing that anybody can see.
"""

import argparse
import difflib
import json
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutants import HERE, PROJECT
from tests.mutants.__main__ import copy_of_sources, environment

KERNEL = "kernel/splittally"
PARTS = (
    *(f"core/{name}" for name in ("budget", "caps", "governor", "ledger", "native")),
    *(
        f"core/{name}.py"
        for name in ("pipeline", "reservation", "receipts", "groups", "policy", "evolve", "step", "ask")
    ),
    "journal",
    "runtime",
)
# These mostly start processes of their own, or ask about what is not changed here.
NOT_ASKED = (
    "bench", "docs", "edge", "enforcers", "expr", "kit", "run_trace", "sandbox", "sdk", "testing", "types",
    "canonical", "mutants", "requirements", "shape", "vectors", "first_minute",
)  # fmt: skip
# What stays: `not`, `and` and `or`, == and !=, the edge of < and >, + and -, numbers, loops that never begin.
OPERATORS = re.compile(
    r"core/(AddNot|NumberReplacer|ZeroIterationForLoop|ReplaceAndWithOr|ReplaceOrWithAnd"
    r"|ReplaceUnaryOperator_Delete_Not"
    r"|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul))"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants-all", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = PROJECT / "out" / "mutants-all"
    if args.anew:
        shutil.rmtree(folder, ignore_errors=True)
    if not (folder / "copy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy_of_sources(folder / "copy")
    if not (folder / "reach.json").exists():
        tests(folder, "reach")
    (folder / "places.json").write_text(json.dumps(chosen(folder / "copy", args)))
    tests(folder, "forks")
    return report(folder)


def tests(folder: Path, plugin: str) -> None:
    """Run the tests in the copy, whose sources come before the installed ones, with a plug-in."""
    copy = folder / "copy"
    told = {
        "MUTANTS_FOLDER": str(folder),
        "MUTANTS_REACH": str(folder / "reach.json"),
        "MUTANTS_KERNEL": str(copy / KERNEL),
    }
    left = [f"--ignore-glob=tests/test_{name}*" for name in NOT_ASKED]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        f"tests.mutants.{plugin}",
        *left,
        "tests",
    ]
    subprocess.run(command, cwd=copy, env=environment(copy) | told, check=False)


def chosen(copy: Path, args: argparse.Namespace) -> list[dict]:
    """The places that are asked about, part by part."""
    every = []
    for part in args.parts:
        path = copy / KERNEL / part
        files = sorted(path.rglob("*.py")) or [path]
        found = [spot for file in files for spot in spots(file)]
        if args.sample:
            found = sorted(random.Random(args.seed).sample(found, min(args.sample, len(found))))
        made = (place(spot, str(spot.path.relative_to(copy / KERNEL)), part) for spot in found)
        every += [each for each in made if each is not None]
    return every


class Spot(NamedTuple):
    """One change that could be made: by which operator, its number in the file, and the line."""

    path: Path
    operator: str
    number: int
    line: int


def spots(path: Path) -> list[Spot]:
    """Every change of one file."""
    tree, found = get_ast(path.read_text()), []
    for name in sorted(filter(OPERATORS.fullmatch, cosmic_ray.plugins.operator_names())):
        operator = cosmic_ray.plugins.get_operator(name)()
        starts = [start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node)]
        found += [Spot(path, name, number, line) for number, (line, _) in enumerate(starts)]
    return found


def place(spot: Spot, file: str, part: str) -> dict | None:
    """The change, with the whole text that it leaves; None where it changes nothing."""
    text = spot.path.read_text()
    new = mutate_code(text, cosmic_ray.plugins.get_operator(spot.operator)(), spot.number)
    if new is None:
        return None
    made = {"id": f"{file}:{spot.line} {spot.operator} {spot.number}", "part": part, "file": file}
    return made | {"line": spot.line, "change": change(text, new), "text": new}


def change(old: str, new: str) -> str:
    """The lines that differ, as a reader of `survivors.toml` sees them."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return "\n".join(x for x in lines if x[:1] in "+-" and x[:3] not in ("+++", "---"))


def report(folder: Path) -> int:
    """Each survivor that is not listed, then the figures by part."""
    listed = {each["change"] for each in tomllib.loads((HERE / "survivors.toml").read_text())["survivor"]}
    asked = {place["id"] for place in json.loads((folder / "places.json").read_text())}
    every: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    same: Counter[str] = Counter()
    left = 0
    for line in (folder / "results.jsonl").read_text().splitlines():
        place = json.loads(line)
        if place["id"] not in asked:
            continue
        every[place["part"]] += 1
        if place["said"] == "killed":
            killed[place["part"]] += 1
        elif place["change"] in listed:
            same[place["part"]] += 1
        else:
            left += 1
            print(f"{place['said']}: {place['id']}\n{place['change']}\n")
    print(f"{'part':20} places killed listed")
    for part in sorted(every):
        print(f"{part:20} {every[part]:6} {killed[part]:6} {same[part]:6}")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main())
