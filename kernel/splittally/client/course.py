"""The course of a call: asked, begun, ended, told. Nothing here does I/O: it yields questions
(`connection.py`).

    begin    submit                allow, or why not
             wait                  where an approval is wanted and there is time for one
             dispatch              the start is a record that one caller wins
    (body)
    end      the row of the table  what to tell (`endings.py`)
             settle or release     told again where the way was lost, else kept: never forgotten in silence

Rule 1. Fail closed: the body runs only after an allow, and after the dispatch where one is asked for.
Rule 2. The attempt that submits belongs to the key, so any life of a host may go on where one was killed;
        the attempt that dispatches is fresh each time, so whoever started an effect alone can call it off.
Rule 3. Whatever goes wrong between the decision and the start is called off (`not_dispatched`), but where
        the intent is to stay: it waits, it has ended, it is somebody else's, or an earlier call had it
        held.
Rule 4. A key whose intent is known not to have happened, denied or released as `not_dispatched`, is used up
        for the kernel; the client asks on under the key that follows it, which is the same for all who ask.
Rule 5. What could not be told is kept in `Notes`, and told with the next request of this client.
"""

from collections.abc import Generator
from contextlib import suppress
from typing import Any, NoReturn

from splittally.client.call import Asked, Call
from splittally.client.connection import Course, Look, Recorded, Run, Sleep, Wait
from splittally.client.endings import ACTED, NOT_DISPATCHED, NOTHING, ROWS, Ending, ending_of, tell_once
from splittally.client.errors import (
    AlreadyDone,
    NotApproved,
    NotYours,
    SettleFailed,
    Stopped,
    Unreachable,
    Waiting,
)
from splittally.client.keys import attempt_of, key_after
from splittally.client.notes import Left, Notes
from splittally.core.errors import InvalidInput, ModuleNotCompiled
from splittally.core.types import APPROVAL, DENY, OPEN, RELEASED, REQUIRE_APPROVAL, RESERVED, RUNNING
from splittally.edge.records import (
    At,
    Decision,
    Dispatch,
    HoldChange,
    Intent,
    Receipt,
    Refused,
    Release,
    Settlement,
)
from splittally.runtime import new_attempt

AGAIN = (OSError, Unreachable, ModuleNotCompiled)  # after these the same request may be answered
AGAIN_AFTER_S = (0.05, 0.5, 2.0)
FOLLOWERS_MAX = 1_000  # keys that are tried one after the other; then the old answer stands
# The findings of what is known already, and what each is to a host.
KNOWN: dict[str, type[Stopped]] = {
    "already_ended": AlreadyDone,
    "not_your_attempt": NotYours,
    "already_dispatched": NotYours,
    "outcome_unknown": NotYours,
}

# The codes with which what was left may go on: by whether it had been started.
GOES_ON = {True: ("already_dispatched", "outcome_unknown"), False: ("not_your_attempt",)}


# --- before the act ---------------------------------------------------------------------------------


def begin(asked: Asked, notes: Notes) -> Course[Call]:
    """A call that may act now; else the error of its row of the table is raised and nothing may be done."""
    asked, decision = yield from _decide(asked, notes)
    call = Call(asked, decision, new_attempt())
    try:
        yield from _admit(call, notes)
    except (GeneratorExit, Stopped, Refused):
        raise
    except BaseException:
        with suppress(Exception):
            yield from _call_off(call)
        raise
    return call


def _decide(asked: Asked, notes: Notes) -> Course[tuple[Asked, Decision]]:
    """What is asked, under the first key of its row of keys that is not used up, and the decision."""
    first = asked.key
    asked = _under(asked, notes.latest_key(first))
    for last in (False,) * FOLLOWERS_MAX + (True,):
        decision = yield from _submit(asked, notes)
        if last or not (yield from _is_used_up(decision)):
            break
        assert decision.intent_hash is not None
        asked = _under(asked, key_after(asked.key, decision.intent_hash))
        notes.keep_key(first, asked.key)
    return asked, decision


def _under(asked: Asked, key: bytes) -> Asked:
    return asked._replace(key=key, attempt=attempt_of(key) if asked.dispatch else asked.attempt)


def _is_used_up(decision: Decision) -> Course[bool]:
    """Whether this is the old answer to an intent that is known not to have happened: it was denied, or
    released by who knew, and no receipt came since. Nobody's word but that opens a key again."""
    if not decision.duplicate or decision.allowed:
        return False
    if decision.outcome == DENY:
        return True
    if not any(each.code == "already_ended" for each in decision.findings):
        return False
    row = yield Look(decision.intent_hash or b"")
    return row is not None and (row["status"], row["cause"], row["usage"]) == (RELEASED, NOT_DISPATCHED, None)


def _submit(asked: Asked, notes: Notes) -> Course[Decision]:
    """The decision; what could not be told before is told with it."""
    kept = notes.unsettled
    intent = Intent(
        kind=asked.kind,
        params=asked.params,
        grant=asked.grant,
        origin=asked.origin,
        idempotency_key=asked.key,
        expires_ns=asked.expires_ns,
        labels=asked.labels or None,
        attempt=asked.attempt,
    )
    *told, decision = yield Run([At(None, request) for request in (*kept, intent)])
    notes.take_told(kept, told)
    if isinstance(decision, Exception):
        raise decision
    assert isinstance(decision, Decision)
    return decision


def _admit(call: Call, notes: Notes) -> Course[None]:
    """Nothing where the body may run; else what the host gets."""
    decision = call.decision
    code = next((each.code for each in decision.findings if each.code in KNOWN), "")
    if not decision.allowed and code:
        left = notes.take_left(call.intent_hash)
        if left is None and call.asked.resumes is not None:
            left = Left(call.asked.resumes, is_started=True)
        if left is None or code not in GOES_ON[left.is_started]:
            yield from _stop(call, KNOWN[code])
        elif left.is_started:
            call.attempt = left.attempt
            return
    elif not decision.allowed:
        if decision.outcome != REQUIRE_APPROVAL:
            raise Refused(decision)
        yield from _wait(call, notes)
    if call.asked.dispatch:
        yield from _dispatch(call)
    call.is_started = call.asked.dispatch


def _wait(call: Call, notes: Notes) -> Course[None]:
    """Nothing once it is approved."""
    asked = call.asked
    wait = Wait(call.intent_hash, asked.approval_timeout_s)
    row = yield Look(call.intent_hash) if asked.approval_timeout_s == 0 else wait
    phase, status = (row["phase"], row["status"]) if row is not None else ("", "")
    if status == RESERVED and phase == OPEN:
        return
    if status == RELEASED:
        raise NotApproved(call.decision, row)
    if phase == APPROVAL:
        if (
            not asked.dispatch
        ):  # no other call has this attempt, so it is noted for the next one with this key
            notes.keep_left(call.intent_hash, Left(call.attempt, is_started=False))
        raise Waiting(call.decision, row, asked.key)
    raise (NotYours if status == RESERVED else AlreadyDone)(call.decision, row, asked.key)


def _dispatch(call: Call) -> Course[None]:
    """Nothing where this call won the start."""
    (answer,) = yield Run([At(None, Dispatch(call.intent_hash, call.attempt))])
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, HoldChange)
    match answer.status:
        case "dispatched":
            return
        case "already_dispatched":
            yield from _stop(call, NotYours)
        case "not_approved":
            yield from _stop(call, Waiting)
        case _:
            yield from _stop(call, AlreadyDone)


def _stop(call: Call, kind: type[Stopped]) -> Generator[Look, Recorded | None, NoReturn]:
    row = yield Look(call.intent_hash)
    raise kind(call.decision, row, call.key)


def _call_off(call: Call) -> Course[None]:
    """Release what this call had held, or started; what an earlier one had held is left to go on."""
    if call.decision.duplicate:
        row = yield Look(call.intent_hash)
        if row is None or row["phase"] != RUNNING:
            return
    yield Run([At(None, Release(call.intent_hash, NOT_DISPATCHED, attempt=call.attempt))])


# --- after the act ----------------------------------------------------------------------------------


def end(call: Call, happened: BaseException | None, notes: Notes, is_abandoned: bool = False) -> Course[None]:
    """Tell the kernel how the body ended; `SettleFailed` where it could not be told."""
    ending = _ending(call, happened, is_abandoned)
    call.ending = ending.name
    if happened is not None:
        tell_once(happened)
    request = _told(call, ending)
    if request is None:
        notes.keep_left(call.intent_hash, Left(call.attempt, call.is_started))
    else:
        yield from _tell(call, request, notes)


def _ending(call: Call, happened: BaseException | None, is_abandoned: bool) -> Ending:
    if call.is_unknown:
        return ROWS["said_unknown"]
    if call.is_misreported:
        return ROWS["misreported"]
    if is_abandoned:
        return ROWS["abandoned"]
    return ending_of(happened, call.asked.pauses)


def _told(call: Call, ending: Ending) -> Receipt | Release | None:
    """What the row of an ending says to tell; None for nothing."""
    assert ending.when == ACTED
    if ending.told == NOTHING:
        return None
    if ending.told == NOT_DISPATCHED:
        return Release(call.intent_hash, NOT_DISPATCHED, attempt=call.attempt)
    said = (call.payload, call.cost_cents, call.pays_to)
    return Receipt(call.intent_hash, ending.told, call.asked.adapter_id, *said)


def _tell(call: Call, request: Receipt | Release, notes: Notes) -> Course[None]:
    try:
        answer = yield from _answered(request)
    except GeneratorExit:
        raise
    except BaseException:  # interrupted: it may be told already, and telling it again changes nothing
        notes.keep_unsettled(request)
        raise
    if isinstance(answer, Settlement | HoldChange):
        call.settlement = answer
        if answer.status in ("not_found", "already_dispatched"):
            raise SettleFailed(request, f"it answers `{answer.status}`", is_kept=False)
        return
    is_kept = not isinstance(answer, InvalidInput)
    if is_kept:
        notes.keep_unsettled(request)
    raise SettleFailed(request, f"{type(answer).__name__}: {answer}", is_kept) from answer


def _answered(request: Receipt | Release) -> Course[Any]:
    """The answer, or the error that telling it again does not mend."""
    answer: Any = None
    for pause_s in (0.0, *AGAIN_AFTER_S):
        if pause_s:
            yield Sleep(pause_s)
        try:
            (answer,) = yield Run([At(None, request)])
        except Exception as error:
            answer = error
        if not isinstance(answer, AGAIN):
            break
    return answer


def tell_again(notes: Notes) -> Course[None]:
    """Tell what could not be told; `SettleFailed` where something still cannot."""
    kept = notes.unsettled
    if not kept:
        return
    try:
        told = yield Run([At(None, request) for request in kept])
    except Exception as error:
        told = [error] * len(kept)
    notes.take_told(kept, told)
    left = [
        (request, answer) for request, answer in zip(kept, told, strict=True) if isinstance(answer, Exception)
    ]
    if left:
        request, answer = left[0]
        raise SettleFailed(request, f"{len(left)} endings, the first: {answer}", is_kept=True) from answer
