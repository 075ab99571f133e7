"""Offers are compared exactly, by weight; what qualifies somebody is shown and never spent."""

import json
from fractions import Fraction

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.offers import HIGHER, LOWER, Criterion, Offer, rank

from tests.cli_tools import run

PRICE = {"name": "price", "weight": "0.2", "better": "lower"}
QUALITY = {"name": "quality", "weight": "0.8", "better": "higher"}
CHEAP = {"offer": "cheap", "values": {"price": 100, "quality": 60}}
DEAR = {"offer": "dear", "values": {"price": 180, "quality": 90}}


def asked(tmp_path, document, *options):
    file = tmp_path / "offers.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return run("offers", file, *options)


def ranked(tmp_path, criteria, offers, **more):
    ran = asked(tmp_path, {"criteria": criteria, "offers": offers, **more}, "--json")
    assert ran.code == 0, ran.err
    return ran.json


# --- order ------------------------------------------------------------------------------------------


@pytest.mark.req("X0-20")
def test_the_dearer_and_better_offer_wins_where_quality_weighs_more(tmp_path):
    found = ranked(tmp_path, [PRICE, QUALITY], [CHEAP, DEAR])["ranked"]
    assert [(one["offer"], one["score"]) for one in found] == [("dear", "4/5"), ("cheap", "1/5")]
    assert found[0]["parts"] == {"price": "0", "quality": "4/5"}
    turned = [{**PRICE, "weight": "0.8"}, {**QUALITY, "weight": "0.2"}]
    found = ranked(tmp_path, turned, [CHEAP, DEAR])["ranked"]
    assert [one["offer"] for one in found] == ["cheap", "dear"]


@pytest.mark.req("X0-20")
def test_a_value_between_the_least_and_the_most_scores_in_proportion(tmp_path):
    offers = [{"offer": str(price), "values": {"price": price}} for price in (10, 13, 40)]
    found = ranked(tmp_path, [{**PRICE, "weight": 3}], offers)["ranked"]
    assert [(one["offer"], one["score"]) for one in found] == [("10", "3"), ("13", "27/10"), ("40", "0")]


@pytest.mark.req("X0-20")
def test_equal_offers_score_in_full_and_stand_in_the_order_of_their_names(tmp_path):
    offers = [{**CHEAP, "offer": name} for name in ("b", "c", "a")]
    found = ranked(tmp_path, [PRICE, QUALITY], offers)["ranked"]
    assert [(one["offer"], one["score"]) for one in found] == [("a", "1"), ("b", "1"), ("c", "1")]


values = st.integers(-(2**63), 2**64 - 1)
criteria = st.lists(
    st.builds(
        lambda weight, better: (weight, better), st.fractions(0, 10**6), st.sampled_from([LOWER, HIGHER])
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.req("X0-20")
@given(criteria=criteria, data=st.data())
def test_an_offer_that_is_better_in_everything_is_never_below(criteria, data):
    """Scores lie between nothing and the sum of the weights, and agree with the definition."""
    named = [
        Criterion(name=str(at), weight=weight, better=better) for at, (weight, better) in enumerate(criteria)
    ]
    rows = data.draw(st.lists(st.tuples(*[values] * len(named)), min_size=1, max_size=6))
    offers = [
        Offer(offer=str(at), values={one.name: row[k] for k, one in enumerate(named)})
        for at, row in enumerate(rows)
    ]
    found = rank(named, offers, {}).ranked
    assert sorted(one.offer for one in found) == sorted(offer.offer for offer in offers)
    scores = {one.offer: one.score for one in found}
    for at, row in enumerate(rows):
        expected = Fraction()
        for k, (weight, better) in enumerate(criteria):
            column = [other[k] for other in rows]
            span = max(column) - min(column)
            gained = max(column) - row[k] if better == LOWER else row[k] - min(column)
            expected += weight * (Fraction(gained, span) if span else 1)
        assert scores[str(at)] == expected
    assert list(found) == sorted(found, key=lambda one: (-one.score, one.offer))


# --- qualifying -------------------------------------------------------------------------------------


@pytest.mark.req("X0-21")
def test_an_offer_that_is_short_is_not_ranked_and_what_is_missing_is_said(tmp_path):
    offers = [
        {"offer": "new", "values": {"price": 1, "quality": 99}},
        {**CHEAP, "qualifying": {"skill": 79}},
        {**DEAR, "qualifying": {"skill": 80, "reviews": 3}},
    ]
    found = ranked(tmp_path, [PRICE, QUALITY], offers, qualifying={"skill": 80, "reviews": 3})
    assert [(one["offer"], one["score"]) for one in found["ranked"]] == [("dear", "1")]
    assert found["not_eligible"] == [
        {"offer": "cheap", "missing": {"reviews": 3, "skill": 1}},
        {"offer": "new", "missing": {"reviews": 3, "skill": 80}},
    ]


@pytest.mark.req("X0-21")
def test_who_cannot_be_chosen_does_not_move_the_scale(tmp_path):
    """Else an offer that nobody may take would decide between two that somebody may."""
    offers = [CHEAP, DEAR, {"offer": "short", "values": {"price": 10**9, "quality": 10**9}}]
    offers = [{**offer, "qualifying": {"skill": 85 if offer["offer"] != "short" else 0}} for offer in offers]
    with_short = ranked(tmp_path, [PRICE, QUALITY], offers, qualifying={"skill": 80})
    assert with_short["ranked"] == ranked(tmp_path, [PRICE, QUALITY], offers[:2])["ranked"]


@pytest.mark.req("X0-21")
def test_a_task_that_states_what_qualifies_leaves_the_balance_of_it_as_it_was(tmp_path):
    manifest = {
        "resources": {"USD": 2, "skill": 0},
        "accounts": {"accounts/team": {}, "accounts/maker": {}},
        "grants": {
            "g": {
                "cap": "sys/spend@1",
                "budget": {"USD": 500},
                "draws_on": {"USD": "accounts/team"},
                "pays_to": ["accounts/maker"],
            }
        },
    }
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(manifest).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=500, to="accounts/team").allowed
        assert kernel.native("ledger.issue", resource="skill", amount=85, to="accounts/maker").allowed
        params = {"result": "a banner", "amounts": {"USD": 100}, "qualifying": {"skill": 80}}
        decision = kernel.submit(Intent("task.post", params, "g"))
        assert decision.allowed, decision
        assert decision.reserve == {"USD": 100}
        balances = kernel.state.accounts["accounts/maker"].balances
        assert balances == {"skill": 85}
        maker = {"offer": "maker", "values": {"price": 1, "quality": 1}, "qualifying": balances}
        found = ranked(tmp_path, [PRICE, QUALITY], [maker], qualifying=params["qualifying"])
        assert [one["offer"] for one in found["ranked"]] == ["maker"]
        assert kernel.state.accounts["accounts/maker"].balances == {"skill": 85}


# --- what is wrong ----------------------------------------------------------------------------------

GOOD = {"criteria": [PRICE, QUALITY], "offers": [CHEAP, DEAR]}
WRONG = [
    ({**GOOD, "criteria": []}, "criteria"),
    ({**GOOD, "offers": []}, "offers"),
    ({**GOOD, "offers": {}}, "offers"),
    ({"offers": [CHEAP]}, "criteria"),
    ({**GOOD, "more": 1}, "more"),
    ([], "the document"),
    ({**GOOD, "qualifying": {"skill": -1}}, "qualifying.skill"),
    ({**GOOD, "qualifying": [80]}, "qualifying"),
    ({**GOOD, "criteria": [{**PRICE, "weight": 0.2}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [{**PRICE, "weight": "1e9"}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [{**PRICE, "weight": -1}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [{**PRICE, "weight": "-1"}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [{**PRICE, "weight": "1.5 USD"}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [{**PRICE, "weight": True}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [{**PRICE, "weight": "1" * 41}]}, "criteria[0].weight"),
    ({**GOOD, "criteria": [PRICE, {**QUALITY, "better": "more"}]}, "criteria[1].better"),
    ({**GOOD, "criteria": [PRICE, PRICE]}, "criteria[1].name"),
    ({**GOOD, "criteria": [{**PRICE, "name": ""}]}, "criteria[0].name"),
    ({**GOOD, "criteria": [{"name": "price", "weight": 1}]}, "criteria[0].better"),
    ({**GOOD, "offers": [CHEAP, CHEAP]}, "offers[1].offer"),
    ({**GOOD, "offers": [{**CHEAP, "offer": 1}]}, "offers[0].offer"),
    ({**GOOD, "offers": [{**CHEAP, "values": {"price": 1}}]}, "offers[0].values.quality"),
    ({**GOOD, "offers": [{**CHEAP, "values": {"price": "1", "quality": 1}}]}, "offers[0].values.price"),
    ({**GOOD, "offers": [{**CHEAP, "values": 1}]}, "offers[0].values"),
    ({**GOOD, "offers": [{**CHEAP, "qualifying": {"skill": "85"}}]}, "offers[0].qualifying.skill"),
    ({**GOOD, "offers": [{**CHEAP, "price": 1}]}, "offers[0].price"),
]


@pytest.mark.parametrize(("document", "field"), WRONG)
def test_bad_input_is_refused_with_the_name_of_the_field(tmp_path, document, field):
    ran = asked(tmp_path, document, "--json")
    assert ran.code == 2
    assert ran.json["error"]["facts"]["field"] == field
    assert f"`{field}`" in ran.err


def test_what_is_no_json_is_refused_with_its_place(tmp_path):
    ran = asked(tmp_path, '{"criteria": [')
    assert ran.code == 2
    assert ran.err.startswith("tally: ")
    assert ran.err.count("\n") == 1


def test_offers_are_read_from_standard_input_and_shown_to_people():
    ran = run("offers", "-", text=json.dumps({**GOOD, "qualifying": {}}))
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.split()[1] for line in lines if line.strip()[:1].isdecimal()] == ["dear", "cheap"]


@pytest.mark.req("X0-21")
def test_people_are_told_who_is_not_eligible_beside_those_who_are_and_nothing_of_it_where_all_are():
    short = {**CHEAP, "qualifying": {"skill": 79}}
    fit = {**DEAR, "qualifying": {"skill": 80}}
    for offers, names in (([short, fit], ["cheap"]), ([fit], []), ([short], ["cheap"])):
        ran = run("offers", "-", text=json.dumps({**GOOD, "offers": offers, "qualifying": {"skill": 80}}))
        _, said, told = ran.out.partition("not eligible:")
        assert bool(said) == bool(names)
        assert [line.split() for line in told.splitlines()[2:] if "skill" in line] == [
            [name, "skill=1"] for name in names
        ]
