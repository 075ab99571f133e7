"""Row X6-28: a limit that nothing can count is said when it is made."""

import re
from pathlib import Path

import pytest
import splittally
from splittally.edge.dimensions import COUNTED
from splittally.edge.release import BEFORE, CAPS
from splittally_enforcers import build

from tests.rows.worlds import PARROT, tally

PRICES = {"resource": "USD", "prompt": 1, "completion": 1}
RULES = {"reserve": {"calls": 1}, "usage": {"ms": 2}}
READMES = Path(build.__file__).parent

# terms of a grant, and the dimensions of its limits that nothing counts
SAID = [
    ({"cap": "sys/all@1", "budget": {"tokens": 100}}, ["tokens"]),
    ({"cap": "sys/allow@1", "budget": {"tokens": 100}}, ["tokens"]),
    ({"cap": "sys/allow@1", "params": {"reserve": {"mails": 1}}, "budget": {"mails": 1, "tokens": 2}}, []),
    ({"cap": "sys/llm.basic@1", "budget": {"tokns": 5, "tokens": 5}}, ["tokns"]),
    ({"cap": "sys/llm.basic@1", "budget": {"USD": 5}}, ["USD"]),
    ({"cap": "sys/llm.basic@1", "budget": {"USD": 5}, "params": {"prices": PRICES}}, []),
    ({"cap": "sys/llm.basic@1", "limits": [{"dim": "calls", "per": "day", "amount": 5}]}, ["calls"]),
    ({"cap": "sys/llm.basic@1", "limits": [{"dim": "calls", "amount": 5, "over": "tell"}]}, ["calls"]),
    ({"cap": "sys/rules@1", "params": {"rules": []}, "budget": {"calls": 5}}, ["calls"]),
    ({"cap": "sys/rules@1", "params": RULES, "budget": {"calls": 5, "ms": 1}}, []),
    ({"cap": "sys/cost@1", "budget": {"cost_cents": 5}}, []),
    ({"cap": "sys/cost@1", "params": {"dimension": "USD"}, "budget": {"cost_cents": 5, "USD": 1}},
     ["cost_cents"]),
    ({"cap": "sys/spend@1", "budget": {"USD": 5}}, []),
    ({"cap": "sys/spend@1", "params": {"resources": ["USD"]}, "budget": {"USD": 5, "EUR": 5}}, ["EUR"]),
    ({"cap": "sys/native@1", "budget": {"USD": 5}}, ["USD"]),
    ({"cap": "acme/mail@1", "budget": {"mails": 5, "letters": 1}}, ["letters"]),  # a module of the release
    ({"cap": "acme/own@1", "budget": {"anything": 5}}, []),
    ({"cap": "sys/http.out@1"}, []),
]  # fmt: skip
CUSTOM = {
    "acme/mail@1": {"enforcer": "sys/CapEnforceEmail@1", "cap_type": "email"},
    "acme/own@1": {"enforcer": PARROT, "cap_type": "own"},
}


def said(decision):
    found = [x for x in decision.findings if x.code == "limit_uncounted"]
    assert decision.allowed
    assert all(x.stage == "native" and "next" not in x.facts for x in found)
    return [dim for finding in found for dim in finding.facts["dims"]]


@pytest.mark.req("X6-28")
@pytest.mark.parametrize(("terms", "dims"), SAID)
def test_a_limit_that_nothing_counts_is_said_when_it_is_made_and_in_views(terms, dims):
    manifest = {"resources": {"USD": 0}, "caps": CUSTOM}
    with splittally.open(None, clock="given") as kernel:
        applied = kernel.fork().apply(manifest | {"grants": {"g": terms}})
        assert said(applied) == dims
        assert kernel.apply(manifest).allowed
        issued = kernel.native("grant.issue", name="g", terms=terms)
        assert said(issued) == dims
        assert kernel.state.grants["g"].uncounted == dims
        assert said(kernel.native("grant.amend", name="g", terms=terms | {"holder": "ann"})) == dims
        for dim in terms.get("budget", {}):
            assert said(kernel.native("grant.topup", name="g", dim=dim, amount=1)) == dims
        assert kernel.outcome(issued.intent_hash).findings == []  # it is no part of the record


@pytest.mark.req("X6-28")
@pytest.mark.parametrize("kind", ["grant.issue", "grant.amend", "grant.topup"])
def test_a_change_that_names_no_grant_is_refused_and_nothing_is_said_of_limits(kind):
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.native(kind)
        assert (decision.outcome, [x.code for x in decision.findings]) == ("deny", ["params.invalid"])


@pytest.mark.req("X6-28")
def test_a_limit_of_a_team_that_asks_nobody_is_said_though_its_child_counts():
    """The team's leg reserves nothing, whatever its children do."""
    grants = {"team": {"cap": "sys/all@1", "budget": {"tokens": 100}}}
    grants["chat"] = {"cap": "sys/llm.basic@1", "parent": "team", "budget": {"tokens": 100}}
    with splittally.open(None, clock="given") as kernel:
        (finding,) = kernel.apply({"grants": grants}).findings
        assert (finding.facts["grant"], finding.facts["dims"]) == ("team", ["tokens"])


@pytest.mark.req("X6-28")
def test_the_plan_of_an_apply_and_the_list_of_grants_say_it(folder, tmp_path):
    manifest = tmp_path / "m.toml"
    manifest.write_text('[grants.chat]\ncap = "sys/llm.basic@1"\nbudget = { tokns = 5 }\n')
    assert tally(folder / "w", "init", "--clock", "given")[0] == 0
    for options in (["--dry-run"], []):
        code, answer = tally(folder / "w", "apply", str(manifest), *options)
        assert (code, [x["code"] for x in answer["findings"]]) == (0, ["limit_uncounted"])
    code, answer = tally(folder / "w", "grants", "chat")
    assert answer["grants"]["chat"]["uncounted"] == ["tokns"]


@pytest.mark.req("X6-28")
def test_every_built_in_module_says_what_its_readme_says():
    """The table of the kernel and the chapter `Dimensions` of each module name the same."""
    folders = {
        x.parent.name: x.read_text("utf-8")
        for x in READMES.glob("*/README.md")
        if "sys/Cap" in x.read_text("utf-8")
    }
    by_module = {text.split("\n", 1)[0].removeprefix("# ").strip(): text for text in folders.values()}
    judging = {module for _, module in CAPS.values()} | set(BEFORE.values())
    assert set(COUNTED) == judging == set(by_module) & set(COUNTED)
    for module, counted in COUNTED.items():
        params = {"prices": PRICES, "reserve": {"r": 1}, "usage": {"u": 1}, "resources": ["USD"]}
        chapter = by_module[module].split("## Dimensions", 1)[1].split("\n## ", 1)[0]
        rows = [line.split("|")[1] for line in chapter.splitlines() if line.startswith("| `")]
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {
            "dimension",
            "prices",
            "usage",
            "reserve",
        }
        found = counted(params)
        assert found is None or named <= found or not rows, module
