"""One charge over several accounts: what expires first is used up first, the next pays the rest."""

from contextlib import contextmanager

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import InvalidManifest, Receipt
from splittally.core.canonical import decode, encode_record
from splittally.core.events import GrantSet
from splittally.core.rows import GRANT_FIELDS, grant_row

from tests.rows.worlds import act, codes, few, held, recorded, settle, tally, uses, world

DAY = 86_400 * 10**9
APRIL = "2026-04-01T00:00:00Z"
APRIL_NS = 1_775_001_600 * 10**9
NAMES = ("gift", "promo", "paid", "vendor", "other")
PAYERS = [{"account": "accounts/promo", "until": APRIL}, "accounts/paid"]
CARD = {"draws_on": {"USD": PAYERS}, "pays_to": ["accounts/vendor"]}


@contextmanager
def money(grants=None, promo=3, paid=100, gift=0, path=None, **terms):
    """A world in which so many USD stand in these accounts."""
    accounts = {f"accounts/{name}": {} for name in NAMES}
    with world(grants or {"g": CARD | terms}, path, resources={"USD": 0}, accounts=accounts) as kernel:
        for name, amount in {"promo": promo, "paid": paid, "gift": gift}.items():
            if amount:
                to = f"accounts/{name}"
                assert kernel.native("ledger.issue", resource="USD", amount=amount, to=to).allowed
        yield kernel


def balances(kernel, *names):
    return tuple(kernel.state.accounts[f"accounts/{name}"].balances.get("USD", 0) for name in names)


def drawn(kernel, digest):
    return [(x.account.removeprefix("accounts/"), x.amount) for x in kernel.state.reservations[digest].draws]


def violations(settlement):
    return {violation.code: violation.facts for violation in settlement.violations}


def refund(kernel, digest, amount):
    return kernel.native("settlement.refund", intent_hash=digest, amounts={"USD": amount})


@pytest.mark.req("X7-18")
@pytest.mark.parametrize("order", [PAYERS, PAYERS[::-1]])
def test_promo_three_and_paid_two_pay_a_call_of_five(order):
    """In whatever order they are listed: what ends comes before what does not."""
    with money(draws_on={"USD": order}) as kernel:
        digest = held(kernel, {"USD": 5})
        assert drawn(kernel, digest) == [("promo", 3), ("paid", 2)]
        assert balances(kernel, "promo", "paid") == (0, 98)
        settle(kernel, digest, {"USD": 4})
        assert balances(kernel, "promo", "paid", "vendor") == (0, 99, 4)
        assert drawn(kernel, held(kernel, {"USD": 5})) == [("paid", 5)]


@pytest.mark.req("X7-18")
def test_those_without_an_end_are_used_in_the_order_of_the_list():
    lists = [["accounts/promo", "accounts/paid"], ["accounts/paid", "accounts/promo"]]
    for names, expected in zip(
        lists, [[("promo", 3), ("paid", 1)], [("paid", 4), ("promo", 0)]], strict=True
    ):
        with money(draws_on={"USD": names}) as kernel:
            assert drawn(kernel, held(kernel, {"USD": 4})) == expected


@pytest.mark.req("X7-18")
@pytest.mark.parametrize(
    ("now_ns", "expected"), [(APRIL_NS - 1, [("promo", 3), ("paid", 2)]), (APRIL_NS, [("paid", 5)])]
)
def test_what_has_ended_is_not_drawn_any_more_and_what_was_held_before_is_spent(now_ns, expected):
    with money() as kernel:
        first = held(kernel, {"USD": 1})
        asked = act(kernel, {"USD": 5}, now_ns=now_ns)
        expected = [(name, amount - (name == "promo")) for name, amount in expected]
        expected[-1] = ("paid", 5 - sum(amount for _, amount in expected[:-1]))
        assert drawn(kernel, asked.intent_hash) == expected
        settle(kernel, first, {"USD": 1}, now_ns=APRIL_NS)
        assert balances(kernel, "vendor") == (1,)


@pytest.mark.req("X7-18")
def test_what_all_hold_together_is_too_little_where_the_last_lacks_its_part():
    with money(paid=1) as kernel:
        refused = act(kernel, {"USD": 5})
        assert codes(refused) == ["insufficient_balance"]
        facts = {key: refused.findings[0].facts[key] for key in ("account", "needed", "available")}
        assert facts == {"account": "accounts/paid", "needed": 2, "available": 1}
        assert balances(kernel, "promo", "paid") == (3, 1)
        assert drawn(kernel, held(kernel, {"USD": 4})) == [("promo", 3), ("paid", 1)]


@pytest.mark.req("X7-18")
def test_that_nobody_is_paid_is_said_once_and_a_payee_who_is_not_listed_is_told_once():
    with money(pays_to=[]) as kernel:
        assert codes(act(kernel, {"USD": 5})) == ["payee_missing"]
    with money() as kernel:
        digest = held(kernel, {"USD": 5})
        told = kernel.settle(Receipt(digest, "ok", "adapter", uses({"USD": 5}), pays_to="accounts/other"))
        assert [violation.code for violation in told.violations] == ["payee_not_permitted"]
        assert balances(kernel, "promo", "paid", "vendor") == (0, 98, 5)


@pytest.mark.req("X7-18")
def test_eight_accounts_pay_one_call():
    names = [f"accounts/{name}" for name in (*NAMES, "x", "y", "z")]
    with money({"g": CARD}, paid=0) as kernel:
        for name in names[len(NAMES) :]:
            assert kernel.native("account.open", account=name).allowed
        for name in names:
            assert kernel.native("ledger.issue", resource="USD", amount=1, to=name).allowed
        terms = CARD | {"cap": "test/parrot@1", "draws_on": {"USD": names}}
        assert kernel.native("grant.issue", name="h", terms=terms).allowed
        assert [amount for _, amount in drawn(kernel, held(kernel, {"USD": 11}, "h"))] == [
            1,
            4,
            1,
            1,
            1,
            1,
            1,
            1,
        ]


@pytest.mark.req("X7-18")
@pytest.mark.parametrize(("doubt", "vendor"), [("payer", 5), ("payee", 0)])
def test_a_doubt_is_borne_by_all_that_paid(doubt, vendor):
    with money(doubt=doubt, unknown_ns=5) as kernel:
        digest = held(kernel, {"USD": 5})
        settle(kernel, digest, b"", "unknown")
        act(kernel, {}, now_ns=10)
        expected = (0, 98, 5) if vendor else (3, 100, 0)
        assert balances(kernel, "promo", "paid", "vendor") == expected


@pytest.mark.req("X7-18")
def test_what_one_has_no_more_when_a_receipt_comes_late_the_next_pays():
    drain = {"draws_on": {"USD": "accounts/promo"}, "pays_to": ["accounts/other"]}
    with money({"g": CARD, "h": drain}) as kernel:
        digest = held(kernel, {"USD": 5})
        assert kernel.release(digest, "not_dispatched").status == "released"
        settle(kernel, held(kernel, {"USD": 2}, "h"), {"USD": 2})
        late = settle(kernel, digest, {"USD": 4})
        assert (late.status, violations(late)) == ("late", {})
        assert balances(kernel, "promo", "paid", "vendor") == (0, 97, 4)
        assert refund(kernel, digest, 4).allowed  # each gets what it paid, and not what it had reserved
        assert balances(kernel, "promo", "paid", "vendor") == (1, 100, 0)


@pytest.mark.req("X7-18")
def test_usage_without_a_hold_is_paid_by_all_in_order_and_given_back_last_first():
    with money(paid=4) as kernel:
        booked = kernel.native("usage.record", grant="g", usage={"USD": 9})
        assert balances(kernel, "promo", "paid", "vendor") == (0, 0, 7)
        assert refund(kernel, booked.intent_hash, 5).allowed
        assert balances(kernel, "promo", "paid", "vendor") == (1, 4, 2)
        assert codes(refund(kernel, booked.intent_hash, 3)) == ["refund_too_large"]
        assert refund(kernel, booked.intent_hash, 2).allowed
        assert balances(kernel, "promo", "paid", "vendor") == (3, 4, 0)


# --- the model --------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(["hold", "hold", "settle", "release", "refund", "book"]),
    st.integers(0, 5),
    st.integers(1, 12),
    st.integers(0, 2),
)


class Model:
    """Accounts as a dict; of each intent what was drawn and what each account has paid of it."""

    def __init__(self, above, ends, has):
        self.above, self.ends, self.has, self.now = above, ends, has, 0
        self.order = [*sorted(("gift", "promo"), key=lambda x: ends[x] or 10**9), "paid"]

    def split(self, amount):
        parts = {}
        for name in self.order[:-1]:
            if not self.ends[name] or self.now < self.ends[name]:
                parts[name] = min(amount, self.has[name])
                amount -= parts[name]
        return parts | {"paid": amount}

    def pay(self, parts, used, most):
        """Each pays in order at most what `most` lets it; what each paid."""
        paid, reserve = {}, 0
        for name in self.order:
            reserve += parts.get(name, 0)
            paid[name] = min(min(used, reserve) - sum(paid.values()), most(name))
            self.has[name] -= paid[name]
            self.has["vendor"] += paid[name]
        return paid

    def settled(self, parts, used):
        for name, amount in parts.items():
            self.has[name] += amount
        paid = self.pay(parts, used, lambda name: parts.get(name, 0))
        if self.above == "debt":
            extra = max(0, min(used - sum(parts.values()), self.has["paid"]))
            self.has["paid"] -= extra
            self.has["vendor"] += extra
            paid["paid"] += extra
        return paid

    def refunded(self, paid, amount):
        for name in reversed(self.order):
            back = min(amount, paid[name])
            amount -= back
            paid[name] -= back
            self.has[name] += back
            self.has["vendor"] -= back


@pytest.mark.req("X7-18")
@few
@given(
    st.sampled_from(["charge", "cap", "debt"]),
    st.tuples(*[st.sampled_from([0, 2, 5, 9])] * 2),
    st.tuples(*[st.integers(0, 12)] * 3),
    st.lists(STEP, max_size=14),
)
def test_what_several_accounts_pay_is_what_a_dict_of_accounts_pays(above, ends, has, steps):
    ends = dict(zip(("gift", "promo"), ends, strict=True))
    payers = [{"account": f"accounts/{name}", "until_ns": end} for name, end in ends.items() if end]
    payers += [f"accounts/{name}" for name, end in ends.items() if not end]
    card = CARD | {"draws_on": {"USD": [*payers, "accounts/paid"]}, "above": above}
    model = Model(above, ends, dict(zip(NAMES, (*has, 0, 0), strict=True)))
    drew, ended, paid, charged = {}, {}, {}, {}
    with money({"g": card}, gift=has[0], promo=has[1], paid=has[2]) as kernel:
        for what, at, amount, later in steps:
            model.now += later
            every = {"hold": [], "book": [], "refund": list(paid), "release": list(drew)}
            known = every.get(what, list(drew) + list(ended))
            digest = known[at % len(known)] if known else b""
            if what == "hold":
                parts = model.split(amount)
                asked = act(kernel, {"USD": amount}, now_ns=model.now)
                assert asked.allowed == (parts["paid"] <= model.has["paid"])
                if asked.allowed:
                    drew[asked.intent_hash] = parts
                    for name, part in parts.items():
                        model.has[name] -= part
            elif what == "book":
                parts = model.split(amount)
                act(kernel, {}, now_ns=model.now)
                booked = kernel.native("usage.record", grant="g", usage={"USD": amount})
                paid[booked.intent_hash] = model.pay(parts, amount, model.has.get)
                charged[booked.intent_hash] = amount
            elif not digest:
                continue
            elif what == "release":
                kernel.release(digest, "not_dispatched")
                ended[digest] = drew.pop(digest)
                for name, part in ended[digest].items():
                    model.has[name] += part
            elif what == "settle":
                settle(kernel, digest, {"USD": amount}, now_ns=model.now)
                parts = drew.pop(digest, None) or ended[digest]
                charged[digest] = min(amount, sum(parts.values())) if above == "cap" else amount
                if digest in ended:
                    paid[digest] = model.pay(ended.pop(digest), amount, model.has.get)
                else:
                    paid[digest] = model.settled(parts, amount)
            else:
                answer = refund(kernel, digest, amount)
                assert answer.allowed == (amount <= min(charged[digest], sum(paid[digest].values())))
                if answer.allowed:
                    charged[digest] -= amount
                    model.refunded(paid[digest], amount)
            assert dict(zip(NAMES, balances(kernel, *NAMES), strict=True)) == model.has
            resource = kernel.state.resources["USD"]
            assert (resource.imbalance, resource.in_flight) == (
                0,
                sum(sum(x.values()) for x in drew.values()),
            )


# --- what is stated ---------------------------------------------------------------------------------


@pytest.mark.req("X7-18")
@pytest.mark.parametrize(
    ("payers", "said"),
    [
        ([], "1 to 8 accounts"),
        ([f"accounts/{n}" for n in range(9)], "1 to 8 accounts"),
        (["accounts/paid", "accounts/paid"], "twice"),
        ([{"account": "accounts/promo", "until": APRIL}], "no `until`"),
        ([{"account": "accounts/promo", "untl": APRIL}, "accounts/paid"], "`untl`"),
        ([{"until": APRIL}, "accounts/paid"], "names no `account`"),
        ([{"account": "accounts/promo", "until": "soon"}, "accounts/paid"], "draws_on.USD[0].until"),
        ([5, "accounts/paid"], "draws_on.USD[0]"),
    ],
)
def test_a_list_of_payers_that_is_wrong_is_refused_by_name(payers, said):
    with pytest.raises(InvalidManifest) as refused, money(draws_on={"USD": payers}):
        pytest.fail("it was applied")
    assert said in str(refused.value)


@pytest.mark.req("X7-18")
@pytest.mark.parametrize("kind", ["grant.issue", "grant.amend"])
def test_who_draws_on_accounts_lends_each_of_them_as_long_as_it_may(kind):
    top = CARD | {"cap": "sys/all@1", "delegations": 9, "holder": "eve", "doubt": "payee"}
    low = {"cap": "sys/spend@1", "parent": "top"}
    ends = {"account": "accounts/promo", "until": "2026-03-31T00:00:00Z"}
    answers = [
        (PAYERS, []),
        ([ends, "accounts/paid"], []),
        ("accounts/paid", []),
        ("accounts/promo", ["account_not_yours"]),
        ([PAYERS[0] | {"until": "2026-04-02T00:00:00Z"}, "accounts/paid"], ["account_not_yours"]),
        ([PAYERS[0], "accounts/other"], ["account_not_yours"]),
        ([PAYERS[0], "accounts/paid", "accounts/none"], ["not_found"]),
        (["external/issuer", "accounts/paid"], ["external_account"]),
    ]
    with money({"top": top, "low": low}) as kernel:
        eve = kernel.as_principal("eve")
        for at, (payers, expected) in enumerate(answers):
            name = "low" if kind == "grant.amend" else f"n{at}"
            terms = low | {"draws_on": {"USD": payers}}
            assert codes(eve.native(kind, grant="top", name=name, terms=terms)) == expected


@pytest.mark.req("X7-18")
def test_only_the_last_account_backs_what_is_lent():
    """What ends, or is used up first, is no cover for a debt."""
    team, desk = CARD | {"cap": "sys/all@1", "delegations": 2}, {"cap": "sys/native@1", "parent": "team"}
    with money({"team": team, "desk": desk}, promo=50, paid=10) as kernel:
        for debt, expected in ((11, ["insufficient_balance"]), (10, [])):
            made = kernel.native("account.open", grant="desk", account=f"accounts/{debt}", debt_limit=debt)
            assert codes(made) == expected


@pytest.mark.req("X7-18")
def test_who_holds_the_grant_sees_what_each_of_its_accounts_lacks():
    with money(
        {"top": CARD | {"holder": "eve"}, "low": {"parent": "top", "holder": "kid"}}, paid=1
    ) as kernel:
        for name, grant, is_seen in (("eve", "top", True), ("kid", "low", False)):
            refused = act(kernel.as_principal(name), {"USD": 9}, grant)
            assert codes(refused) == ["insufficient_balance"]
            assert ("available" in refused.findings[0].facts) == is_seen


@pytest.mark.req("X7-18")
def test_the_books_of_several_payers_are_sound_and_a_payment_leads_back_to_each(tmp_path):
    with money(path=tmp_path / "w") as kernel:
        digest = held(kernel, {"USD": 5})
        settle(kernel, digest, {"USD": 4})
        assert refund(kernel, digest, 2).allowed
        waits = held(kernel, {"USD": 7})
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert drawn(kernel, waits) == [("promo", 1), ("paid", 6)]
    code, said = tally(tmp_path / "w", "verify")
    assert (code, said["sound"]) == (0, True)


@pytest.mark.req("X7-18")
def test_a_grant_with_one_account_is_recorded_as_it_was_and_one_with_several_comes_back():
    one = CARD | {"draws_on": {"USD": ["accounts/paid"]}}
    with money({"g": CARD, "h": one, "i": CARD | {"draws_on": {"USD": "accounts/paid"}}}) as kernel:
        rows = {event.grant.name: grant_row(event.grant) for event in recorded(kernel, GrantSet)}
        assert {name: len(rows[name]) for name in "ghi"} == {
            "g": GRANT_FIELDS + 2,
            "h": GRANT_FIELDS,
            "i": GRANT_FIELDS,
        }
        assert decode(encode_record(rows["g"]))[-1] == {
            "USD": [["accounts/promo", APRIL_NS], ["accounts/paid", 0]]
        }
        assert kernel.native("grant.topup", name="g", dim="USD", amount=1).allowed is False
        assert kernel.state.grants["g"].payers["USD"][0]["account"] == "accounts/promo"
