"""Cases of an enforcer: a question and its whole answer, one JSON file each.

Rule 1. A case is `{"name", "input", "expect", "bounds"?}` as `splittally_enforcers.conformance` reads it.
        Where no answer is expected, `expect` is `{"fault": CLASS}`.
Rule 2. A file that is no case is an error that names it, never a case that passes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from splittally.core.abi import FAULT_CLASSES, Fault
from splittally.core.canonical import decode
from splittally.core.errors import CanonicalError, InvalidInput, SplittallyError
from splittally.core.limits import DEPTH_MAX, LINE_BYTES_MAX
from splittally.edge.json_values import BYTES_KEY, json_form, parse_json
from splittally_enforcers.conformance import encode_input, unreserved_bounds

from splittally_tools.audit.recorded_calls import CHECK, SETTLE, verdict_of
from splittally_tools.enforcers.project import Project

KEYS = ("name", "input", "expect", "bounds")
FIELDS: dict[str, type] = {  # of a question, with what each is in JSON; params may be any value
    "cap_def": str,
    "cap_params": object,
    "effect_kind": str,
    "effect_params": object,
    "grant_name": str,
    "logical_now_ns": int,
    "origin": dict,
}
ENDED: dict[str, type] = {"intent_hash": bytes, "receipt": dict, "reserve_estimate": dict}
FIELDS_OF = {CHECK: FIELDS, SETTLE: FIELDS | ENDED}
RECEIPT_FIELDS = {"status", "adapter_id", "payload"}
CASE_BYTES_MAX = LINE_BYTES_MAX  # every byte of the largest question may take six characters
_ABSENT = object()


class Case(NamedTuple):
    """One case: its file, what it is called, the question as bytes, and the answer that is expected."""

    file: Path
    name: str
    variant: str
    question: bytes
    expect: dict[str, Any]
    bounds: dict[str, int]


class Difference(NamedTuple):
    """One place of an answer that is not as expected; None for what is not there."""

    place: str
    expected: Any
    found: Any


def read_project_cases(project: Project) -> list[Case]:
    """The cases of a folder, by file name; `InvalidInput` where one cannot be read."""
    if not project.cases.is_dir():
        return []
    return [read_case(file) for file in sorted(project.cases.glob("*.json"))]


def require_cases(project: Project) -> list[Case]:
    """The same; `InvalidInput` where there is none."""
    cases = read_project_cases(project)
    if not cases:
        text = (
            f"there is no case in `{project.cases}`; write one, or record one with "
            f"`tally enforcer test {project.folder} --record WORLD --seq N`"
        )
        raise InvalidInput(text, path=str(project.cases))
    return cases


def read_case(file: Path) -> Case:
    """The case in `file`; `InvalidInput` names what is wrong with it."""
    try:
        with open(file, "rb") as stream:
            return case_of(file, parse_json(stream.read(CASE_BYTES_MAX + 1), CASE_BYTES_MAX))
    except (OSError, SplittallyError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"`{file}` is no case: {why}; correct or remove it", path=str(file)) from error


def case_of(file: Path, document: Any) -> Case:
    """The case that a document says; `InvalidInput` when it says none."""
    if not isinstance(document, dict) or not {"input", "expect"} <= set(document):
        raise InvalidInput("a case is `{name, input, expect, bounds?}`")
    unknown = sorted(set(document) - set(KEYS))
    if unknown:
        raise InvalidInput(f"there is no `{unknown[0]}`; there are {', '.join(KEYS)}")
    variant, question = read_question(document["input"])
    expect, bounds = document["expect"], document.get("bounds", {})
    is_fault = isinstance(expect, dict) and set(expect) == {"fault"} and expect["fault"] in FAULT_CLASSES
    if not is_fault and not (isinstance(expect, dict) and set(expect) == {variant}):
        raise InvalidInput(f'`expect` is `{{"{variant}": ...}}`, or `{{"fault": CLASS}}`')
    if not isinstance(bounds, dict) or not all(type(most) is int for most in bounds.values()):
        raise InvalidInput("`bounds` maps dimensions to naturals")
    return Case(
        file=file,
        name=str(document.get("name", file.stem)),
        variant=variant,
        question=question,
        expect=expect,
        bounds=bounds,
    )


def read_question(message: Any) -> tuple[str, bytes]:
    """Which question an `input` is, and its bytes; `InvalidInput` when it is none."""
    variants = list(message) if isinstance(message, dict) else []
    if len(variants) != 1 or variants[0] not in FIELDS_OF or not isinstance(message[variants[0]], dict):
        raise InvalidInput('`input` is `{"Check": {...}}` or `{"Settle": {...}}`')
    (variant,) = variants
    body, fields = message[variant], FIELDS_OF[variant]
    wrong = sorted(set(body) ^ set(fields)) or [x for x in fields if not isinstance(body[x], fields[x])]
    if not wrong and variant == SETTLE and set(body["receipt"]) - {"cost_cents"} != RECEIPT_FIELDS:
        wrong = ["receipt"]
    if wrong:
        text = f"`input.{variant}` has exactly the fields of spec/03-abi.md; look at `{wrong[0]}`"
        raise InvalidInput(text, field=wrong[0])
    question = encode_input(message)
    decode(question)  # refuses what no kernel would ask
    return variant, question


def found_answer(variant: str, answer: bytes | Fault) -> dict[str, Any]:
    """An answer as a case writes it; a fault where the kernel reads none."""
    verdict = verdict_of(variant, answer)
    if isinstance(verdict, Fault):
        return {"fault": verdict.cls}
    assert isinstance(answer, bytes)
    found: dict[str, Any] = decode(answer)
    return found


def differences(expected: Any, found: Any, place: str = "") -> Iterator[Difference]:
    """Every place in which two answers differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            inner = f"{place}.{key}" if place else key
            yield from differences(expected.get(key, _ABSENT), found.get(key, _ABSENT), inner)
    elif expected is not found and (type(expected) is not type(found) or expected != found):
        yield Difference(place, *(None if x is _ABSENT else x for x in (expected, found)))


def unreserved(case: Case, found: Mapping[str, Any]) -> tuple[str, ...]:
    """The dimensions of which the case states a bound and the answer reserves nothing (S4-59)."""
    body = found.get(CHECK, {})
    return unreserved_bounds(case.bounds, body["reserve_estimate"]) if body.get("constraints_ok") else ()


def write_case(file: Path, document: Mapping[str, Any]) -> None:
    """Writes a case for people to read."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def rewrite_case(case: Case, found: Mapping[str, Any]) -> None:
    """The case with another expected answer; the rest stands as it was written."""
    document = json.loads(case.file.read_text("utf-8"))
    write_case(case.file, document | {"expect": found})


def question_json(question: bytes) -> dict[str, Any]:
    """A question as a case writes it: what is CBOR inside it as values, where they have a JSON form."""
    ((variant, body),) = decode(question).items()
    return {variant: {key: json_form(_opened(key, value)) for key, value in body.items()}}


def _opened(key: str, value: Any) -> Any:
    """A value out of its byte string, where it comes back to the same bytes from JSON."""
    if key == "receipt":
        return {inner: _opened(inner, item) for inner, item in value.items()}
    if key not in ("cap_params", "effect_params", "payload"):
        return value
    try:
        opened = decode(value)
    except CanonicalError:
        return value
    return value if type(opened) is bytes or not _has_json_form(opened) else opened


def _has_json_form(value: Any, levels: int = DEPTH_MAX - 4) -> bool:
    """Whether `value` comes back from JSON inside a case: a key `$bytes` does not, nor what is too deep."""
    if not levels:
        return False
    if isinstance(value, dict):
        return BYTES_KEY not in value and all(_has_json_form(item, levels - 1) for item in value.values())
    return all(_has_json_form(item, levels - 1) for item in value) if isinstance(value, list) else True
