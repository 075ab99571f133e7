"""Row X6-04: a grant is compared with the one above it in every term that it has."""

import pytest
from splittally.core.caps.narrowing import NARROWS
from splittally.core.types import Grant

from tests.rows.worlds import applied, codes

PARENT = {
    "cap": "sys/spend@1",
    "holder": "ann",
    "delegations": 2,
    "draws_on": {"USD": "accounts/a"},
    "pays_to": ["accounts/v", "vendors/"],
    "unknown_ns": 100,
    "hold_ns_max": 100,
    "approval_ns": 100,
    "expiry_ns": 10**6,
    "budget": {"USD": 100},
    "limits": [{"dim": "USD", "per": "day", "amount": 50, "rollover": [1, 4]}],
    "doubt": "payer",
}


def day(amount, share=None, over="deny"):
    limit = {"dim": "USD", "per": "day", "amount": amount, "over": over}
    return {"limits": [limit | ({"rollover": share} if share else {})]}


# field -> what is wider than the parent, and what is at most it
TERMS = {
    "cap": ([{"cap": cap} for cap in ("sys/native@1", "sys/all@1", "sys/allow@1", "sys/llm.basic@1")], []),
    "budget": ([{"budget": {"USD": 101}}], [{"budget": {"USD": 100}}, {"budget": {"EUR": 900}}]),
    "limits": (
        [day(51), day(50, [1, 1]), day(50, [2, 7])],
        [day(50), day(50, [1, 4]), day(49, [2, 8]), day(900, over="tell"), day(900, over="defer")],
    ),
    "expiry_ns": ([{"expiry_ns": 10**6 + 1}], [{"expiry_ns": 10**6}]),
    "delegations": ([{"delegations": 3}], [{"delegations": 2}]),
    "pays_to": (
        [{"pays_to": ["accounts/w"]}, {"pays_to": ["accounts/v", "accounts/"]}],
        [{"pays_to": ["accounts/v", "vendors/x/*"]}],
    ),
    "hold_ns_max": ([{"hold_ns_max": 101}], [{"hold_ns_max": 100}]),
    "approval_ns": ([{"approval_ns": 101}], [{"approval_ns": 100}]),
    "unknown_ns": ([{"unknown_ns": 101}], [{"unknown_ns": 100}]),
    "doubt": ([{"doubt": "payee"}], [{"doubt": "payer"}]),
    "above": ([{"above": "debt"}], [{"above": "cap"}, {"above": "charge"}]),
    "draws_on": ([{"draws_on": {"USD": "accounts/w"}}], [{"draws_on": {"USD": "accounts/a"}}]),
}
FREE = {
    "dispatch",
    "name",
    "params",
    "parent",
    "payers",
    "holder",
    "made_by",
    "grant_hash",
}  # each with its reason in the table


def world(parent):
    accounts = {f"accounts/{name}": {} for name in ("a", "v", "w")}
    return applied({"resources": {"USD": 0}, "accounts": accounts, "grants": {"p": parent}})


@pytest.mark.req("X6-04")
def test_no_field_of_a_grant_is_forgotten():
    assert set(NARROWS) == set(Grant.__struct_fields__) == set(TERMS) | FREE


@pytest.mark.req("X6-04")
@pytest.mark.parametrize("way", ["issue", "amend", "manifest"])
@pytest.mark.parametrize("field", TERMS)
def test_each_term_that_is_wider_is_refused_by_its_name_and_one_that_is_not_passes(field, way):
    wider, narrower = TERMS[field]
    base = {"cap": "sys/spend@1", "holder": "ann", "doubt": "payer"}
    for change in [{}, *wider, *narrower]:
        with world(PARENT) as kernel:
            ann = kernel.as_principal("ann")
            terms = base | change
            if way == "issue":
                made = ann.native("grant.issue", grant="p", name="c", terms=terms)
            elif way == "amend":
                assert ann.native("grant.issue", grant="p", name="c", terms=base).allowed
                made = kernel.native("grant.amend", name="c", terms=terms | {"parent": "p"})
            else:
                accounts = {f"accounts/{name}": {} for name in ("a", "v", "w")}
                grants = {"p": PARENT, "c": terms | {"parent": "p"}}
                made = kernel.apply({"resources": {"USD": 0}, "accounts": accounts, "grants": grants})
            if change not in wider or (field == "draws_on" and way != "issue"):
                assert made.allowed, (change, made.findings)
            elif field == "draws_on":
                assert codes(made) == ["account_not_yours"]
            else:
                assert codes(made) == ["wider_than_parent"], change
                told = made.findings[0].facts
                assert ({field, "dim"} & set(told)) and told["grant"] == "p"


@pytest.mark.req("X6-04")
def test_a_term_is_held_against_the_nearest_grant_above_that_states_one():
    with world(PARENT) as kernel:
        ann = kernel.as_principal("ann")
        middle = {"cap": "sys/spend@1", "holder": "ann", "delegations": 1, "doubt": "payer"}
        assert ann.native("grant.issue", grant="p", name="m", terms=middle).allowed
        low = {"cap": "sys/spend@1", "holder": "ann", "doubt": "payer"}
        for field in ("unknown_ns", "hold_ns_max", "approval_ns"):
            made = ann.native("grant.issue", grant="m", name="c", terms=low | {field: 101})
            assert (codes(made), made.findings[0].facts["grant"]) == (["wider_than_parent"], "p")
        made = ann.native("grant.issue", grant="m", name="c", terms=low | {"pays_to": ["accounts/w"]})
        assert codes(made) == ["wider_than_parent"]


@pytest.mark.req("X6-04")
def test_caps_narrow_by_the_kinds_that_they_cover():
    """`sys/all@1` covers all, a cap of type `*` all but native, any other its own type."""
    caps = ["sys/all@1", "sys/allow@1", "sys/cost@1", "sys/native@1", "sys/spend@1", "sys/llm.basic@1"]
    covered = {cap: {cap} for cap in caps} | {
        cap: set(caps) - {"sys/all@1", "sys/native@1"} for cap in caps[1:3]
    }
    covered["sys/all@1"] = set(caps)
    for above in caps:
        with world({"cap": above, "delegations": 1}) as kernel:
            for cap in caps:
                made = kernel.fork().native("grant.issue", grant="p", name="c", terms={"cap": cap})
                assert made.allowed == (cap in covered[above]), (above, cap, made.findings)


@pytest.mark.req("X6-01", "X6-04")
@pytest.mark.parametrize("cap", ["sys/all@1", "sys/native@1", "sys/llm.basic@1"])
def test_what_is_issued_is_within_a_grant_further_up_that_was_narrowed_since(cap):
    with world({"cap": "sys/all@1", "holder": "ann", "delegations": 3}) as kernel:
        ann = kernel.as_principal("ann")
        wide = {"cap": "sys/all@1", "holder": "ann", "delegations": 2}
        assert ann.native("grant.issue", grant="p", name="m", terms=wide).allowed
        assert ann.native("grant.issue", grant="m", name="n", terms=wide | {"delegations": 1}).allowed
        narrow = {"cap": "sys/spend@1", "holder": "ann", "delegations": 2, "parent": "p"}
        assert ann.native("grant.amend", grant="p", name="m", terms=narrow).allowed
        again = {"cap": cap, "holder": "ann", "parent": "m"}
        for made in (
            ann.native("grant.issue", grant="n", name="c", terms={"cap": cap}),
            ann.native("grant.amend", grant="p", name="n", terms=again),
        ):
            told = [(x.code, x.facts["grant"], x.facts["available"]) for x in made.findings]
            assert told == [("wider_than_parent", "m", "sys/spend@1")]
