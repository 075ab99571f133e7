"""Row X6-13: arithmetic never leaves the data model, and nothing that is due can stop a world."""

import asyncio

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent, Receipt, aio
from splittally.core.agenda import due_events
from splittally.core.events import Noted, Posted, RuleFired
from splittally.core.findings import find, shown_facts
from splittally.core.ledger import check
from splittally.core.ledger.invariants import broken_invariants
from splittally.core.limits import INT_MAX, INT_MIN
from splittally.core.native import NATIVE, firing
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.runtime import pipeline
from splittally.runtime.reader import read_store
from splittally_tools.audit.verify import verify

from tests.cli_tools import run
from tests.rows.treasury import AMOUNTS, OTHERS, STEPS, TOP, World, steps
from tests.rows.worlds import codes, few, held, manifest, recorded, reserves, settle, world


def require_readable(kernel):
    """Root and snapshot can be written and read back, and every invariant of the ledger holds."""
    state = kernel._world.state
    assert state_root(load_state(dump_state(state))) == kernel.state.root
    assert list(broken_invariants(state.ledger)) == []


@pytest.mark.req("X6-13")
@few
@given(steps, st.sampled_from([0, 18]))
def test_no_amount_in_any_step_makes_a_bare_error_or_a_state_that_cannot_be_written(taken, scale):
    made = World(scale)
    with made.kernel as kernel:
        for name, one, two, at in taken:
            made.step(name, one, two, at)
            require_readable(kernel)
        report = verify(read_store(kernel))
        assert report.is_sound, report


def test_the_steps_ask_for_every_native_effect():
    assert set(STEPS) == {*NATIVE, *OTHERS}


@pytest.mark.req("X6-13")
@pytest.mark.parametrize("scale", [0, 18])
def test_the_command_line_reads_a_world_at_the_top_of_the_numbers(folder, scale):
    """Each kind of step with the largest amounts, three times over, and then everything that reads it."""
    made = World(scale, folder / "w")
    for amount in AMOUNTS[-3:]:
        for at, name in enumerate([*STEPS, *STEPS]):
            made.step(name, amount, TOP, 5 * at)
    made.kernel.close()
    made.kernel = None
    where = ["-w", str(folder / "w")]
    assert run(*where, "verify").code == 0
    assert run(*where, "checkpoint", "--key", folder / "k.pem", "--new-key").code == 0
    for command in (
        ["state", "--root"],
        ["digest"],
        ["accounts"],
        ["budgets"],
        ["ledger"],
        ["grants"],
        ["log"],
    ):
        assert run(*where, *command).code == 0
        assert run("--json", *where, *command).code == 0


@pytest.mark.req("X6-13")
def test_the_digest_tells_a_whole_coin_of_eighteen_decimals(folder):
    """It is more than 2^53 minor units, which JSON output writes as text."""
    coin = 10**18
    governor = {"caps": [{"resource": "ETH", "per": "day", "amount": 5 * coin}]}
    with world({"g": {}}, folder / "w", resources={"ETH": 18}, governor=governor) as kernel:
        settle(kernel, held(kernel, {"ETH": coin}), {"ETH": coin})
        held(kernel, {"ETH": 2 * coin})
    told = run("-w", folder / "w", "digest")
    assert told.code == 0
    assert "3.000000000000000000 ETH of 5.000000000000000000 ETH a day" in told.out
    (cap,) = run("--json", "-w", folder / "w", "digest").json["governor"]["caps"]
    assert (cap["counted"], cap["reserved"]) == (str(3 * coin), str(2 * coin))


# --- facts ------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def numbers(value):
    match value:
        case bool() | None | str():
            return []
        case int():
            return [value]
        case dict():
            return [number for each in value.values() for number in numbers(each)]
    return [number for each in value for number in numbers(each)]


@pytest.mark.req("X6-13")
@given(values)
def test_facts_are_held_to_the_data_model_at_any_depth(value):
    """A fact is shown as the nearest that can be written; all that can be written stays as it is."""
    shown = shown_facts(value)
    assert numbers(shown) == [max(INT_MIN, min(number, INT_MAX)) for number in numbers(value)]
    assert find("budget_exceeded", nested=value).facts["nested"] == shown
    if all(INT_MIN <= number <= INT_MAX for number in numbers(value)):
        assert shown == value


@pytest.mark.req("X6-13")
def test_a_rule_that_finds_more_missing_than_a_number_holds_is_skipped_and_the_world_goes_on():
    minimum = {"name": "c", "resource": "USD", "minimum": TOP}
    do = [{"kind": "transfer", "to": "accounts/a", "amount": "1", "resource": "B"}]
    plan = {
        "resources": {"USD": 0, "B": 0},
        "constraints": [minimum],
        "rules": [{"name": "r", "on": "deposit", "of": "B", "do": do}],
    }
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"resources": {"USD": 0, "B": 0}, "accounts": {"accounts/a": {}}})
        kernel.native("budget.create", budget="budgets/b", schema=plan, debt_limit=2**62)
        owed = {"resource": "USD", "amount": 2**62, "from": "budgets/b", "to": "accounts/a"}
        assert kernel.native("ledger.transfer", **owed).allowed
        assert kernel.native("ledger.issue", resource="B", amount=5, to="budgets/b").allowed
        (skipped,) = [x for x in recorded(kernel, RuleFired) if x.status == "skipped"]
        (missing,) = skipped.findings[0].facts["missing"]
        assert missing["missing"] == TOP
        assert kernel.native("account.open", account="accounts/z").allowed


@pytest.mark.req("X6-13")
def test_a_rule_whose_record_cannot_be_written_is_skipped_and_nothing_due_stops_the_world(monkeypatch):
    """The last line of defence: whatever a rule makes, a Tick ends."""

    def too_much(state, due, key, now_ns):
        posted = Posted("accounts/a", "budgets/b", "USD", 2**64, "root", due.cause)
        return [firing.told(due, key, "done"), posted]

    do = [{"kind": "transfer", "to": "accounts/a", "amount": "1", "resource": "USD"}]
    rules = [{"name": "r", "on": "deposit", "do": do}, {"name": "daily", "on": "day", "do": do}]
    plan = {"resources": {"USD": 0}, "rules": rules}
    day = 86_400 * 10**9
    with splittally.open(None, clock="given") as kernel:
        kernel.apply({"resources": {"USD": 0}, "accounts": {"accounts/a": {}}})
        kernel.native("budget.create", budget="budgets/b", schema=plan)
        monkeypatch.setattr(firing, "done_events", too_much)
        assert kernel.native("ledger.issue", resource="USD", amount=5, to="budgets/b").allowed
        (skipped,) = [x for x in recorded(kernel, RuleFired) if x.status == "skipped"]
        assert skipped.findings[0].facts["reason"] == "fault"
        assert due_events(kernel._world.state, 10, 10) == []
        kernel.tick(now_ns=day)
        kernel.tick(now_ns=2 * day)
        monkeypatch.undo()
        kernel.tick(now_ns=3 * day)
        ended = [(x.rule, x.status) for x in recorded(kernel, RuleFired) if x.status != "due"]
        assert ended == [("r", "skipped"), *[("daily", "skipped")] * 2, ("daily", "done")]
        require_readable(kernel)


@pytest.mark.req("X6-13")
def test_a_submit_whose_record_cannot_be_written_is_refused_without_one(monkeypatch):
    with world({"g": {}}) as kernel:
        size = kernel.state.seq
        monkeypatch.setattr(pipeline, "body_rows", lambda *fields: [2**64])
        refused = kernel.native("account.open", account="accounts/z")
        assert (refused.seq, refused.outcome, codes(refused)) == (None, "deny", ["amount_overflow"])
        monkeypatch.undo()
        assert kernel.state.seq == size
        assert kernel.native("account.open", account="accounts/z").allowed


# --- what is issued and what is owed ----------------------------------------------------------------

SHARE = 2**60  # an eighth of what may be issued of one resource
EXTERNAL = ("external/issuer", "external/mint")


@pytest.mark.req("X6-13")
@few
@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from(EXTERNAL), st.integers(1, 8)), max_size=8))
def test_what_the_external_accounts_lack_together_is_bounded_whatever_one_of_them_took_back(steps):
    """The model: what each external account holds. One above zero lets itself give more and no other."""
    with splittally.open(None, clock="given") as kernel:
        accounts = {"accounts/a": {}, "external/mint": {}}
        assert kernel.apply({"resources": {"USD": 0}, "accounts": accounts}).allowed
        held = dict.fromkeys(EXTERNAL, 0)
        for is_issue, name, shares in steps:
            lacks = sum(max(0, -amount) for amount in held.values())
            if is_issue:
                sides, sign, fits = (
                    {"from": name, "to": "accounts/a"},
                    -1,
                    shares <= 8 - lacks + max(0, held[name]),
                )
            else:
                sides, sign, fits = {"from": "accounts/a", "to": name}, 1, shares <= -sum(held.values())
            kind = "ledger.issue" if is_issue else "ledger.transfer"
            told = kernel.native(kind, resource="USD", amount=shares * SHARE, **sides)
            assert told.allowed == fits, told
            assert fits or codes(told) == ["amount_overflow" if is_issue else "insufficient_balance"]
            held[name] += sign * shares if fits else 0
        inside = {"resource": "USD", "to": "accounts/a", "from": "accounts/a", "amount": 1}
        assert codes(kernel.native("ledger.issue", **inside)) == ["external_account"]


@pytest.mark.req("X6-13")
@few
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("limits"), st.integers(0, 7), st.integers(0, 7)),
            st.tuples(st.just("owe"), st.sampled_from(["a", "b"]), st.integers(1, 7)),
        ),
        max_size=7,
    )
)
def test_what_may_be_owed_is_bounded_and_counts_what_is_owed_where_that_is_more(steps):
    """In eighths of 2^63, less one: a limit that is lowered below what an account owes frees nothing."""
    with splittally.open(None, clock="given") as kernel:
        limits, owed = {"a": 6, "b": 0}, {"a": 0, "b": 0}

        def stated(limits):
            rows = {f"accounts/{name}": {"debt_limit": limits[name] * SHARE} for name in limits}
            return {"resources": {"USD": 0}, "accounts": {**rows, "accounts/sink": {}}}

        assert kernel.apply(stated(limits)).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=7 * SHARE, to="accounts/sink").allowed
        for kind, one, two in [("owe", "a", 5), *steps]:
            if kind == "limits":
                asked = {"a": one, "b": two}
                total = sum(max(asked[name], owed[name]) for name in asked)
                fits = total < 8 or all(asked[name] <= limits[name] for name in asked)
                told = kernel.apply(stated(asked))
                assert codes(told) == ([] if fits else ["amount_overflow"])
                limits = asked if fits else limits
            else:
                move = {"resource": "USD", "from": f"accounts/{one}", "to": "accounts/sink"}
                if kernel.native("ledger.transfer", amount=two * SHARE, **move).allowed:
                    owed[one] += two


# --- sums -------------------------------------------------------------------------------------------

GOVERNED = {
    "resources": {"USD": 0},
    "governor": {"caps": [{"resource": "USD", "per": "week", "amount": TOP}]},
}


@pytest.mark.req("X6-13")
def test_the_governors_sums_stop_at_the_top_and_defer_everybody():
    with world({"g": {}, "h": {}, "i": {}}, **GOVERNED) as kernel:
        for grant in ("g", "h"):
            settle(kernel, held(kernel, {"USD": 0}, grant), {"USD": TOP})
            require_readable(kernel)
        (cap,) = kernel.state.governor.caps
        assert cap["counted"] == TOP
        for _ in range(2):
            refused = kernel.submit(Intent("test.act", {"a": reserves({"USD": TOP})}, "i"))
            assert (refused.outcome, codes(refused)) == ("defer", ["over_weekly_cap"])
        assert recorded(kernel, Noted)[-1].facts["projected"] == TOP


@pytest.mark.req("X6-13")
@pytest.mark.parametrize("limited", ["g", "top"])
def test_a_counter_whose_limit_is_gone_still_refuses_to_pass_the_top(limited):
    grants = {"top": {}, "mid": {"parent": "top"}, "g": {"parent": "mid"}}
    grants[limited]["budget"] = {"tokens": 10}
    with world(grants) as kernel:
        settle(kernel, held(kernel, {"tokens": 1}), {"tokens": 1})
        terms = {"cap": "test/parrot@1", "parent": grants[limited].get("parent", "root")}
        assert kernel.native("grant.amend", name=limited, terms=terms, replace=True).allowed
        held(kernel, {"tokens": TOP - 1})
        refused = kernel.submit(Intent("test.act", {"a": reserves({"tokens": 1})}, "g"))
        assert codes(refused) == ["amount_overflow"]
        require_readable(kernel)


COUNTING = {
    "over": st.sampled_from(["deny", "defer", "ask", "tell", "shadow"]),
    "per": st.sampled_from(["life", "day", "60s", "intent"]),
    "amount": st.sampled_from([0, 1, 2**63, TOP]),
}
limits = st.lists(st.fixed_dictionaries({"dim": st.just("tokens"), **COUNTING}), max_size=3)
far = st.sampled_from([1, 2**53, 2**63, TOP - 1, TOP])
uses_of = st.tuples(far, st.none() | far, st.booleans())  # what is reserved, used, and refunded or not


@pytest.mark.req("X6-13")
@few
@given(limits, st.lists(uses_of, min_size=2, max_size=6))
def test_no_counter_of_any_limit_passes_the_top_however_often_and_by_whatever_it_is_counted(stated, taken):
    hard = {}
    for limit in stated:
        if limit["over"] == "deny":
            hard[limit["per"]] = limit
    stated = [limit for limit in stated if limit["over"] != "deny" or hard[limit["per"]] is limit]
    with world({"g": {"limits": stated}}) as kernel:
        for reserve, usage, is_refunded in taken:
            told = kernel.submit(Intent("test.act", {"a": reserves({"tokens": reserve})}, "g"))
            if told.outcome == "allow" and usage is not None:
                settle(kernel, told.intent_hash, {"tokens": usage})
                if is_refunded:
                    back = {"intent_hash": told.intent_hash, "amounts": {"tokens": usage}}
                    kernel.native("settlement.refund", **back)
            require_readable(kernel)
        assert verify(read_store(kernel)).is_sound


@pytest.mark.req("X6-13")
def test_a_sum_that_nobody_looked_at_stops_the_kernel_before_its_frame_is_kept(folder, monkeypatch):
    with world({"g": {"budget": {"tokens": 10}}}, folder / "w") as kernel:
        assert kernel.native("grant.amend", name="g", terms={"cap": "test/parrot@1"}, replace=True).allowed
        held(kernel, {"tokens": TOP})
        before = kernel.state.root, kernel.state.seq
        monkeypatch.setattr(check, "fits", lambda amount: True)
        with pytest.raises(AssertionError):
            kernel.submit(Intent("test.act", {"a": reserves({"tokens": 1})}, "g"))
        with pytest.raises(splittally.KernelStopped):
            kernel.submit(Intent("test.act", {"a": reserves({"tokens": 0})}, "g"))
    with splittally.open(folder / "w") as kernel:
        assert (kernel.state.root, kernel.state.seq) == before
        require_readable(kernel)


@pytest.mark.req("X6-13")
def test_a_limit_that_could_not_count_what_is_open_is_refused_at_every_door():
    with world({"g": {}}) as kernel:
        for _ in range(2):
            held(kernel, {"tokens": TOP})
        terms = {"cap": "test/parrot@1", "budget": {"tokens": 5}}
        assert codes(kernel.native("grant.amend", name="g", terms=terms)) == ["amount_overflow"]
        assert codes(kernel.apply(manifest({"g": {"budget": {"tokens": 5}}}))) == ["amount_overflow"]
        require_readable(kernel)


@pytest.mark.req("X6-13")
def test_burning_into_another_external_account_lets_no_other_give_more():
    accounts = {"accounts/a": {}, "external/burn": {}, "external/x": {}}
    with world({}, resources={"USD": 18}, accounts=accounts) as kernel:
        issue = {"resource": "USD", "amount": 2**63, "to": "accounts/a"}
        burn = {"resource": "USD", "amount": 2**63, "from": "accounts/a", "to": "external/burn"}
        assert kernel.native("ledger.issue", **issue).allowed
        assert kernel.native("ledger.transfer", **burn).allowed
        assert codes(kernel.native("ledger.issue", **issue)) == ["amount_overflow"]
        assert codes(kernel.native("ledger.issue", **issue | {"from": "external/x"})) == ["amount_overflow"]
        again = {**issue, "from": "external/burn"}
        assert kernel.native("ledger.issue", **again).allowed  # what came back may go out again
        require_readable(kernel)


@pytest.mark.req("X6-13")
def test_what_an_account_owes_above_a_lowered_limit_counts_as_debt():
    owing = {"accounts/a": {"debt_limit": 2**63 - 1}, "accounts/b": {}}
    with world({}, resources={"USD": 0}, accounts=owing) as kernel:
        owed = {"resource": "USD", "amount": 2**63 - 1, "from": "accounts/a", "to": "accounts/b"}
        assert kernel.native("ledger.transfer", **owed).allowed
        lowered = {"resources": {"USD": 0}, "accounts": {"accounts/a": {}, "accounts/b": {}}}
        assert kernel.apply(lowered).allowed
        assert codes(kernel.native("account.open", account="accounts/c", debt_limit=2)) == ["amount_overflow"]
        assert kernel.native("account.open", account="accounts/d").allowed


# --- one request never answers another ----------------------------------------------------------------


@pytest.mark.req("X6-13")
def test_the_error_of_one_request_is_not_the_answer_of_another(monkeypatch):
    """A bug that one request meets is told to whoever sent it."""
    real = pipeline.decide

    def failing(state, judge, history, principal, command, now_ns, prefetched=None):
        if command.members[0].grant == "h":
            raise RuntimeError("a bug")
        return real(state, judge, history, principal, command, now_ns, prefetched)

    async def ask(kernel):
        asked = [
            Intent("test.act", {"a": reserves({"tokens": 1})}, "h" if at == 3 else "g") for at in range(9)
        ]
        return await asyncio.gather(*map(kernel.submit, asked), return_exceptions=True)

    async def main():
        async with aio.open(None, clock="given") as opened:
            assert (await opened.apply(manifest({"g": {}, "h": {}}))).allowed
            monkeypatch.setattr(pipeline, "decide", failing)
            told = await ask(opened)
            assert len(opened.state.reservations) == 8
            return told

    told = asyncio.run(main())
    assert [type(each).__name__ for each in told] == ["Decision"] * 3 + ["RuntimeError"] + ["Decision"] * 5
    assert all(each.allowed for each in told if not isinstance(each, RuntimeError))


@pytest.mark.req("X6-13")
def test_a_large_estimate_is_denied_and_its_neighbours_are_held():
    async def main():
        async with aio.open(None, clock="given") as kernel:
            governor = {"caps": [{"resource": "tokens", "per": "day", "amount": 10**6}]}
            grants = {"g": {"cap": "sys/llm.basic@1"}}
            await kernel.apply({"resources": {"tokens": 0}, "governor": governor, "grants": grants})
            asked = [Intent("llm.generate", {"max_tokens": TOP if at == 3 else 5}, "g") for at in range(9)]
            return await asyncio.gather(*map(kernel.submit, asked))

    assert [x.outcome for x in asyncio.run(main())] == ["allow"] * 3 + ["deny"] + ["allow"] * 5


@pytest.mark.req("X6-13")
def test_a_receipt_at_the_top_is_settled_with_a_violation():
    with world({"g": {"budget": {"tokens": TOP}}}) as kernel:
        first, second = held(kernel, {"tokens": 1}), held(kernel, {"tokens": 1})
        settle(kernel, first, {"tokens": TOP})
        assert "counter_saturated" in [x.code for x in settle(kernel, second, {"tokens": TOP}).violations]
        assert kernel.settle(Receipt(second, "ok")).status == "duplicate"
