"""What a served world can be asked beside requests: one table, for every face and the OpenAPI document.

Rule 1. An operation has a name, the way it is said over HTTP, who may ask it, its fields, and what answers.
        A frame names it (`{"call": "outcome", "intent_hash": "..."}`); HTTP has its path.
Rule 2. Its fields are a type (`fields.py`): what is missing, unknown or of another type is refused by name
        before anything is looked at.
Rule 3. What a caller may not see is answered as what is not there.
Rule 4. An answer of the kernel is said by the face: as JSON has it, or with its bytes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.types import OPERATOR, ROOT
from splittally.edge.answer_lines import Say, finding_json, readable, told
from splittally.edge.labels import parse_labels
from splittally.edge.records import Answer, At, Intent
from splittally.edge.request_lines import request_of
from splittally.host.service.feed import page_of_frames
from splittally.host.service.fields import (
    Apply,
    Approve,
    Decide,
    Document,
    Fields,
    Journal,
    Moment,
    Named,
    Native,
    Nothing,
    OfIntent,
    Page,
    Reject,
    Spend,
    ToDispatch,
    ToExtend,
    ToRelease,
    Wait,
)
from splittally.host.service.manifests import Sent, stated
from splittally.host.service.pages import page, row
from splittally.host.service.problems import Problem, not_found, problem_of
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller
from splittally.runtime.preview import change_json
from splittally.runtime.queries import Queries
from splittally.runtime.rows import Row

HOST, AUDITOR, OWNER = "host", "auditor", "operator"
DECISION, CHANGE = "Decision", "HoldChange"


class Operation(NamedTuple):
    """One row: `who` may ask, `fields` it takes, `do` what answers; `answer` names the shape of that."""

    name: str
    method: str
    path: str
    who: str
    fields: type[Fields]
    answer: str
    do: Callable[[Service, Caller, Any], Awaitable[Document | Answer]]
    summary: str


async def _outcome(service: Service, caller: Caller, asked: OfIntent) -> Document:
    return _shown(await service.outcome(caller, asked.intent_hash), asked)


async def _wait(service: Service, caller: Caller, asked: Wait) -> Document:
    _shown(await service.outcome(caller, asked.intent_hash), asked)
    await service.wait(asked.intent_hash, asked.timeout_s, asked.ended)
    return _shown(await service.outcome(caller, asked.intent_hash), asked)


def _shown(found: Row | None, asked: OfIntent) -> Document:
    if found is None:
        raise not_found(f"intent `{asked.intent_hash}`")
    return {**readable(found), "findings": [finding_json(finding) for finding in found.findings]}


async def _release(service: Service, caller: Caller, asked: ToRelease) -> Answer:
    if asked.cause == "governance" and asked.order is None:
        raise Problem(400, "invalid_input", "governance needs `order`, which names the order behind it")
    attempt = None if asked.attempt is None else bytes.fromhex(asked.attempt)
    change = service.asking(caller).release(
        asked.intent_hash, asked.cause, asked.order, asked.now_ns, attempt
    )
    return await service.within(change)


async def _extend(service: Service, caller: Caller, asked: ToExtend) -> Answer:
    change = service.asking(caller).extend(asked.intent_hash, asked.expires_ns, asked.now_ns)
    return await service.within(change)


async def _dispatch(service: Service, caller: Caller, asked: ToDispatch) -> Answer:
    attempt = bytes.fromhex(asked.attempt)
    return await service.within(service.asking(caller).dispatch(asked.intent_hash, attempt, asked.now_ns))


async def _approve(service: Service, caller: Caller, asked: Approve) -> Answer:
    answer = service.asking(caller).approve(asked.intent_hash, asked.now_ns, asked.reasons)
    return await service.within(answer)


async def _reject(service: Service, caller: Caller, asked: Reject) -> Answer:
    return await service.within(service.asking(caller).reject(asked.intent_hash, asked.now_ns))


async def _decide(service: Service, caller: Caller, asked: Decide) -> Answer:
    try:
        at = request_of(asked.intent)
    except SplittallyError as error:
        raise problem_of(error) from None
    if not isinstance(at.request, Intent):
        raise Problem(400, "invalid_input", "an intent is decided here; groups and receipts are not")
    answer: Answer = await service.judged(caller, At(at.now_ns, at.request))
    return answer


async def _native(service: Service, caller: Caller, asked: Native) -> Answer:
    params = {name: value for name, value in asked.params.items() if name not in ("kind", "under", "now_ns")}
    if len(params) < len(asked.params):
        raise Problem(400, "invalid_input", "`kind`, `under` and `now_ns` stand beside `params`")
    asking = service.asking(caller).native(asked.kind, now_ns=asked.now_ns, under=asked.under, **params)
    answer = await service.within(asking)
    under = At(asked.now_ns, Intent(asked.kind, params, asked.under or ROOT))
    veiled: Answer = service.veiled(caller, under, answer)
    return veiled


def _page_of(table: str) -> Callable[[Service, Caller, Page], Awaitable[Document]]:
    async def read(service: Service, caller: Caller, asked: Page) -> Document:
        return await service.look(caller, lambda state: page(state, caller, table, asked.after, asked.limit))

    return read


def _row_of(table: str) -> Callable[[Service, Caller, Named], Awaitable[Document]]:
    async def read(service: Service, caller: Caller, asked: Named) -> Document:
        return await service.look(caller, lambda state: row(state, caller, table, asked.name))

    return read


async def _spend(service: Service, caller: Caller, asked: Spend) -> Document:
    query = msgspec.structs.asdict(asked)
    by, labels = query.pop("by").split(","), query.pop("labels")
    query["labels"] = parse_labels(labels.split(",")) if labels else None
    if not caller.may_see_all:
        query["principal"] = caller.principal

    def read(state: Queries) -> Document:
        try:
            return {"items": readable(state.spend(by, **query))}
        except InvalidInput as error:
            if caller.may_see_all or error.facts.get("field") not in ("grant", "under", "principal"):
                raise
            return {"items": []}  # as of a grant that is another's

    return await service.look(caller, read)


async def _journal(service: Service, caller: Caller, asked: Journal) -> Document:
    return await service.look(caller, lambda _: page_of_frames(service, asked.after, asked.limit))


async def _apply(service: Service, caller: Caller, asked: Apply) -> Answer:
    source = stated(Sent(asked.manifest, asked.form, asked.files))
    applied = service.asking(caller).apply(
        source, asked.now_ns, asked.accept_modules, asked.expect, asked.allow_revoke
    )
    return await service.within(applied)


async def _plan(service: Service, caller: Caller, asked: Apply) -> Document:
    source = stated(Sent(asked.manifest, asked.form, asked.files))
    plan = await service.within(service.asking(caller).plan(source, asked.now_ns, asked.accept_modules))
    changes = [change_json(change) for change in plan.changes]
    return {"decision": told(plan.decision), "plan": plan.hash.hex(), "changes": readable(changes)}


async def _tick(service: Service, caller: Caller, asked: Moment) -> Document:
    return {"frames": await service.within(service.asking(caller).tick(asked.now_ns))}


async def _upgrade(service: Service, caller: Caller, asked: Nothing) -> Document:
    return {"seq": await service.within(service.asking(caller).upgrade())}


async def _me(service: Service, caller: Caller, asked: Nothing) -> Document:
    return {"principal": caller.principal, "roles": list(caller.roles), "world": service.world_id}


TABLES = ("grants", "counters", "reservations", "accounts", "budgets", "resources")
INTENT = "/v1/intents/{intent_hash}"
OPERATIONS: tuple[Operation, ...] = (
    Operation("outcome", "GET", INTENT, HOST, OfIntent, "Outcome", _outcome, "what happened to an intent"),
    Operation("wait", "GET", f"{INTENT}/wait", HOST, Wait, "Outcome", _wait, "the same, once it changes"),
    Operation("release", "POST", f"{INTENT}/release", HOST, ToRelease, CHANGE, _release, "end a hold"),
    Operation("extend", "POST", f"{INTENT}/extend", HOST, ToExtend, CHANGE, _extend, "move its expiry"),
    Operation("dispatch", "POST", f"{INTENT}/dispatch", HOST, ToDispatch, CHANGE, _dispatch, "start it"),
    Operation("approve", "POST", f"{INTENT}/approve", HOST, Approve, DECISION, _approve, "approve it"),
    Operation("reject", "POST", f"{INTENT}/reject", HOST, Reject, DECISION, _reject, "reject it"),
    Operation("decide", "POST", "/v1/decide", HOST, Decide, DECISION, _decide, "what would be answered"),
    Operation("native", "POST", "/v1/effects/{kind}", HOST, Native, DECISION, _native, "a native effect"),
    *(Operation(x, "GET", f"/v1/{x}", HOST, Page, "Page", _page_of(x), f"{x}, page by page") for x in TABLES),
    *(
        Operation(x[:-1], "GET", f"/v1/{x}/{{name}}", HOST, Named, "Row", _row_of(x), f"one of the {x}")
        for x in TABLES
    ),
    Operation("me", "GET", "/v1/me", HOST, Nothing, "Row", _me, "who the caller is here"),
    Operation("spend", "GET", "/v1/spend", HOST, Spend, "Rows", _spend, "who spent what, from charges"),
    Operation("journal", "GET", "/v1/journal", AUDITOR, Journal, "Page", _journal, "frames, page by page"),
    Operation("apply", "POST", "/v1/manifest", OWNER, Apply, DECISION, _apply, "make the world what it says"),
    Operation("plan", "POST", "/v1/manifest/plan", OWNER, Apply, "Plan", _plan, "what that would change"),
    Operation("tick", "POST", "/v1/tick", OWNER, Moment, "Row", _tick, "work through what is due"),
    Operation("upgrade", "POST", "/v1/upgrade", OWNER, Nothing, "Row", _upgrade, "record this release"),
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}


async def called(
    service: Service, caller: Caller, document: Mapping[str, Any], say: Say = readable
) -> Document:
    """The answer to `{"call": NAME, ...fields}`; `Problem` where there is no such call, or as `call` says."""
    name = document["call"]
    operation = BY_NAME.get(name) if type(name) is str else None
    if operation is None:
        raise Problem(404, "not_found", f"there is no call of this name; there are {', '.join(BY_NAME)}")
    fields = {key: value for key, value in document.items() if key != "call"}
    return await call(service, caller, operation, fields, say=say)


async def call(
    service: Service,
    caller: Caller,
    operation: Operation,
    given: Mapping[str, Any],
    is_text: bool = False,
    say: Say = readable,
) -> Document:
    """The answer of an operation to these fields; `Problem` where they or the caller are not fit.

    `is_text` says that numbers came as text, as those of an address do.
    """
    if operation.who == AUDITOR and not caller.may_see_all:
        raise Problem(403, "forbidden", "operators and auditors read the journal")
    if operation.who == OWNER and not (caller.may_name_others or caller.principal == OPERATOR):
        raise Problem(403, "forbidden", "this is for operators")
    try:
        asked = msgspec.convert(given, operation.fields, strict=not is_text)
    except msgspec.ValidationError as error:
        raise Problem(400, "invalid_input", str(error)) from None
    answer = await operation.do(service, caller, asked)
    return told(answer, say=say) if isinstance(answer, Answer) else answer
