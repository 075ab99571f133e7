"""Why an intent was allowed or refused: by which grants, modules and rules, with the numbers.

Rule 1. Everything is read from the frames and from the state in which the intent was decided.
Rule 2. The present state stands in for that one only where every terms hash of the chain is still the same.
Rule 3. Who does not hold the root grant is shown no figure of a grant that they do not hold.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from splittally.core.abi import Fault, read_check
from splittally.core.ask import member_questions
from splittally.core.caps.prices import model_of
from splittally.core.caps.state import Link
from splittally.core.commands import Judged, Member
from splittally.core.events import Released, Settled
from splittally.core.findings import Finding
from splittally.core.intent_history import Trace
from splittally.core.policy import NO_MATCH
from splittally.core.prices import PriceTable
from splittally.core.reasons import ASK_APPROVAL, NEW_KEY, REASONS
from splittally.core.state import State
from splittally.core.types import APPROVAL, DENY, OPERATOR, ROOT
from splittally.core.visibility import seen_by
from splittally.edge.answer_lines import finding_json, readable
from splittally.edge.priced_params import HASH, NAME, whole_table
from splittally.edge.sentences import sentence
from splittally.edge.wording import Wording, wording_of
from splittally.runtime.frame_documents import canonical_json, tagged_json
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record

NOT_FINAL = "not now: the same intent may be asked again, and is judged afresh"


def explain(reader: Reader, intent_hash: bytes, principal: str = OPERATOR) -> dict[str, Any] | None:
    """The explanation of an intent for a principal; None when no frame decides it."""
    found = reader.trace(intent_hash)
    if found is None:
        return None
    record = reader.record(found.seq)
    state = _state_of(reader, found)
    member = found.member
    links = state.caps.chain(member.grant, member.kind)

    def see(finding: Finding) -> Finding:
        return seen_by(state, principal, links, found.at_ns, finding)

    said = wording_of(state)
    held = {name for name, grant in state.caps.grants.items() if grant.holder == principal}
    mine = set(state.caps.grants) if ROOT in held else held
    return {
        "intent_hash": member.intent_hash.hex(),
        "seq": found.seq,
        "at_ns": found.at_ns,
        "principal": found.by,
        "kind": member.kind,
        "grant": member.grant,
        "params": canonical_json(member.params),
        "origin": {"kind": member.origin_kind, "name": member.origin_name},
        "labels": member.labels,
        "outcome": found.decided.outcome,
        "final": found.is_final,
        "findings": [explained(see(finding), said) for finding in found.decided.findings],
        "chain": _chain(state, record, found, mine),
        "policy": _policy(state, found),
        "reserve": found.reserve,
        "draws": _draws(found, mine),
        "status": found.status,
        "phase": found.phase,
        "waits_for": [ask.row for ask in found.waits_for],
        "answers": [answer._asdict() for answer in found.answers],
        "then": _then(reader, found, mine, see),
        "next": _next(found),
    }


def explained(finding: Finding, wording: Wording) -> dict[str, Any]:
    """A finding with what its code means, and what it says."""
    reason = REASONS.get(finding.code)
    is_ours = reason is not None and reason.stage == finding.stage
    meaning = reason.meaning if reason is not None and is_ours else str(finding.facts.get("message", ""))
    return {**finding_json(finding), "meaning": meaning, "said": sentence(finding, wording)}


def _state_of(reader: Reader, found: Trace) -> State:
    """A state in which the intent's chain is what it was."""
    now = reader.folded
    member = found.member
    links = found.held.legs if found.held is not None else found.decided.authority
    recorded = [(link.grant, link.terms_hash) for link in links]
    if member.grant in now.caps.grants and member.kind in now.caps.effects:
        chain = now.caps.chain(member.grant, member.kind)
        same = [(link.grant.name, link.terms_hash) for link in chain.links] == recorded
        if same and now.policy_hash == found.decided.policy:
            return now
    return reader.state_before(found.seq)


def _draws(found: Trace, mine: set[str]) -> list[Any]:
    """What was drawn for the legs of these grants."""
    if found.held is None:
        return []
    legs = found.held.legs
    return [readable(draw) for draw in found.held.draws if legs[draw.leg].grant in mine]


def _chain(state: State, record: Record, found: Trace, mine: set[str]) -> list[dict[str, Any]]:
    """The grants above the intent, leaf first; of those in `mine` also what their modules answered."""
    member = found.member
    answers = _answers(state, record, member, found.at_ns)
    reserves = {leg.grant: leg.reserve for leg in found.held.legs} if found.held is not None else {}
    names = {digest: name for name, digest in state.caps.modules.items()}
    chain = []
    for link in state.caps.chain(member.grant, member.kind).links:
        row: dict[str, Any] = {
            "grant": link.grant.name,
            "cap": link.cap.name,
            "grant_hash": link.grant.grant_hash.hex(),
            "terms_hash": link.terms_hash.hex(),
            "covers": link.covers,
            "prices": None,
            "reserve": None,
            "module": None,
            "answer": None,
        }
        if link.template is not None:
            digest = link.cap.enforcer
            row["module"] = {"name": names.get(digest), "hash": digest.hex()}
        if link.grant.name in mine:
            row["prices"] = priced_by(state, link, member, found.at_ns)
            row["reserve"] = reserves.get(link.grant.name)
            row["answer"] = _answer(answers.get(link.grant.name))
        chain.append(row)
    return chain


def priced_by(state: State, link: Link, member: Member, at_ns: int) -> dict[str, Any] | None:
    """The snapshot that was in force for a grant and the row that priced the intent; None for no snapshot.

    `row` is None where the snapshot has no price for the model, `model` where the row is that for all.
    """
    if link.template is None:
        return None
    book, params = link.template.book, state.caps.cap_params(link.grant)
    if book is not None:
        snapshot = book.at(at_ns)
        name, digest, table = snapshot.name, snapshot.hash, state.caps.price_table(snapshot.hash)
    else:
        whole = whole_table(params)
        if whole is None:
            return None
        name, digest = str(whole[NAME]), bytes.fromhex(str(whole[HASH]))
        prices = {key: value for key, value in whole.items() if key not in (NAME, HASH)}
        table = PriceTable(digest, prices)
    assert table is not None  # it was looked for when the grant was recorded
    key = table.key_of(model_of(state.caps, member.kind, member.params))
    return {"snapshot": name, "hash": digest.hex(), "model": key or None, "row": table.row(key)}


def _answers(state: State, record: Record, member: Member, at_ns: int) -> dict[str, Judged]:
    """What each asked grant's module answered, found by the hash of its question."""
    by_question = {x.question: x for x in record.body.seen if isinstance(x, Judged)}
    asked: tuple[Link, ...] = state.caps.chain(member.grant, member.kind).asked
    questions = member_questions(state.caps, at_ns, member)
    pairs = zip(asked, questions, strict=True)
    return {
        link.grant.name: by_question[question.hash]
        for link, question in pairs
        if question.hash in by_question
    }


def _answer(judged: Judged | None) -> dict[str, Any] | None:
    """A Check's answer as a person reads it; None where the module was not asked."""
    if judged is None:
        return None
    verdict = Fault(judged.fault) if judged.fault else read_check(judged.answer)
    if isinstance(verdict, Fault):
        return {"fault": verdict.cls}
    if verdict.deny_code:
        return {"deny": {"code": verdict.deny_code, "message": verdict.deny_message}}
    return {"constraints_ok": True, "reserve_estimate": verdict.reserve}


def _policy(state: State, found: Trace) -> dict[str, Any]:
    """Which rule decided; `reached` is false where the stage was not, or where the world has no policy."""
    at = found.decided.rule
    has_name = 0 <= at < len(state.rules)
    return {
        "exists": bool(found.decided.policy),
        "reached": at >= NO_MATCH,
        "rule": at if at >= 0 else None,
        "name": state.rules[at].name if has_name else None,
        "hash": found.decided.policy.hex() or None,
    }


def _then(
    reader: Reader, found: Trace, mine: set[str], see: Callable[[Finding], Finding]
) -> list[dict[str, Any]]:
    """What happened afterwards, when and by whom: the legs of these grants, what is seen of findings."""
    later: list[tuple[int, Any]] = [*found.changes, *found.endings, *found.refunds]
    later += [*found.refusals, *found.postings]
    told = []
    for seq, event in sorted(later, key=lambda pair: pair[0]):
        if isinstance(event, Released):
            event = replace(event, findings=[see(finding) for finding in event.findings])
        elif isinstance(event, Settled):
            event = replace(event, violations=[see(violation) for violation in event.violations])
        body = reader.record(seq).body
        told.append({"seq": seq, "at_ns": body.at_ns, "by": body.by, **tagged_json(event)})
    for row in told:
        if "legs" in row:
            row["legs"] = [leg for leg in row["legs"] if leg["grant"] in mine]
    return told


def _next(found: Trace) -> list[str]:
    """What the caller can do now, in the words of `facts["next"]`, and what the answer allows."""
    advice: list[str] = []
    for finding in found.decided.findings:
        word = finding.facts.get("next")
        is_over = word == ASK_APPROVAL and found.phase != APPROVAL
        if isinstance(word, str) and word not in advice and not is_over:
            advice.append(word)
    if found.decided.outcome == DENY and found.member.keyed:
        advice.append(NEW_KEY)
    if not found.is_final:
        advice.append(NOT_FINAL)
    return advice
