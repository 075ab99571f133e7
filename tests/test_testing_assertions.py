"""The assertions hold of every sound world and fail on doctored ones, naming frame, grant and numbers."""

import re
import shutil

import pytest
import splittally
from hypothesis import given, settings
from hypothesis import strategies as st
from splittally import Intent, Receipt, Release
from splittally.core import reservation
from splittally.core.ledger import check as checking
from splittally.runtime.reader import open_reader
from splittally_tools.testing import (
    assert_conserved,
    assert_idempotent,
    assert_no_overspend,
    assert_replays,
    make_world,
    open_journal,
    save_world,
    saved_on_failure,
)
from splittally_tools.testing.artifacts import KEEPING
from splittally_tools.testing.assertions import assert_balanced
from splittally_tools.testing.strategies import intents, manifests, receipts

from tests.cli_tools import forged, run

TOUR = "fixtures/journals/today/tour.cborseq"
ALL = (assert_conserved, assert_replays, assert_no_overspend)
WORLD = {
    "resources": {"USD": 0},
    "accounts": {"accounts/team": {}, "vendors/mill": {}},
    "grants": {
        "card": {
            "cap": "sys/allow@1",
            "params": {"reserve": {"USD": 10}},
            "budget": {"USD": 40},
            "draws_on": {"USD": "accounts/team"},
            "pays_to": ["vendors/mill"],
        },
        "llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}},
        "free": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}, "parent": "llm"},
    },
}
POSTED, SETTLED = 7, 4  # tags of events
few = settings(max_examples=max(1, settings.default.max_examples // 4))


@pytest.fixture(params=["memory", "lmdb"])
def busy(request, tmp_path):
    """A world in which money is in flight, was paid and came back, and a limit was passed by a violation."""
    where = {"path": tmp_path / "world"} if request.param == "lmdb" else {}
    with make_world(WORLD, store=request.param, **where) as kernel:
        assert kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/team").allowed
        cards = [kernel.submit(Intent("http.request", {"url": "u"}, "card")).intent_hash for _ in range(3)]
        kernel.settle(Receipt(cards[0], "ok", "a", {"usage": {"USD": 7}}))
        kernel.release(cards[1])
        asked = kernel.submit(Intent("llm.generate", {"max_tokens": 90}, "free"))
        told = kernel.settle(
            Receipt(asked.intent_hash, "ok", "a", {"prompt_tokens": 0, "completion_tokens": 130})
        )
        assert told.violation.code == "usage_exceeds_reserve"
        yield kernel


def named(check, subject, *words, **options):
    """The check fails, and its message has these words."""
    with pytest.raises(AssertionError) as caught:
        check(subject, **options)
    missing = [word for word in words if not re.search(word, str(caught.value))]
    assert not missing, str(caught.value)


# --- sound worlds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("check", ALL)
def test_a_sound_world_passes_on_either_store_and_as_a_path(check, busy, tmp_path):
    check(busy)
    folder = save_world(busy, tmp_path / "saved")
    check(folder)
    with open_reader(folder) as reader:
        check(reader)
    busy.tick(now_ns=50)
    check(busy.fork())


@pytest.mark.parametrize("check", ALL)
def test_the_golden_journal_passes_as_a_file_of_frames(check):
    check(TOUR)


def test_a_golden_journal_of_older_rules_is_folded_where_that_is_said():
    assert_replays("fixtures/journals/v1/tour.cborseq", other_engines=True)


@few
@given(manifests(), st.data())
def test_whatever_a_generated_world_decides_is_sound(manifest, data):
    with make_world(manifest) as kernel:
        asked = intents(kernel)
        for _ in range(0 if asked.is_empty else 4):
            kernel.submit(data.draw(asked))
            if kernel.state.reservations:
                kernel.settle(data.draw(receipts(kernel)))
        for check in ALL:
            check(kernel)


# --- doctored worlds --------------------------------------------------------------------------------


def test_money_that_appears_in_memory_is_named_with_its_sum(busy):
    balances = busy._world.state.ledger.balances
    balances["accounts/team", "USD"] += 5
    named(assert_balanced, busy, "USD", r"in flight 10\b", r"together 5\b")
    named(assert_conserved, busy, f"after frame {busy.state.seq - 1} ")
    balances["vendors/mill", "USD"] -= 5  # it sums to zero again, and is not what the frames say
    named(assert_conserved, busy, "balances", "vendors/mill", r"\b2 stands", r"says 7\b")


def doctored(busy, tmp_path, tag, change):
    """The world with the last event of one kind changed, chained anew."""
    source = save_world(busy, tmp_path / "sound")
    last = max(
        record.seq for record in open_journal(source).records() for event in record.body.out
        if type(event).__struct_config__.tag == tag
    )  # fmt: skip

    def edit(seq, body):
        for event in body[5] if seq == last else ():
            if event[0] == tag:
                change(event)
        return body

    return last, forged(source, tmp_path / "forged", edit)


def test_a_journal_that_pays_more_than_was_drawn_is_named(busy, tmp_path):
    last, world = doctored(busy, tmp_path, POSTED, lambda event: event.__setitem__(4, 1000))
    named(assert_conserved, world, f"frame {last} ")
    named(assert_replays, world, f"frame {last} comes out otherwise")


def test_a_journal_that_was_decided_otherwise_is_named(busy, tmp_path):
    last, world = doctored(busy, tmp_path, SETTLED, lambda event: event[4][0].__setitem__(5, {"tokens": 3}))
    named(assert_replays, world, f"frame {last} comes out otherwise", "130")


def test_a_state_that_is_not_the_fold_is_named_entry_by_entry(busy):
    counters = busy._world.state.ledger.counters
    key = ("llm", "tokens", "life", 0)
    right = counters[key]
    counters[key] = type(right)(right.limit, right.reserved, 1, 0, 0)
    for check in (assert_replays, assert_no_overspend):
        named(check, busy, f"after frame {busy.state.seq - 1} ", "counters", "llm", r"\[100, 0, 1, ", r"130")


def test_a_charge_above_the_reserve_without_a_violation_is_named(busy, tmp_path):
    def change(event):
        for charge in event[4]:
            charge[6] = []

    last, world = doctored(busy, tmp_path, SETTLED, change)
    named(assert_no_overspend, world, f"frame {last}: grant `free`", "`tokens`", "130", "90 reserved")


PER_MINUTE = {"dim": "tokens", "per": "60s", "amount": 80}
PER_DAY = {"dim": "tokens", "per": "day", "amount": 70, "over": "defer"}
PER_INTENT = {"dim": "tokens", "per": "intent", "amount": 50}


@pytest.mark.parametrize(
    ("limits", "budget", "told"),
    [
        ([], {"tokens": 100}, "reserved 120 of 100 per life"),
        ([PER_MINUTE], {}, "reserved 120 of 80 per rolling:60s"),
        ([PER_DAY], {}, "reserved 120 of 70 per day"),
        ([PER_INTENT], {}, "one intent holds 60 of 50"),
    ],
)
def test_a_kernel_that_refuses_nothing_is_found(monkeypatch, limits, budget, told):
    terms = {"cap": "sys/llm.basic@1", "budget": budget, "limits": limits}
    with make_world({"grants": {"g": terms}}) as kernel:
        monkeypatch.setattr(checking, "_refuse", lambda *_: None)
        for _ in range(2):
            assert kernel.submit(Intent("llm.generate", {"max_tokens": 60}, "g")).allowed
        named(assert_no_overspend, kernel, r"frame \d+: grant `g`, dimension `tokens`", told)


def test_a_native_effect_above_its_limit_is_found(monkeypatch):
    counted = {"caps": {"acme/ops@1": {"cap_type": "native", "enforcer": "sys/CapAllowAll@1"}}}
    clerk = {"cap": "acme/ops@1", "params": {"reserve": {"ops": 6}}, "budget": {"ops": 5}}
    with make_world({**counted, "grants": {"clerk": clerk}}) as kernel:
        assert not kernel.native("account.open", grant="clerk", account="accounts/a").allowed
        monkeypatch.setattr(checking, "_refuse", lambda *_: None)
        assert kernel.native("account.open", grant="clerk", account="accounts/a").allowed
        named(
            assert_no_overspend,
            kernel,
            "frame 3: grant `clerk`, dimension `ops`",
            r"spent 6 .* of 5 per life",
        )


def test_a_charge_for_what_was_never_held_is_named(busy, tmp_path):
    last, world = doctored(busy, tmp_path, SETTLED, lambda event: event[4][0].__setitem__(0, "card"))
    named(assert_no_overspend, world, f"frame {last}: grant `card` is charged for what it never held")


def test_a_settlement_of_what_was_never_held_cannot_be_applied(busy, tmp_path):
    last, world = doctored(busy, tmp_path, SETTLED, lambda event: event.__setitem__(1, bytes(32)))
    named(assert_no_overspend, world, f"the events of frame {last} cannot be applied")


def test_a_kernel_that_counts_in_no_window_is_found(monkeypatch):
    terms = {"cap": "sys/llm.basic@1", "limits": [PER_MINUTE]}
    with make_world({"grants": {"g": terms}}) as kernel:
        monkeypatch.setattr(reservation, "check_limits", lambda *_: checking.NOTHING)
        kernel.submit(Intent("llm.generate", {"max_tokens": 60}, "g"))
        named(
            assert_no_overspend, kernel, "frame 2: grant `g`, dimension `tokens`", "no window per rolling:60s"
        )


def test_usage_of_a_bounded_dimension_that_was_never_reserved_is_overspending():
    """For a dimension that nobody calls bounded it is what the kernel allows (D-05)."""
    with make_world({"grants": {"g": {"cap": "sys/cost@1", "budget": {"cost_cents": 20}}}}) as kernel:
        asked = kernel.submit(Intent("llm.generate", {}, "g"))
        kernel.settle(Receipt(asked.intent_hash, "ok", "a", {}, cost_cents=30))
        assert_no_overspend(kernel)
        named(
            assert_no_overspend, kernel, "frame 3: grant `g`", "`cost_cents`: 30 charged with nothing",
            "spent 30 .* of 20", bounded=["cost_cents"],
        )  # fmt: skip


def test_a_limit_lowered_below_its_use_is_no_overspending():
    with make_world(WORLD) as kernel:
        asked = kernel.submit(Intent("llm.generate", {"max_tokens": 90}, "llm"))
        lower = {
            **WORLD,
            "grants": {**WORLD["grants"], "llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 5}}},
        }
        del lower["grants"]["free"]
        assert kernel.apply(lower).allowed
        kernel.settle(Receipt(asked.intent_hash, "ok", "a", {"completion_tokens": 80}))
        assert_no_overspend(kernel, bounded=["tokens"])


def test_frames_of_another_engine_are_not_passed_over_in_silence(busy, tmp_path):
    def edit(seq, body):
        if seq == 0:
            body[3][4] = body[5][0][4] = "another engine"
        return body

    world = forged(save_world(busy, tmp_path / "sound"), tmp_path / "forged", edit)
    named(assert_replays, world, "were not judged again", "another engine", "other_engines=True")
    assert_replays(world, other_engines=True)


def test_damage_is_an_assertion_that_names_the_frame(busy, tmp_path):
    frames = b"".join(record.data for record in open_journal(save_world(busy, tmp_path / "w")).records())
    file = tmp_path / "frames.cborseq"
    file.write_bytes(frames[:-1])
    named(assert_conserved, file, f"frame {busy.state.seq - 1} cannot be read")
    file.write_bytes(frames[-200:])
    named(assert_conserved, file, "frame 0 ")


# --- the same call again ----------------------------------------------------------------------------


def test_the_same_request_again_changes_nothing(busy):
    key = bytes(32)
    asked = Intent("llm.generate", {"max_tokens": 1}, "free", idempotency_key=key)
    denied = Intent("llm.generate", {"max_tokens": 1}, "llm", idempotency_key=key)
    held = busy.submit(Intent("http.request", {"url": "u"}, "card")).intent_hash
    assert assert_idempotent(busy, asked).seq == busy.state.seq - 1
    assert_idempotent(busy, [asked, denied])
    assert_idempotent(busy, lambda: busy.submit(asked))
    assert_idempotent(busy, lambda kernel: kernel.submit([asked, denied]))
    assert assert_idempotent(busy, Release(held)).status == "released"
    held = busy.submit(Intent("http.request", {"url": "u"}, "card")).intent_hash
    assert assert_idempotent(busy, Receipt(held, "ok", "a", {})).status == "settled"
    assert_idempotent(busy, lambda: busy.apply(WORLD))


def test_calls_without_a_key_are_two_intents(busy):
    named(
        lambda kernel: assert_idempotent(kernel, Intent("http.request", {"url": "u"}, "card")),
        busy, "two intents", "idempotency_key",
    )  # fmt: skip


def test_a_call_that_writes_each_time_names_the_frames(busy):
    count = iter(range(9))

    def call():
        return busy.native("account.open", account=f"a/{next(count)}").outcome

    size = busy.state.seq
    named(lambda kernel: assert_idempotent(kernel, call), busy, f"wrote frames {size + 1} to {size + 1}")


def test_a_deferred_intent_is_not_idempotent():
    limit = {"dim": "tokens", "per": "60s", "amount": 5, "over": "defer"}
    with make_world({"grants": {"g": {"cap": "sys/llm.basic@1", "limits": [limit]}}}) as kernel:
        assert kernel.submit(Intent("llm.generate", {"max_tokens": 4}, "g")).allowed
        intent = Intent("llm.generate", {"max_tokens": 4}, "g", idempotency_key=bytes(32))
        named(lambda subject: assert_idempotent(subject, intent), kernel, "`defer` is not final")


def test_on_a_path_nothing_is_written(busy, tmp_path):
    folder = save_world(busy, tmp_path / "w")
    before = (folder / "journal" / "data.mdb").read_bytes()
    asked = Intent("http.request", {"url": "u"}, "card", idempotency_key=bytes(32))
    assert assert_idempotent(folder, asked).allowed
    assert (folder / "journal" / "data.mdb").read_bytes() == before


# --- worlds that are kept ---------------------------------------------------------------------------


def test_what_is_kept_is_a_world_that_tally_verifies_and_opens(busy, tmp_path):
    folder = save_world(busy, tmp_path / "kept")
    assert run("-w", folder, "verify", "--rejudge").code == 0
    assert len(run("-w", folder, "--json", "log").lines) == busy.state.seq
    with splittally.open(folder) as again:
        assert again.state.root == busy.state.root
    with pytest.raises(FileExistsError):
        save_world(busy, folder)


@pytest.fixture
def kept(tmp_path):
    """The folder under which journals are kept during a test."""
    before = KEEPING.under(lambda: tmp_path)
    yield tmp_path
    KEEPING.under(before)


def fail_after(tokens, name):
    with saved_on_failure(make_world(WORLD), name=name) as kernel:
        kernel.submit(Intent("llm.generate", {"max_tokens": tokens}, "llm"))
        raise LookupError("on purpose")


def test_a_failing_block_says_where_its_journal_is(kept):
    for tokens in (90, 20):  # the next failure of the same thing takes its place
        with pytest.raises(LookupError) as caught:
            fail_after(tokens, "a test/with [odd] name")
    (note,) = caught.value.__notes__
    (folder,) = kept.iterdir()
    assert f"tally -w {folder} log" in note
    with open_journal(folder) as reader:
        (held,) = reader.state.reservations.values()
        assert held.reserve == {"tokens": 20}


def test_a_folder_that_holds_no_world_is_never_replaced(kept):
    with pytest.raises(LookupError):
        fail_after(1, "mine")
    (folder,) = kept.iterdir()
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "precious").write_text("keep")
    with pytest.raises(LookupError) as caught:
        fail_after(1, "mine")
    assert "could not be kept" in caught.value.__notes__[0]
    assert (folder / "precious").read_text() == "keep"


def test_a_manifest_that_is_refused_tells_its_findings():
    with pytest.raises(AssertionError, match=r"not_found.*no/cap@1"):
        make_world({"grants": {"g": {"cap": "no/cap@1"}}})
    with pytest.raises(ValueError, match="memory or lmdb"):
        make_world(store="paper")
