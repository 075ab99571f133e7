"""State plus command gives the questions that must be answered before it can be decided.

Rule 1. One question per leg that asks somebody, leaf first, each with its pinned module and its input
        bytes; none for an intent that its chain refuses already.
Rule 2. A Settle asks what its Check asked, read back from the frame that decided (`Recall`), with the cap
        params that were in force, also where their grant is forgotten.
"""

from collections.abc import Sequence

from msgspec import Struct

from splittally.core.abi import (
    Question,
    check_input,
    check_template,
    origin_part,
    receipt_part,
    settle_input,
)
from splittally.core.caps.prices import asked_template
from splittally.core.caps.state import Caps, Chain
from splittally.core.commands import DROPPED, Command, Evidence, Known, Member, Open, Settle, Submit
from splittally.core.native import NATIVE
from splittally.core.native.manifest import read_manifest
from splittally.core.receipts import is_charged, legs_of, spoken_of
from splittally.core.signatures import key_wanted, refusal_of
from splittally.core.state import State


class Recall(Struct, frozen=True, gc=False):
    """The decided intent as its frame holds it, verified."""

    kind: str
    params: bytes
    origin_kind: str
    origin_name: str
    at_ns: int
    params_of: dict[bytes, bytes] = {}  # cap params, by hash, that the state forgot with their grants


class Needs(Struct, frozen=True, gc=False):
    """What must be known before a command can be decided."""

    questions: list[Question]
    modules: list[bytes]


NOTHING = Needs([], [])


def wants_recall(command: Command) -> bytes:
    """The intent whose decision frame answers this command's questions; empty for none."""
    return command.intent_hash if isinstance(command, Settle) else b""


def wants_known(state: State, command: Command) -> bytes:
    """The intent that is not open and whose history this command rests on; empty for none."""
    target = b""
    if isinstance(command, Settle):
        target = command.intent_hash
    elif isinstance(command, Submit) and len(command.members) == 1:
        member = command.members[0]
        native = NATIVE.get(member.kind)
        if native is not None and native.target is not None:
            target = native.target(native.read(member.params))
    return b"" if target in state.ledger.holds else target


def wants_verified(state: State, principal: str, command: Command, known: Known | None) -> bytes:
    """The key under which the signature of a receipt must be verified; empty for none."""
    if type(command) is not Settle:
        return b""
    ended = spoken_of(state, principal, command.intent_hash, known)
    return b"" if ended is None else key_wanted(state.caps, ended.kind, command)


def wants_params(state: State, known: Known) -> list[bytes]:
    """The cap params of an intent that ended which the state has no more, by hash, each once."""
    named = {ended.leg.params: None for ended in known.legs if ended.leg.params not in state.caps.blobs}
    return [digest for digest in named if digest]


def rests_on(state: State, command: Command) -> object:
    """What the questions of a command rest on beside its time; the same object means the same questions.

    A chain is derived anew whenever a grant or a definition changes, a hold whenever it moves. None where
    nothing was asked, or where more than one thing decides what is.
    """
    if type(command) is Settle:
        return state.ledger.holds.get(command.intent_hash)
    if type(command) is Submit and len(command.members) == 1:
        (member,) = command.members
        return state.caps.chains.get((member.grant, member.kind))
    return None


def ask(
    state: State,
    now_ns: int,
    principal: str,
    command: Command,
    known: Known | None,
    recall: Recall | None,
    seen: Sequence[Evidence] = (),
) -> Needs:
    """The questions of this command in the state as it stands at `now_ns`; none of a refused receipt."""
    match command:
        case Submit():
            return _ask_submit(state, now_ns, principal, command)
        case Settle() if recall is not None:
            return Needs(_ask_settle(state, principal, command, known, recall, seen), [])
        case Open() if command.release:
            return Needs([], read_manifest(command.release).wasm)
        case _:
            return NOTHING


def _ask_submit(state: State, now_ns: int, principal: str, command: Submit) -> Needs:
    questions: list[Question] = []
    modules: list[bytes] = []
    for member in command.members:
        chain = state.caps.chain(member.grant, member.kind)
        is_late = member.expires_ns and now_ns >= member.expires_ns
        if is_late or not chain.is_live(principal, now_ns):
            continue
        questions += _check_questions(state.caps, chain, now_ns, member)
        native = NATIVE.get(member.kind)
        if native is not None and native.modules is not None:
            modules += native.modules(native.read(member.params))
    return Needs(questions, modules)


def member_questions(caps: Caps, now_ns: int, member: Member) -> list[Question]:
    """The Check questions of one intent, leaf first."""
    return _check_questions(caps, caps.chain(member.grant, member.kind), now_ns, member)


def _check_questions(caps: Caps, chain: Chain, now_ns: int, member: Member) -> list[Question]:
    asked = chain.asked
    if not asked:
        return []
    origin = origin_part(member.origin_kind, member.origin_name)
    return [
        Question(
            module=link.cap.enforcer,
            data=check_input(
                link.template
                if link.template.book is None
                else asked_template(caps, link.template, member.kind, member.params, now_ns),
                origin,
                member.params,
                now_ns,
            ),
            intent_hash=member.intent_hash,
            grant=link.grant.name,
            cap=link.cap.name,
        )
        for link in asked
        if link.template is not None
    ]


def _ask_settle(
    state: State,
    principal: str,
    command: Settle,
    known: Known | None,
    recall: Recall,
    seen: Sequence[Evidence],
) -> list[Question]:
    ended = spoken_of(state, principal, command.intent_hash, known)
    if ended is None or not is_charged(ended, command) or command.fits in DROPPED:
        return []
    if state.caps.adapters and refusal_of(state.caps, ended.kind, command, seen) is not None:
        return []
    origin = origin_part(recall.origin_kind, recall.origin_name)
    receipt = receipt_part(command.status, command.adapter, command.payload, command.cost_cents)
    questions = []
    for leg in legs_of(ended):
        if leg.enforcer_ref:
            params = recall.params_of.get(leg.params) or state.caps.cap_params(leg)
            template = check_template(leg.cap, params, leg.grant, recall.kind)
            if template.book is not None:
                template = asked_template(state.caps, template, recall.kind, recall.params, recall.at_ns)
            data = settle_input(
                template, origin, recall.params, recall.at_ns, leg, receipt, command.intent_hash
            )
            questions.append(
                Question(
                    module=leg.enforcer_ref,
                    data=data,
                    intent_hash=command.intent_hash,
                    grant=leg.grant,
                    cap=leg.cap,
                )
            )
    return questions
