"""`explain`: the story of an intent, from who asked to what is next now.

Rule 1. In the order in which it happened: asked, judged, why, answered, approved, carried out, paid.
Rule 2. What is next is said of the intent as it stands now: what has ended is not there to be approved.
"""

from collections.abc import Callable, Iterator
from typing import Any

import click
from splittally.core.reasons import ASK_APPROVAL
from splittally.core.signatures import refusal_in
from splittally.core.types import APPROVAL, OPEN, RUNNING, UNKNOWN
from splittally.edge.hashes import require_hash
from splittally.edge.json_values import printable
from splittally.edge.phrases import ADVICE
from splittally.edge.sentences import sentence
from splittally.edge.wording import HASH_DIGITS, Wording

from splittally_tools.audit.explanation import explain as explain_intent
from splittally_tools.cli.effects import not_found, show_answers
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.hashes import intent_in
from splittally_tools.cli.labelled import shown_labels
from splittally_tools.cli.open_world import reader_of
from splittally_tools.cli.output import Page, emit, say, word
from splittally_tools.cli.session import Session, shared

AMOUNTS = ("amounts", "compute")  # params that are maps of amounts, where they are maps
NEXT = {  # of an intent whose hold is in this phase now
    OPEN: "carry it out, then settle it with a receipt",
    RUNNING: "settle it with a receipt once it is carried out",
    UNKNOWN: "settle it once somebody knows whether it happened, or `tally native outcome.attest`",
    APPROVAL: ADVICE[ASK_APPROVAL],
}


@click.command()
@shared
@click.argument("intent_hash", metavar="HASH")
@click.pass_obj
def explain(session: Session, intent_hash: str) -> int:
    """The story of an intent: who asked, what judged it and why, who approved, what it cost, what is next."""
    with reader_of(session) as reader:
        intent_hash = intent_in(reader, intent_hash)
        document = explain_intent(reader, require_hash(intent_hash), session.principal)
        wording = reader.state.wording
    if document is None:
        return not_found(session, intent_hash)
    emit(session, document, lambda out: _show(out, document, wording))
    return DONE


def _show(out: Page, document: dict[str, Any], wording: Wording) -> None:
    style = "green" if document["outcome"] == "allow" else "red"
    digest = document["intent_hash"][:HASH_DIGITS]
    say(
        out,
        f"{document['outcome']}: {digest}, {word(document['kind'])} under {word(document['grant'])}",
        style,
    )
    at = wording.moment(document["at_ns"])
    say(out, f"  {word(document['principal'])} asked at {at} (seq {document['seq']})")
    say(out, f"  for {_asked(document['params'], wording)}")
    if document["labels"]:
        say(out, f"  labelled {shown_labels(document['labels'])}")
    for link in document["chain"]:
        _show_link(out, link, wording)
    for finding in document["findings"]:
        say(out, f"  because {finding['said']} ({printable(finding['stage'])} {printable(finding['code'])})")
    say(out, f"  policy: {_policy(document['policy'])}")
    if document["reserve"]:
        say(out, f"  reserved {printable(wording.amounts(document['reserve']))}")
    _show_then(out, document, wording, lambda seq: seq <= document["seq"])
    show_answers(out, document, wording)
    _show_then(out, document, wording, lambda seq: seq > document["seq"])
    if document["status"]:
        say(out, f"  now {document['status']}{', ' + document['phase'] if document['phase'] else ''}")
    for text in _next(document):
        say(out, f"  next: {text}", "bold")


def _show_then(
    out: Page, document: dict[str, Any], wording: Wording, is_wanted: Callable[[int], bool]
) -> None:
    for later in document["then"]:
        for line in _told(later, wording) if is_wanted(later["seq"]) else ():
            say(out, f"  {line} (seq {later['seq']}, {wording.moment(later['at_ns'])})")


def _asked(params: Any, wording: Wording) -> str:
    """What was asked for, the amounts of a task with their units."""
    if not isinstance(params, dict):
        return word(params)
    amounts = {x: wording.amounts(_whole(params[x])) for x in AMOUNTS if isinstance(params.get(x), dict)}
    return word({**params, **amounts})


def _told(later: dict[str, Any], wording: Wording) -> Iterator[str]:
    """What happened in one step; an answer to an approval is told by itself."""
    by = word(later["by"])
    match later["type"]:
        case "settled":
            leg = later["legs"][0] if later["legs"] else {"usage": {}, "charged": {}}
            used, charged = (
                printable(wording.amounts(_whole(leg[x]))) or "nothing" for x in ("usage", "charged")
            )
            yield f"settled by {by}: {later['status']}, used {used}, charged {charged}"
        case "released":
            order = f" by the order {word(later['order'])}" if later["order"] else ""
            yield f"released by {by}: {later['cause']}{order}"
        case "refunded":
            given = (wording.amounts(_whole(leg.get("amounts", {}))) for leg in later["legs"][:1])
            yield f"refunded by {by}: {printable(''.join(given)) or 'nothing'}"
        case "posted":
            amount = printable(wording.amount(int(later["amount"]), later["resource"]))
            source, target = (
                word(later[x]) if later[x] else "what is in flight" for x in ("debit", "credit")
            )
            yield f"{amount} went from {source} to {target}"
        case "noted":
            refusal = refusal_in(later["facts"])
            why = f"{sentence(refusal, wording)} ({printable(refusal.code)})"
            yield f"a receipt that {by} brought was refused: {why}"
        case "hold_changed":
            due = f", until {wording.moment(int(later['due_ns']))}" if later["due_ns"] else ""
            yield f"made {later['phase']} by {by}{due}"
        case other:
            yield f"{other} by {by}"


def _whole(amounts: dict[str, Any]) -> dict[str, int]:
    """Amounts of a document, in which integers beyond 2^53 are text."""
    return {unit: int(amount) for unit, amount in amounts.items() if type(amount) in (int, str)}


def _next(document: dict[str, Any]) -> Iterator[str]:
    if document["phase"] in NEXT:
        yield NEXT[document["phase"]].format(hash=document["intent_hash"][:HASH_DIGITS])
    for text in document["next"] if not document["status"] else ():
        yield ADVICE.get(text, text).format(hash=document["intent_hash"][:HASH_DIGITS])


def _show_link(out: Page, link: dict[str, Any], wording: Wording) -> None:
    lead = f"  grant {word(link['grant'])} (cap {word(link['cap'])})"
    if not link["covers"]:
        say(out, f"{lead} does not cover this kind")
        return
    if link["module"] is None:
        say(out, f"{lead} asks nobody")
        return
    module = f"{word(link['module']['name'] or 'a module')} {link['module']['hash'][:HASH_DIGITS]}"
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
        estimate = printable(wording.amounts(_whole(answer["reserve_estimate"]))) or "nothing"
        say(out, f"{lead} asked {module}, which estimates {estimate}")


def _priced(prices: dict[str, Any]) -> str:
    """By which row of which snapshot; its prices are in minor units, as the row has them."""
    row = prices["row"]
    lead = f"{word(prices['snapshot'])} ({prices['hash'][:HASH_DIGITS]})"
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
