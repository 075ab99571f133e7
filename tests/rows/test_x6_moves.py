"""Rows X6-10 and X6-11: one function says whether values may move, and a refund moves money or is refused."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import example, given
from msgspec.structs import replace
from splittally import Intent, Receipt
from splittally.core.errors import JournalDamaged
from splittally.core.events import Charge, Refunded, RefundLeg, Settled
from splittally.core.ledger.invariants import INVARIANTS, Refunds, broken_invariants
from splittally.core.ledger.moves import Move, refused_moves
from splittally.core.ledger.state import Ledger
from splittally.core.types import AccountDef, ResourceDef
from splittally.edge.manifest import read_manifest_document
from splittally.runtime.reader import read_store
from splittally_tools.audit.conservation import Conservation
from splittally_tools.audit.verify import verify
from splittally_tools.testing.journal_walk import Walk

from tests.cli_tools import run
from tests.rows.treasury import World, steps
from tests.rows.worlds import apply, codes, few, held, manifest, recorded, reserves, settle, world

ACCOUNTS = {"accounts/a": {}, "accounts/b": {}, "accounts/c": {}, "external/shop": {}}
RESOURCES = {"USD": 0, "EUR": 0}
CARD = {"draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/b"]}


def money(grants, funds=100, path=None):
    """A world where `a` and `b` hold `funds` of both resources."""
    kernel = splittally.open(path, clock="given")
    apply(kernel, manifest(grants, resources=RESOURCES, accounts=ACCOUNTS))
    for account in ("accounts/a", "accounts/b"):
        for resource in RESOURCES:
            assert kernel.native("ledger.issue", resource=resource, amount=funds, to=account).allowed
    return kernel


def balances(kernel, *names):
    return [kernel.state.accounts[f"accounts/{name}"].balances.get("USD", 0) for name in names]


def refund(kernel, digest, **amounts):
    return codes(kernel.native("settlement.refund", intent_hash=digest, amounts=amounts))


def counter(kernel, grant="g", dim="USD"):
    row = kernel.state.counters[grant][dim]
    return row.spent, row.get("refunded", 0)


def require_sound(kernel):
    report = verify(read_store(kernel))
    assert report.is_sound, report


# --- X6-10: one function ----------------------------------------------------------------------------

NAMES = ("accounts/a", "accounts/b", "external/x", "")
moves = st.lists(
    st.builds(
        Move,
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.sampled_from(["USD", "EUR"]),
        st.integers(-1, 12) | st.sampled_from([2**63, 2**64 - 1, 2**64]),
    ),
    max_size=5,
)
balance_of = st.dictionaries(
    st.tuples(st.sampled_from(NAMES[:3]), st.just("USD")),
    st.integers(-9, 20) | st.sampled_from([2**64 - 1, 2**64 - 5, -(2**63)]),
)


@pytest.mark.req("X6-10")
@given(moves, balance_of, st.integers(0, 9), st.booleans())
@example([Move("external/x", "", "USD", 5)], {("external/x", "USD"): 9}, 0, False)
def test_moves_are_refused_exactly_where_making_them_one_by_one_breaks_something(
    asked, stands, debt, by_issue
):
    ledger = Ledger()
    ledger.resources = {"USD": ResourceDef("USD", 0)}
    ledger.accounts = {name: AccountDef(name, "plain", debt) for name in NAMES[:3]}
    ledger.balances = dict(stands)
    left, is_fine = dict(stands), True
    for debit, credit, resource, amount, _ in asked:
        is_fine &= resource == "USD" and 0 < amount < 2**64
        if debit.startswith("external/"):
            is_fine &= by_issue
        elif debit:
            is_fine &= left.get((debit, resource), 0) - amount >= -debt
        for name, change in ((debit, -amount), (credit, amount)):
            left[name, resource] = left.get((name, resource), 0) + change
        is_fine &= all(-(2**63) <= left[name, resource] < 2**64 for name in (debit, credit) if name)
    assert (refused_moves(ledger, asked, by_issue) == []) == is_fine
    assert ledger.balances == stands


@pytest.mark.req("X6-10")
@few
@given(steps, st.sampled_from([0, 18]))
def test_an_honest_journal_is_sound_and_is_decided_so_again(taken, scale):
    """Whatever was asked for: what the kernel let happen is what audit finds right."""
    made = World(scale)
    with made.kernel as kernel:
        for step in taken:
            made.step(*step)
        require_sound(kernel)
        walk = Walk(read_store(kernel), is_rejudging=True)
        walk.finish()
        assert walk.other_engines == {}


def put(table, change, at=min):
    """Something that replaces a number of one row of a table of the ledger."""

    def break_it(ledger):
        rows = getattr(ledger, table)
        key = at(rows)
        rows[key] = change(rows[key])

    return break_it


def window(rows):
    """The one counter of a window."""
    (key,) = (key for key in rows if key[2] == "day")
    return key


def forget_the_payer(ledger):
    """Nothing but the hold names it then."""
    for resource in RESOURCES:
        ledger.balances["accounts/b", resource] += ledger.balances.pop(("accounts/a", resource))
    ledger.accounts.pop("accounts/a")


BREAKS = [
    ("_sums", put("balances", lambda balance: balance + 1)),
    ("_flights", put("inflight", lambda amount: amount + 1)),
    ("_flights", lambda ledger: ledger.inflight.update(EUR=3)),
    ("_reserves", put("counters", lambda row: replace(row, reserved=row.reserved + 1))),
    ("_reserves", put("counters", lambda row: replace(row, reserved=row.reserved - 1), window)),
    ("_keyed_reserves", put("keyed", lambda row: replace(row, reserved=row.reserved + 1))),
    ("_ranges", put("counters", lambda row: replace(row, spent=2**64))),
    ("_ranges", put("counters", lambda row: replace(row, refunded=-1), window)),
    ("_ranges", put("balances", lambda balance: 2**64)),
    ("_names", lambda ledger: ledger.accounts.pop("accounts/b")),
    ("_names", forget_the_payer),
    ("_names", lambda ledger: ledger.resources.pop("EUR")),
]


@pytest.mark.req("X6-10")
def test_each_invariant_of_the_list_is_broken_below():
    assert {name for name, _ in BREAKS} == {broken_in.__name__ for broken_in in INVARIANTS}


@pytest.mark.req("X6-10")
@pytest.mark.parametrize(("name", "break_it"), BREAKS)
def test_each_invariant_of_the_list_finds_what_breaks_it(name, break_it):
    """Audit and the stateful machine of the tests ask the same list."""
    limit = {"dim": "USD", "per": "day", "amount": 40}
    day = {"limits": [limit, limit | {"per_key": "params.user"}]}
    with money({"g": {"budget": {"USD": 50}} | CARD | day}) as kernel:
        held(kernel, {"USD": 20})
        ledger = kernel._world.fork().state.ledger
        assert list(broken_invariants(ledger)) == []
        break_it(ledger)
        (broken_in,) = (broken_in for broken_in in INVARIANTS if broken_in.__name__ == name)
        assert list(broken_in(ledger)) != []
        audit = Conservation()
        for record in read_store(kernel).records():
            audit.see(record, kernel._world.state_after(record.seq))
        broken = kernel._world.fork().state
        audit.compare_all(broken)
        break_it(broken.ledger)
        with pytest.raises(JournalDamaged):
            audit.compare_all(broken)


@pytest.mark.req("X6-10")
def test_a_refund_of_more_than_was_charged_is_found_though_no_counter_shows_it():
    charge = Charge(
        grant="g", grant_hash=b"", terms_hash=b"", enforcer_ref=b"", usage={}, charged={"tokens": 9},
        violations=[], windows=[],
    )  # fmt: skip
    refunds = Refunds()
    settled = Settled(intent_hash=b"", how="receipt", status="ok", legs=[charge], violations=[])
    assert list(refunds.see(settled)) == []
    once = Refunded(b"", [RefundLeg(grant="g", amounts={"tokens": 5}, windows=[])])
    assert [list(refunds.see(once)) for _ in range(2)] == [
        [],
        [("what is left of g in tokens to refund", 0, -1)],
    ]


PLAN = {"resources": RESOURCES, "conversions": {}, "rules": []}
OUT = {"gives": "USD", "gets": "EUR", "rate": [1, 1], "counter": "external/shop"}
TAKE = {"resource": "USD", "amount": 5, "from": "external/shop"}


def adopted(**more):
    return {"budget": "budgets/n", "schema": PLAN | more}


SWAP = {"gets": "EUR", "rate": [1, 1]}
INWARD = {"cap": "test/parrot@1", "draws_on": {"USD": "external/shop"}}
DOORS = {
    "transfer": ("ledger.transfer", TAKE | {"to": "accounts/a"}),
    "conversion": ("ledger.convert", TAKE | SWAP | {"to": "accounts/a", "counter": "accounts/a"}),
    "counter": (
        "ledger.convert",
        TAKE | SWAP | {"from": "accounts/a", "to": "accounts/a", "counter": "external/shop"},
    ),
    "funding": ("budget.create", adopted() | TAKE),
    "plan": ("budget.create", adopted(conversions={"out": OUT})),
    "amended": ("budget.amend", adopted(conversions={"out": OUT}) | {"budget": "budgets/p"}),
    "card": ("grant.issue", {"name": "n", "terms": INWARD}),
}


@pytest.mark.req("X6-10")
@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_value_in_from_an_external_account(door):
    kernel = money({"g": CARD | {"pays_to": ["external/shop"]}})
    settle(kernel, held(kernel, {"USD": 60}), {"USD": 60})
    assert kernel.native("budget.create", budget="budgets/p", schema=PLAN).allowed
    kind, params = DOORS[door]
    assert "external_account" in codes(kernel.native(kind, **params))
    require_sound(kernel)


@pytest.mark.req("X6-10", "X6-11")
@pytest.mark.parametrize("way", ["receipt", "late", "attested", "unknown"])
def test_what_left_the_world_is_not_refunded_however_it_was_paid(folder, way):
    card = {"draws_on": {"USD": "accounts/a"}, "pays_to": ["external/shop"], "unknown_ns": 10}
    kernel = money({"g": card}, path=folder / "w")
    digest = held(kernel, {"USD": 60}, expires_ns=5 if way == "late" else None)
    match way:
        case "receipt":
            settle(kernel, digest, {"USD": 60})
        case "late":
            settle(kernel, digest, {"USD": 60}, now_ns=9)
        case "attested":
            kernel.settle(Receipt(digest, "unknown"))
            assert kernel.native("outcome.attest", intent_hash=digest, happened=True).allowed
        case "unknown":
            kernel.settle(Receipt(digest, "unknown"))
            kernel.tick(now_ns=100)
    assert kernel.state.accounts["external/shop"].balances["USD"] == 60
    assert refund(kernel, digest, USD=20) == ["external_account"]
    kernel.close()
    assert run("-w", folder / "w", "verify").code == 0
    assert run("-w", folder / "w", "checkpoint", "--key", folder / "k.pem", "--new-key").code == 0


@pytest.mark.req("X6-10")
def test_a_debt_that_is_made_and_forbidden_in_one_record_is_no_damage():
    with splittally.open(None, clock="given") as kernel:
        owing = {"accounts/a": {"debt_limit": 100}, "accounts/b": {}}
        assert kernel.apply({"resources": {"USD": 0}, "accounts": owing}).allowed
        lowered = {"resources": {"USD": 0}, "accounts": {"accounts/a": {}, "accounts/b": {}}}
        document, _ = read_manifest_document(lowered, kernel._world.state, kernel._world.sealer.schema)
        spent = {"resource": "USD", "amount": 100, "from": "accounts/a", "to": "accounts/b"}
        first, second = Intent("ledger.transfer", spent, "root"), Intent("manifest.apply", document, "root")
        assert all(each.allowed for each in kernel.submit([first, second], mode="all"))
        require_sound(kernel)
        other_way = kernel.submit([second, first], mode="all")
        assert not any(each.allowed for each in other_way)


@pytest.mark.req("X6-10")
def test_a_rule_that_gets_nothing_for_what_it_gives_is_skipped():
    """Also where the counter-account is a budget's own."""
    kernel = money({})
    assert kernel.native("budget.create", budget="budgets/c", schema=PLAN).allowed
    out = {"gives": "USD", "gets": "EUR", "rate": [1, 1000], "counter": "budgets/c"}
    do = [{"kind": "convert", "conversion": "out", "amount": "1"}]
    plan = PLAN | {"conversions": {"out": out}, "rules": [{"name": "r", "on": "deposit", "do": do}]}
    assert kernel.native("budget.create", budget="budgets/n", schema=plan).allowed
    assert kernel.native("ledger.issue", resource="USD", amount=5, to="budgets/n").allowed
    assert kernel.state.accounts["budgets/n"].balances == {"USD": 5}
    require_sound(kernel)


# --- X6-11: money moves or is refused ---------------------------------------------------------------


@pytest.mark.req("X6-11")
@pytest.mark.parametrize("first", ["USD", "EUR"])
def test_a_payee_of_one_resource_that_pays_another_gives_back_what_it_was_paid(first):
    card = {"draws_on": {"USD": "accounts/a", "EUR": "accounts/b"}, "pays_to": ["accounts/b", "accounts/c"]}
    kernel = money({"g": {"budget": {"USD": 1000, "EUR": 1000}} | card})
    digest = held(kernel, {"USD": 60, "EUR": 10})
    settle(kernel, digest, {"USD": 60, "EUR": 10})
    assert balances(kernel, "a", "b") == [40, 160]
    for resource in (first, "EUR" if first == "USD" else "USD"):
        found = refund(kernel, digest, **{resource: 10})
        assert found == ([] if resource == "USD" else ["refund_too_large"])  # b paid itself its EUR
    assert balances(kernel, "a", "b") == [50, 150]
    assert (counter(kernel), counter(kernel, dim="EUR")) == ((60, 10), (10, 0))
    require_sound(kernel)


@pytest.mark.req("X6-11")
@few
@given(
    st.sampled_from(["receipt", "late", "payee", "unknown", "itself", "outside"]),
    st.integers(0, 50),
    st.lists(st.integers(1, 30), max_size=4),
    st.integers(0, 60),
)
def test_a_refund_moves_its_amount_and_gives_it_to_the_counter_or_does_neither(way, used, amounts, kept):
    """Whoever was paid, however, and whatever the payee has left of it."""
    payee = {"itself": "accounts/a", "outside": "external/shop"}.get(way, "accounts/b")
    doubt = "payee" if way == "payee" else "payer"
    card = {"draws_on": {"USD": "accounts/a"}, "pays_to": [payee], "unknown_ns": 10, "doubt": doubt}
    kernel = money({"g": {"budget": {"USD": 500}} | card}, funds=100)
    with kernel:
        digest = held(kernel, {"USD": 40}, expires_ns=5 if way == "late" else None)
        if way in ("payee", "unknown"):
            kernel.settle(Receipt(digest, "unknown"))
            kernel.tick(now_ns=100)
        else:
            settle(kernel, digest, {"USD": used}, now_ns=20 if way == "late" else 1)
        spare = balances(kernel, "b")[0] - kept
        if spare > 0:
            moved = {"resource": "USD", "amount": spare, "from": "accounts/b", "to": "accounts/c"}
            assert kernel.native("ledger.transfer", **moved).allowed
        for amount in amounts:
            before, (spent, back) = balances(kernel, "a")[0], counter(kernel)
            refused = refund(kernel, digest, USD=amount)
            moved = balances(kernel, "a")[0] - before
            assert (moved, counter(kernel)) == (
                (0, (spent, back)) if refused else (amount, (spent, back + amount))
            )
            if way in ("payee", "itself", "outside"):
                assert refused
        require_sound(kernel)


OPS = {"cap": "acme/ops@1", "params": {"reserve": {"USD": 7, "calls": 3}}, "holder": "tim"}
OPS_CAP = {"acme/ops@1": {"enforcer": "sys/CapAllowAll@1", "cap_type": "native"}}


@pytest.mark.req("X6-11")
@pytest.mark.parametrize("draws", [{}, {"draws_on": {"USD": "accounts/a"}, "pays_to": ["accounts/b"]}])
def test_a_native_effect_gets_counters_back_and_never_money(draws):
    grants = {"ops": OPS | draws | {"budget": {"calls": 9, "USD": 50}}}
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(
            {"resources": RESOURCES, "accounts": ACCOUNTS, "caps": OPS_CAP, "grants": grants}
        ).allowed
        kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/a")
        tim = kernel.as_principal("tim")
        moved = {"resource": "USD", "amount": 50, "from": "accounts/a", "to": "accounts/b"}
        moving = tim.native("ledger.transfer", grant="ops", **moved)
        opening = tim.native("account.open", grant="ops", account="accounts/d")
        assert refund(kernel, moving.intent_hash, calls=2) == []
        assert refund(kernel, moving.intent_hash, calls=2) == ["refund_too_large"]
        assert refund(kernel, moving.intent_hash, USD=7) == ["refund_too_large"]  # it moved USD by itself
        assert refund(kernel, opening.intent_hash, USD=7) == []
        assert balances(kernel, "a", "b") == [50, 50]
        assert (counter(kernel, "ops", "calls"), counter(kernel, "ops", "USD")) == ((6, 2), (14, 7))
        require_sound(kernel)


@pytest.mark.req("X6-11")
@pytest.mark.parametrize("order", [["add", "settle", "refund"], ["settle", "add", "refund"]])
def test_a_limit_that_came_after_the_charge_gets_nothing_back_of_it(order):
    """What is spent under the limit never passes it; a hold that was open when it came is counted by it."""
    terms = {"cap": "test/parrot@1"}
    with world({"g": {}}) as kernel:
        digest = held(kernel, {"tokens": 90})
        for step in order:
            match step:
                case "settle":
                    settle(kernel, digest, {"tokens": 90})
                case "add":
                    assert kernel.native(
                        "grant.amend", name="g", terms=terms | {"budget": {"tokens": 100}}
                    ).allowed
                case "refund":
                    assert refund(kernel, digest, tokens=90) == []
        is_counted = order[0] == "add"
        assert counter(kernel, dim="tokens") == ((90, 90) if is_counted else (0, 0))
        held(kernel, {"tokens": 100})
        assert kernel.state.counters["g"]["tokens"].reserved == 100
        refused = kernel.submit(Intent("test.act", {"a": reserves({"tokens": 1})}, "g"))
        assert codes(refused) == ["budget_exceeded"]
        require_sound(kernel)


@pytest.mark.req("X6-11")
def test_a_later_limit_keeps_what_it_counted_itself_when_an_older_charge_is_refunded():
    with world({"g": {}}) as kernel:
        before = held(kernel, {"tokens": 90})
        settle(kernel, before, {"tokens": 90})
        terms = {"cap": "test/parrot@1", "budget": {"tokens": 100}}
        assert kernel.native("grant.amend", name="g", terms=terms).allowed
        after = held(kernel, {"tokens": 95})
        settle(kernel, after, {"tokens": 95})
        assert refund(kernel, before, tokens=90) == []
        assert counter(kernel, dim="tokens") == (95, 0)
        assert refund(kernel, after, tokens=90) == []
        assert counter(kernel, dim="tokens") == (95, 90)


@pytest.mark.req("X6-11")
def test_a_charge_says_what_no_counter_counted_and_a_refund_repeats_it():
    with world({"g": {"budget": {"tokens": 50}}}) as kernel:
        digest = held(kernel, {"tokens": 9, "bytes": 8, "calls": 0})
        settle(kernel, digest, {"tokens": 9, "bytes": 8, "calls": 0})
        charge, *_ = recorded(kernel, Settled)[-1].legs
        assert charge.uncounted == ["bytes"]
        assert refund(kernel, digest, tokens=9, bytes=8) == []
        leg, *_ = recorded(kernel, Refunded)[-1].legs
        assert (leg.amounts, leg.uncounted) == ({"bytes": 8, "tokens": 9}, ["bytes"])


@pytest.mark.req("X6-11")
def test_an_older_charge_gives_a_counter_nothing_that_it_cannot_have_counted(monkeypatch):
    """Records of format 1 do not say what was counted: they read as if all of it was."""
    fields = Charge.__struct_fields__[:-1]
    old = Charge(**dict.fromkeys(fields, None))
    assert old.uncounted == []
    monkeypatch.setattr("splittally.core.ledger.settle.uncounted_dims", lambda *_: [])
    with world({"g": {}}) as kernel:
        digest = held(kernel, {"tokens": 90})
        settle(kernel, digest, {"tokens": 90})
        terms = {"cap": "test/parrot@1", "budget": {"tokens": 10}}
        assert kernel.native("grant.amend", name="g", terms=terms).allowed
        assert refund(kernel, digest, tokens=90) == []
        assert counter(kernel, dim="tokens") == (0, 0)


@pytest.mark.req("X6-11", "X6-12")
def test_what_a_rule_moves_because_of_a_payment_is_not_the_payments():
    """A time-out pays a budget, whose rule passes half on in the same record: only the budget was paid."""
    do = [{"kind": "transfer", "to": "accounts/c", "amount": "cause.amount / 2", "resource": "USD"}]
    plan = {"resources": {"USD": 0}, "rules": [{"name": "r", "on": "deposit", "do": do}]}
    card = {"draws_on": {"USD": "accounts/a"}, "pays_to": ["budgets/p"], "unknown_ns": 10, "doubt": "payer"}
    with splittally.open(None, clock="given") as kernel:
        base = {"resources": {"USD": 0}, "accounts": ACCOUNTS}
        assert kernel.apply(base).allowed
        kernel.native("ledger.issue", resource="USD", amount=100, to="accounts/a")
        assert kernel.native("budget.create", budget="budgets/p", schema=plan).allowed
        assert kernel.apply(base | {"grants": {"g": {"cap": "sys/spend@1", **card}}}).allowed
        params = {"result": "x", "amounts": {"USD": 40}}
        digest = kernel.submit(Intent("task.post", params, "g")).intent_hash
        kernel.settle(Receipt(digest, "unknown"))
        kernel.tick(now_ns=100)
        assert balances(kernel, "a", "c") == [60, 20]
        assert refund(kernel, digest, USD=21) == ["insufficient_balance"]
        assert refund(kernel, digest, USD=20) == []
        assert balances(kernel, "a", "c") == [80, 20]
        require_sound(kernel)


# --- what is left ----------------------------------------------------------------------------------------

amounts = st.sampled_from([0, 1, 2**53, 2**61]) | st.integers(0, 100)


@pytest.mark.req("X6-10")
@few
@given(amounts, amounts, amounts, st.sampled_from(["accounts/a", "budgets/b"]))
def test_what_is_told_to_be_spendable_is_what_may_be_taken_and_no_unit_more(got, debt, paid, name):
    """Of an account, and of a budget as it tells itself; by a transfer and by a hold."""
    accounts = {"accounts/a": {"debt_limit": debt}, "accounts/z": {}}
    with world({}, resources={"USD": 0}, accounts=accounts) as kernel:
        made = {"budget": "budgets/b", "schema": {"resources": {"USD": 0}}, "debt_limit": debt}
        assert kernel.native("budget.create", **made).allowed
        issue = {"resource": "USD", "amount": 1 + got, "to": name}
        paid = 1 + min(paid, got + debt)
        move = {"resource": "USD", "from": name, "to": "accounts/z"}
        assert kernel.native("ledger.issue", **issue).allowed
        assert kernel.native("ledger.transfer", amount=paid, **move).allowed
        told = kernel.state.accounts[name].spendable["USD"]
        if name == "budgets/b":
            assert kernel.state.budgets[name].spendable["USD"] == told
        assert told == 1 + got + debt - paid
        card = {"cap": "sys/spend@1", "draws_on": {"USD": name}, "pays_to": ["accounts/z"]}
        assert kernel.native("grant.issue", name="card", terms=card).allowed
        for amount in {told + 1, max(1, told)}:
            task = Intent("task.post", {"result": "x", "amounts": {"USD": amount}}, "card")
            assert kernel.fork().native("ledger.transfer", amount=amount, **move).allowed == (amount <= told)
            assert kernel.fork().submit(task).allowed == (amount <= told)


@pytest.mark.req("X6-10")
def test_nothing_of_an_external_account_is_spendable():
    with world({}, resources={"USD": 0}, accounts={"accounts/a": {}, "external/x": {}}) as kernel:
        move = {"resource": "USD", "amount": 5, "from": "accounts/a", "to": "external/x"}
        assert kernel.native("ledger.issue", resource="USD", amount=5, to="accounts/a").allowed
        assert kernel.native("ledger.transfer", **move).allowed
        row = kernel.state.accounts["external/x"]
        assert (row.balances, row.spendable) == ({"USD": 5}, {"USD": 0})
        back = {**move, "from": "external/x", "to": "accounts/a", "amount": 1}
        assert codes(kernel.native("ledger.transfer", **back)) == ["external_account"]
