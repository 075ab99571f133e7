"""Breakages that a test must notice, kept as data: one list of `[[mutant]]` for each part of the product.

    [[mutant]]
    name = "a roll hands on what is still reserved"
    file = "kernel/splittally/core/ledger/rollover.py"
    old  = "counter.limit - counter.spent - counter.reserved"
    new  = "counter.limit - counter.spent"
    rule = "spec/05-ledger.md 5.4"
    test = "tests/rows/test_s0_windows.py::test_a_roll_hands_on_what_is_free"

Rule 1. `old` stands exactly once in `file`, and `new` stands for what somebody could write by mistake.
Rule 2. `rule` is the sentence of the spec, or the row of the requirements, that the breakage breaks.
Rule 3. `test` passes on the product as it is, and fails on the broken copy: `make mutants` shows both.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent


@dataclass(frozen=True)
class Mutant:
    """One breakage; `test` is one node of pytest, or a whole file."""

    name: str
    file: str
    old: str
    new: str
    rule: str
    test: str

    @property
    def folder(self) -> str:
        """The part of the product that it breaks, as figures are given by."""
        parts = Path(self.file).parts
        return "/".join(parts[: 4 if parts[0] == "kernel" and len(parts) > 4 else 3])

    def broken(self, text: str) -> str:
        """The text of the file as the breakage leaves it; `ValueError` where it no longer applies."""
        if text.count(self.old) != 1:
            raise ValueError(f"`{self.name}`: `old` stands {text.count(self.old)} times in {self.file}")
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """Every kept breakage, list by list."""
    files = sorted(HERE.glob("*.toml"))
    return [Mutant(**each) for file in files for each in tomllib.loads(file.read_text()).get("mutant", [])]
