"""What a served world can be asked beside requests: one table, for every face and the OpenAPI document.

Rule 1. An operation has a name, the way it is said over HTTP, who may ask it, its fields, and what answers.
        A frame names it (`{"call": "outcome", "intent_hash": "..."}`); HTTP has its path.
Rule 2. Its fields are a type (`fields.py`): what is missing, unknown or of another type is refused by name
        before anything is looked at.
Rule 3. What a caller may not see is answered as what is not there.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from splittally.core.errors import InvalidInput, SplittallyError
from splittally.core.types import OPERATOR, ROOT
from splittally.edge.answer_lines import finding_json, readable
from splittally.edge.records import At, Intent
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
from splittally.host.service.manifests import Sent, opened
from splittally.host.service.pages import page, row
from splittally.host.service.problems import Problem, not_found, problem_of
from splittally.host.service.service import Service
from splittally.host.service.telling import told
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
    do: Callable[[Service, Caller, Any], Awaitable[Document]]
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


async def _release(service: Service, caller: Caller, asked: ToRelease) -> Document:
    if asked.cause == "governance" and asked.order is None:
        raise Problem(400, "invalid_input", "governance needs `order`, which names the order behind it")
    attempt = None if asked.attempt is None else bytes.fromhex(asked.attempt)
    change = service.asking(caller).release(
        asked.intent_hash, asked.cause, asked.order, asked.now_ns, attempt
    )
    return told(await service.within(change))


async def _extend(service: Service, caller: Caller, asked: ToExtend) -> Document:
    change = service.asking(caller).extend(asked.intent_hash, asked.expires_ns, asked.now_ns)
    return told(await service.within(change))


async def _dispatch(service: Service, caller: Caller, asked: ToDispatch) -> Document:
    attempt = bytes.fromhex(asked.attempt)
    return told(
        await service.within(service.asking(caller).dispatch(asked.intent_hash, attempt, asked.now_ns))
    )


async def _approve(service: Service, caller: Caller, asked: Approve) -> Document:
    answer = service.asking(caller).approve(asked.intent_hash, asked.now_ns, asked.reasons)
    return told(await service.within(answer))


async def _reject(service: Service, caller: Caller, asked: Reject) -> Document:
    return told(await service.within(service.asking(caller).reject(asked.intent_hash, asked.now_ns)))


async def _decide(service: Service, caller: Caller, asked: Decide) -> Document:
    try:
        at = request_of(asked.intent)
    except SplittallyError as error:
        raise problem_of(error) from None
    if not isinstance(at.request, Intent):
        raise Problem(400, "invalid_input", "an intent is decided here; groups and receipts are not")
    return told(await service.judged(caller, At(at.now_ns, at.request)))


async def _native(service: Service, caller: Caller, asked: Native) -> Document:
    params = {name: value for name, value in asked.params.items() if name not in ("kind", "under", "now_ns")}
    if len(params) < len(asked.params):
        raise Problem(400, "invalid_input", "`kind`, `under` and `now_ns` stand beside `params`")
    asking = service.asking(caller).native(asked.kind, None, asked.now_ns, asked.under, **params)
    answer = await service.within(asking)
    under = At(asked.now_ns, Intent(asked.kind, params, asked.under or ROOT))
    return told(service.veiled(caller, under, answer))


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
    by = query.pop("by").split(",")
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


async def _apply(service: Service, caller: Caller, asked: Apply) -> Document:
    kernel = service.asking(caller)
    with opened(Sent(asked.manifest, asked.form, asked.files)) as source:
        applied = kernel.apply(source, asked.now_ns, asked.accept_modules, asked.expect, asked.allow_revoke)
        return told(await service.within(applied))


async def _plan(service: Service, caller: Caller, asked: Apply) -> Document:
    kernel = service.asking(caller)
    with opened(Sent(asked.manifest, asked.form, asked.files)) as source:
        plan = await service.within(kernel.plan(source, asked.now_ns, asked.accept_modules))
    changes = [change_json(change) for change in plan.changes]
    return {"decision": told(plan.decision), "plan": plan.hash.hex(), "changes": readable(changes)}


async def _tick(service: Service, caller: Caller, asked: Moment) -> Document:
    return {"frames": await service.within(service.asking(caller).tick(asked.now_ns))}


async def _upgrade(service: Service, caller: Caller, asked: Nothing) -> Document:
    return {"seq": await service.within(service.asking(caller).upgrade())}


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
    Operation("spend", "GET", "/v1/spend", HOST, Spend, "Rows", _spend, "who spent what, from charges"),
    Operation("journal", "GET", "/v1/journal", AUDITOR, Journal, "Page", _journal, "frames, page by page"),
    Operation("apply", "POST", "/v1/manifest", OWNER, Apply, DECISION, _apply, "make the world what it says"),
    Operation("plan", "POST", "/v1/manifest/plan", OWNER, Apply, "Plan", _plan, "what that would change"),
    Operation("tick", "POST", "/v1/tick", OWNER, Moment, "Row", _tick, "work through what is due"),
    Operation("upgrade", "POST", "/v1/upgrade", OWNER, Nothing, "Row", _upgrade, "record this release"),
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}


async def call(
    service: Service, caller: Caller, operation: Operation, given: Mapping[str, Any], is_text: bool = False
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
    return await operation.do(service, caller, asked)
