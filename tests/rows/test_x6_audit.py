"""X6: audit asks what the runtime asks, so a journal that no kernel can have written is named where it is.

Each forger below has a kernel without scruples: `well_formed` says nothing there, everything else decides as
ever. What it records is chained, folds, and comes out the same when it is judged again.
"""

from collections import Counter
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from msgspec.structs import replace
from splittally import Intent, Receipt
from splittally.core import commands
from splittally.core import step as step_module
from splittally.core.canonical import encode
from splittally.core.errors import InvalidInput
from splittally.core.frames import body_rows
from splittally.core.intent import intent_hash
from splittally.journal.frame import open_frame, seal
from splittally.journal.lmdb import LmdbStore
from splittally.journal.memory import MemoryStore
from splittally.runtime import opening, pipeline
from splittally.runtime.reader import open_reader, read_store
from splittally_tools.audit.verify import verify

from tests import golden
from tests.cli_tools import run
from tests.rows.worlds import codes, few

KEY = b"k" * 32
MANIFEST = {
    "grants": {
        "g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 1_000}, "holder": "ann", "hold_ns_max": 1_000},
        "ask": {
            "cap": "sys/llm.basic@1", "holder": "ann",
            "limits": [{"dim": "tokens", "per": "intent", "amount": 1, "over": "ask"}],
        },
    },
}  # fmt: skip


class Forger:
    """A kernel's inside: it seals as the edge does and records whatever it is told to."""

    def __init__(self, kernel):
        self.world = kernel._world

    def member(self, tokens=5, grant="g", key=None, **changed):
        intent = Intent("llm.generate", {"max_tokens": tokens}, grant, idempotency_key=key)
        member = replace(self.world.sealer.seal_intent(self.world.state, "ann", intent), **changed)
        digest = intent_hash(member.kind, member.params, member.grant, member.key)
        return replace(member, intent_hash=digest)

    def record(self, command, by="ann", at_ns=0):
        now_ns = max(at_ns, self.world.state.now_ns) if at_ns >= 0 else 0
        return pipeline.carry_out(self.world, by, command, now_ns)

    def ask(self, *members, mode="each", **how):
        return self.record(commands.Submit(mode, list(members)), **how)

    def held(self, **how):
        member = self.member(**how)
        self.ask(member)
        return member.intent_hash

    def open(self, by="", **changed):
        state = self.world.state
        command = commands.Open(state.world, state.clock, state.format, state.engine, b"")
        return self.record(replace(command, **changed), by)

    def settle(self, **changed):
        command = commands.Settle(self.held(), "ok", "", encode({}), -1, "", commands.FITS)
        return self.record(replace(command, **changed))

    def release(self, cause="cancel", order="", attempt=b"", **how):
        return self.record(commands.Release(self.held(**how), cause, order, attempt))


def two_payloads(f, keyed):
    f.ask(f.member(5, key=KEY))
    f.ask(f.member(6, key=KEY, keyed=keyed))


def twice(f, apart, **how):
    member = f.member(2, key=KEY, **how)
    f.ask(member)
    if apart:
        f.record(commands.Release(member.intent_hash, "cancel", ""))
    f.ask(member, at_ns=1)


def refused_while_held(f):
    member = f.member(2, key=KEY)
    f.ask(member)
    f.ask(replace(member, expires_ns=1), at_ns=5)


def group_of_one_twice(f):
    member = f.member()
    f.ask(member, member, mode="all")


def tick(f, by, items):
    f.held()
    f.record(commands.Tick(items), by, 2_000)


def back_in_time(f):
    f.ask(f.member(), at_ns=5)
    f.ask(f.member(), at_ns=-1)


def refund_in_a_group(f):
    state = f.world.state
    params = {"intent_hash": f.held(), "amounts": {"tokens": 1}}
    intent = Intent("settlement.refund", params, "root")
    member = f.world.sealer.seal_intent(state, "operator", intent)
    f.ask(f.member(grant="root"), member, mode="all", by="operator")


# What a forger does, and what is said of the last frame that it wrote.
FORGED = {
    "another world": (lambda f: f.open(world=b"other world id!!"), "another world"),
    "another clock": (lambda f: f.open(clock="host", engine="e"), "another clock"),
    "an opening for nothing new": (lambda f: f.open(), "for another engine"),
    "an opening by somebody": (lambda f: f.open("ann", engine="e"), "by the kernel"),
    "no engine": (lambda f: f.open(engine=""), "under an engine"),
    "an older format": (lambda f: f.open(format=1), "format"),
    "a later format": (lambda f: f.open(format=99), "never in an older format"),
    "a release by somebody": (lambda f: f.open("ann", release=opening.current_release()), "the operator"),
    "one key, two payloads": (lambda f: two_payloads(f, True), "under a key that was used"),
    "one key, said to be drawn": (lambda f: two_payloads(f, False), "under a key that was used"),
    "held twice": (lambda f: twice(f, False), "held already"),
    "held twice for approval": (lambda f: twice(f, False, grant="ask"), "held already"),
    "refused while it is held": (refused_while_held, "held already|a second time"),
    "decided again when it had ended": (lambda f: twice(f, True), "a second time"),
    "one intent twice in a group": (group_of_one_twice, "stands twice"),
    "two at a time": (lambda f: f.ask(f.member(), f.member()), "one intent is decided at a time"),
    "nobody at a time": (lambda f: f.ask(f.member(), mode="any"), "all or first"),
    "70 in a group": (lambda f: f.ask(*(f.member(1) for _ in range(70)), mode="all"), "1 to 64"),
    "`first` with a key that was drawn": (
        lambda f: f.ask(f.member(2), f.member(3, "ask", key=KEY), mode="first"), "every intent has",
    ),
    "`first` of two payloads under one key": (
        lambda f: f.ask(f.member(2, key=KEY), f.member(3, key=KEY), mode="first"), "two payloads",
    ),
    "a refund in a group": (refund_in_a_group, "stands alone"),
    "an origin of no kind": (lambda f: f.ask(f.member(origin_kind="god")), "plan or a reducer"),
    "an origin without a version": (lambda f: f.ask(f.member(origin_name="me")), "by name"),
    "large params": (
        lambda f: f.ask(f.member(params=encode({"max_tokens": 1, "model": "x" * 300_000}))),
        "params have more",
    ),
    "params that are not canonical": (
        lambda f: f.ask(f.member(params=encode({"max_tokens": 1})[:-1] + b"\x18\x01")), "does not make",
    ),
    "another schema": (lambda f: f.ask(f.member(schema=bytes(32))), "another schema"),
    "no schema where there is one": (lambda f: f.ask(f.member(schema=b"")), "another schema"),
    "a short attempt": (lambda f: f.ask(f.member(attempt=b"")), "an attempt 16"),
    "an expiry before time": (lambda f: f.ask(f.member(expires_ns=-1)), "below 2^63"),
    "an expiry after time": (lambda f: f.ask(f.member(expires_ns=2**63)), "below 2^63"),
    "a time before the one before": (back_in_time, "is before the one before it"),
    "a time after time": (lambda f: f.ask(f.member(), at_ns=2**63 + 5), "beyond 2^63"),
    "nobody": (lambda f: f.ask(f.member(), by=""), "principal has a name"),
    "somebody with a line feed": (lambda f: f.ask(f.member(), by="ann\n"), "principal has a name"),
    "an anchor of frames to come": (
        lambda f: f.record(commands.Anchor(f.world.state.size + 1, b"", []), ""), "all frames before it",
    ),
    "a tick by somebody": (lambda f: tick(f, "ann", 5), "the kernel's own"),
    "a tick of a million": (lambda f: tick(f, "", 10**6), "1 to 256 items"),
    "an order by its own principal": (lambda f: f.release("governance", "o"), "nobody asks"),
    **{
        f"a release that nobody asks for: {cause}": (
            lambda f, cause=cause, grant=grant: f.release(cause, grant=grant), "nobody asks",
        )
        for cause, grant in (("expiry", "g"), ("rejected", "ask"), ("approval_timeout", "ask"))
    },
    "an order without end": (lambda f: f.release(order="o" * 513), "at most 512"),
    "a release by half an attempt": (lambda f: f.release(attempt=b"a"), "an attempt 16"),
    "a status that no receipt has": (lambda f: f.settle(status="great"), "status `great`"),
    "a cost below nothing": (lambda f: f.settle(cost_cents=-7), "cost"),
    "an adapter without end": (lambda f: f.settle(adapter="x" * 999), "have names"),
    "a payee with a line feed": (lambda f: f.settle(pays_to="\n"), "have names"),
    "a word that the edge does not say": (lambda f: f.settle(fits="perhaps"), "does not fit"),
    "a payload that was dropped and is there": (lambda f: f.settle(fits="withheld"), "was dropped"),
    "a large payload": (lambda f: f.settle(payload=bytes(2**16 + 1), fits="misfit"), "too large"),
    "an extension to before time": (
        lambda f: f.record(commands.Extend(f.held(expires_ns=500), -1)), "below 2^63",
    ),
    "a dispatch by nobody": (lambda f: f.record(commands.Dispatch(f.held(), b"")), "an attempt has"),
}  # fmt: skip
FORGED["a payload that is not canonical"] = (lambda f: f.settle(payload=b"\xa1"), "does not make")
ONLY_AUDIT_KNOWS = {  # what rests on the past, which `step` does not see; the runtime looks it up
    "one key, two payloads", "one key, said to be drawn", "decided again when it had ended",
    "params that are not canonical", "a payload that is not canonical",
}  # fmt: skip
NOT_RECORDED = {  # without a frame of its own even there: nothing comes of it, or it cannot be remembered
    "an extension to before time", "a dispatch by nobody", "one intent twice in a group", "held twice",
    "held twice for approval", "a later format", "a status that no receipt has",
    "a time before the one before", "an anchor of frames to come",
}  # fmt: skip


def forge(folder, make):
    """The sequence of the last frame of a world in which a forger was at work."""
    with splittally.open(folder, clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        forger = Forger(kernel)
        with (
            patch.object(pipeline, "fault_of", lambda *_: ""),
            patch.object(step_module, "_refuse_held", lambda *_: None),
        ):
            make(forger)
        return forger.world.state.size - 1


@pytest.mark.req("X6-17")
@pytest.mark.parametrize("what", sorted(set(FORGED) - NOT_RECORDED))
def test_what_no_kernel_records_is_named_where_it_stands(tmp_path, what):
    make, said = FORGED[what]
    last = forge(tmp_path / "w", make)
    report = run("-w", tmp_path / "w", "verify", "--json").json
    error = report["error"]
    assert (report["sound"], error["code"], error["facts"]["seq"]) == (False, "damaged", last)
    assert any(each in error["message"] for each in said.split("|"))


@pytest.mark.req("X6-17")
@pytest.mark.parametrize("what", sorted(set(FORGED) - ONLY_AUDIT_KNOWS))
def test_what_audit_would_name_is_never_recorded(what):
    make, said = FORGED[what]
    with splittally.open(clock="given") as kernel:
        kernel.apply(MANIFEST)
        with pytest.raises(InvalidInput) as refused:
            make(Forger(kernel))
        assert any(each in str(refused.value) for each in said.split("|"))
        kernel.submit(Intent("llm.generate", {"max_tokens": 1}, "root"))  # and nothing is stopped by it


@pytest.mark.req("X6-17")
def test_a_step_never_admits_what_is_held_already():
    """Drawn keys that repeat make the same intent twice; the second is refused and the kernel goes on.

    The runtime finds what is known first, so the step is asked behind its back, too.
    """
    with splittally.open(clock="given", entropy=lambda size: b"e" * size) as kernel:
        kernel.apply(MANIFEST)
        ann = kernel.as_principal("ann")
        first, second = (ann.submit(Intent("llm.generate", {"max_tokens": 3}, "g")) for _ in range(2))
        assert first.allowed
        assert (second.outcome, second.seq, codes(second)) == ("deny", None, ["idempotency.conflict"])
        assert list(kernel.state.reservations) == [first.intent_hash]
        forger = Forger(kernel)
        other = forger.member(5, key=bytes(32))
        for members in [forger.member(3)], [other, forger.member(3)]:
            with pytest.raises(InvalidInput, match="held already"):
                forger.ask(*members, mode="all" if len(members) > 1 else "each")
        assert ann.submit(Intent("llm.generate", {"max_tokens": 4}, "g")).allowed


KEYS = tuple(bytes([at]) * 32 for at in range(3))
asks = st.tuples(st.sampled_from(KEYS), st.booleans(), st.integers(1, 3))  # a key, given or drawn, and tokens
keyings = st.lists(st.tuples(st.lists(asks, min_size=1, max_size=3), st.booleans()), max_size=8)


@pytest.mark.req("X6-17")
@few
@given(keyings)
def test_a_journal_is_sound_however_keys_repeat_that_hosts_give_or_that_are_drawn(taken):
    """Alone and in groups, held or ended; no hash is decided twice, and a known one gets its answer again."""
    drawn = []

    def entropy(size):
        return drawn.pop() if size == 32 and drawn else b"x" * size

    with splittally.open(clock="given", entropy=entropy) as kernel:
        kernel.apply(MANIFEST | {"grants": {"g": {"cap": "sys/llm.basic@1"}}})
        decided = {}
        for asked, is_ended in taken:
            drawn[:] = [key for key, is_given, _ in reversed(asked) if not is_given]
            intents = [
                Intent("llm.generate", {"max_tokens": tokens}, "g", idempotency_key=key if is_given else None)
                for key, is_given, tokens in asked
            ]
            told = kernel.submit(intents, "all") if len(intents) > 1 else [kernel.submit(intents[0])]
            for (_, is_given, _), each in zip(asked, told, strict=True):
                if each.seq is not None and not each.duplicate:
                    assert decided.setdefault(each.intent_hash, each.seq) == each.seq
                elif is_given and len(asked) == 1 and each.intent_hash in decided:
                    assert (each.duplicate, each.seq) == (True, decided[each.intent_hash])
                if is_ended and each.seq is not None:
                    kernel.settle(Receipt(each.intent_hash, "ok"))
        report = verify(read_store(kernel))
        assert report.is_sound, report


@pytest.mark.req("X6-17")
@pytest.mark.parametrize("folder", [golden.RELEASED, golden.JOURNALS], ids=["v1", "today"])
def test_what_kernels_recorded_is_well_formed(folder, tmp_path):
    """Also under an older format and older rules; and every kind of command is among it."""
    store = LmdbStore(tmp_path / "journal", writable=True)
    frames = golden.stored_frames(folder)
    asked = Counter()
    for data in frames:
        seq, prev, rows = open_frame(data)
        store.append(store.head, [seal(seq, prev, rows)])
        asked[rows[3][0]] += 1
    store.close()
    with open_reader(tmp_path) as reader:
        report = verify(reader)
    assert (report.damage, report.frames) == (None, len(frames))
    assert set(asked) >= {0, 1, 2, 3, 4, 5}


# A last frame that is an anchor, as a forger makes it, and what is said of it.
LAST = {
    "other runs": (lambda x, out: (x, [replace(out[0], runs=[*out[0].runs, KEY])]), "anchors otherwise"),
    "another root": (
        lambda x, out: (replace(x, root=KEY), [replace(out[0], root=KEY)]), "anchors another state",
    ),
    "nothing": (lambda x, out: (commands.Tick(1), []), "records nothing"),
    "an opening": (lambda x, out: (x, [*out, step_module.opened_by(OPENING)]), "does not open a world"),
}  # fmt: skip
OPENING = commands.Open(bytes(16), "given", 2, "another engine", b"")


@pytest.mark.req("X6-17")
@pytest.mark.parametrize("what", LAST)
def test_a_frame_records_what_it_was_asked_and_an_anchor_the_state_before_it(folder, what):
    forged, said = LAST[what]
    store = MemoryStore()
    with splittally.open(folder / "w", clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        kernel._world.save_projections()
    with open_reader(folder / "w") as reader:
        last = reader.head.size - 1
        for seq, _, data in reader.entries(0, last):
            store.append(store.head, [seal(seq, store.head.hash, open_frame(data)[2])])
        body = reader.record(last).body
        command, out = forged(body.command, body.out)
        rows = body_rows(body.at_ns, body.by, command, body.seen, out)
        store.append(store.head, [seal(last, store.head.hash, rows)])
    with read_store(store) as reader:
        damage = verify(reader).damage
        assert (damage["facts"]["seq"], said in damage["message"]) == (last, True)
