"""`explain`: why an intent was allowed or refused, and what to do next."""

from typing import Any

import click
from splittally.edge.hashes import require_hash
from splittally.edge.phrases import ADVICE
from splittally.edge.wording import Wording

from splittally_tools.audit.explanation import explain as explain_intent
from splittally_tools.cli.effects import not_found, show_answers
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.labelled import shown_labels
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared


@click.command()
@shared
@click.argument("intent_hash", metavar="HASH")
@click.pass_obj
def explain(session: Session, intent_hash: str) -> int:
    """Why an intent was allowed or refused: the grants, the module that judged, the rule, the numbers."""
    with reader_of(session) as reader:
        document = explain_intent(reader, require_hash(intent_hash), session.principal)
        wording = reader.state.wording
    if document is None:
        return not_found(session, intent_hash)
    emit(session, document, lambda out: _show(out, document, wording))
    return DONE


def _show(out: Page, document: dict[str, Any], wording: Wording) -> None:
    style = "green" if document["outcome"] == "allow" else "red"
    place = f"seq {document['seq']} at {document['at_ns']}"
    what = f"{document['kind']} under {document['grant']} for {document['principal']}"
    say(out, f"{document['outcome']}: {word(what)} ({place})", style)
    say(out, f"  asked for {word(document['params'])}")
    if document["labels"]:
        say(out, f"  labelled {shown_labels(document['labels'])}")
    for link in document["chain"]:
        _show_link(out, link)
    for finding in document["findings"]:
        facts = {key: value for key, value in finding["facts"].items() if key not in ("next", "message")}
        numbers = f" ({word(facts)})" if facts else ""
        say(out, f"  because {finding['stage']} {finding['code']}: {word(finding['meaning'])}{numbers}")
    say(out, f"  policy: {_policy(document['policy'])}")
    if document["reserve"]:
        say(out, f"  reserved {word(document['reserve'])}")
    for later in document["then"]:
        fields = {key: value for key, value in later.items() if key in _TOLD and value not in ("", None)}
        if later["type"] == "settled":
            fields["used"] = later["legs"][0]["usage"] if later["legs"] else {}
        say(out, f"  then, seq {later['seq']}: {later['type']} {word(fields)}")
    show_answers(out, document, wording)
    if document["status"]:
        say(out, f"  now {document['status']}{', ' + document['phase'] if document['phase'] else ''}")
    for advice in document["next"]:
        say(out, f"  next: {ADVICE.get(advice, advice)}", "bold")


_TOLD = ("phase", "due_ns", "how", "status", "cause", "order", "debit", "credit", "resource", "amount")


def _show_link(out: Page, link: dict[str, Any]) -> None:
    lead = f"  grant {word(link['grant'])} (cap {word(link['cap'])})"
    if not link["covers"]:
        say(out, f"{lead} does not cover this kind")
        return
    if link["module"] is None:
        say(out, f"{lead} asks nobody")
        return
    module = f"{word(link['module']['name'] or 'a module')} {link['module']['hash']}"
    if link["prices"] is not None:
        module += f", priced by {_priced(link['prices'])}"
    answer = link["answer"]
    if answer is None:
        say(out, f"{lead} asks {module}; it was not reached, or its answer is not for you")
    elif "fault" in answer:
        say(out, f"{lead} asked {module}, which gave no answer: {answer['fault']}")
    elif "deny" in answer:
        say(out, f"{lead} asked {module}, which denies: {word(answer['deny'])}")
    else:
        say(out, f"{lead} asked {module}, which estimates {word(answer['reserve_estimate'])}")


def _priced(prices: dict[str, Any]) -> str:
    """By which row of which snapshot."""
    row = prices["row"]
    lead = f"{word(prices['snapshot'])} ({prices['hash']})"
    if row is None:
        return f"{lead}, which has no price for this model"
    amounts = {key: value for key, value in row.items() if key != "model"}
    whose = f"row {word(prices['model'])}" if prices["model"] else "the price for all models"
    return f"{lead}, {whose}: {word(amounts)}"


def _policy(policy: dict[str, Any]) -> str:
    if not policy["exists"]:
        return "this world had none"
    if not policy["reached"]:
        return "not reached"
    if policy["rule"] is None:
        return "no rule matched"
    return f"rule {policy['rule']} {word(policy['name'])}"
