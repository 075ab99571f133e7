"""An amount means one thing at every door: with its unit, or refused where its resource has decimals (D-29).

A door is a way to say an amount. Text with a unit is the same amount at each, a program's integer is minor
units, and what a person wrote without a unit is refused with both readings.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given, settings
from splittally import Intent, Kernel
from splittally.core.canonical import decode
from splittally.core.errors import SplittallyError
from splittally.edge.amounts import format_amount

from tests.cli_tools import make_world, run

MANIFEST: dict[str, Any] = {
    "resources": {"USD": 2},
    "accounts": {"accounts/a": {}, "accounts/b": {}},
    "grants": {
        "card": {
            "cap": "sys/spend@1", "params": {"resources": ["USD"]}, "draws_on": {"USD": "accounts/a"},
            "pays_to": ["accounts/b"], "limits": [{"dim": "USD", "per": "day", "amount": 2**62}],
        },
    },
}  # fmt: skip
Door = Callable[[Kernel, Any], int]
few = settings(max_examples=4, deadline=None)


def recorded(kernel: Kernel, decision: splittally.Decision) -> dict[str, Any]:
    frame = kernel._world.history.body(decision.or_raise().seq)
    return decode(frame.command.members[0].params)


def native(kind: str, *path: Any, **params: Any) -> Door:
    """An effect whose params hold the amount at `path`, where `AMOUNT` stands for it."""

    def door(kernel: Kernel, said: Any) -> int:
        told: Any = recorded(kernel, kernel.native(kind, **_said(params, said)))
        for step in path:
            told = told[step]
        return told

    return door


AMOUNT = "the amount"


def _said(value: Any, said: Any) -> Any:
    if isinstance(value, dict):
        return {key: _said(item, said) for key, item in value.items()}
    if isinstance(value, list):
        return [_said(item, said) for item in value]
    return said if value == AMOUNT else value


def task(kernel: Kernel, said: Any) -> int:
    asked = Intent("task.post", {"result": "x", "amounts": {"USD": said}}, "card")
    return kernel.decide(asked).or_raise().reserve["USD"]


TERMS = {"cap": "sys/spend@1", "params": {"resources": ["USD"]}}
LIMIT = {"dim": "USD", "per": "day", "amount": AMOUNT, "rollover": "50%", "rollover_max": AMOUNT}
DAY = {"dim": "USD", "per": "day"}
PLAN = {"resources": {"USD": 2}, "constraints": [{"name": "c", "resource": "USD", "minimum": AMOUNT}]}
NATIVE: dict[str, Door] = {
    "issue": native("ledger.issue", "amount", resource="USD", amount=AMOUNT, to="accounts/b"),
    "transfer": native("ledger.transfer", "amount", resource="USD", amount=AMOUNT, to="accounts/b",
                       **{"from": "accounts/a"}),
    "topup": native("grant.topup", "amount", name="card", amount=AMOUNT, **DAY),
    "issued budget": native("grant.issue", "terms", "budget", "USD", name="n",
                            terms={**TERMS, "budget": {"USD": AMOUNT}}),
    "issued limit": native("grant.issue", "terms", "limits", 0, "amount", name="n",
                           terms={**TERMS, "limits": [{**DAY, "amount": AMOUNT}]}),
    "carried": native("grant.issue", "terms", "limits", 0, "carried_max", name="n", terms={
        **TERMS, "limits": [{**DAY, "amount": 9, "rollover": "50%", "carried_max": AMOUNT}]}),
    "debt limit": native("account.open", "debt_limit", account="accounts/new", debt_limit=AMOUNT),
    "plan": native("budget.create", "schema", "constraints", 0, "minimum", budget="budgets/x", schema=PLAN),
    "task": task,
}  # fmt: skip
PLACES = {  # where a manifest holds the amount, and where it is recorded
    "budget": ({"grants": {"n": {**TERMS, "budget": {"USD": AMOUNT}}}}, ("grants", "n", "budget", "USD")),
    "limit": (
        {"grants": {"n": {**TERMS, "limits": [{**DAY, "amount": AMOUNT}]}}},
        ("grants", "n", "limits", 0, "amount"),
    ),
    "rollover_max": (
        {"grants": {"n": {**TERMS, "limits": [LIMIT]}}},
        ("grants", "n", "limits", 0, "carried_max"),
    ),
    "debt_limit": ({"accounts": {"accounts/d": {"debt_limit": AMOUNT}}}, ("accounts", "accounts/d")),
    "debt limit alone": ({"accounts": {"accounts/d": AMOUNT}}, ("accounts", "accounts/d")),
    "governor": (
        {"governor": {"caps": [{"resource": "USD", "per": "day", "amount": AMOUNT}]}},
        ("governor", "caps", 0, "amount"),
    ),
}


def manifest(document: dict[str, Any], path: tuple[Any, ...]) -> Door:
    def door(kernel: Kernel, said: Any) -> int:
        told: Any = recorded(kernel, kernel.apply({"resources": {"USD": 2}, **_said(document, said)}))
        for step in path:
            told = told[step]
        return told

    return door


DOORS = NATIVE | {f"manifest {name}": manifest(*place) for name, place in PLACES.items()}


def worlds() -> Iterator[Kernel]:
    with splittally.open() as kernel:
        kernel.apply(MANIFEST).or_raise()
        kernel.native("ledger.issue", resource="USD", amount=2**62, to="accounts/a").or_raise()
        yield kernel


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    yield from worlds()


@pytest.mark.req("X8-03")
@pytest.mark.parametrize("name", DOORS)
@few
@given(minor=st.integers(1, 2**61))
def test_text_with_its_unit_and_a_programs_minor_units_are_one_amount_at_every_door(name, minor) -> None:
    for said in (format_amount(minor, "USD", 2), minor):
        for kernel in worlds():
            assert DOORS[name](kernel, said) == minor


@pytest.mark.req("X8-03")
@pytest.mark.parametrize("name", DOORS)
def test_text_without_a_unit_is_refused_with_both_readings_at_every_door(name, kernel) -> None:
    for said, readings in (("15", ("`15.00 USD`", "`0.15 USD`")), ("15.00", ("`15.00 USD`",))):
        with pytest.raises(SplittallyError) as refusal:
            DOORS[name](kernel, said)
        assert all(reading in str(refusal.value) for reading in readings), name
    for said in (12.5, "12.50 EUR", "12.505 USD"):
        with pytest.raises(SplittallyError):
            DOORS[name](kernel, said)


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.mark.req("X8-03")
@pytest.mark.parametrize("name", PLACES)
def test_numbers_of_toml_are_a_persons(name, kernel, tmp_path: Path) -> None:
    document, path = PLACES[name]
    file = tmp_path / "m.toml"

    def apply(said: Any) -> Any:
        given = {"resources": {"USD": 2}, **_said(document, said)}
        file.write_text("".join(f"{key} = {toml(item)}\n" for key, item in given.items()))
        return kernel.apply(file)

    with pytest.raises(SplittallyError, match=r"write `15\.00 USD` or `0\.15 USD`"):
        apply(15)
    told: Any = recorded(kernel, apply("15.00 USD"))
    for step in path:
        told = told[step]
    assert told == 1500
    assert apply(0).outcome == "allow"


def test_dimensions_and_resources_without_decimals_need_no_unit(kernel, tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text(
        '[resources]\nUSD = 2\nHOURS = 0\n[grants.n]\ncap = "sys/llm.basic@1"\n'
        'budget = { tokens = 5000, HOURS = "12 HOURS" }\n'
        'limits = [{ dim = "tokens", per = "day", amount = "9 tokens" }]\n'
    )
    told = recorded(kernel, kernel.apply(file))["grants"]["n"]
    assert (told["budget"], told["limits"][0]["amount"]) == ({"HOURS": 12, "tokens": 5000}, 9)
    file.write_text(
        '[resources]\nUSD = 2\n[grants.n]\ncap = "sys/llm.basic@1"\nbudget = { EUR = "5.00 EUR" }\n'
    )
    with pytest.raises(SplittallyError, match="`EUR` is no declared resource"):
        kernel.apply(file)


@pytest.mark.req("X8-03")
def test_what_was_typed_is_refused_or_told_as_it_was_understood(tmp_path) -> None:
    world = make_world(tmp_path / "w", MANIFEST)
    issue = ("-w", world, "native", "ledger.issue", "--resource", "USD", "--to", "accounts/a", "--amount")
    for typed in ("15", "15.00"):
        told = run(*issue, typed)
        assert told.code == 1 and "write `15.00 USD`" in told.out
    assert "understood: amount 15.00 USD" in run(*issue, "15.00 USD").out
    grant = ("-w", world, "native", "grant.issue", "--name", "g", "--cap", "sys/spend@1", "--params",
             '{"resources": ["USD"]}', "--budget")  # fmt: skip
    assert "write `200.00 USD` or `2.00 USD`" in run(*grant, "USD=200").out
    assert "understood: budget 200.00 USD" in run(*grant, "USD=200.00 USD").out
    topup = ("-w", world, "native", "grant.topup", "--name", "g", "--dim", "USD", "--per", "life", "--amount")
    assert "understood: amount 100.00 USD" in run(*topup, "100.00 USD").out
    opened = run(
        "-w", world, "native", "account.open", "--account", "accounts/c", "--debt-limit", "50.00 USD"
    )
    assert "understood: debt limit 50.00 USD" in opened.out
