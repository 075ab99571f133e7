"""What a module must show before a world relies on it, rule by rule, by name.

Rule 1. Each rule of admission (spec/03-abi.md) stands by its name, and then, for a folder: `cases`,
        `determinism`, `check_answers`, `settle_answers` and `bounds`.
Rule 2. A rule that could not be asked is `not_asked`, never passed.
Rule 3. What fails says one example: enough to begin with.
"""

from typing import Any, NamedTuple

from splittally.core.limits import ENFORCER_PAGES_MAX
from splittally.sandbox import ADMISSION_CHECKS, Sandbox, failed_checks
from splittally.sandbox.admission import inspect

from splittally_tools.audit.recorded_calls import CHECK, SETTLE
from splittally_tools.enforcers.call import Asked, asked, verdict_json
from splittally_tools.enforcers.cases import Case, differences, found_answer, question_json, unreserved
from splittally_tools.enforcers.hostile import hostile_checks, hostile_settles
from splittally_tools.enforcers.other_process import asked_elsewhere
from splittally_tools.enforcers.project import Module

REPEATS = 1_000
PASSED, FAILED, NOT_ASKED = "passed", "failed", "not_asked"
CONDUCT = ("cases", "determinism", "check_answers", "settle_answers", "bounds")
ENDING = ("size", "magic")  # are asked one after the other before anything is read
READ_FIRST = (*ENDING, "well_formed", "features", "imports", "start")  # each ends the reading


class Rule(NamedTuple):
    """One rule: passed, failed or not_asked, what was wrong, and the question as the input of a case."""

    name: str
    status: str
    message: str = ""
    input: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The rule for programs: what it has not is left out."""
        return {key: value for key, value in self._asdict().items() if value}


class Tried(NamedTuple):
    """A case with the answer that it got."""

    case: Case
    found: dict[str, Any]
    asked: Asked


def admission_rules(wasm: bytes) -> list[Rule]:
    """Every admission check by name, in the order in which they are asked."""
    failed = failed_checks(wasm)
    rules = []
    for name in ADMISSION_CHECKS:
        if name in failed:
            rules.append(Rule(name, FAILED, failed[name]))
        elif _was_asked(name, failed):
            rules.append(Rule(name, PASSED))
        else:
            rules.append(Rule(name, NOT_ASKED))
    return rules


def _was_asked(name: str, failed: dict[str, str]) -> bool:
    """Whether a check that does not fail was asked at all, beside those that do."""
    stopped = next((each for each in READ_FIRST if each in failed), "")
    if stopped:
        return name in ENDING[: ENDING.index(stopped) if stopped in ENDING else None]
    return not (failed and name == "compile") and not ("recursion" in failed and name == "stack")


def try_cases(module: Module, cases: list[Case]) -> list[Tried]:
    """Each case asked once."""
    sandbox = Sandbox()
    loaded = sandbox.load(module.wasm)
    answers = [asked(sandbox, loaded, case.question) for case in cases]
    return [
        Tried(case, found_answer(case.variant, answer.answer), answer)
        for case, answer in zip(cases, answers, strict=True)
    ]


def conduct_rules(module: Module, tried: list[Tried]) -> list[Rule]:
    """What an admitted module shows when it is asked."""
    questions = [each.case.question for each in tried]
    return [
        _of_cases("cases", tried, _wrong_cases(tried)),
        _of_cases("determinism", tried, _wavering(module, tried)),
        _answers("check_answers", module, CHECK, hostile_checks(questions)),
        _answers("settle_answers", module, SETTLE, hostile_settles(questions)),
        _of_cases("bounds", tried, _unreserved(tried)),
    ]


def _of_cases(name: str, tried: list[Tried], message: str) -> Rule:
    """A rule about cases, which nothing can show where there is none."""
    return Rule(name, FAILED if message else PASSED if tried else NOT_ASKED, message)


def memory_of(wasm: bytes) -> dict[str, int]:
    """The pages of an admitted module's memory, and how many are allowed."""
    return {"pages": inspect(wasm).memories[0].minimum, "pages_max": ENFORCER_PAGES_MAX}


def _wrong_cases(tried: list[Tried]) -> str:
    wrong = [each for each in tried if any(differences(each.case.expect, each.found))]
    if not wrong:
        return ""
    names = ", ".join(f"`{each.case.file.name}`" for each in wrong[:5])
    return f"{len(wrong)} of {len(tried)} cases are answered otherwise: {names}; see `tally enforcer test`"


def _unreserved(tried: list[Tried]) -> str:
    """S4-59: nothing is reserved for a dimension only where nobody can bound it."""
    for each in tried:
        dims = unreserved(each.case, each.found)
        if dims:
            named = ", ".join(f"`{dim}`" for dim in dims)
            return f"`{each.case.file.name}` states a bound of {named} and nothing is reserved"
    return ""


def _wavering(module: Module, tried: list[Tried]) -> str:
    """Whether any case is ever answered otherwise: again here, or in another process."""
    sandbox = Sandbox()
    loaded = sandbox.load(module.wasm)
    for each in tried:
        for again in range(REPEATS):
            if asked(sandbox, loaded, each.case.question) != each.asked:
                return f"`{each.case.file.name}` is answered otherwise when it is asked {again + 2} times"
    others = asked_elsewhere(module.path, [each.case.question for each in tried]) if tried else []
    for each, other in zip(tried, others, strict=True):
        if other != each.asked:
            return f"`{each.case.file.name}` is answered otherwise in another process"
    return ""


def _answers(name: str, module: Module, variant: str, questions: list[bytes]) -> Rule:
    """Whether every generated question is answered, whatever stands in it."""
    sandbox = Sandbox()
    loaded = sandbox.load(module.wasm)
    answers = [(question, asked(sandbox, loaded, question).answer) for question in questions]
    faults = [each for each in answers if "fault" in found_answer(variant, each[1])]
    if not faults:
        return Rule(name, PASSED)
    question, answer = faults[0]
    found = verdict_json(variant, answer)
    why = f": {found['reason']}" if "reason" in found else ""
    message = (
        f"{len(faults)} of {len(questions)} generated questions get no answer; the first is the fault"
        f" `{found['fault']}`{why}"
    )
    return Rule(name=name, status=FAILED, message=message, input=question_json(question))
