"""Cases out of a journal: a recorded question with the answer that was recorded.

Rule 1. The question stands byte for byte, so a module that is asked the case is asked what the world asked.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from splittally.core.errors import InvalidInput
from splittally.edge.json_values import parse_json
from splittally.runtime.reader import Reader

from splittally_tools.audit.recorded_calls import Call, Recording
from splittally_tools.enforcers.cases import CASE_BYTES_MAX, case_of, found_answer, question_json, write_case
from splittally_tools.enforcers.project import Project

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


class Recorded(NamedTuple):
    """A case that is about to be written, and where."""

    file: Path
    document: dict[str, Any]


def calls_at(reader: Reader, seqs: tuple[int, ...], names: tuple[str, ...]) -> list[Call]:
    """The calls of these frames: those of the module or cap that `names` name, else all of them."""
    calls: list[Call] = []
    for seq in seqs:
        recording = Recording(reader, lambda cap, module: True)
        calls += recording.calls_of(reader.state_before(seq), reader.record(seq))
    meant = {reader.folded.caps.modules.get(name) for name in names}
    own = [call for call in calls if call.cap in names or call.question.module in meant]
    return own or calls


def recorded_cases(project: Project, calls: list[Call], base: str) -> list[Recorded]:
    """A case for each call, numbered where there are several; `InvalidInput` where one is there already."""
    if _NAME.fullmatch(base) is None:
        raise InvalidInput("a case's name is letters, digits and `_.-`", field="as-case")
    found = []
    for at, call in enumerate(calls):
        name = base if len(calls) == 1 else f"{base}-{at + 1}"
        file = project.cases / f"{name}.json"
        if file.exists():
            text = f"`{file}` is there already; say --as-case with another name"
            raise InvalidInput(text, path=str(file))
        document = {
            "name": f"{call.variant} of frame {call.seq} under {call.grant}",
            "input": question_json(call.question.data),
            "expect": found_answer(call.variant, call.answer),
        }
        if not _comes_back(file, document, call.question.data):
            raise InvalidInput(f"the question of frame {call.seq} has no form as a case", seq=call.seq)
        found.append(Recorded(file, document))
    return found


def _comes_back(file: Path, document: dict[str, Any], question: bytes) -> bool:
    """Whether the case is the question: a dimension called `$bytes` has no JSON form."""
    try:
        return case_of(file, parse_json(json.dumps(document), CASE_BYTES_MAX)).question == question
    except InvalidInput:
        return False


def write_cases(cases: list[Recorded]) -> None:
    """Writes them."""
    for case in cases:
        write_case(case.file, case.document)
