"""`apply` shows every difference, before and after, and asks before what cannot be undone."""

import json

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import event, given
from msgspec.structs import replace
from splittally.core import step
from splittally.core.state import TABLES
from splittally.edge.changes import changes_between, hash_of_changes
from splittally.edge.stated_rows import FOLLOWS, SHOWN
from splittally_tools.testing.strategies import manifests

from tests.cli_tools import at_a_terminal, run
from tests.rows.worlds import codes, few

USD = {"resources": {"USD": 2}, "accounts": {"accounts/a": {}, "accounts/b": {}, "vendors/v": {}}}
CHAT = {"cap": "sys/llm.basic@1"}
DAILY = {"dim": "tokens", "per": "day", "amount": 5}


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        yield opened


def planned(kernel, document):
    """The plan's changes as (table, key, field): (before, after)."""
    return {(x.table, x.key, x.field): (x.before, x.after) for x in kernel.plan(document).changes}


def world(grants=None, **parts):
    return {**USD, "grants": {"g": CHAT} if grants is None else grants, **parts}


# --- everything, once -----------------------------------------------------------------------------------


def test_every_table_of_the_state_is_shown_or_says_why_it_is_not():
    assert sorted([*SHOWN, *FOLLOWS]) == sorted(table.name for table in TABLES)


ROLES = st.lists(st.sampled_from(["auditor", "operator"]), unique=True)
TOKEN = st.fixed_dictionaries(
    {"principal": st.sampled_from(["ann", "bob"]), "roles": ROLES}, optional={"expires_ns": st.just(9)}
)
HASHES = st.permutations(["0a" * 32, "0b" * 32, "0c" * 32])
CALLERS = st.fixed_dictionaries(
    {},
    optional={
        "tokens": st.builds(
            lambda hashes, *terms: {
                name: x | {"hash": hashes[at]}
                for at, (name, x) in enumerate(zip("tu", terms, strict=True))
                if x is not None
            },
            HASHES,
            TOKEN,
            st.none() | TOKEN,
        ),
        "principals": st.builds(
            lambda uids, roles: {"ann": {"uids": uids, "roles": roles}},
            st.lists(st.integers(0, 3), min_size=1, unique=True),
            ROLES,
        ),
    },
)


@st.composite
def pairs(draw):
    """Two manifests of one world, of which the second mostly can follow the first."""
    first, second = draw(manifests()), draw(manifests())
    names = {}
    for name, terms in second["grants"].items():
        parent = names.get(terms.get("parent"), terms.get("parent"))
        is_same = first["grants"].get(name, {}).get("parent") == parent
        names[name] = name if name in first["grants"] and is_same else f"{name}n"
    grants = {
        names[name]: terms | ({"parent": names[terms["parent"]]} if "parent" in terms else {})
        for name, terms in second["grants"].items()
    }
    scales = first.get("resources", {})
    if "resources" in second:
        second["resources"] = {name: scales.get(name, x) for name, x in second["resources"].items()}
    worlds = st.sampled_from([{}, {"utc_offset": "+01:00"}, {"timezone": "Asia/Tokyo"}])
    offsets = worlds.map(lambda stated: {"world": stated} if stated else {})
    modules = st.sampled_from([{}, {"modules": {"acme/m@1": "sys/CapAllowAll@1"}}])
    repeated = draw(st.booleans()) and draw(st.booleans())
    follows = first if repeated else {**second, "grants": grants}
    callers = [draw(CALLERS), draw(CALLERS)]
    if repeated:
        callers[1] = callers[0]
    return first | callers[0], follows | callers[1] | draw(offsets) | draw(modules)


SAID = {
    "bearers": "tokens",
    "rules": "policy",
    "revoked": "grants",
    "zones": "world",
}  # tables that a plan calls otherwise
UNSAID = {*FOLLOWS, "world"} - {"revoked"}  # `world` holds the time and the hash of the policy, too


def differing(before, after):
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


@pytest.mark.req("X8-01")
@few
@given(pairs())
def test_a_plan_is_empty_exactly_where_nothing_is_recorded_and_names_every_table_that_differs(pair):
    first, second = pair
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(first).allowed
        state = kernel._world.state
        before, size = state.copy(), state.size
        raw = kernel.state.tables()
        plan = kernel.plan(second)
        assert kernel.state.tables() == raw, "a plan writes nothing"
        decision = kernel.apply(second)
        event(f"applied: {decision.allowed}")
        if not decision.allowed:
            assert plan.decision.outcome == "deny"
            assert plan.changes == ()
            return
        assert bool(plan.changes) == (state.size > size)
        assert list(plan.changes) == changes_between(before, state)
        tables = differing(raw, kernel.state.tables())
        named = {change.table for change in plan.changes}
        assert {SAID.get(name, name) for name in tables - UNSAID} <= named
        if not plan.revoked:
            back = [(x.table, x.key, x.field, x.after, x.before) for x in changes_between(state, before)]
            assert back == [(x.table, x.key, x.field, x.before, x.after) for x in plan.changes]


EDITS = [
    ({"cap": "sys/allow@1", "params": {"reserve": {"units": 1}}}, {"cap", "params"}),
    ({"budget": {"tokens": 9}}, {"budget"}),
    ({"budget": {}}, {"budget"}),
    ({"limits": [DAILY]}, {'limits."tokens per day"'}),
    ({"expiry": 10**18}, {"expiry_ns"}),
    ({"holder": "ann"}, {"holder"}),
    ({"draws_on": {"USD": "accounts/a"}}, {"draws_on.USD"}),
    ({"draws_on": {"USD": ["accounts/a", {"account": "accounts/b", "until": 9}]}}, {"draws_on.USD"}),
    ({"pays_to": ["vendors/v"]}, {"pays_to"}),
    ({"delegations": 2}, {"delegations"}),
    ({"hold_ns_max": 1}, {"hold_ns_max"}),
    ({"approval_ns": 1}, {"approval_ns"}),
    ({"unknown_ns": 1}, {"unknown_ns"}),
    ({"doubt": "payee"}, {"doubt"}),
    ({"above": "debt"}, {"above"}),
    ({"dispatch": True}, {"dispatch"}),
    ({"params": {}}, {"params"}),
    ({"expiry_ns": 0}, {"digest"}),
]


@pytest.mark.req("X8-01")
@pytest.mark.parametrize(("terms", "fields"), EDITS, ids=[str(sorted(edit[1])) for edit in EDITS])
def test_each_term_of_a_grant_is_a_line_of_its_own_there_and_back(kernel, terms, fields):
    assert kernel.apply(world()).allowed
    there = planned(kernel, world({"g": CHAT | terms}))
    assert set(there) == {("grants", "g", field) for field in fields}
    assert kernel.apply(world({"g": CHAT | terms})).allowed
    back = planned(kernel, world())
    assert back == {key: (after, before) for key, (before, after) in there.items()}


@pytest.mark.req("X8-01")
def test_the_example_of_a_raised_cap_a_turned_policy_a_zone_and_a_limit_shows_both_values_of_each(kernel):
    denies = {"name": "no", "decision": "deny", "effect_kind": "llm.generate"}
    rules = [denies, {"name": "yes", "decision": "allow"}]
    caps = {"resource": "USD", "per": "day", "amount": "5.00 USD"}
    old = world({"g": CHAT | {"limits": [DAILY]}}, policy=rules, governor={"caps": [caps]})
    new = world(
        {"g": CHAT | {"limits": [DAILY | {"amount": 50}]}},
        policy=rules[::-1],
        governor={"caps": [caps | {"amount": "500.00 USD"}]},
        world={"utc_offset": "+02:00"},
    )
    assert kernel.apply(old).allowed
    assert planned(kernel, new) == {
        ("governor", "governor", 'caps."USD per day".amount'): (500, 50_000),
        ("grants", "g", 'limits."tokens per day".amount'): (5, 50),
        ("policy", "", "order"): (["no", "yes"], ["yes", "no"]),
        ("world", "", "offset_ns"): (0, 7_200 * 10**9),
    }
    assert kernel.apply(new).allowed
    zoned = {**new, "world": {"timezone": "Asia/Tokyo"}}
    assert ("world", "", "timezone") in planned(kernel, zoned)
    assert planned(kernel, {**new, "governor": {}})[("governor", "governor", 'caps."USD per day"')][1] is None
    without = {key: part for key, part in new.items() if key != "governor"}
    assert planned(kernel, without)[("governor", "governor", "")][1] is None


@pytest.mark.req("X8-01")
def test_limits_in_another_order_are_a_difference(kernel):
    """They are another record: what writes a frame is shown."""
    other = {"dim": "tokens", "per": "week", "amount": 9}
    assert kernel.apply(world({"g": CHAT | {"limits": [DAILY, other]}})).allowed
    turned = world({"g": CHAT | {"limits": [other, DAILY]}})
    names = ["tokens per day", "tokens per week"]
    assert planned(kernel, turned) == {("grants", "g", "limits.order"): (names, names[::-1])}


def test_new_prices_are_shown_row_by_row_beside_the_grant_that_names_them(kernel):
    prices = {"since": "2026-11-01", "resource": "USD", "models": {"m": {"prompt": 250, "completion": 900}}}
    grants = {"g": CHAT | {"params": {"prices": "newest"}}}
    changes = planned(kernel, world(grants, prices={"autumn": prices}))
    assert changes["prices", "autumn", ""][1]["models"] == {"m": {"prompt": 250, "completion": 900}}


# --- what it means --------------------------------------------------------------------------------------

MEANINGS = [
    (CHAT | {"budget": {"tokens": 5}}, CHAT | {"budget": {"tokens": 6}}, "more"),
    (CHAT | {"budget": {"tokens": 5}}, CHAT | {"budget": {"tokens": 4}}, "less"),
    (CHAT | {"budget": {"tokens": 5}}, CHAT, ""),
    (CHAT | {"budget": {}}, CHAT | {"budget": {"tokens": 4}}, "less"),
    (CHAT | {"budget": {"tokens": 4}}, CHAT | {"budget": {}}, "more"),
    (CHAT | {"limits": [DAILY]}, CHAT | {"limits": []}, "more"),
    (CHAT | {"limits": [DAILY | {"over": "tell"}]}, CHAT | {"limits": []}, ""),
    (CHAT | {"delegations": 1}, CHAT, "less"),
    (CHAT | {"expiry_ns": 10**18}, CHAT, "more"),
    (CHAT | {"expiry_ns": 10**18}, CHAT | {"expiry_ns": 10**17}, "less"),
    (CHAT | {"params": {"models": ["m"]}}, CHAT | {"params": {"models": ["m", "n"]}}, "gains `n`"),
    (CHAT | {"params": {"models": ["m", "n"]}}, CHAT | {"params": {"models": ["n"]}}, "loses `m`"),
    (CHAT | {"unknown_ns": 4}, CHAT | {"unknown_ns": 9}, ""),
]


@pytest.mark.parametrize(("old", "new", "means"), MEANINGS)
def test_a_difference_says_who_may_more_or_less_where_that_can_be_told(kernel, old, new, means):
    assert kernel.apply(world({"g": old})).allowed
    (change,) = kernel.plan(world({"g": new})).changes
    assert change.meaning.startswith(means) if means else not change.meaning.startswith(("more", "less"))


# --- what cannot be undone ------------------------------------------------------------------------------


@pytest.mark.req("X8-01")
def test_a_grant_that_would_be_void_for_ever_is_named_with_all_below_it(kernel):
    grants = {"g": CHAT, "top": CHAT | {"delegations": 2}}
    assert kernel.apply(world(grants)).allowed
    assert kernel.native("grant.issue", under="top", name="kid", terms=CHAT).allowed
    plan = kernel.plan(world())
    assert plan.revoked == ["kid", "top"]
    assert [(x.key, x.irreversible, x.before, x.after) for x in plan.changes] == [
        ("kid", True, False, True),
        ("top", True, False, True),
    ]
    refused = kernel.apply(world(), allow_revoke=False)
    assert (refused.seq, refused.outcome, codes(refused)) == (None, "deny", ["plan_revokes"])
    assert refused.findings[0].facts["grants"] == ["kid", "top"]
    assert not kernel.state.grants["kid"].revoked
    assert kernel.apply(world(), allow_revoke=True).allowed
    assert kernel.state.grants["kid"].revoked
    assert kernel.apply(world(), allow_revoke=False).allowed, "nothing is left to revoke"


@pytest.mark.req("X8-01")
def test_a_revocation_by_which_others_are_forgotten_names_its_own_grants_and_no_other(monkeypatch):
    monkeypatch.setattr(step, "REVOKED_KEPT_MAX", 2)
    with splittally.open(None, clock="given") as kernel:
        many = {f"m{at}": CHAT for at in range(7)}
        assert kernel.apply(world({"g": CHAT, "old": CHAT | {"delegations": 2}})).allowed
        assert kernel.native("grant.issue", under="old", name="kid", terms=CHAT).allowed
        assert kernel.apply(world()).allowed
        assert kernel.apply(world({"g": CHAT, **many})).allowed
        plan = kernel.plan(world())
        assert plan.revoked == sorted(many)
        assert {(x.table, x.key, x.field) for x in plan.changes} == {("grants", x, "revoked") for x in many}
        assert kernel.apply(world(), expect=plan.hash).allowed
        assert sorted(kernel.state.grants) == ["g", "m5", "m6", "root"]


def test_the_waiting_intents_that_a_revocation_releases_are_counted(kernel):
    limit = {"dim": "tokens", "per": "intent", "amount": 0, "over": "ask"}
    assert kernel.apply(world({"g": CHAT, "ask": CHAT | {"limits": [limit]}})).allowed
    call = splittally.Intent("llm.generate", {"model": "m", "max_tokens": 5}, "ask")
    assert kernel.submit(call).outcome == "require_approval"
    assert "1 that wait for approval are released" in kernel.plan(world()).changes[0].meaning


@pytest.mark.req("X8-01")
def test_a_plan_that_is_another_by_now_is_refused_and_the_one_that_is_meant_applied(kernel):
    assert kernel.apply(world()).allowed
    wanted = world({"g": CHAT | {"budget": {"tokens": 7}}})
    plan = kernel.plan(wanted)
    assert kernel.plan(wanted).hash == plan.hash
    other = world({"g": CHAT | {"budget": {"tokens": 8}}})
    assert codes(kernel.apply(other, expect=plan.hash)) == ["plan_changed"]
    assert kernel.apply(other).allowed
    refused = kernel.apply(wanted, expect=plan.hash.hex())
    assert (refused.seq, codes(refused)) == (None, ["plan_changed"])
    now = kernel.plan(wanted)
    assert refused.findings[0].facts == {"needed": plan.hash, "available": now.hash, "next": "look_again"}
    assert kernel.apply(wanted, expect=now.hash).allowed


def test_the_hash_of_a_plan_covers_the_world_what_changes_and_what_it_rests_on(kernel):
    changes = list(kernel.plan(world()).changes)
    assert hash_of_changes(b"w", changes) != hash_of_changes(b"v", changes)
    assert hash_of_changes(b"w", changes) != hash_of_changes(b"w", changes[1:])
    reworded = [replace(x, meaning="otherwise") for x in changes]
    assert hash_of_changes(b"w", changes) == hash_of_changes(b"w", reworded)


def test_what_a_rule_raises_by_then_is_no_part_of_the_plan(kernel):
    """A hold that expires gives a budget its money back, and that raises the parts of its split."""
    budget = {"budget": "budgets/b", "schema": {"resources": {"USD": 2}}, "pays_to": ["vendors/v"]}
    shares = {"one": 60, "two": 40}
    assert kernel.apply(world()).allowed
    assert kernel.native("budget.create", **budget).allowed
    assert kernel.native("ledger.issue", resource="USD", amount=500, to="budgets/b").allowed
    task = splittally.Intent(
        "task.post", {"result": "r", "amounts": {"USD": 100}}, "budgets/b", expires_ns=50
    )
    assert kernel.submit(task, now_ns=10).allowed
    assert kernel.native("budget.split", budget="budgets/b", resource="USD", shares=shares).allowed
    held = kernel.state.grants["budgets/b/one"].budget
    assert kernel.plan(world(), now_ns=100).changes == ()
    kernel.tick(now_ns=100)
    assert kernel.state.grants["budgets/b/one"].budget != held


# --- the command line -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    assert run("-w", tmp_path / "w", "init", "--clock", "given").code == 0
    return tmp_path


def file_of(folder, document, name="m.json"):
    path = folder / name
    path.write_text(json.dumps(document))
    return path


@pytest.mark.req("X8-01")
def test_the_command_line_records_no_revocation_that_nobody_allowed(folder):
    home, both, one = folder / "w", world({"g": CHAT, "h": CHAT}), world()
    assert run("-w", home, "apply", file_of(folder, both)).code == 0
    told = run("-w", home, "apply", file_of(folder, one))
    assert told.code == 1
    assert "grants would be void for ever: `h` (edge plan_revokes)" in told.out
    assert "next: if that is meant, say so: `--allow-revoke`" in told.out
    refused = run("-w", home, "apply", file_of(folder, one), "--json")
    assert (refused.code, refused.json["seq"]) == (1, None)
    assert refused.json["findings"][0]["facts"]["grants"] == ["h"]
    assert run("-w", home, "apply", file_of(folder, one), "--yes").code == 1, "nobody is there to be asked"
    assert run("-w", home, "apply", file_of(folder, one), "--dry-run").code == 0
    done = run("-w", home, "apply", file_of(folder, one), "--allow-revoke", "--json")
    assert (done.code, done.json["seq"]) == (0, 2)


@pytest.mark.req("X8-01")
def test_a_person_is_asked_before_a_revocation(folder):
    home, one = folder / "w", file_of(folder, world(), "one.json")
    assert run("-w", home, "apply", file_of(folder, world({"g": CHAT, "h": CHAT}))).code == 0
    code, seen, is_asked = at_a_terminal("n", "-w", home, "apply", one)
    assert (code, is_asked) == (1, True)
    assert seen.index("never used again") < seen.index("revoke h for ever?")
    assert seen.endswith("nothing was recorded\r\n")
    code, seen, _ = at_a_terminal("y", "-w", home, "apply", one)
    assert code == 0
    assert run("-w", home, "apply", one).out.startswith("nothing to change")


def test_yes_answers_the_question_at_a_terminal(folder):
    home, one = folder / "w", file_of(folder, world(), "one.json")
    assert run("-w", home, "apply", file_of(folder, world({"g": CHAT, "h": CHAT}))).code == 0
    code, _, is_asked = at_a_terminal("n", "-w", home, "apply", one, "--yes")
    assert (code, is_asked) == (0, False)


@pytest.mark.req("X8-01")
def test_a_dry_run_is_the_plan_for_programs_and_expect_takes_it(folder):
    home = folder / "w"
    dry = run("-w", home, "apply", file_of(folder, world()), "--dry-run", "--json").json
    assert (dry["dry_run"], dry["seq"], len(dry["plan"])) == (True, None, 64)
    (grant,) = [x for x in dry["changes"] if x["table"] == "grants"]
    assert (grant["key"], grant["field"], grant["change"], grant["before"]) == ("g", "", "added", None)
    assert grant["after"]["cap"] == CHAT["cap"]
    assert run("-w", home, "apply", file_of(folder, USD), "--expect", dry["plan"]).code == 1
    assert run("-w", home, "apply", file_of(folder, world()), "--expect", "xyz").code == 2
    done = run("-w", home, "apply", file_of(folder, world()), "--expect", dry["plan"], "--json").json
    assert (done["seq"], done["changes"], done["plan"]) == (1, dry["changes"], dry["plan"])


def test_people_see_each_difference_with_both_values(folder):
    home = folder / "w"
    run("-w", home, "apply", file_of(folder, world({"g": CHAT | {"budget": {"tokens": 5}}})))
    more = file_of(folder, world({"g": CHAT | {"budget": {"tokens": 9}}}))
    out = run("-w", home, "apply", more, "--dry-run").out
    assert "grants g" in out
    assert "budget.tokens: 5 tokens -> 9 tokens" in out
    assert "--expect" in out


def test_people_see_the_amounts_of_a_budgets_plan_with_their_units_new_and_changed(folder):
    home = folder / "w"

    def ads(planned, least, hours):
        lines = {"film": {"resource": "USD", "amount": planned, "per": "month"}, "desk": hours}
        kept = [{"name": "least", "resource": "USD", "minimum": least}]
        schema = {"resources": {"USD": 2, "HOURS": 0}, "lines": lines, "constraints": kept}
        return {"resources": {"USD": 2}, "budgets": {"budgets/ads": {"schema": schema}}}

    hours = [{"resource": "HOURS", "amount": amount, "per": "total"} for amount in (7, 8)]
    made = run("-w", home, "apply", file_of(folder, ads(90_000, 20_000, hours[0]))).out
    for said in ("amount 900.00 USD", "minimum 200.00 USD", "amount 7 HOURS"):
        assert said in " ".join(made.split()), made
    out = run("-w", home, "apply", file_of(folder, ads(95_000, 25_000, hours[1])), "--dry-run").out
    assert "schema.lines.film.amount: 900.00 USD -> 950.00 USD" in out
    assert "schema.constraints.least.minimum: 200.00 USD -> 250.00 USD" in out
    assert "schema.lines.desk.amount: 7 HOURS -> 8 HOURS" in out
