"""What a command must be before anything is decided: the rules that no stage asks about.

The edge makes commands that keep them. `decide` (`runtime/pipeline.py`) refuses any that does not come from
there, and audit asks them of every recorded frame. So what no kernel can have recorded is found by the very
function that kept kernels from recording it.

Rule 1. Form is all that is looked at, and a few tables of the state; no params are read.
Rule 2. A name that is recorded was judged when it came in (`names.py`): only its bounds are asked here.
Rule 3. The kernel's own commands are its own, and everything else is somebody's.

Example. `Release(intent_hash, "governance", "order 7")` is refused: the order of a warden is a native effect,
and a caller says `cancel` or `not_dispatched`.
"""

from functools import lru_cache

from splittally.core.amounts import fits
from splittally.core.commands import (
    DROPPED,
    FITS,
    MISFIT,
    TOO_LARGE,
    Anchor,
    Command,
    Dispatch,
    Extend,
    Member,
    Open,
    Release,
    Settle,
    Submit,
    Tick,
)
from splittally.core.limits import (
    ATTEMPT_BYTES,
    HASH_BYTES,
    KEY_BYTES,
    LABEL_BYTES_MAX,
    LABEL_NAME_BYTES_MAX,
    LABELS_MAX,
    MEMBERS_MAX,
    NAME_BYTES_MAX,
    NATIVE_PARAMS_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SIGNATURE_BYTES,
    TEXT_BYTES_MAX,
    TICK_ITEMS_MAX,
    TIME_NS_MAX,
    WORLD_BYTES,
)
from splittally.core.native import NATIVE
from splittally.core.state import FORMAT, State
from splittally.core.types import (
    ASKED_CAUSES,
    CLOCKS,
    KERNEL,
    OPERATOR,
    ORIGIN_KINDS,
    RECEIPT_STATUSES,
    STATUS_UNKNOWN,
    is_name,
)

FITTING = (FITS, MISFIT, *DROPPED)
_SIZES = (KEY_BYTES, HASH_BYTES, ATTEMPT_BYTES)
STATUSES = (*RECEIPT_STATUSES, STATUS_UNKNOWN)
TWO_PAYLOADS = "one key of a grant stands for two payloads in the group"


def fault_of(state: State, at_ns: int, principal: str, command: Command) -> str:
    """Why no kernel can have been asked this in this state, then and by this principal; empty if it can."""
    if not state.now_ns <= at_ns <= TIME_NS_MAX:
        return f"time {at_ns} is before the one before it" if at_ns < state.now_ns else "time is beyond 2^63"
    if not (state.size or isinstance(command, Open)):
        return "the first record does not open a world"
    match command:
        case Submit() if is_recorded_name(principal):
            return _submit_fault(state, command)
        case Settle() | Release() | Extend() | Dispatch() if is_recorded_name(principal):
            return _hold_fault(command)
        case Tick():
            is_one = principal == KERNEL and 0 < command.items <= TICK_ITEMS_MAX
            return "" if is_one else f"a tick is the kernel's own, of 1 to {TICK_ITEMS_MAX} items"
        case Anchor():
            return _anchor_fault(state, principal, command)
        case Open():
            return _open_fault(state, principal, command)
        case _:
            return "a principal has a name"


_is_origin = lru_cache(maxsize=4096)(is_name)


def group_fault(mode: str, members: list[Member]) -> str:
    """Why these intents are no linked group; empty if they are."""
    if mode not in ("all", "first"):
        return "the `mode` of a group is all or first"
    if not 0 < len(members) <= MEMBERS_MAX:
        return f"a group has 1 to {MEMBERS_MAX} intents"
    if any(member.kind in NATIVE and NATIVE[member.kind].target for member in members):
        return "an effect that rests on an ended intent stands alone"
    if len({member.intent_hash for member in members}) != len(members):
        return "one intent stands twice in the group"
    if len({(member.grant, member.key) for member in members}) != len(members):
        return TWO_PAYLOADS
    if mode == "first" and not all(member.keyed for member in members):
        return "in `first` every intent has an idempotency key, or none has"
    return ""


@lru_cache(maxsize=4096)
def is_recorded_name(text: str) -> bool:
    """Whether a recorded name keeps the bounds of one: neither empty nor too long, no control character."""
    return 0 < len(text) <= NAME_BYTES_MAX and min(text) >= " " and len(text.encode()) <= NAME_BYTES_MAX


def _open_fault(state: State, principal: str, command: Open) -> str:
    if not state.size:
        is_whole = (
            len(command.world) == WORLD_BYTES and command.clock in CLOCKS and 0 < command.format <= FORMAT
        )
        if principal == KERNEL and is_whole and command.engine and command.release:
            return ""
        return "a world is made by the kernel, with an id, a clock, an engine and a release"
    if (command.world, command.clock) != (state.world, state.clock):
        return "another world is opened, or this one with another clock"
    now, then = (state.format, state.engine), (command.format, command.engine)
    if not command.engine or not now[0] <= then[0] <= FORMAT:
        return "a world is opened under an engine and never in an older format"
    if command.release:
        is_one = principal == OPERATOR and now == then
        return "" if is_one else "a release is taken by the operator, under the engine that opened the world"
    is_new = principal == KERNEL and now != then
    return "" if is_new else "a world is opened anew by the kernel, for another engine or format"


def _anchor_fault(state: State, principal: str, command: Anchor) -> str:
    are_hashes = all(len(digest) == HASH_BYTES for digest in command.runs)
    is_sound = command.size == state.size and len(command.root) in (0, HASH_BYTES) and are_hashes
    return (
        ""
        if principal == KERNEL and is_sound
        else "an anchor is the kernel's own, and of all frames before it"
    )


def _submit_fault(state: State, command: Submit) -> str:
    members = command.members
    if command.mode == "each":
        if len(members) != 1:
            return "one intent is decided at a time, or a group as one"
    elif fault := group_fault(command.mode, members):
        return fault
    for member in members:
        if fault := _member_fault(state, member):
            return fault
    return ""


def _member_fault(state: State, member: Member) -> str:
    caps = state.caps
    effect = caps.effects.get(member.kind)
    if effect is None or member.grant not in caps.grants:
        return "an intent is of a kind and under a grant that are there"
    if (len(member.key), len(member.intent_hash), len(member.attempt)) != _SIZES:
        return f"a key has {KEY_BYTES} bytes, an attempt {ATTEMPT_BYTES}, a hash {HASH_BYTES}"
    if member.origin_kind not in ORIGIN_KINDS or not _is_origin(member.origin_name):
        return "an origin is a plan or a reducer, by name"
    if member.expires_ns and not 0 < member.expires_ns <= TIME_NS_MAX:
        return "an expiry is a time below 2^63"
    if member.labels and (fault := _labels_fault(member.labels)):
        return fault
    if member.schema != effect.params_schema:
        return f"the params of `{member.kind}` were judged by another schema than the world has"
    most = NATIVE_PARAMS_BYTES_MAX if member.kind in NATIVE else effect.params_bytes_max
    return f"the params have more than {most} bytes" if len(member.params) > most else ""


def _labels_fault(labels: dict[str, str]) -> str:
    if len(labels) > LABELS_MAX:
        return f"an intent has at most {LABELS_MAX} labels"
    for name, text in labels.items():
        if (
            not 0 < len(name.encode()) <= LABEL_NAME_BYTES_MAX
            or not 0 < len(text.encode()) <= LABEL_BYTES_MAX
        ):
            return "a label is a short name and a short text"
    return ""


def _hold_fault(command: Settle | Release | Extend | Dispatch) -> str:
    """Why this is no request about one intent."""
    if len(command.intent_hash) != HASH_BYTES:
        return f"an intent is named by {HASH_BYTES} bytes"
    match command:
        case Settle():
            return _receipt_fault(command)
        case Release():
            if command.cause not in ASKED_CAUSES:
                return f"nobody asks for a release of cause `{command.cause}`: {' or '.join(ASKED_CAUSES)}"
            if len(command.order.encode()) > TEXT_BYTES_MAX or len(command.attempt) not in (0, ATTEMPT_BYTES):
                return f"an order is text of at most {TEXT_BYTES_MAX} bytes, an attempt {ATTEMPT_BYTES} bytes"
            return ""
        case Extend():
            return "" if 0 < command.expires_ns <= TIME_NS_MAX else "an expiry is a time below 2^63"
        case Dispatch():
            return "" if len(command.attempt) == ATTEMPT_BYTES else f"an attempt has {ATTEMPT_BYTES} bytes"


def _receipt_fault(command: Settle) -> str:
    if command.status not in STATUSES:
        return f"no receipt has the status `{command.status}`"
    if command.cost_cents != -1 and not fits(command.cost_cents):
        return "a cost is a natural"
    adapter, pays_to = command.adapter, command.pays_to
    if (adapter and not is_recorded_name(adapter)) or (pays_to and not is_recorded_name(pays_to)):
        return "an adapter and a payee have names"
    if command.fits not in FITTING or (command.fits in DROPPED and command.payload):
        return "a payload fits, does not fit, or was dropped"
    if len(command.sent) not in (0, HASH_BYTES) or bool(command.sent) != (command.sent_bytes > 0):
        return "of what was sent there are a hash and a size, or neither"
    if len(command.payload) > PAYLOAD_BYTES_MAX:
        return "a payload is too large"
    if command.signature:
        is_whole = len(command.signature) == SIGNATURE_BYTES and adapter and command.sent
        return "" if is_whole else f"a signature has {SIGNATURE_BYTES} bytes, an adapter and a payload's hash"
    if command.sent and command.fits not in (FITS, TOO_LARGE):
        return "what was sent is named where some of it was left out"
    return ""
