"""`grant.amend` changes what it names and keeps the rest; with `replace` nothing else stays."""

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from msgspec.structs import fields
from splittally import Intent
from splittally.core.canonical import decode
from splittally.core.caps.grants import GrantTerms
from splittally.core.native.grant_patches import TermsPatch

from tests.cli_tools import run
from tests.rows.worlds import bodies, codes, few

WORLD = {"resources": {"USD": 2}, "accounts": {"accounts/a": {}, "accounts/b": {}, "vendors/v": {}}}
WEB = {
    "cap": "sys/http.out@1",
    "params": {"hosts": ["good.com"]},
    "budget": {"requests": 10, "bytes": 500},
    "limits": [{"dim": "requests", "per": "day", "amount": 5}],
    "holder": "ann",
    "draws_on": {"USD": "accounts/a"},
    "pays_to": ["vendors/v"],
    "delegations": 1,
    "expiry_ns": 10**18,
}
OF_THE_NAME = ("name", "grant_hash", "made_by", "chain")


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        assert opened.apply(WORLD).allowed
        assert opened.native("grant.issue", name="g", terms=WEB).allowed
        yield opened


def amend(kernel, terms, **more):
    return kernel.native("grant.amend", name="g", terms=terms, **more)


def terms_now(kernel, name="g"):
    """What a grant is, without what only its name makes."""
    row = kernel.state.grants[name]
    return {field: value for field, value in row.items() if field not in OF_THE_NAME}


# --- patches --------------------------------------------------------------------------------------------


def merged(terms, patch):
    """JSON Merge Patch (RFC 7396) of the terms of a grant: cap params are one term."""
    whole = dict(terms)
    for name, value in patch.items():
        if value is None:
            whole.pop(name, None)
        elif name in ("budget", "draws_on"):
            both = {**whole.get(name, {}), **value}
            whole[name] = {key: item for key, item in both.items() if item is not None}
            if not whole[name]:
                del whole[name]
        else:
            whole[name] = value
    return whole


def optional(**values):
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(x) for name, x in values.items()})


PATCHES = optional(
    params=[None, {}, {"hosts": ["x.com"]}],
    limits=[None, [], [{"dim": "bytes", "per": "week", "amount": 7}]],
    holder=[None, "bob"],
    pays_to=[None, [], ["vendors/v", "vendors/"]],
    delegations=[None, 0, 3],
    expiry_ns=[None, 10**17],
    hold_ns_max=[None, 60],
    approval_ns=[None, 60],
    unknown_ns=[None, 60],
    doubt=[None, "payee"],
    above=[None, "debt", "cap"],
    dispatch=[None, True],
    cap=["sys/http.out@1"],
)
AMOUNTS = st.none() | st.dictionaries(
    st.sampled_from(["requests", "bytes", "bytes_received"]), st.none() | st.integers(0, 9), max_size=3
)
PAYERS = st.none() | st.dictionaries(
    st.just("USD"), st.sampled_from([None, "accounts/b", [{"account": "accounts/a"}]]), max_size=1
)
MAPS = st.fixed_dictionaries({}, optional={"budget": AMOUNTS, "draws_on": PAYERS})


@pytest.mark.req("X8-02")
@few
@given(st.lists(st.builds(lambda one, two: one | two, PATCHES, MAPS), min_size=1, max_size=3))
def test_a_grant_that_was_patched_is_the_one_that_states_all_terms_merged(patches):
    terms = WEB
    with splittally.open(None, clock="given") as kernel:
        assert kernel.apply(WORLD).allowed
        assert kernel.native("grant.issue", name="g", terms=WEB).allowed
        for patch in patches:
            assert amend(kernel, patch).allowed
            terms = merged(terms, patch)
        assert kernel.native("grant.issue", name="h", terms=terms).allowed
        assert terms_now(kernel) == terms_now(kernel, "h")


@pytest.mark.req("X8-02")
def test_raising_one_dimension_keeps_hosts_holder_and_who_pays(kernel):
    before = terms_now(kernel)
    assert amend(kernel, {"budget": {"requests": 20}}).allowed
    after = terms_now(kernel)
    assert after["budget"] == {"requests": 20, "bytes": 500}
    changed = {field for field in before if before[field] != after[field]}
    assert changed == {"budget", "limits"}, "the view lists the budget among the limits, too"
    evil = Intent("http.request", {"url": "https://evil.com/"}, "g")
    assert codes(kernel.as_principal("ann").submit(evil)) == ["host_not_allowed"]


def test_every_term_of_a_grant_can_be_patched():
    assert [field.name for field in fields(TermsPatch)] == [field.name for field in fields(GrantTerms)]


@pytest.mark.req("X8-02")
def test_patches_that_are_asked_together_lose_nothing_of_each_other(kernel):
    one = Intent("grant.amend", {"name": "g", "terms": {"budget": {"requests": 20}}}, "root")
    two = Intent("grant.amend", {"name": "g", "terms": {"budget": {"bytes": 7}}}, "root")
    assert [answer.outcome for answer in kernel.submit([one, two])] == ["allow", "allow"]
    assert kernel.state.grants["g"].budget == {"requests": 20, "bytes": 7}


def test_the_record_holds_what_was_stated_and_no_more(kernel):
    assert amend(kernel, {"budget": {"bytes": None}, "holder": None}).allowed
    member = bodies(kernel)[-1].command.members[0]
    assert decode(member.params) == {
        "name": "g",
        "replace": False,
        "terms": {"budget": {"bytes": None}, "holder": None},
    }


def test_terms_that_do_not_fit_together_are_refused_with_why(kernel):
    refused = amend(kernel, {"limits": [{"dim": "requests", "amount": 3}]})
    assert codes(refused) == ["params.invalid"]
    assert "two limits for one period" in refused.findings[0].facts["message"]
    assert kernel.state.grants["g"].budget == WEB["budget"]


def test_a_parent_that_is_not_named_is_kept_and_another_refused(kernel):
    assert kernel.native("grant.issue", under="g", name="kid", terms={"cap": WEB["cap"]}).allowed is False
    top = kernel.as_principal("ann")
    terms = {"cap": WEB["cap"], "budget": {"requests": 3}, "draws_on": {}, "expiry_ns": 10**17}
    assert top.native("grant.issue", under="g", name="kid", terms=terms).allowed
    assert kernel.native("grant.amend", name="kid", terms={"budget": {"requests": 2}}).allowed
    assert kernel.state.grants["kid"].parent == "g"
    other = kernel.native("grant.amend", name="kid", terms={"parent": "root"})
    assert codes(other) == ["cannot_change"]
    wider = kernel.native("grant.amend", name="kid", terms={"budget": {"requests": 11}})
    assert codes(wider) == ["wider_than_parent"]


def test_another_cap_keeps_the_params_only_where_it_knows_them(kernel):
    refused = amend(kernel, {"cap": "sys/llm@1"})
    assert codes(refused) == ["params.invalid"]
    assert "no `hosts`" in refused.findings[0].facts["message"]
    assert amend(kernel, {"cap": "sys/llm@1", "params": {"models": ["m"]}}).allowed


def test_a_permission_takes_the_place_of_the_limits_of_an_earlier_one_and_of_no_other(kernel):
    permission = {"properties": {"USD": {"maximum": 5}}}
    terms = {"permission": permission, "limits": [{"dim": "USD", "per": "day", "amount": 100}]}
    assert kernel.native("grant.issue", name="card", terms=terms).allowed
    more = {"permission": {"properties": {"USD": {"maximum": 9}}}}
    assert kernel.native("grant.amend", name="card", terms=more).allowed
    limits = [(limit.per, limit.amount) for limit in kernel.state.grants["card"].limits]
    assert limits == [("day", 100), ("life", 900)]


@pytest.mark.req("X8-02")
def test_replace_keeps_nothing_that_it_does_not_state(kernel):
    assert amend(kernel, {"cap": WEB["cap"], "budget": {"requests": 1}}, replace=True).allowed
    assert kernel.native(
        "grant.issue", name="h", terms={"cap": WEB["cap"], "budget": {"requests": 1}}
    ).allowed
    assert terms_now(kernel) == terms_now(kernel, "h")
    assert codes(amend(kernel, {"budget": {"requests": 2}}, replace=True)) == ["params.invalid"]


# --- the command line -----------------------------------------------------------------------------------


@pytest.mark.req("X8-02")
def test_the_command_line_patches_replaces_and_shows_the_difference(tmp_path):
    home = tmp_path / "w"

    def tally(*args):
        return run("-w", home, *args)

    assert tally("init", "--clock", "given").code == 0
    terms = ["--cap", WEB["cap"], "--holder", "ann", "--params", '{"hosts": ["good.com"]}']
    budget = ["--budget", "requests=10", "--budget", "bytes=5"]
    assert tally("native", "grant.issue", "--name", "g", *terms, *budget).code == 0
    told = tally("native", "grant.amend", "--name", "g", "--budget", "requests=20")
    assert "budget.requests: 10 requests -> 20 requests" in told.out
    shown = tally("native", "grant.amend", "--name", "g", "--budget", "bytes=", "--holder", "", "--json").json
    assert {(x["field"], x["before"], x["after"]) for x in shown["changes"]} == {
        ("budget.bytes", 5, None),
        ("holder", "ann", "operator"),
    }
    whole = tally("native", "grant.amend", "--name", "g", "--cap", WEB["cap"], "--replace", "--json").json
    assert {x["field"] for x in whole["changes"]} == {"budget", "params"}
    assert tally("native", "grant.amend", "--name", "g", "--json").json["changes"] == []


@pytest.mark.req("X8-02")
def test_a_dry_run_of_an_amendment_shows_the_difference_and_writes_nothing(tmp_path):
    home = tmp_path / "w"
    with splittally.open(home, clock="given") as kernel:
        assert kernel.apply({"grants": {"g": {"cap": WEB["cap"], "budget": {"requests": 10}}}}).allowed
    words = ("-w", home, "native", "grant.amend", "--name", "g", "--budget", "requests=20")
    frames = run("-w", home, "log", "--json").out
    dry = run(*words, "--dry-run", "--json").json
    assert (dry["dry_run"], dry["seq"], dry["outcome"]) == (True, None, "allow")
    assert "budget.requests" in run(*words, "--dry-run").out
    refused = run(*words, "--cap", "acme/none@1", "--dry-run")
    assert (refused.code, "not_found" in refused.out) == (1, True)
    assert run("-w", home, "log", "--json").out == frames
    done = run(*words, "--json").json
    assert (done["dry_run"], done["seq"]) == (False, 2)
    assert done["changes"] == dry["changes"] != []
    assert "nothing to change" in run(*words, "--dry-run").out
