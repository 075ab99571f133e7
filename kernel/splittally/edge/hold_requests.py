"""What a host asks of a hold, as commands: `InvalidInput` where it cannot be read."""

from splittally.core.commands import Dispatch as DispatchCommand
from splittally.core.commands import Extend as ExtendCommand
from splittally.core.commands import Release as ReleaseCommand
from splittally.core.errors import InvalidInput
from splittally.core.limits import ATTEMPT_BYTES, TEXT_BYTES_MAX, TIME_NS_MAX
from splittally.core.types import ASKED_CAUSES
from splittally.edge.hashes import require_hash
from splittally.edge.records import Dispatch, Extend, Release
from splittally.edge.sizes import require_text


def seal_dispatch(request: Dispatch) -> DispatchCommand:
    return DispatchCommand(require_hash(request.intent_hash), _attempt_of(request.attempt))


def seal_release(request: Release) -> ReleaseCommand:
    if type(request.cause) is not str or request.cause not in ASKED_CAUSES:
        raise InvalidInput("`cause` is cancel or not_dispatched; governance needs an order", field="cause")
    order = require_text("order", "" if request.order is None else request.order, TEXT_BYTES_MAX)
    attempt = b"" if request.attempt is None else _attempt_of(request.attempt)
    return ReleaseCommand(require_hash(request.intent_hash), request.cause, order, attempt)


def seal_extend(request: Extend) -> ExtendCommand:
    expires_ns = request.expires_ns
    if type(expires_ns) is not int or not 0 < expires_ns <= TIME_NS_MAX:
        raise InvalidInput("`expires_ns` is a time below 2^63", field="expires_ns")
    return ExtendCommand(require_hash(request.intent_hash), expires_ns)


def _attempt_of(attempt: object) -> bytes:
    if type(attempt) is not bytes or len(attempt) != ATTEMPT_BYTES:
        raise InvalidInput(f"`attempt` has {ATTEMPT_BYTES} bytes", field="attempt")
    return attempt
