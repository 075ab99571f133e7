"""The chapter about the ABI says what the code does.

The generated parts are rewritten by `python -m tests.test_sandbox_spec` and reviewed as a diff.
"""

import re
from pathlib import Path

import pytest
from splittally.core import limits
from splittally.core.abi import FAULT_CLASSES
from splittally.sandbox import ADMISSION_CHECKS, engine_id
from splittally.sandbox.identity import decisions
from splittally.sandbox.settings import SETTINGS

SPEC = Path(__file__).parent.parent / "spec" / "03-abi.md"

MEANINGS = {
    "CHECK_FUEL_MAX": "units of fuel for one call: instantiation, `alloc` and `run`",
    "INPUT_BYTES_MAX": "input of one call",
    "OUTPUT_BYTES_MAX": "output of one call",
    "OUTPUT_DIMS_MAX": "dimensions in one answer",
    "NAME_BYTES_MAX": "name of a dimension",
    "DENY_CODE_BYTES_MAX": "code of a denial or violation",
    "DENY_MESSAGE_BYTES_MAX": "message of a denial or violation",
    "DEPTH_MAX": "nesting of arrays and maps in an answer",
    "NATURAL_MAX": "largest amount",
    "ENFORCER_BYTES_MAX": "module file",
    "ENFORCER_PAGES_MAX": "pages of memory",
    "ENFORCER_FUNCTIONS_MAX": "functions",
    "ENFORCER_LOCALS_MAX": "parameters and locals of one function",
    "ENFORCER_EXPORTS_MAX": "exports",
    "ENFORCER_GLOBALS_MAX": "globals",
    "ENFORCER_TABLE_ELEMENTS_MAX": "table elements",
    "ENFORCER_SEGMENTS_MAX": "data and element segments",
    "ENFORCER_STACK_BYTES_MAX": "the engine's stack",
    "ENFORCER_FRAMES_BYTES_MAX": "declared frames on the deepest call path",
    "ENFORCER_COMPILE_WORK_MAX": "units of compile work",
    "ENFORCER_HEAVY_WORK": "units of compile work for a call, a division or a branch",
    "ENFORCER_HEAVY_SLOT_WORK": "units more for a call or a division, for each slot of its function",
    "ENFORCER_LOAD_SLOT_WORK": "units for a load, for each slot of its function",
}


def limits_table() -> list[str]:
    rows = [f"| `{name}` | {getattr(limits, name):,} | {meaning} |" for name, meaning in MEANINGS.items()]
    return ["| limit (all marked *id*) | number | of what |", "|---|---|---|", *rows]


def settings_table() -> list[str]:
    rows = [f"| `{name}` | {_shown(value)} | {reason} |" for name, value, reason in SETTINGS]
    return ["| `wasmtime_config_…` | value | reason |", "|---|---|---|", *rows]


def _shown(value: bool | int | None) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "on" if value else "off"
        case _:
            return f"{value:,}"


GENERATED = {
    "limits": limits_table(),
    "engine id": [f"`{engine_id()}`"],
    "settings": settings_table(),
}


def part(name: str) -> re.Pattern:
    return re.compile(rf"(<!-- generated: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_part_of_the_chapter_is_up_to_date(name):
    assert part(name).search(SPEC.read_text())[2].splitlines() == GENERATED[name]


def test_the_chapter_shows_every_limit_of_the_engine_id():
    assert set(MEANINGS) == set(decisions()["limits"])


def test_the_chapter_lists_every_check_in_order_with_a_reason():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", SPEC.read_text().split("## 3.5")[1], re.MULTILINE)
    assert tuple(name for name, _, _ in rows[: len(ADMISSION_CHECKS)]) == ADMISSION_CHECKS


def test_the_chapter_lists_every_fault_class():
    rows = re.findall(r"^\| `(\w+)` \| .+ \|$", SPEC.read_text().split("## 3.3")[1], re.MULTILINE)
    assert sorted(rows[: len(FAULT_CLASSES)]) == sorted(FAULT_CLASSES)


if __name__ == "__main__":
    text = SPEC.read_text()
    for name, lines in GENERATED.items():
        text = part(name).sub(lambda found, lines=lines: "\n".join((found[1][:-1], *lines, found[3])), text)
    SPEC.write_text(text)
