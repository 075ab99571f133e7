"""Grant identity, and the schemas of what is written down."""

from collections import Counter
from hashlib import sha256

import hypothesis.strategies as st
import pytest
import splittally
from cddl_verifier import Validator
from hypothesis import given
from splittally import InvalidManifest
from splittally.core.events import Decided, Held, Refunded, Released, Settled
from splittally.runtime.reader import open_reader
from splittally_tools.audit.explanation import explain
from splittally_tools.audit.grant_history import grant_history

from tests.cli_tools import run
from tests.golden import read_vectors
from tests.rows.walk import Walk
from tests.rows.worlds import (
    CAP,
    ROOT,
    act,
    apply,
    bodies,
    budget,
    canonical,
    few,
    held,
    listen,
    manifest,
    recorded,
    settle,
    tally,
    world,
)

SCHEMAS = ROOT / "schemas"
NATURALS = st.integers(0, 2**64 - 1)
PLAIN = st.none() | st.booleans() | NATURALS | st.text(max_size=6) | st.binary(max_size=6)
PARAMS = st.dictionaries(st.text(max_size=6), PLAIN | st.lists(PLAIN, max_size=3), max_size=4)
STATED = st.fixed_dictionaries(
    {},
    optional={
        "params": PARAMS,
        "budget": st.dictionaries(st.sampled_from(["tokens", "bytes", "é", "usd"]), NATURALS),
        "expiry_ns": st.integers(1, 2**63 - 1),
    },
)


def expected_hash(stated: dict) -> bytes:
    """SHA-256 over canonical CBOR of the four parts, null where one is absent."""
    parts = {
        "defcap_ref": CAP,
        "params_cbor": canonical(stated["params"]) if "params" in stated else None,
        "budget": stated.get("budget"),
        "expiry": stated.get("expiry_ns"),
    }
    return sha256(canonical(parts)).digest()


def problems(name: str, rule: str, value) -> list[str]:
    result = Validator(SCHEMAS / f"{name}.cddl").validate(canonical(value), root_type=rule)
    return [] if result.valid else [problem.message for problem in result.diagnostics] or ["refused"]


# --- identity ---------------------------------------------------------------------------------------


@pytest.mark.req("S4-94")
@few
@given(stated=st.lists(STATED, min_size=10, max_size=10))
def test_ten_grants_have_the_hashes_that_an_independent_encoder_gives(stated):
    with world({f"g{at}": terms for at, terms in enumerate(stated)}) as kernel:
        for at, terms in enumerate(stated):
            assert kernel.state.grants[f"g{at}"].grant_hash == expected_hash(terms)


@pytest.mark.req("S4-94")
def test_nothing_but_the_four_parts_is_in_a_grants_hash():
    extras = {
        "holder": "another", "parent": "team", "delegations": 1, "hold_ns_max": 5, "above": "cap",
        "limits": [{"dim": "tokens", "per": "day", "amount": 1}],
    }  # fmt: skip
    grants = {"team": {"delegations": 1}, "plain": {}}
    grants |= {f"with {name}": {name: value} for name, value in extras.items()}
    with world(grants) as kernel:
        rows = kernel.state.grants(cap=CAP).values()
        assert {row.grant_hash for row in rows} == {expected_hash({})}
        assert len(rows) == len(grants)


@pytest.mark.req("S4-95")
def test_records_show_name_and_hash_and_a_grant_is_found_by_either(folder):
    terms = {"budget": {"tokens": 100}}
    digest = expected_hash(terms)
    with world({"cap_llm": terms}, folder) as kernel:
        held(kernel, {"tokens": 5}, "cap_llm")
        (event,) = recorded(kernel, Held)
        assert (event.legs[0].grant, event.legs[0].grant_hash) == ("cap_llm", digest)
        for spelling in ("cap_llm", digest, digest.hex()):
            row = kernel.state.grant(spelling)
            assert (row.name, row.grant_hash) == ("cap_llm", digest)
        assert kernel.state.grant(bytes(32)) is None
    code, told = tally(folder, "grants", digest.hex())
    assert (code, list(told["grants"])) == (0, ["cap_llm"])
    assert told["grants"]["cap_llm"]["grant_hash"] == digest.hex()


def links_of(event) -> list[tuple[str, bytes]]:
    """The grants that a record names, with their hashes."""
    links = event.authority if isinstance(event, Decided | Released) else event.legs
    return [(link.grant, link.grant_hash) for link in links]


@pytest.mark.req("S4-96")
@pytest.mark.parametrize("seed", [96])
def test_every_allow_deny_settle_and_release_carries_name_and_hash_of_its_whole_chain(seed):
    """An admitted intent's chain stands in its legs, which are in the same record."""
    with splittally.open(None, clock="given") as kernel:
        Walk(kernel, seed).walk(500)
        counted = Counter()
        chains: dict[bytes, list] = {}
        for seq, body in enumerate(bodies(kernel)):
            legs = {event.intent_hash: event for event in body.out if isinstance(event, Held)}
            for event in body.out:
                if isinstance(event, Decided):
                    chain = links_of(event) or links_of(legs[event.intent_hash])
                    (member,) = [x for x in body.command.members if x.intent_hash == event.intent_hash]
                    assert (chain[0][0], chain[-1][0]) == (member.grant, "root")
                    if seq % 20 == 0:
                        grants = kernel.at(seq).grants
                        expected = [(name, grants[name].grant_hash) for name in grants[member.grant].chain]
                        assert chain == expected
                    chains[event.intent_hash] = chain
                    counted[event.outcome] += 1
                elif isinstance(event, Settled | Released):
                    assert links_of(event) == chains[event.intent_hash]
                    counted[type(event).__name__] += 1
        assert all(counted[word] > 5 for word in ("allow", "deny", "require_approval", "Settled", "Released"))


@pytest.mark.req("S4-97")
def test_a_grant_of_the_same_name_with_another_limit_has_another_hash_and_the_history_says_since_when(folder):
    with world({"cap_llm": {"budget": {"tokens": 100}}}, folder) as kernel:
        before = kernel.state.grants["cap_llm"]
        held(kernel, {"tokens": 5}, "cap_llm")
        change = apply(kernel, manifest({"cap_llm": {"budget": {"tokens": 200}}}))
        first = act(kernel, {"tokens": 150}, "cap_llm")
        held(kernel, {"tokens": 5}, "cap_llm")
        after = kernel.state.grants["cap_llm"]
        assert before.name == after.name
        assert before.grant_hash != after.grant_hash
    code, told = tally(folder, "grants", "cap_llm", "--history")
    assert code == 0
    made, raised = told["history"]
    assert (made["seq"], raised["seq"]) == (change.seq - 2, change.seq)
    assert raised["fields"]["budget"] == [{"tokens": 100}, {"tokens": 200}]
    assert raised["grant_hash"] == after.grant_hash.hex()
    assert raised["first_intent"]["intent_hash"] == first.intent_hash.hex()
    assert (raised["first_intent"]["seq"], raised["first_intent"]["outcome"]) == (first.seq, "allow")


# --- schemas ----------------------------------------------------------------------------------------


@pytest.mark.req("S4-98")
def test_a_grant_is_valid_with_and_without_a_budget_and_not_with_a_list():
    parts = {"defcap_ref": CAP, "params_cbor": None, "budget": None, "expiry": None}
    for good in (None, {}, {"tokens": 0, "bytes": 2**64 - 1}):
        assert problems("intent", "grant-preimage", {**parts, "budget": good}) == []
    for bad in ([], [["tokens", 1]], {"tokens": -1}, {"tokens": 1.5}, {"tokens": "1"}, "tokens", 7):
        assert problems("intent", "grant-preimage", {**parts, "budget": bad})
        with splittally.open(None, clock="given") as kernel, pytest.raises(InvalidManifest, match="budget"):
            kernel.apply(manifest({"g": {"budget": bad}}))


@pytest.mark.req("S4-98")
def test_a_manifest_grants_with_and_without_a_budget():
    with world({"with": {"budget": {"tokens": 1}}, "empty": {"budget": {}}, "without": {}}) as kernel:
        budgets = {name: kernel.state.grants[name].budget for name in ("with", "empty", "without")}
        assert budgets == {"with": {"tokens": 1}, "empty": {}, "without": None}
        hashes = {row.grant_hash for row in kernel.state.grants.values()}
        assert len(hashes) == 4
        for name in budgets:
            rows = dict(kernel.state.tables()["grants"])[name]
            assert problems("records", "grant", rows) == []
            assert problems("records", "grant", [*rows[:3], [], *rows[4:]])


@pytest.mark.req("S4-99")
def test_the_schemas_of_check_and_settle_have_reserve_and_usage_and_their_bytes_are_kept():
    with world(budget(tokens=100)) as kernel:
        listen(kernel)
        settle(kernel, held(kernel, {"tokens": 5}), {"tokens": 3})
        check, told = ({"constraints_ok": True, "reserve_estimate": {"tokens": 5}}, {"usage": {"tokens": 3}})
    assert problems("abi", "CapCheckOutput", check) == problems("abi", "CapSettleOutput", told) == []
    for rule, body, field in (
        ("CapCheckOutput", check, "reserve_estimate"),
        ("CapSettleOutput", told, "usage"),
    ):
        without = {name: value for name, value in body.items() if name != field}
        assert any(field in problem for problem in problems("abi", rule, without))
        assert problems("abi", rule, {**body, field: {"tokens": -1}})
    kept = read_vectors("schemas")
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in SCHEMAS.glob("*.cddl")} == kept


@pytest.mark.req("S4-100")
@pytest.mark.parametrize("seed", range(3))
def test_the_recorded_deltas_of_each_grant_and_dimension_sum_to_the_final_ledger(seed):
    with splittally.open(None, clock="given") as kernel:
        Walk(kernel, seed).walk(400)
        reserved, spent, refunded = Counter(), Counter(), Counter()
        held_by: dict[bytes, Counter] = {}
        for event in (event for body in bodies(kernel) for event in body.out):
            match event:
                case Held():
                    delta = {(leg.grant, dim): x for leg in event.legs for dim, x in leg.reserve.items()}
                    held_by[event.intent_hash] = Counter(delta)
                    reserved.update(delta)
                case Settled() | Released():
                    reserved.subtract(held_by.pop(event.intent_hash, Counter()))
                    for leg in getattr(event, "legs", ()):
                        spent.update({(leg.grant, dim): x for dim, x in leg.charged.items()})
                case Refunded():
                    for leg in event.legs:
                        refunded.update({(leg.grant, dim): x for dim, x in leg.amounts.items()})
        counters = kernel.state.counters
        for grant, dim in ((grant, dim) for grant, dims in counters.items() for dim in dims):
            row, key = counters[grant][dim], (grant, dim)
            assert (row.reserved, row.spent) == (reserved[key], spent[key])
            assert row.get("refunded", 0) == refunded[key]
        assert spent["team", "tokens"] > 0
        assert reserved["team", "tokens"] + reserved["agent", "tokens"] + reserved["team", "bytes"] > 0


@pytest.mark.req("S4-97")
def test_what_is_explained_and_told_of_a_grant_is_of_the_terms_that_it_had(folder):
    """The same name has other terms today, and a grant above it is gone."""
    with world({"team": {"delegations": 1}, "g": {"parent": "team"}}, folder / "w") as kernel:
        first = held(kernel, {"tokens": 1})
        apply(
            kernel, manifest({"team": {"delegations": 1}, "g": {"parent": "team", "budget": {"tokens": 9}}})
        )
        second = held(kernel, {"tokens": 1})
        legs = {event.intent_hash: event.legs for event in recorded(kernel, Held)}
        assert kernel.native("grant.revoke", name="team", order="o-1").allowed
    with open_reader(folder / "w") as reader:
        for digest in (first, second):
            told = [(link["grant"], link["terms_hash"]) for link in explain(reader, digest)["chain"]]
            assert told[:2] == [(leg.grant, leg.terms_hash.hex()) for leg in legs[digest]][:2]
        assert legs[first][0].terms_hash != legs[second][0].terms_hash
        changes = grant_history(reader, "g")
    assert [change["what"] for change in changes] == ["made", "changed", "revoked with team"]
    acted = [change["first_intent"] and change["first_intent"]["intent_hash"] for change in changes]
    assert acted == [first.hex(), second.hex(), None]
    by_hash = run("-w", folder / "w", "grants", legs[second][0].grant_hash.hex(), "--history", "--json").json
    assert [change["what"] for change in by_hash["history"]] == ["made", "changed", "revoked with team"]
