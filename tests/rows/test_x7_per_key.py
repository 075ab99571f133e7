"""A limit for each value of a param or label: each user has its own, also one who is new, and none stays."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from splittally import Intent
from splittally.core.errors import InvalidManifest
from splittally.core.ledger.invariants import broken_invariants
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.core.state import State

from tests.rows.worlds import (
    ACT,
    CAP,
    CODES,
    OUTCOMES,
    act,
    apply,
    codes,
    few,
    held,
    manifest,
    reserves,
    settle,
    tally,
    world,
)

DAY = 86_400 * 10**9
FIVE = {"dim": "tokens", "per": "day", "amount": 5, "per_key": "params.user"}
PER = "day by params.user"
USERS = ("ada", "bob", "carl", None)


def limited(*limits, **terms):
    return {"g": {"limits": list(limits), **terms}}


def asks(kernel, user, amount, grant="g", now_ns=None, **fields):
    params = {} if user is None else {"user": user}
    return act(kernel, {"tokens": amount}, grant, now_ns=now_ns, params=params, **fields)


def users(kernel):
    """Reserved and spent of each user who has a counter, in the order of the users' keys."""
    names = {kernel.state.key_of(user): user for user in USERS if user is not None}
    return {
        (scope, names.get(key), start // DAY): (row.reserved, row.spent)
        for (scope, _, _, start, key), row in kernel.state.keyed.items()
    }


def state_of(kernel) -> State:
    return kernel._world.state


@pytest.mark.req("X7-17")
def test_a_thousand_users_have_five_a_day_each_a_new_one_at_once_and_all_is_freed():
    with world(limited(FIVE, {"dim": "tokens", "per": "day", "amount": 10**6})) as kernel:
        for user in range(1000):
            settle(kernel, held(kernel, {"tokens": 5}, params={"user": user}), {"tokens": 5})
        refused = act(kernel, {"tokens": 1}, params={"user": 7})
        assert codes(refused) == ["budget_exceeded"]
        assert (refused.findings[0].facts["per"], refused.findings[0].facts["available"]) == (PER, 0)
        assert act(kernel, {"tokens": 5}, params={"user": "new"}).allowed
        assert len(kernel.state.keyed) == 1001
        size = kernel.state.seq
        assert act(kernel, {"tokens": 5}, params={"user": 7}, now_ns=DAY).allowed
        assert kernel.state.seq == size + 2  # one tick and the intent
        assert len(kernel.state.keyed) == 2  # the one of today, and the one of which 5 are held
        kernel.release(next(iter(kernel.state.reservations)), "cancel")
        kernel.release(next(iter(kernel.state.reservations)), "cancel")
        kernel.tick(now_ns=5 * DAY)
        assert (len(kernel.state.keyed), state_of(kernel).ledger.keys._own) == (0, {})


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "settle", "release", "refund", "wait", "amend", "late"]),
        st.sampled_from(["g", "kid"]),
        st.sampled_from(USERS),
        st.integers(0, 6),
    ),
    max_size=25,
)


@pytest.mark.req("X7-17")
@few
@given(steps=steps)
def test_each_user_of_each_grant_is_counted_by_itself_as_a_dictionary_would(steps):
    """The model: (grant, user, day) -> [reserved, spent, refunded], and the holds as plain tuples."""
    chain = {"g": ["g"], "kid": ["kid", "g"]}
    most = {"g": 5, "kid": 4}
    counts, holds, ended, late, day = {}, {}, {}, {}, 0

    def stated():
        return {
            "g": {"limits": [{**FIVE, "amount": most["g"]}], "delegations": 1},
            "kid": {"parent": "g", "limits": [{**FIVE, "amount": most["kid"]}]},
        }

    def counted(grant, user, of):
        """The counter of a user, where one still stands."""
        key = (grant, user, of)
        return counts.setdefault(key, [0, 0, 0]) if of == day or key in counts else None

    def freed():
        for key in [key for key, (reserved, _, _) in counts.items() if key[2] < day and not reserved]:
            del counts[key]

    with world(stated()) as kernel:
        for what, grant, user, amount in steps:
            if what == "ask":
                decision = asks(kernel, user, amount, grant, now_ns=day * DAY)
                room = [
                    most[x] + z[2] - z[0] - z[1]
                    for x in chain[grant]
                    for z in [counts.get((x, user, day), [0, 0, 0])]
                ]
                assert decision.allowed == all(amount <= left for left in room)
                if decision.allowed:
                    holds[decision.intent_hash] = (grant, user, day, amount)
                    for x in chain[grant]:
                        counted(x, user, day)[0] += amount
            elif what in ("settle", "release") and holds:
                digest, (by, who, of, reserved) = next(iter(holds.items()))
                del holds[digest]
                if what == "settle":
                    settle(kernel, digest, {"tokens": amount})
                    ended[digest] = (by, who, of, amount)
                else:
                    kernel.release(digest, "cancel")
                    late[digest] = (by, who, of)
                for x in chain[by]:
                    counter = counted(x, who, of)
                    counter[0] -= reserved
                    counter[1] += amount if what == "settle" else 0
                freed()
            elif what == "late" and late:
                digest, (by, who, of) = late.popitem()
                settle(kernel, digest, {"tokens": amount})
                for x in chain[by]:
                    counter = counted(x, who, of)
                    if counter is not None:
                        counter[1] += amount
            elif what == "refund" and ended:
                digest, (by, who, of, used) = ended.popitem()
                if used:
                    assert kernel.native(
                        "settlement.refund", intent_hash=digest, amounts={"tokens": used}
                    ).allowed
                    for x in chain[by]:
                        counter = counted(x, who, of)
                        if counter is not None:
                            counter[2] += used
            elif what == "wait":
                day += amount // 3
                kernel.tick(now_ns=day * DAY)
                freed()
            elif what == "amend":
                most["g"], most["kid"] = amount + 4, min(amount, 4)
                apply(kernel, manifest(stated()), now_ns=day * DAY)
            assert list(broken_invariants(state_of(kernel).ledger)) == []
        expected = {key: (reserved, spent) for key, (reserved, spent, _) in counts.items()}
        assert users(kernel) == expected
        twin = load_state(dump_state(state_of(kernel)))
        assert state_root(twin) == state_root(state_of(kernel))
        kernel.tick(now_ns=(day + 1) * DAY)
        assert users(kernel) == {key: row for key, row in expected.items() if row[0]}


@pytest.mark.req("X7-17")
@pytest.mark.parametrize("over", ["deny", "defer", "ask", "tell", "shadow"])
def test_what_happens_above_it_is_what_happens_above_any_limit(over):
    with world(limited({**FIVE, "over": over}, approval_ns=DAY)) as kernel:
        assert asks(kernel, "ada", 4).findings == ()
        above = asks(kernel, "ada", 2)
        assert above.outcome == OUTCOMES.get(over, "allow")
        assert codes(above) == [{**CODES, "tell": "limit_approaching"}[over]]
        assert above.findings[0].facts["per"] == PER
        again = asks(kernel, "ada", 2)
        assert codes(again) == ([] if over == "tell" else codes(above))  # told once, to each
        assert asks(kernel, "bob", 4).findings == ()
        if over == "tell":
            assert codes(asks(kernel, "bob", 1)) == ["limit_approaching"]


@pytest.mark.req("X7-17")
def test_a_limit_per_user_stands_beside_one_for_all_and_one_by_another_value():
    by_team = {"dim": "tokens", "per": "day", "amount": 8, "per_key": "params.meta.team"}
    every = {"dim": "tokens", "per": "day", "amount": 12}
    with world(limited(FIVE, by_team, every)) as kernel:

        def ask(user, team, amount):
            params = {"user": user, "meta": {"team": team}}
            refused = act(kernel, {"tokens": amount}, params=params)
            return [x.facts["per"] for x in refused.findings]

        assert ask("ada", "red", 5) == []
        assert ask("ada", "blue", 1) == [PER]
        assert ask("bob", "red", 4) == ["day by params.meta.team"]
        assert ask("bob", "red", 3) == []
        assert ask("carl", "blue", 5) == ["day"]
        assert ask("red", "ada", 4) == []


@pytest.mark.req("X7-17")
def test_a_value_is_what_it_is_and_none_at_all_is_one_of_its_own():
    with world(limited(FIVE)) as kernel:
        values = [1, "1", 1.0, True, None, [1], {"a": 1}, "", "é"]
        for value in values:
            assert act(kernel, {"tokens": 5}, params={"user": value}).allowed
        assert asks(kernel, None, 5).allowed  # without the param
        for value in values:
            assert not act(kernel, {"tokens": 1}, params={"user": value}).allowed
        assert not asks(kernel, None, 1).allowed
        assert not act(kernel, {"tokens": 1}, params={"other": 1}).allowed


@pytest.mark.req("X7-17")
def test_a_rate_may_count_for_each_value():
    rule = {"name": "r", "decision": "allow", "rates": [{"per": "day", "amount": 2, "by": "params.user"}]}
    with world({"g": {}}, policy=[rule]) as kernel:
        said = [asks(kernel, user, 1).outcome for user in ("ada", "ada", "bob", "ada", "bob", "bob")]
        assert said == ["allow", "allow", "allow", "deny", "allow", "deny"]
        refused = asks(kernel, "ada", 1)
        assert (codes(refused), refused.findings[0].facts["per"]) == (["rate_exceeded"], PER)
        kernel.tick(now_ns=DAY)
        assert len(kernel.state.keyed) == 0
        assert asks(kernel, "ada", 1).allowed


@pytest.mark.req("X7-17")
def test_a_topup_is_for_every_user_and_one_of_today_ends_with_the_day():
    with world(limited(FIVE)) as kernel:
        for more in ({}, {"once": True}):
            raised = {
                "name": "g",
                "dim": "tokens",
                "per": "day",
                "per_key": "params.user",
                "amount": 2,
                **more,
            }
            assert kernel.native("grant.topup", **raised).allowed
        assert asks(kernel, "ada", 9).allowed and not asks(kernel, "ada", 1).allowed
        assert asks(kernel, "bob", 9).allowed and not asks(kernel, "bob", 1).allowed
        assert not asks(kernel, "ada", 8, now_ns=DAY).allowed
        assert asks(kernel, "ada", 7).allowed


@pytest.mark.req("X7-17")
def test_an_edited_zone_carries_what_each_user_used_into_the_day_of_the_new_zone():
    with world(limited(FIVE)) as kernel:
        digest = held(kernel, {"tokens": 3}, params={"user": "ada"}, now_ns=40 * DAY)
        apply(kernel, manifest(limited({**FIVE, "timezone": "Asia/Tokyo"})), now_ns=40 * DAY + 1)
        assert asks(kernel, "ada", 3).outcome == "deny"
        assert asks(kernel, "bob", 5).allowed
        settle(kernel, digest, {"tokens": 1})
        assert asks(kernel, "ada", 4).allowed and not asks(kernel, "ada", 1).allowed
        assert list(broken_invariants(state_of(kernel).ledger)) == []


@pytest.mark.req("X7-17")
@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"per": "life"}, "needs a window"),
        ({"per": "intent"}, "needs a window"),
        ({"per_key": "user"}, "a param or a label"),
        ({"per_key": "params"}, "a param or a label"),
        ({"per_key": "params."}, "a param or a label"),
        ({"per_key": 5}, "a param or a label"),
        ({"by": "params.user"}, "twice"),
        ({"rollover": "50%"}, "does not roll over"),
        ({"per": "rolling:60s"}, "does not roll"),
        ({"per": "60s", "rolling": True}, "does not roll"),
        ({"per_keys": "params.user"}, "per_key"),
    ],
)
def test_what_cannot_be_counted_by_a_value_is_refused_by_name_at_apply(terms, said):
    with world({"g": {}}) as kernel, pytest.raises(InvalidManifest, match=said):
        kernel.apply(manifest(limited({**FIVE, **terms})))


@pytest.mark.req("X7-17")
def test_a_minute_for_each_user_is_one_window_that_begins_with_the_first_use():
    with world(limited({**FIVE, "per": "60s"})) as kernel:
        assert asks(kernel, "ada", 5, now_ns=10).allowed
        assert asks(kernel, "bob", 5, now_ns=20).allowed
        assert not asks(kernel, "ada", 1, now_ns=60 * 10**9).allowed
        assert asks(kernel, "ada", 5, now_ns=60 * 10**9 + 10).allowed


@pytest.mark.req("X7-17")
def test_a_child_counts_for_itself_and_is_no_wider_and_findings_show_nobody_elses_figures():
    kid = {"cap": CAP, "parent": "g", "limits": [{**FIVE, "amount": 6}]}
    with world(limited(FIVE, delegations=1)) as kernel:
        wider = kernel.apply(manifest(limited(FIVE, delegations=1) | {"kid": kid}))
        assert (codes(wider), wider.findings[0].facts["per"]) == (["wider_than_parent"], PER)
        grants = limited(FIVE, delegations=1) | {"kid": {"parent": "g", "holder": "eve"}}
        apply(kernel, manifest(grants))
        assert asks(kernel, "ada", 5).allowed
        refused = asks(kernel.as_principal("eve"), "ada", 3, "kid")
        facts = {
            "dim": "tokens",
            "grant": "g",
            "per": PER,
            "resets": "1970-01-02T00:00:00Z",
            "next": "top_up",
        }
        assert (codes(refused), refused.findings[0].facts) == (["limited_above"], facts)
        assert asks(kernel.as_principal("eve"), "bob", 3, "kid").allowed


@pytest.mark.req("X7-17")
def test_a_dry_run_and_a_group_count_nothing_for_good(tmp_path):
    with world(limited(FIVE), tmp_path / "w") as kernel:
        one = Intent(ACT, act_params("ada", 5), "g")
        assert kernel.decide(one).allowed and len(kernel.state.keyed) == 0
        both = kernel.submit([one, Intent(ACT, act_params("ada", 1), "g")], mode="all")
        assert [x.outcome for x in both] == ["deny", "deny"] and len(kernel.state.keyed) == 0
        assert kernel.submit([one, Intent(ACT, act_params("bob", 1), "g")], mode="all")[1].allowed
        key = kernel.state.key_of("ada").hex()
    code, told = tally(tmp_path / "w", "ledger", "--value", "ada")
    rows = [(row["key"], row["reserved"], row["available"]) for row in told["windows"] if "key" in row]
    assert (code, rows) == (0, [(key, 5, 0)])
    assert len([row for row in tally(tmp_path / "w", "ledger", "--keys")[1]["windows"] if "key" in row]) == 2
    assert tally(tmp_path / "w", "verify", "--rejudge")[0] == 0


def act_params(user, amount):
    return {"a": reserves({"tokens": amount}), "user": user}


@pytest.mark.req("X7-17", "X7-19")
def test_what_is_booked_counts_for_the_user_who_is_named_and_a_label_names_one_as_well():
    by_label = {**FIVE, "amount": 7, "per_key": "labels.team"}
    with world(limited(FIVE, by_label)) as kernel:
        booked = {"grant": "g", "usage": {"tokens": 9}, "params": {"user": "ada"}}
        assert kernel.submit(Intent("usage.record", booked, "root", labels={"team": "red"})).allowed
        assert codes(asks(kernel, "ada", 1)) == ["budget_exceeded"]
        for team, amount in (("red", 1), ("blue", 5), ("blue", 3)):
            decision = asks(kernel, "bob" if amount == 5 else f"user-{team}", amount, labels={"team": team})
            assert decision.allowed == (amount == 5)
        assert asks(kernel, "carl", 5).allowed and not asks(kernel, "dora", 5).allowed  # of no team
        kernel.tick(now_ns=DAY)
        assert sum(row.spent for row in kernel.state.keyed.values()) == 0
