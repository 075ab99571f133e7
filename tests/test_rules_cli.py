"""The manifest of rules that the documentation shows, driven by `tally` from the grant to the ledger."""

import json
import re
import tomllib

import pytest
from blake3 import blake3
from splittally.core.canonical import decode, encode
from splittally.runtime.reader import open_reader

from tests.cli_tools import ROOT, make_world, run

MANIFEST = ROOT / "fixtures" / "manifests" / "rules.toml"
PAGE = (ROOT / "spec" / "enforcers.md").read_text("utf-8")


@pytest.fixture
def world(tmp_path):
    path = make_world(tmp_path / "world", {})
    assert run("apply", MANIFEST, "-w", path, "--allow-revoke").code == 0
    issue = (
        "native",
        "ledger.issue",
        "--resource",
        "USD",
        "--amount",
        "2000.00 USD",
        "--to",
        "accounts/team",
    )
    assert run(*issue, "-w", path).code == 0
    return path


def submit(world, kind, grant, **params):
    asked = json.dumps({"kind": kind, "params": params, "grant": grant})
    return run("submit", "-w", world, "--json", text=asked).json


def settle(world, decision, payload, status="ok"):
    receipt = {"intent_hash": decision["intent_hash"], "status": status, "payload": payload}
    return run("settle", "-w", world, "--json", text=json.dumps(receipt)).json


def denial(decision):
    assert decision["outcome"] == "deny"
    (finding,) = decision["findings"]
    return finding["code"], finding["facts"].get("message")


def spent(world, grant, dim):
    counter = run("ledger", "-w", world, "--json").json["ledger"][grant][dim]
    return counter["reserved"], counter["spent"]


def test_mail_goes_to_one_recipient_of_the_domain_and_is_counted(world):
    allowed = submit(world, "mail.send", "mail", to=["ops@acme.com"])
    assert (allowed["outcome"], allowed["reserve"]) == ("allow", {"mails": 1})
    assert spent(world, "mail", "mails") == (1, 0)
    settle(world, allowed, {})
    failed = submit(world, "mail.send", "mail", to=["ops@acme.com"])
    settle(world, failed, {}, "error")
    assert spent(world, "mail", "mails") == (0, 1)
    many = denial(submit(world, "mail.send", "mail", to=["ops@acme.com", "boss@acme.com"]))
    assert many == ("too_many_recipients", "one recipient a mail")
    assert denial(submit(world, "mail.send", "mail", to=["a@example.org"]))[0] == "foreign_domain"
    nobody = denial(submit(world, "mail.send", "mail", to=[]))
    assert nobody == ("rule_fault", "`rules[1].require` has no value: missing_key at character 10")
    assert denial(submit(world, "shop.buy", "mail", to=[]))[0] == "effect_kind_mismatch"


def test_purchases_are_paid_from_the_account_up_to_an_amount(world):
    allowed = submit(world, "shop.buy", "purchases", currency="USD", amount_cents=45_000)
    assert allowed["reserve"] == {"USD": 45_000}
    settle(world, allowed, {"charged_cents": 44_000})
    assert spent(world, "purchases", "USD") == (0, 44_000)
    accounts = run("accounts", "-w", world, "--json").json["accounts"]
    assert accounts["vendors/mill"]["balances"] == {"USD": 44_000}
    dear = denial(submit(world, "shop.buy", "purchases", currency="USD", amount_cents=60_000))
    assert dear == ("too_expensive", "at most 500.00 USD a purchase")
    euros = denial(submit(world, "shop.buy", "purchases", currency="EUR", amount_cents=5))
    assert euros[0] == "other_currency"
    assert denial(submit(world, "shop.buy", "purchases", currency="USD"))[0] == "rule_fault"
    beyond = denial(submit(world, "shop.buy", "purchases", currency="USD", amount_cents=40_000))
    assert beyond[0] == "budget_exceeded"


def test_calls_of_a_tool_server_are_judged_by_their_arguments(world):
    call = {"tool": "read_file", "arguments": {"path": "/data/report.csv"}}
    allowed = submit(world, "files.call", "files", **call)
    assert allowed["reserve"] == {"bytes": 0, "calls": 1}
    settle(world, allowed, {"bytes": 700})
    assert spent(world, "files", "calls") == (0, 1)
    unreadable = submit(world, "files.call", "files", tool="search", arguments={"query": "q"})
    settle(world, unreadable, {"bytes": "many"})
    assert spent(world, "files", "calls") == (0, 2)
    assert (
        denial(submit(world, "files.call", "files", tool="delete_file", arguments={}))[0]
        == "tool_not_allowed"
    )
    for path in ("/etc/passwd", "/data/../etc/passwd", "data/x"):
        wrong = denial(submit(world, "files.call", "files", tool="read_file", arguments={"path": path}))
        assert wrong == ("path_not_allowed", "paths are under `/data/`")
    assert run("verify", "-w", world).code == 0


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["people", "json"])
def test_rules_are_shown_by_their_text_and_their_program_by_its_size_and_digest(world, as_json):
    """Who reads a grant reads what it permits; the program is what the text compiles to."""
    more = json.dumps({"rules": [{"require": "params.amount <= 7"}], "reserve": {"mails": "2"}})
    terms = ("--name", "more", "--cap", "sys/rules@2", "--params", more)
    issued = run("native", "grant.issue", *terms, "-w", world, "--json").json
    with open_reader(world) as reader:
        caps, at = reader.folded.caps, issued["seq"] - 2  # the manifest, the money, this grant
        named = ("mail", "purchases", "files", "more")
        said = {name: decode(caps.cap_params(caps.grants[name])) for name in named}
        applied = reader.record(at).body.command.members[0].intent_hash.hex()
    doors = {name: [("grants", name), ("explain", applied), ("show", at)] for name in said}
    doors["more"] = [("grants", "more"), ("explain", issued["intent_hash"]), ("show", issued["seq"])]
    for name, commands in doors.items():
        program = said[name].pop("program")
        codes = [code.hex() for code in leaves(program) if isinstance(code, bytes)]
        assert codes
        for command in commands:
            out = run(*command, "-w", world, *as_json).out
            for text in leaves(said[name]):
                assert (json.dumps(text) if as_json else str(text)) in out, (command, text)
            assert not [code for code in codes if code in out], command
            assert (blake3(encode(program)).hexdigest() in out) == (command[0] != "explain")
        full = run("show", commands[-1][1], "--full", "-w", world, "--json").out
        assert all(code in full for code in codes)


def leaves(value):
    """What stands in a value, without what holds it."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in leaves(part)]
    return [value]


def test_a_mistake_ends_the_command_with_place_and_character(world, tmp_path):
    broken = tmp_path / "rules.toml"
    broken.write_text(MANIFEST.read_text().replace("size(params.to) > 1", "size(params.to > 1"))
    ended = run("apply", broken, "-w", world)
    assert ended.code == 1
    place = "`grants.mail.params.rules[0].deny`: at character 19: the expression ends too early, expected `)`"
    assert place in ended.err
    told = run("apply", broken, "-w", world, "--json").json["error"]
    assert (told["code"], told["facts"]["at"]) == ("invalid_manifest", 19)
    terms = ("--name", "g", "--cap", "sys/rules@2", "--params", '{"reserve": {"mails": "1 +"}}')
    issued = run("native", "grant.issue", *terms, "-w", world, "--json")
    assert issued.code == 1
    assert "`terms.params.reserve.mails`: at character 4" in issued.out


def test_the_grants_of_the_page_are_those_of_the_fixture():
    section = PAGE.split("## sys/CapEnforceRules@2")[1].split("## sys/CapEnforceSpend@1")[0]
    grants = tomllib.loads(MANIFEST.read_text())["grants"]
    shown = [tomllib.loads(block)["grants"] for block in re.findall(r"```toml\n(.*?)```", section, re.DOTALL)]
    assert [list(one) for one in shown] == [["mail"], ["purchases"], ["files"]]
    for one in shown:
        for name, grant in one.items():
            assert grant["params"] == grants[name]["params"]
