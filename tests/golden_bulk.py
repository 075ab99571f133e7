"""A thousand generated steps: submit, settle, release, in any order, batched as the caller likes.

Hashes are known before the answers, because every intent has a key; so the same requests can be cut into
batches of any size, and the journal must not show where they were cut.
"""

from random import Random
from typing import Any

from splittally.core.canonical import encode
from splittally.core.intent import intent_hash
from splittally.edge.records import Intent, Receipt, Release
from splittally.runtime import At, Kernel
from splittally.runtime.world import World

from tests.golden_teller import DAY_ONE, SECOND, key_of

STEPS = 1_000
SEED = 20_260_105
GRANTS = ("narrow", "wide", "windowed")
MANIFEST: dict[str, Any] = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "accounts/vendor": {}},
    "grants": {
        "wide": {"cap": "sys/llm.basic@1", "budget": {"tokens": 10_000}},
        "narrow": {"cap": "sys/llm.basic@1", "budget": {"tokens": 2_000}, "parent": "wide"},
        "windowed": {
            "cap": "sys/llm.basic@1",
            "params": {"prices": {"resource": "USD", "prompt": 20_000_000, "completion": 40_000_000}},
            "limits": [
                {"dim": "tokens", "per": "hour", "amount": 3_000, "rollover": "1/3"},
                {"dim": "tokens", "per": "30s", "amount": 400, "over": "defer"},
            ],
            "draws_on": {"USD": "accounts/team"},
            "pays_to": ["accounts/vendor"],
        },
    },
}


def play(world: World, batch: int) -> World:
    """The world after all steps, sent in lists of `batch` requests."""
    kernel = Kernel(world)
    kernel.apply(MANIFEST, now_ns=DAY_ONE)
    kernel.native("ledger.issue", resource="USD", amount="900.00 USD", to="accounts/team")
    steps = requests()
    for start in range(0, len(steps), batch):
        kernel.run(steps[start : start + batch])
    return world


def requests() -> list[At]:
    """The steps, generated from the seed."""
    random = Random(SEED)
    sent: list[bytes] = []
    steps: list[At] = []
    now = 0
    for at in range(STEPS):
        now += random.choice((0, 0, 1, 1, 7, 600))
        roll = random.random()
        if roll < 0.5 or not sent:
            intent = _intent(random, at, now)
            sent.append(intent_hash(intent.kind, encode(intent.params), intent.grant, key_of(f"bulk {at}")))
            request: Any = intent
        elif roll < 0.85:
            request = _receipt(random, random.choice(sent[-30:]))
        else:
            request = Release(random.choice(sent[-30:]), random.choice(("cancel", "not_dispatched")))
        steps.append(At(DAY_ONE + now * SECOND, request))
    return steps


def _intent(random: Random, at: int, now: int) -> Intent:
    params = {"max_tokens": random.choice((0, 10, 40, 150, 700)), "prompt_tokens": random.randrange(50)}
    expires = DAY_ONE + (now + random.randrange(1, 900)) * SECOND if random.random() < 0.3 else None
    grant = random.choice(GRANTS)
    return Intent("llm.generate", params, grant, idempotency_key=key_of(f"bulk {at}"), expires_ns=expires)


def _receipt(random: Random, digest: bytes) -> Receipt:
    status = random.choice(("ok", "ok", "ok", "error", "timeout", "unknown"))
    payload = {"prompt_tokens": random.randrange(60), "completion_tokens": random.randrange(200)}
    return Receipt(digest, status, "bulk", payload if status == "ok" else {})
