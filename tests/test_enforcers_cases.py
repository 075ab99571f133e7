"""Every case of every built-in is run, every code in a README has a case, and known bounds are reserved.

`REWRITE_CASES=1 pytest tests/test_enforcers_cases.py` writes what the modules answer; review the diff.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import cbor2
import pytest
import splittally_enforcers
from splittally.core.abi import CheckVerdict, SettleVerdict, read_check, read_settle
from splittally.core.canonical import decode
from splittally_enforcers.build import MODULES
from splittally_enforcers.conformance import (
    builtin_folder,
    differences,
    encode_input,
    read_cases,
    unreserved_bounds,
)

from tests.test_enforcers_abi import LLM, NAMES, check, judge

HERE = Path(splittally_enforcers.__file__).parent
SPEC = Path(__file__).parent.parent / "spec" / "enforcers.md"
CASES = [(name, file) for name in NAMES for file in read_cases(builtin_folder(MODULES[name]))]


def rewrite(path: Path, answer: bytes) -> None:
    case = json.loads(path.read_text()) | {"expect": cbor2.loads(answer)}
    path.write_text(json.dumps(case, indent=2) + "\n")


@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_case_is_answered_as_it_says(name: str, file: str) -> None:
    case = read_cases(builtin_folder(MODULES[name]))[file]
    message = encode_input(case["input"])
    assert set(decode(message)) == set(case["input"])
    answer = judge(name, message)
    assert isinstance(answer, bytes)
    verdict = read_check(answer) if "Check" in case["input"] else read_settle(answer)
    assert isinstance(verdict, CheckVerdict | SettleVerdict)
    if os.environ.get("REWRITE_CASES"):
        rewrite(HERE / MODULES[name] / "cases" / file, answer)
    else:
        assert differences(case, answer) == []


def codes_of(case: dict[str, Any]) -> set[str]:
    bodies = case["expect"].values()
    return {body[reason]["code"] for body in bodies for reason in ("deny", "violation") if reason in body}


def section(readme: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", readme, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def first_column(text: str) -> set[str]:
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("name", NAMES)
def test_the_codes_of_a_readme_are_those_of_its_cases(name: str) -> None:
    documented = first_column(section((HERE / MODULES[name] / "README.md").read_text(), "Codes"))
    shown = set().union(*map(codes_of, read_cases(builtin_folder(MODULES[name])).values()))
    assert documented == shown


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_names_every_param_dimension_and_code(name: str) -> None:
    readme = (HERE / MODULES[name] / "README.md").read_text()
    page = section(SPEC.read_text(), re.escape(name))
    for title in ("Cap params", "Params", "Receipt payload", "Dimensions", "Codes"):
        assert first_column(section(readme, title)) <= set(re.findall(r"`([^`]+)`", page))


def test_a_case_that_is_answered_otherwise_is_reported() -> None:
    case = next(iter(read_cases(builtin_folder(MODULES[LLM])).values()))
    other = cbor2.dumps({"Check": {"constraints_ok": True, "reserve_estimate": {}}}, canonical=True)
    assert differences(case, other)


@pytest.mark.req("S4-59")
@pytest.mark.parametrize(
    ("bounds", "reserve", "flagged"),
    [
        ({"tokens": 50}, {"tokens": 0}, ("tokens",)),
        ({"tokens": 50}, {}, ("tokens",)),
        ({"tokens": 50, "bytes": 9}, {"other": 1}, ("bytes", "tokens")),
        ({"tokens": 50}, {"tokens": 1}, ()),
        ({"tokens": 0}, {"tokens": 0}, ()),
        ({}, {"tokens": 0}, ()),
    ],
)
def test_a_known_bound_that_is_not_reserved_is_flagged(
    bounds: dict[str, int], reserve: dict[str, int], flagged: tuple[str, ...]
) -> None:
    assert unreserved_bounds(bounds, reserve) == flagged


@pytest.mark.req("S4-59")
def test_conformance_flags_an_enforcer_that_reserves_nothing_for_max_tokens() -> None:
    case = read_cases(builtin_folder(MODULES[LLM]))["reserves_the_ceiling.json"]
    lax = {"Check": {"constraints_ok": True, "reserve_estimate": {"tokens": 0}}}
    found = differences(case | {"expect": lax}, cbor2.dumps(lax, canonical=True))
    assert found == ["`tokens` has a bound and nothing is reserved"]


@pytest.mark.req("S4-59")
@pytest.mark.parametrize("bound", [{"max_tokens": 50}, {"max_tokens": 50, "prompt_tokens": 900}])
def test_the_built_in_reserves_every_bound_of_its_params(bound: dict[str, int]) -> None:
    reserve = check(LLM, "llm.generate", {}, bound).reserve
    assert unreserved_bounds({"tokens": sum(bound.values())}, reserve) == ()
