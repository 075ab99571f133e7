"""A language model as solver: an answer that was recorded, read as a proposal. No model is called here.

Rule 1. The table is the JSON in the answer: the whole of it, what stands in a fence, or what stands between
        its first and its last brace. What a provider wraps around a text is taken off.
Rule 2. What the model says is checked like anybody's: a formula of the plan it cannot override.
"""

import re
from collections.abc import Mapping
from typing import Any

from splittally.core.errors import InvalidInput
from splittally.edge.json_values import parse_json
from splittally.host.solvers.proposals import Proposal, table_of

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_BRACES = re.compile(r"\{.*\}", re.DOTALL)


def read_answer(text: str, question: Mapping[str, Any], model: str = "") -> Proposal:
    """The proposal in an answer; `InvalidInput` where there is none, or nobody says which model it was."""
    document = _document(text)
    name = model or (document.get("model", "") if isinstance(document, Mapping) else "")
    while (said := _said(document)) is not None:
        document = _document(said)
    if not isinstance(name, str) or not name:
        raise InvalidInput(
            "say which model answered: `--model NAME`, or `model` in the answer", field="model"
        )
    return Proposal(
        solver=f"model:{name}",
        cells=table_of(document),
        input=dict(question["input"]),
        input_hash=bytes.fromhex(question["input_hash"]),
    )


def _document(text: str) -> Any:
    """The JSON in a text."""
    if text.lstrip()[:1] in ("{", "["):
        return parse_json(text)
    found = _FENCE.search(text)
    if found is None:
        found = _BRACES.search(text)
    if found is None:
        raise InvalidInput("the answer holds no JSON with cells", field="answer")
    return parse_json(found.group(found.lastindex or 0))


def _said(document: Any) -> str | None:
    """The text in what a provider answers (`choices` or `content`); None where it is no such thing."""
    if not isinstance(document, Mapping) or "cells" in document:
        return None
    match document:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text
        case {"content": [*_, {"text": str(text)}]} | {"content": str(text)}:
            return text
    return None
