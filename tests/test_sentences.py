"""What findings say to people: every code has words, with units and dates, and never more than it carries."""

import pickle
import re
from functools import cache

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace
from splittally import Decision, Intent, Receipt, Refused, Settlement
from splittally.core.findings import Finding
from splittally.core.reasons import REASONS
from splittally.edge.answer_lines import answer_json
from splittally.edge.sentences import SENTENCES, advice, period, sentence
from splittally.edge.wording import Wording
from splittally_tools.cli import streams

from tests.cli_tools import intent, make_world, run
from tests.rows.worlds import world
from tests.test_spec import findings

RARE = {"idempotency.conflict": {"message"}, "limited_above": {"resets_ns"}}  # carried, but not in the tour
NAMES = set(re.findall(r"\{(\w+)", str(SENTENCES)))
USD = Wording({"USD": 2, "HOURS": 0})


@cache
def toured() -> list[Finding]:
    return list(findings())


@pytest.mark.req("X8-05")
def test_every_code_has_words_of_its_own() -> None:
    assert set(SENTENCES) <= set(REASONS)
    for code, reason in REASONS.items():
        said = sentence(Finding(reason.stage, code, {}), USD)
        parts = SENTENCES.get(code, ())
        assert said == (parts[0] if parts and "{" not in parts[0] else reason.meaning)


def test_a_sentence_asks_for_no_fact_that_its_code_never_carries() -> None:
    carried: dict[str, set[str]] = {}
    for found in toured():
        carried.setdefault(found.code, set()).update(found.facts)
    for code, parts in SENTENCES.items():
        asked = set(re.findall(r"\{(\w+)", " ".join(parts)))
        told = carried.get(code, asked) | ({"resets_ns"} if "resets" in carried.get(code, ()) else set())
        assert asked - told <= RARE.get(code, set()), code


def test_what_a_finding_does_not_carry_its_sentence_does_not_say() -> None:
    for found in toured():
        names = {
            name: value for name, value in found.facts.items() if type(value) is str and name != "message"
        }
        said = sentence(Finding(found.stage, found.code, names), USD)
        amounts = [
            value for name, value in found.facts.items() if type(value) is int and not name.endswith("_ns")
        ]
        assert not any(USD.amount(amount, "USD") in said for amount in amounts)


@given(
    st.sampled_from([*sorted(REASONS), "a_code", "{x:y}"]),
    st.sampled_from(["edge", "ledger", "enforcer", "settle", "native"]),
    st.dictionaries(
        st.sampled_from(sorted({*NAMES, "message", "grant"})),
        st.none()
        | st.integers()
        | st.text(max_size=9)
        | st.binary(max_size=9)
        | st.lists(st.text(max_size=5)),
    ),
)
def test_whatever_a_finding_carries_it_is_said_on_one_printable_line(code, stage, facts) -> None:
    for of in (stage, REASONS[code].stage) if code in REASONS else (stage,):
        assert sentence(Finding(of, code, facts), USD).isprintable()


OVER = {"dim": "USD", "grant": "alice", "per": "day", "needed": 210, "available": 40}
SAID = [
    (
        Finding("ledger", "budget_exceeded", OVER),
        "the limit of `alice` for USD a day would be passed: 2.10 USD are needed and 0.40 USD are left",
    ),
    (
        Finding("ledger", "budget_exceeded", {"dim": "USD", "grant": "alice", "per": "life"}),
        "the limit of `alice` for USD for life would be passed",
    ),
    (
        Finding("native", "budgets_kept", {"count": 20, "budgets": ["budgets/a", "b", "c", "d"]}),
        "budgets that the manifest does not state stay as they are: `budgets/a`, `b`, `c` and 17 more",
    ),
    (
        Finding("edge", "plan_revokes", {"grants": ["alice", "bob"]}),
        "grants would be void for ever: `alice`, `bob`",
    ),
    (
        Finding("enforcer", "budget_exceeded", {"grant": "g", "message": "no\x1b[2J"}),
        "the enforcer of `g` says `budget_exceeded`: no\\x1b[2J",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("found", "said"), SAID, ids=range(len(SAID)))
def test_a_refusal_says_whose_limit_it_is_with_units(found: Finding, said: str) -> None:
    assert sentence(found, USD) == said


PERIODS = [
    ("life", "for life"), ("intent", "an intent"), ("hour", "an hour"), ("day", "a day"),
    ("week:sunday", "a week from sunday"), ("month:15", "a month from day 15"),
    ("year:04-06", "a year from 04-06"), ("day@Europe/Amsterdam", "a day in Europe/Amsterdam"),
    ("rolling:60s", "in any 60s"), ("90s", "in 90s"), ("day by params.user", "a day for each `params.user`"),
    ("what is this", "what is this"),
]  # fmt: skip


@pytest.mark.parametrize(("per", "said"), PERIODS)
def test_a_period_is_said_as_it_follows_an_amount(per: str, said: str) -> None:
    assert period(per) == said


def test_advice_says_first_what_comes_before_asking_again() -> None:
    told = advice([Finding("ledger", "budget_exceeded", {"next": "new_key", "then": "top_up"})] * 2, None)
    assert told.startswith("raise the limit") and told.count("new key") == 1


# --- answers ------------------------------------------------------------------------------------------

TERMS = {"alice": {"cap": "sys/llm.basic@1", "budget": {"tokens": 5}, "params": {"models": ["m"]}}}
ASKED = Intent("llm.generate", {"model": "m", "max_tokens": 50}, "alice")
WHY = "the limit of `alice` for tokens for life would be passed: 50 tokens are needed and 5 tokens are left"


def test_a_decision_says_why_and_what_to_do() -> None:
    with world({}, resources={"USD": 2}, accounts={"accounts/a": {}, "accounts/b": {}}) as kernel:
        plain = kernel.native("ledger.issue", resource="USD", amount=500, to="accounts/a")
        poor = kernel.native(
            "ledger.transfer", resource="USD", amount=700, to="accounts/b", **{"from": "accounts/a"}
        )
    assert (plain.reason, plain.advice, plain.or_raise()) == ("", "", plain)
    assert poor.reason == "`accounts/a` holds too little USD: 7.00 USD are needed and 5.00 USD are left"
    assert poor.advice == "raise the limit or fund the account, then ask again"
    with pytest.raises(Refused, match="holds too little USD") as raised:
        poor.or_raise()
    assert raised.value.decision == poor
    assert raised.value.facts == {"outcome": "deny", "codes": ["insufficient_balance"]}
    assert pickle.loads(pickle.dumps(raised.value)).decision == poor


def test_the_words_of_a_decision_change_neither_it_nor_its_document() -> None:
    with world(TERMS) as kernel:
        told = kernel.submit(ASKED)
    plain = replace(told, findings=tuple(told.findings))
    assert type(plain.findings) is tuple
    assert (plain, hash(plain.findings[0].code), repr(plain)) == (
        told,
        hash(told.findings[0].code),
        repr(told),
    )
    assert answer_json(plain) == answer_json(told)
    assert pickle.loads(pickle.dumps(told)).reason == told.reason == WHY


def test_amounts_of_a_decision_that_knows_no_world_are_said_to_be_minor_units() -> None:
    lacking = Finding("ledger", "insufficient_balance", {"account": "a", "resource": "USD", "needed": 210})
    told = Decision(seq=None, intent_hash=None, outcome="deny", findings=(lacking,))
    assert "210 minor units of USD" in told.reason


def test_a_settlement_says_what_was_wrong() -> None:
    with world(TERMS) as kernel:
        assert "may be settled" in kernel.settle(Receipt(bytes(32), "ok")).reason
        assert "holds nothing of yours" in kernel.release(bytes(32)).reason
    assert Settlement(seq=1, intent_hash=bytes(32), status="settled").reason == ""


@pytest.mark.req("X8-05")
def test_a_refusal_has_the_same_words_at_every_door(tmp_path, monkeypatch) -> None:
    folder = make_world(tmp_path / "w", {"grants": TERMS})
    line = intent("alice", 50)
    monkeypatch.setattr(streams, "for_people", lambda session: True)
    step = "next: raise the limit or fund the account, then ask again"
    for command in ("submit", "decide"):
        shown = run("-w", folder, command, text=line).out
        assert WHY in shown and step in shown, command
    refused = run("-w", folder, "native", "grant.revoke", "--name", "nobody", "--order", "o").out
    assert "what the effect names does not exist" in refused and "next: " in refused
    settled = run("-w", folder, "settle", text='{"intent_hash": "' + "00" * 32 + '", "status": "ok"}\n').out
    assert "may be settled by you" in settled
