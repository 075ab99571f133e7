"""A row of the table of native effects: how its params read, what it checks, what it makes.

Rule 1. `check` reports everything that is wrong and changes nothing; `make` runs only when nothing was
        found, and cannot fail.
Rule 2. A native effect never draws on an account: its postings are its params.
Rule 3. What it touches is computed here from its params, never by an enforcer from the names of fields.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from splittally.core.canonical import decode
from splittally.core.commands import Known
from splittally.core.errors import InvalidInput
from splittally.core.events import Event
from splittally.core.findings import Finding
from splittally.core.ledger.moves import Move
from splittally.core.limits import HASH_BYTES
from splittally.core.state import State
from splittally.core.types import Grant


class Touches(Struct, frozen=True, kw_only=True, gc=False):
    """What an effect reads or moves by its params: the lists of the native grants of its chain must cover it.

    `payees` are accounts, or prefixes of accounts, that may be paid because of it. An empty name is none.
    `grants`, `budgets` and `intents` are what it changes or reads, which its grant must reach; `handed` are
    the grants as it would leave them. `spenders` are grants whose spend it books.
    """

    accounts: list[str] = []
    payees: list[str] = []
    resources: list[str] = []
    intents: list[bytes] = []
    grants: list[str] = []
    spenders: list[str] = []
    budgets: list[str] = []
    handed: list[Grant] = []


NOTHING = Touches()


class OfHold(Protocol):
    """Params that name an intent."""

    @property
    def intent_hash(self) -> bytes: ...


def require_hash(data: bytes) -> None:
    """Raises `ValueError` where this is not the hash of an intent."""
    if len(data) != HASH_BYTES:
        raise ValueError(f"`intent_hash` has {HASH_BYTES} bytes")


class NativeCall(Struct, frozen=True, gc=False):
    """Who asks, when, under which grant, and the evidence that native effects need.

    `admitted` maps a module's hash to the admission check it fails, empty when it is admitted.
    """

    now_ns: int
    principal: str
    grant: str
    intent_hash: bytes
    known: Known | None
    admitted: dict[bytes, str]
    labels: dict[str, str]


def touches_hold(state: State, call: NativeCall, params: OfHold) -> Touches:
    """The intent, and the accounts that its hold draws on."""
    hold = state.ledger.holds.get(params.intent_hash)
    draws = hold.draws if hold is not None else ()
    return Touches(
        accounts=[draw.account for draw in draws],
        resources=[draw.resource for draw in draws],
        intents=[params.intent_hash],
    )


class Native(NamedTuple):
    """One native effect. `touches` says what it reads or moves, for the lists of grants to be asked.

    `target` names the intent whose history it needs; `modules` what to admit. `moves` lists the values that
    it moves, for the plans of the budgets that are debited to be asked. `tell` says beside the allow what it
    comes to.
    """

    params: type
    touches: Callable[[State, NativeCall, Any], Touches]
    check: Callable[[State, NativeCall, Any], list[Finding]]
    make: Callable[[State, NativeCall, Any], list[Event]]
    help: str
    target: Callable[[Any], bytes] | None = None
    modules: Callable[[Any], list[bytes]] | None = None
    moves: Callable[[Any], list[Move]] | None = None
    tell: Callable[[State, NativeCall, Any], list[Finding]] | None = None

    def read(self, params: bytes) -> Any:
        """The typed params; `InvalidInput` when they are not this effect's."""
        try:
            return msgspec.convert(decode(params), self.params, strict=True)
        except msgspec.ValidationError as error:
            raise InvalidInput(str(error)) from error
