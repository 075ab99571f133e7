"""Changing grants and manifests while amounts are spent and reserved: what carries over, what is refused."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.events import LimitCrossed
from splittally.core.release_kinds import RELEASE_KINDS
from splittally.core.types import Grant

from tests.rows.worlds import (
    CAP,
    act,
    apply,
    books,
    budget,
    codes,
    few,
    held,
    manifest,
    recorded,
    settle,
    tally,
    world,
)

AMOUNTS = st.integers(0, 60)


def change(kernel, how, limit, policy=()):
    """Gives the grant `g` another limit, by manifest or by amendment."""
    if how == "manifest":
        return kernel.apply(manifest({"g": {"budget": {"tokens": limit}}}, policy=list(policy)))
    terms = {"cap": "test/parrot@1", "budget": {"tokens": limit}}
    return kernel.native("grant.amend", name="g", terms=terms)


@pytest.mark.req("X4-03")
def test_an_unrelated_change_carries_what_was_spent_over():
    rule = {"name": "all", "decision": "allow"}
    with world(budget(tokens=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 30}), {"tokens": 30})
        apply(kernel, manifest({"g": {"budget": {"tokens": 100}}}, policy=[rule]))
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 0, "spent": 30}
        apply(kernel, manifest({"g": {"budget": {"tokens": 200}}}, policy=[rule]))
        assert kernel.state.counters["g"]["tokens"] == {"limit": 200, "reserved": 0, "spent": 30}


@pytest.mark.req("X4-03")
@pytest.mark.parametrize("how", ["manifest", "grant.amend"])
def test_a_limit_that_is_gone_leaves_a_counter_that_only_counts(how):
    def stated(**terms):
        if how == "manifest":
            return kernel.apply(manifest({"g": terms}))
        return kernel.native("grant.amend", name="g", terms={"cap": CAP, **terms}, replace=True)

    with world(budget(tokens=10)) as kernel:
        settle(kernel, held(kernel, {"tokens": 0}), {"tokens": 14})
        assert kernel.state.grants["g"].exhausted
        assert stated().allowed
        assert not kernel.state.grants["g"].exhausted
        digest = held(kernel, {"tokens": 50})
        settle(kernel, held(kernel, {"tokens": 0}), {"tokens": 30})
        assert kernel.state.counters["g"]["tokens"] == {"limit": None, "reserved": 50, "spent": 44}
        assert [x.balance for x in recorded(kernel, LimitCrossed)] == [-4]
        assert stated(budget={"tokens": 100}).allowed
        assert [act(kernel, {"tokens": n}).allowed for n in (7, 6)] == [False, True]
        assert settle(kernel, digest, {"tokens": 50}).violations == ()


@pytest.mark.req("X4-03")
@pytest.mark.parametrize("per", ["life", "day", "week"])
def test_a_top_up_changes_one_amount_and_no_other_term(per):
    limits = [
        {"dim": "tokens", "per": "day", "amount": 10, "rollover": [1, 2]},
        {"dim": "tokens", "per": "week", "amount": 10},
        {"dim": "tokens", "amount": 9, "over": "tell"},
    ]
    terms = {
        "budget": {"tokens": 10},
        "limits": limits,
        "expiry_ns": 900,
        "holder": "ann",
        "draws_on": {"USD": "accounts/a"},
        "pays_to": ["accounts/b"],
        "delegations": 3,
        "hold_ns_max": 4,
        "approval_ns": 5,
        "unknown_ns": 6,
        "doubt": "payee",
        "above": "cap",
        "dispatch": True,
        "params": {"note": 7},
    }
    accounts = {"accounts/a": {}, "accounts/b": {}}
    with world({"g": terms, "other": terms}, resources={"USD": 0}, accounts=accounts) as kernel:
        before = kernel.state.tables()["grants"]
        assert kernel.native("grant.topup", name="g", dim="tokens", amount=5, per=per).allowed
        after = kernel.state.tables()["grants"]
        (old,), (new,) = ([row for key, row in rows if key == "g"] for rows in (before, after))
        was, now = (dict(zip(Grant.__struct_fields__, row, strict=False)) for row in (old, new))
        assert [rest for rest in before if rest[0] != "g"] == [rest for rest in after if rest[0] != "g"]
        changed = "budget" if per == "life" else "limits"
        assert {field for field in was if was[field] != now[field]} <= {changed, "grant_hash"}
        if per == "life":
            assert now["budget"] == {"tokens": 15}
        else:
            raised = [[*limit[:2], 15, *limit[3:]] if limit[1] == per else limit for limit in was["limits"]]
            assert now["limits"] == raised


@pytest.mark.req("X4-03", "X4-04")
@few
@given(
    spent=st.lists(AMOUNTS, max_size=4),
    reserved=st.lists(AMOUNTS, max_size=4),
    limit=st.integers(0, 400),
    estimate=AMOUNTS,
    how=st.sampled_from(["manifest", "grant.amend"]),
)
def test_any_new_limit_keeps_what_is_used_and_blocks_only_what_is_new(spent, reserved, limit, estimate, how):
    with world(budget(tokens=1_000)) as kernel:
        for amount in spent:
            settle(kernel, held(kernel, {"tokens": amount}), {"tokens": amount})
        open_holds = [(held(kernel, {"tokens": amount}), amount) for amount in reserved]
        assert change(kernel, how, limit).allowed
        row = kernel.state.counters["g"]["tokens"]
        assert (row.limit, row.reserved, row.spent) == (limit, sum(reserved), sum(spent))
        fits = sum(spent) + sum(reserved) + estimate <= limit
        assert act(kernel, {"tokens": estimate}).allowed == fits
        for digest, amount in open_holds:
            settlement = settle(kernel, digest, {"tokens": amount})
            assert (settlement.status, settlement.violations) == ("settled", ())
        assert kernel.state.counters["g"]["tokens"].spent == sum(spent) + sum(reserved)


@pytest.mark.req("X4-04")
def test_a_limit_below_what_is_used_denies_the_next_estimate_and_lets_what_is_open_settle():
    with world(budget(tokens=100)) as kernel:
        settle(kernel, held(kernel, {"tokens": 50}), {"tokens": 50})
        digest = held(kernel, {"tokens": 20})
        apply(kernel, manifest({"g": {"budget": {"tokens": 60}}}))
        refused = act(kernel, {"tokens": 1})
        assert (codes(refused), refused.findings[0].facts["available"]) == (["budget_exceeded"], -10)
        assert settle(kernel, digest, {"tokens": 20}).status == "settled"
        assert kernel.state.counters["g"]["tokens"] == {"limit": 60, "reserved": 0, "spent": 70}


@pytest.mark.req("X4-03")
def test_a_dimension_that_was_not_limited_starts_with_what_is_reserved_of_it():
    with world({"g": {}}) as kernel:
        held(kernel, {"tokens": 20})
        apply(kernel, manifest({"g": {"budget": {"tokens": 30}}}))
        assert kernel.state.counters["g"]["tokens"].reserved == 20
        assert act(kernel, {"tokens": 11}).outcome == "deny"


@pytest.mark.req("X4-28")
def test_an_apply_says_how_many_reservations_it_carried_over_and_which():
    with world(budget(tokens=100)) as kernel:
        holds = sorted(held(kernel, {"tokens": 1}) for _ in range(3))
        decision = kernel.apply(manifest({"g": {"budget": {"tokens": 90}}}))
        (carried,) = decision.findings
        assert (carried.code, carried.facts["count"]) == ("carried_over", 3)
        assert carried.facts["intent_hashes"] == holds
        assert sorted(kernel.state.reservations) == holds
        for digest in holds:
            settle(kernel, digest, {"tokens": 1})
        assert kernel.apply(manifest({"g": {"budget": {"tokens": 80}}})).findings == ()


@pytest.mark.req("X4-28")
def test_an_apply_that_takes_a_grant_away_still_names_what_is_open_under_it():
    with world(budget(tokens=100)) as kernel:
        digest = held(kernel, {"tokens": 7})
        decision = kernel.apply(manifest({}))
        assert decision.findings[0].facts["intent_hashes"] == [digest]
        assert act(kernel, {"tokens": 1}).outcome == "deny"
        assert settle(kernel, digest, {"tokens": 7}).status == "settled"
        assert kernel.state.counters["g"]["tokens"].spent == 7


# --- what belongs to the release --------------------------------------------------------------------

ALLOW_ALL = {"enforcer": "sys/CapAllowAll@1"}
FOREIGN = [
    ("caps", "sys/http.out@1", ALLOW_ALL),
    ("caps", "sys/mine@1", ALLOW_ALL),
    ("caps", "sys/all@1", ALLOW_ALL),
    ("modules", "sys/CapEnforceHttpOut@1", "sys/CapAllowAll@1"),
    *(("effects", kind, {"cap_type": "test"}) for kind in RELEASE_KINDS),
    ("effects", "grant.issue", {"cap_type": "test"}),
    ("effects", "manifest.apply", {"cap_type": "*"}),
    ("effects", "my.own", {"cap_type": "native"}),
    ("grants", "root", {"cap": "sys/allow@1"}),
    ("grants", "policy/all", {"cap": "sys/allow@1"}),  # the counters of a policy rule
]


@pytest.mark.req("X4-25")
@pytest.mark.parametrize(("table", "name", "entry"), FOREIGN)
def test_no_manifest_redefines_what_belongs_to_the_release(table, name, entry):
    with world(budget(tokens=100)) as kernel:

        def shown():
            tables = ("caps", "effects", "modules", "grants")
            return books(kernel), {x: dict(getattr(kernel.state, x)) for x in tables}

        before = shown()
        whole = manifest(budget(tokens=100))
        whole[table] = {**whole.get(table, {}), name: entry}
        decision = kernel.apply(whole)
        assert decision.outcome == "deny"
        assert codes(decision)[0] == "name_reserved"
        assert shown() == before


@pytest.mark.req("X4-25")
def test_a_module_of_a_sys_name_cannot_be_installed_either():
    with world({}) as kernel:
        wasm = next(iter(kernel._world.state.caps.blobs.values()))
        for name in ("sys/CapAllowAll@1", "sys/New@1"):
            assert codes(kernel.native("module.install", name=name, wasm=wasm)) == ["name_reserved"]


# --- what would happen ------------------------------------------------------------------------------


@pytest.mark.req("X4-27")
@few
@given(limit=st.integers(0, 60), estimates=st.lists(AMOUNTS, min_size=1, max_size=6))
def test_a_what_if_of_a_patch_predicts_reserves_and_leaves_the_live_world_as_it_was(limit, estimates):
    with world(budget(tokens=100)) as kernel:
        held(kernel, {"tokens": 10})
        before = (kernel.state.root, kernel.state.seq, books(kernel))
        fork = kernel.fork()
        apply(fork, manifest({"g": {"budget": {"tokens": limit}}}))
        predicted = [act(fork, {"tokens": estimate}) for estimate in estimates]
        assert (kernel.state.root, kernel.state.seq, books(kernel)) == before
        apply(kernel, manifest({"g": {"budget": {"tokens": limit}}}))
        real = [act(kernel, {"tokens": estimate}) for estimate in estimates]
        assert [(x.outcome, x.reserve, x.findings) for x in predicted] == [
            (x.outcome, x.reserve, x.findings) for x in real
        ]
        assert books(fork)["counters"] == books(kernel)["counters"]


@pytest.mark.req("X4-27")
def test_a_what_if_changes_no_byte_on_disk(tmp_path):
    path = tmp_path / "w"
    with world(budget(tokens=100), path) as kernel:
        held(kernel, {"tokens": 10})
        stored = (path / "journal" / "data.mdb").read_bytes()
        fork = kernel.fork()
        apply(fork, manifest({"g": {"budget": {"tokens": 11}}}))
        assert act(fork, {"tokens": 1}).allowed
        assert not act(fork, {"tokens": 1}).allowed
        assert kernel.decide(Intent("test.act", {}, "g")).seq is None
        assert (path / "journal" / "data.mdb").read_bytes() == stored
    assert tally(path, "verify")[0] == 0
    with splittally.open(path) as kernel:
        assert kernel.state.counters["g"]["tokens"] == {"limit": 100, "reserved": 10, "spent": 0}
