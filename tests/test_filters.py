"""Every option of every command that narrows a list: a value that names nothing is a usage error."""

import click
import pytest
from splittally_tools.cli.filters import Filter, Word
from splittally_tools.cli.menu import MENU, tally

from tests.cli_tools import busy_world, run

NAMING = {
    "account", "dim", "grant", "holder", "kind", "lane", "outcome", "phase", "principal", "resource",
    "status", "under",
}  # fmt: skip
# Options of these names that narrow nothing: what is made, asked or written.
OTHERS = {
    "native": NAMING,  # the fields of effects
    "drain": {"lane", "status", "under"},  # what a job gets, how it ended, the grant it is asked under
    "prices": {"resource"},
    "enforcer": {"kind", "dim"},
    "check-policy": {"grant", "scenario"},  # of a manifest that no world has
    "budgets": {"holder", "under"},  # who gets a budget or a part, and under which grant it is asked
    "token": {"principal", "under"},  # for whom, and under which grant, one is issued or revoked
}
ARGUMENTS = {
    "trace": ["accounts/team"],
    "grants": [],
    "drain queue": ["--queue", "QUEUE"],
    "stats metric": ["budgets/b", "m"],
}


def commands():
    """The words and the command of everything that can be run."""
    context = click.Context(tally)
    for name in MENU:
        command = tally.get_command(context, name)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                yield f"{name} {inner}", command.get_command(context, inner)
        else:
            yield name, command


def filters():
    for words, command in commands():
        for option in command.params:
            if isinstance(option, Filter | Word):
                yield words, option


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filters")
    world = busy_world(folder / "world")
    assert run("-w", world, "stats", "update").code == 0
    assert run("drain", "add", "--queue", folder / "queue", "--lane", "small", "{}").code == 0
    return world


def asked(world, words, *more):
    """The command with what else it needs, as JSON where that is not its own business."""
    given = [str(world.parent / "queue") if x == "QUEUE" else x for x in ARGUMENTS.get(words, [])]
    beside = {"ledger": ["--entries"] if more[0] in ("--account", "--kind", "--since") else []}
    beside |= {"stats show": ["--per", "day"], "export": ["--format", "csv"]}
    return run("-w", world, "--json", *words.split(), *given, *beside.get(words, []), *more)


@pytest.mark.req("X8-07")
def test_every_option_that_names_something_of_the_world_is_a_filter():
    loose = {
        f"{words} --{option.name}"
        for words, command in commands()
        for option in command.params
        if isinstance(option, click.Option)
        and {opt.removeprefix("--") for opt in option.opts} & (NAMING - OTHERS.get(words.split()[0], set()))
        and not isinstance(option, Filter | Word)
    }
    assert loose == set()


@pytest.mark.req("X8-07")
@pytest.mark.parametrize(
    ("words", "option"), [pytest.param(words, x, id=f"{words} {x.opts[0]}") for words, x in filters()]
)
def test_a_value_that_names_nothing_is_a_usage_error(world, words, option):
    ran = asked(world, words, option.opts[0], "bogus-9")
    assert ran.code == 2, ran
    assert "bogus-9" in ran.json["error"]["message"]


@pytest.mark.req("X8-07")
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["log", "--kind", "setle"], "settle"),
        (["log", "--kind", "llm.generat"], "llm.generate"),
        (["log", "--outcome", "alow"], "allow"),
        (["ledger", "--grant", "chld"], "child"),
        (["ledger", "--dim", "token"], "tokens"),
        (["ledger", "--dim", "TOKENS"], "tokens"),
        (["reservations", "--phase", "opne"], "open"),
        (["accounts", "--account", "accounts/taem"], "accounts/team"),
        (["accounts", "--resource", "usd"], "USD"),
        (["spend", "--by", "principals"], "principal"),
        (["export", "--format", "parket"], "parquet"),
    ],
)
def test_what_is_close_is_named(world, words, meant):
    ran = run("-w", world, *words)
    assert ran.code == 2
    assert f"did you mean `{meant}`?" in ran.err


def test_a_queue_knows_its_lanes_its_statuses_and_when_jobs_came(world):
    queue = world.parent / "queue"
    assert len(run("drain", "queue", "--queue", queue, "--lane", "small", "--json").json["jobs"]) == 1
    for since, jobs in (("2000-01-01", 1), ("2200-01-01", 0)):
        found = run("drain", "queue", "--queue", queue, "--since", since, "--json").json["jobs"]
        assert len(found) == jobs
    assert run("drain", "queue", "--queue", queue, "--since", "3").code == 2
    wrong = run("drain", "queue", "--queue", queue, "--lane", "smal")
    assert (wrong.code, "did you mean `small`?" in wrong.err) == (2, True)
    wrong = run("drain", "queue", "--queue", queue, "--status", "queud", "--status", "done")
    assert (wrong.code, "did you mean `queued`?" in wrong.err) == (2, True)


@pytest.mark.req("X8-07")
@pytest.mark.parametrize("backward", [("3", "1"), ("1970-01-03", "1970-01-02"), ("1970-01-02", "0")])
@pytest.mark.parametrize(
    "words",
    [
        words for words, command in commands()
        if {"--since", "--until"} <= {opt for x in command.params for opt in x.opts}
    ],
)  # fmt: skip
def test_a_range_that_ends_before_it_begins_is_a_usage_error(world, words, backward):
    if words in ("stats show", "stats metric") and backward[1] == "0":
        return  # of a frame statistics show the window of its time, which a day before it may be in
    ran = asked(world, words, "--since", backward[0], "--until", backward[1])
    assert ran.code == 2, ran
    assert "the range ends before it begins" in ran.json["error"]["message"]


# --- what they leave ----------------------------------------------------------------------------------


@pytest.mark.req("X8-07")
def test_the_log_is_narrowed_to_a_grant_a_principal_and_an_outcome(world):
    frames = run("-w", world, "log").lines
    denied = run("-w", world, "log", "--outcome", "deny").lines
    assert [x["seq"] for x in denied] == [
        x["seq"] for x in frames if any(event.get("outcome") == "deny" for event in x["events"])
    ]
    assert len(denied) == 1
    of_child = run("-w", world, "log", "--grant", "child").lines
    assert [x["command"]["type"] for x in of_child] == ["submit"] * 9 + ["settle"] * 4 + ["release"]
    by_kernel = run("-w", world, "log", "--principal", "operator").lines
    assert [x["seq"] for x in by_kernel] == [x["seq"] for x in frames if x["by"] == "operator"]


def test_reservations_are_narrowed_to_when_they_were_made(world):
    every = run("-w", world, "reservations", "--json").json["reservations"]
    seqs = sorted({row["seq"] for row in every})
    since = run("-w", world, "reservations", "--since", seqs[1], "--kind", "llm.generate", "--json").json
    assert sorted({row["seq"] for row in since["reservations"]}) == seqs[1:]
    until = run("-w", world, "reservations", "--until", seqs[0], "--phase", "open", "--json").json
    assert {row["seq"] for row in until["reservations"]} == {seqs[0]}
    assert run("-w", world, "reservations", "--phase", "unknown", "--json").json["reservations"] == []


def test_entries_are_narrowed_to_a_kind_a_grant_and_a_unit(world):
    words = ["ledger", "--entries", "--json", "--kind", "ledger.issue", "--grant", "root", "--dim", "USD"]
    lines = run("-w", world, *words).lines
    assert [(x["direction"], x["account"]) for x in lines] == [
        ("debit", "external/issuer"), ("credit", "accounts/team"),
    ]  # fmt: skip
    assert run("-w", world, "ledger", "--entries", "--json", "--kind", "settle").lines == []


def test_accounts_are_narrowed_to_one_and_to_a_resource(world):
    found = run("-w", world, "accounts", "--account", "accounts/team", "--resource", "USD", "--json").json
    assert {name: row["balances"] for name, row in found["accounts"].items()} == {
        "accounts/team": {"USD": 1000}
    }
    assert run("-w", world, "accounts", "--resource", "tokens", "--json").json["accounts"] == {}


def test_grants_are_narrowed_to_a_holder_and_to_when_they_changed(world):
    first = run("-w", world, "grants", "--until", 0, "--json").json["grants"]
    assert list(first) == ["root"]
    made = run("-w", world, "grants", "--since", 1, "--holder", "operator", "--json").json["grants"]
    assert set(made) == {"cap_llm", "child", "pool"}
    assert run("-w", world, "grants", "child", "--holder", "operator").code == 2
