"""Intents that a kernel can read and receipts that settle, for a world or for a manifest.

Rule 1. An intent names a grant that covers its kind, and its params fit the schema of the kind. It is
        decided; whether it is allowed is not said.
Rule 2. A receipt reports about as much as was reserved: below, exactly that, above, or nothing.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace
from splittally.core.canonical import decode, encode
from splittally.core.caps.state import covers_type
from splittally.core.release_kinds import RELEASE_KINDS
from splittally.core.types import CAP_NATIVE_TYPE, ROOT
from splittally.edge.records import Decision, Intent, Origin, Receipt
from splittally.runtime import Kernel

from splittally_tools.testing.strategies.params import params, texts
from splittally_tools.testing.worlds import Manifest, make_world

STATUSES = ("ok", "error", "timeout")
LIVES_NS_MAX = 10**9
_NATURALS = st.integers(0, 120)


class Offer(NamedTuple):
    """What may be asked for: a kind under a grant, with what the grant's cap params say."""

    grant: str
    kind: str
    cap_params: Mapping[str, Any]
    schema: Any
    resources: Sequence[str]


def keys() -> st.SearchStrategy[bytes]:
    """An idempotency key."""
    return st.binary(min_size=32, max_size=32)


def intents(source: Kernel | Manifest, kinds: Sequence[str] = ()) -> st.SearchStrategy[Intent]:
    """Intents that the world, or a world of the manifest, can decide; of these kinds, where some are named.

    For a kernel the grants of its principal are taken, as they are when this is called.
    """
    if isinstance(source, Kernel):
        return _asked_at(source, _listed(source, kinds))
    with make_world(source if isinstance(source, Mapping) else os.fspath(source)) as kernel:
        return _asked_at(None, _listed(kernel, kinds))


def _listed(kernel: Kernel, kinds: Sequence[str]) -> bytes:
    return encode([[*offer] for offer in offers(kernel) if not kinds or offer.kind in kinds])


def _asked_at(kernel: Kernel | None, listed: bytes) -> st.SearchStrategy[Intent]:
    """Intents out of a list of offers, whose expiries lie ahead when they are drawn."""
    strategy = _intents_of(listed)
    if kernel is None or strategy.is_empty:
        return strategy
    return strategy.map(
        lambda intent: (
            intent
            if intent.expires_ns is None
            else replace(intent, expires_ns=kernel.state.now_ns + intent.expires_ns)
        )
    )


@lru_cache(maxsize=64)
def _intents_of(listed: bytes) -> st.SearchStrategy[Intent]:
    """Made once for a list of offers: a machine asks after every step."""
    found = [Offer(*row) for row in decode(listed)]
    return st.one_of([_intent(offer) for offer in found]) if found else st.nothing()


def offers(kernel: Kernel) -> list[Offer]:
    """Every kind of effect under every grant of the kernel's principal that covers it."""
    state = kernel.state
    blobs = dict(state.tables()["blobs"])
    resources = list(state.resources)
    found = []
    for name, grant in state.grants.items():
        if name == ROOT or grant.revoked or grant.holder != kernel.principal:
            continue
        covers = state.caps[grant.cap].cap_type
        cap_params = decode(blobs[grant.params]) if grant.params else {}
        for kind, effect in state.effects.items():
            if effect.cap_type == CAP_NATIVE_TYPE or not covers_type(covers, effect.cap_type):
                continue
            schema = decode(blobs[effect.params_schema]) if effect.params_schema else None
            found.append(
                Offer(grant=name, kind=kind, cap_params=cap_params, schema=schema, resources=resources)
            )
    return found


def _intent(offer: Offer) -> st.SearchStrategy[Intent]:
    origin = st.builds(Origin, st.sampled_from(["plan", "reducer"]), st.just("com.acme/plan@1"))
    return st.builds(
        Intent,
        st.just(offer.kind),
        _params_of(offer),
        st.just(offer.grant),
        origin=st.none() | origin,
        idempotency_key=st.none() | keys(),
        expires_ns=st.none() | st.integers(1, LIVES_NS_MAX),
    )


def _params_of(offer: Offer) -> st.SearchStrategy[Any]:
    make = _KNOWN.get(offer.kind)
    if make is not None:
        return make(offer)
    return (
        st.dictionaries(texts, _NATURALS | texts, max_size=3)
        if offer.schema is None
        else params(offer.schema)
    )


def _llm(offer: Offer) -> st.SearchStrategy[Any]:
    models = st.sampled_from([*offer.cap_params.get("models", ["m"]), "other"])
    stated = {"model": models, "max_tokens": _NATURALS}
    return st.fixed_dictionaries(stated, optional={"prompt_tokens": _NATURALS})


def _http(offer: Offer) -> st.SearchStrategy[Any]:
    hosts = [host.replace("*", "a") for host in offer.cap_params.get("hosts", ["example.com"])]
    urls = st.tuples(st.sampled_from([*hosts, "example.net"]), st.sampled_from(["", "/", "/data/x"]))
    stated = {"url": urls.map(lambda pair: f"https://{pair[0]}{pair[1]}")}
    methods = st.sampled_from(["GET", "POST"])
    return st.fixed_dictionaries(stated, optional={"method": methods, "body_bytes": _NATURALS})


def _blob(offer: Offer) -> st.SearchStrategy[Any]:
    spaces = st.sampled_from(offer.cap_params.get("namespaces", ["n"]))
    return st.fixed_dictionaries({"namespace": spaces, "key": st.just("k")}, optional={"size": _NATURALS})


def _task(offer: Offer) -> st.SearchStrategy[Any]:
    purposes = st.sampled_from(offer.cap_params.get("purposes", ["tools"]))
    amounts: st.SearchStrategy[Any] = st.just({})
    if offer.resources:
        amounts = st.dictionaries(st.sampled_from(offer.resources), _NATURALS, max_size=2)
    stated = {"result": st.just("a logo"), "amounts": amounts}
    return st.fixed_dictionaries(stated, optional={"purpose": purposes})


_KNOWN = {
    "llm.generate": _llm,
    "http.request": _http,
    "blob.put": _blob,
    "blob.get": _blob,
    "task.post": _task,
}


@st.composite
def receipts(
    draw: st.DrawFn,
    source: Kernel | Decision,
    intent_hash: bytes | None = None,
    statuses: Sequence[str] = STATUSES,
) -> Receipt:
    """A receipt for an open intent of the kernel, for the one that is named, or for a decision.

    Its payload says what any of the release's enforcers reads, or fits the kind's receipt schema where
    there is one.
    """
    if isinstance(source, Decision):
        reserve: Mapping[str, int] = source.reserve
        digest, schema = source.intent_hash, None
        assert digest is not None
    else:
        if intent_hash is None:
            intent_hash = draw(st.sampled_from(sorted(source.state.reservations)))
        digest = intent_hash
        reserve, schema = _known_of(source, intent_hash)
    payload = _payloads(reserve) if schema is None else params(schema)
    return Receipt(
        intent_hash=digest,
        status=draw(st.sampled_from(list(statuses))),
        adapter_id=draw(st.sampled_from(["adapter", "other"])),
        payload=draw(payload),
        cost_cents=draw(st.none() | _near(reserve.get("cost_cents", 0))),
    )


def _known_of(kernel: Kernel, intent_hash: bytes) -> tuple[Mapping[str, int], Any]:
    """What an intent has reserved, and the schema of its receipts; those of the release refuse nothing."""
    row = kernel.outcome(intent_hash)
    if row is None:
        return {}, None
    digest = kernel.state.effects[row.kind].receipt_schema
    if not digest or row.kind in RELEASE_KINDS:
        return row.reserve, None
    blobs = dict(kernel.state.tables()["blobs"])
    return row.reserve, decode(blobs[digest])


def _payloads(reserve: Mapping[str, int]) -> st.SearchStrategy[Any]:
    used = st.fixed_dictionaries({dim: _near(amount) for dim, amount in reserve.items()})
    tokens, size = reserve.get("tokens", 0), reserve.get("bytes", 0)
    return st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": _near(tokens // 2),
            "completion_tokens": _near(tokens - tokens // 2),
            "usage": used,
            "amounts": used,
            "size": _near(size),
            "bytes_sent": _near(size),
            "bytes_received": _NATURALS,
        },
    )


def _near(amount: int) -> st.SearchStrategy[int]:
    """At most that, exactly that, or somewhat more."""
    return st.integers(0, amount) | st.just(amount) | st.integers(amount, min(amount + 50, 2**64 - 1))
