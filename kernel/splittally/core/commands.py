"""What is asked of the kernel, and the evidence that answers its questions. One page.

Rule 1. A command carries everything a decision needs besides the state: params, receipts, keys. Time
        and principal stand beside it in the frame's body.
Rule 2. Evidence is what was not in the state: an enforcer's answer, what the index knew of an ended
        intent, the result of admitting a module, whether a signature holds. Nothing else may influence a
        decision.
"""

from msgspec import Struct

from splittally.core.types import Draw, Leg

# What the edge says of a receipt's payload; the last two are dropped.
FITS, MISFIT, TOO_LARGE, WITHHELD = "ok", "misfit", "too_large", "withheld"
DROPPED = (TOO_LARGE, WITHHELD)


class Member(Struct, frozen=True, array_like=True, gc=False):
    """A sealed intent: params in canonical bytes, a 32-byte key, and the hash of the schema used.

    `expires_ns` is 0 for none; `attempt` is 16 random bytes of the caller, in no hash; `keyed` says
    that the host gave the key, so that it must not come again with another payload. `labels` say what the
    intent belongs to, by name; they stand in no hash either.
    """

    kind: str
    params: bytes
    grant: str
    key: bytes
    origin_kind: str
    origin_name: str
    expires_ns: int
    attempt: bytes
    schema: bytes
    keyed: bool
    intent_hash: bytes
    labels: dict[str, str] = {}


class Open(Struct, frozen=True, array_like=True, gc=False, tag=0):
    """Open a world for writing under an engine; the first one makes the world."""

    world: bytes
    clock: str
    format: int
    engine: str
    release: bytes


class Submit(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Ask for one effect, or for a linked group: `mode` is `each`, `all` or `first`."""

    mode: str
    members: list[Member]


class Settle(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Report what became of an effect; `cost_cents` is -1 where the receipt has none.

    `fits` is what the edge said of the payload: `ok`, `misfit` (not of the receipt schema), `too_large`,
    or `withheld` (a misfit that may hold a secret). The last two were dropped: every leg charges what it
    reserved. Where the edge left something out, `sent` is the hash of the whole payload and `sent_bytes` its
    size; so they are where the receipt is signed, and else they say nothing. `signature` is that of the
    adapter, empty where there is none (`core/signatures.py`).
    """

    intent_hash: bytes
    status: str
    adapter: str
    payload: bytes
    cost_cents: int
    pays_to: str
    fits: str
    sent: bytes = b""
    sent_bytes: int = 0
    signature: bytes = b""


class Release(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """End a hold without a receipt, by its own principal or an adapter of its kind.

    What was dispatched is ended only by the `attempt` that started it.
    """

    intent_hash: bytes
    cause: str
    order: str
    attempt: bytes = b""


class Extend(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Move a hold's expiry."""

    intent_hash: bytes
    expires_ns: int


class Tick(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Work through what has fallen due, at most `items` of it."""

    items: int


class Dispatch(Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Start the effect of an open hold: the first attempt wins."""

    intent_hash: bytes
    attempt: bytes


class Anchor(Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Name the files beside the journal that hold for its first `size` frames, which are all that there are.

    `root` is that of the snapshot that was written, empty where none was; `runs` are the digests of the runs
    of the index, the oldest first.
    """

    size: int
    root: bytes
    runs: list[bytes]


Command = Open | Submit | Settle | Release | Extend | Tick | Dispatch | Anchor


class Judged(Struct, frozen=True, array_like=True, gc=False, tag=0):
    """An enforcer's answer to the question with this hash; `fault` is its class if there is none."""

    question: bytes
    answer: bytes
    fault: str


class Paid(Struct, frozen=True, array_like=True, gc=False):
    """What is left of a payment that an intent made: who has it, in which resource."""

    payee: str
    resource: str
    amount: int


class KnownLeg(Struct, frozen=True, array_like=True, gc=False):
    """A leg of an ended intent, with what it was charged and what came back since."""

    leg: Leg
    charged: dict[str, int]
    refunded: dict[str, int]
    uncounted: list[str] = []


class Known(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """What the index and the frames that it names say of an intent that is no longer open.

    `status` is `settled`, `released`, or empty where the intent was never held; `cause` is a release
    cause; `late` says whether a late receipt was charged already. `refused` are the codes for which receipts
    of it were refused and recorded.
    """

    intent_hash: bytes
    seq: int
    outcome: str
    by: str
    kind: str
    status: str
    cause: str
    late: bool
    ended_seq: int
    legs: list[KnownLeg]
    draws: list[Draw]
    paid: list[Paid]
    refused: list[str] = []


class Admitted(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The result of admitting a module; `failed` names the check it fails, empty when admitted."""

    module: bytes
    failed: str


class Verified(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Whether a receipt's signature is one of its message under this public key."""

    key: bytes
    holds: bool


Evidence = Judged | Known | Admitted | Verified
