"""`enforcer run`: one question to a module, with its answer and what it cost."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.limits import CHECK_FUEL_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX
from splittally.core.types import is_name
from splittally.edge.json_values import parse_json
from splittally.edge.records import Intent, Receipt
from splittally.edge.request_lines import read_intents, read_receipt
from splittally.sandbox import Sandbox

from splittally_tools.audit.recorded_calls import CHECK, SETTLE
from splittally_tools.cli.enforcer_place import PLACE, warn_if_stale
from splittally_tools.cli.exit_codes import DONE, REFUSED
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared
from splittally_tools.enforcers.call import (
    Asked,
    Terms,
    asked,
    check_question,
    settle_question,
    verdict_json,
)
from splittally_tools.enforcers.cases import CASE_BYTES_MAX, read_question
from splittally_tools.enforcers.project import Project, admitted_module, open_project

NO_HASH = "00" * 32
ANY_CAP = "local/any@1"  # of a module whose folder names none
GOOD = ("allow", "settled")


@click.command()
@shared
@PLACE
@click.option("-i", "--input", "source", required=True, metavar="FILE|-", help="An intent, or a case.")
@click.option("--cap-params", metavar="FILE|JSON", help="The grant's params ({}).")
@click.option("--cap", metavar="NAME", help="The cap that the question names (enforcer.toml's).")
@click.option("--receipt", metavar="FILE|JSON", help="Settle it too, on what the Check reserved.")
@click.pass_obj
def run(
    session: Session, place: Path, source: str, cap_params: str | None, cap: str | None, receipt: str | None
) -> int:
    """Ask a module about one intent as hosts send it: `{"kind", "params", "grant"}`, or about a case.

    `--now-ns` is the logical time. Exit code 1 when it denies or gives no answer.
    """
    module = admitted_module(place)
    project = open_project(place if place.is_dir() else place.parent)
    warn_if_stale(project)
    sandbox = Sandbox()
    loaded = sandbox.load(module.wasm)
    text = _text("-i", source, is_inline=False)
    document = parse_json(text, CASE_BYTES_MAX)
    if isinstance(document, dict) and "input" in document:
        if cap_params is not None or cap is not None or receipt is not None:
            raise click.UsageError("a case has its own cap params and receipt; say -i alone")
        variant, question = read_question(document["input"])
        answers = {variant: asked(sandbox, loaded, question)}
    else:
        intent, terms = _question(session, project, text, cap_params, cap)
        told = _receipt(receipt) if receipt is not None else None
        answers = {CHECK: asked(sandbox, loaded, check_question(intent, terms))}
        found = verdict_json(CHECK, answers[CHECK].answer)
        if told is not None and found["verdict"] == "allow":
            question = settle_question(intent, terms, told, found["reserve"])
            answers[SETTLE] = asked(sandbox, loaded, question)
    told_answers = {variant: _told(variant, each) for variant, each in answers.items()}
    result: dict[str, Any] = {"module": module.hash.hex(), "check": None, "settle": None}
    result |= {variant.lower(): each for variant, each in told_answers.items()}
    emit(session, result, lambda out: _show(out, told_answers))
    return DONE if all(each["verdict"] in GOOD for each in told_answers.values()) else REFUSED


def _told(variant: str, answered: Asked) -> dict[str, Any]:
    return {**verdict_json(variant, answered.answer), **answered.cost}


def _question(
    session: Session, project: Project, text: bytes, cap_params: str | None, cap: str | None
) -> tuple[Intent, Terms]:
    at = read_intents(text, session.now_ns, lambda _: None)
    if not isinstance(at.request, Intent):
        raise InvalidInput("one intent is asked about at a time; send the members of a group alone")
    named = cap or (project.description.cap if project.description else ANY_CAP)
    if not is_name(named):
        raise InvalidInput(f"`--cap` is like acme/mail@1, at most {NAME_BYTES_MAX} bytes", field="cap")
    params = _named("--cap-params", cap_params) if cap_params is not None else {}
    return at.request, Terms(named, encode(params), at.now_ns or 0)


def _receipt(said: str) -> Receipt:
    """A receipt as adapters send it; the intent's hash may be left out, because it is known."""
    document = _named("--receipt", said)
    text = _text("--receipt", said)
    if isinstance(document, dict):
        text = json.dumps({"intent_hash": NO_HASH, **document}).encode()
    receipt = read_receipt(text, None).request
    assert isinstance(receipt, Receipt)
    return receipt


def _named(option: str, said: str) -> Any:
    """The JSON value of an option; what is none is an error of that option."""
    try:
        return parse_json(_text(option, said), LINE_BYTES_MAX)
    except InvalidInput as error:
        if error.facts.get("field") == option:
            raise
        raise InvalidInput(f"`{option}`: {error}", **{**error.facts, "field": option}) from error


def _text(option: str, said: str, is_inline: bool = True) -> bytes:
    """The JSON that was said in place, in a file, or on standard input."""
    if is_inline and said.lstrip().startswith("{"):
        return said.encode()
    if said == "-":
        return sys.stdin.buffer.read(CASE_BYTES_MAX + 1)
    try:
        with open(said, "rb") as file:
            return file.read(CASE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"`{option}`: `{said}` cannot be read: {error.strerror}", field=option) from error


def _show(out: Page, answers: dict[str, dict[str, Any]]) -> None:
    for variant, each in answers.items():
        style = "green" if each["verdict"] in GOOD else "red"
        say(out, f"{variant}: {each['verdict']}", style)
        for key in ("reserve", "usage"):
            if key in each:
                say(out, f"  {key} {word(each[key])}")
        for key in ("deny", "violation"):
            if each.get(key):
                say(out, f"  {key} {word(each[key]['code'])}: {word(each[key]['message'])}")
        if "fault" in each:
            why = f", {word(each['reason'])}" if "reason" in each else ""
            say(out, f"  fault {each['fault']}{why}; a fault at Check denies, at Settle charges the reserve")
        cost = f"{each['fuel']} of {CHECK_FUEL_MAX} ({each['fuel_percent']} %)"
        say(out, f"  fuel {cost}, {each['input_bytes']} bytes in, {each['output_bytes']} bytes out")
