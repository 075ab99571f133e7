"""The fleet that a trace is run by: its manifest, its budgets, its prices.

Rule 1. Manifest and prices are data of this package (`team.toml`, `prices.toml`); nothing else is read.
Rule 2. Budgets are measured on the trace, in integers: most agents get twice their even share, the first
        too few tokens and the second too little money, so that a run shows what a budget refuses.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from splittally.core.limits import NATURAL_MAX
from splittally.core.periods import duration_ns
from splittally.edge.amounts import format_amount, parse_amount
from splittally.sandbox.registry import builtin

from splittally_tools.run_trace.rows import Survey

HOST = "fleet"  # the principal that holds every agent's grant
TEAM, VENDOR, RESOURCE = "accounts/team", "accounts/model-vendor", "USD"
CAP, PATTERN, RESERVE_CARD = "fleet/llm@1", "agent-1", "reserve-card"
SECOND_BUILD = "fleet/CapEnforceLlm@2"
SMALL, LARGE = "code-small@2023-11", "code-large@2023-11"
MILLION = 10**6

AMPLE, SCARCE = 2_000, 700  # of a thousand: an agent's budget against its even share of the trace
PAYMENT = 400  # of a thousand: what the team is given at a time, against what the trace costs
AGENT_CALLS, TEAM_CALLS = 4, 8  # calls in flight that a budget leaves room for on top of that


class Price(NamedTuple):
    """Minor units of the resource for a million tokens."""

    prompt: int
    completion: int

    def cost(self, prompt: int, completion: int) -> int:
        """What a call costs: one ceiling over the whole of it, as the enforcer computes it."""
        return -(-(prompt * self.prompt + completion * self.completion) // MILLION)


class Fleet(NamedTuple):
    """Agents by grant name, the price of each model, the ceiling, and the manifest that says so."""

    agents: tuple[str, ...]
    prices: dict[str, Price]
    max_tokens: int
    scale: int
    payment: int
    hold_ns: int
    manifest: dict[str, Any]


def assemble(surveyed: Survey, agents: int, repeat: int) -> Fleet:
    """The fleet of `agents` for `repeat` copies of a trace."""
    document = _read("team.toml")
    scale: int = document["resources"][RESOURCE]
    prices = load_prices(scale)
    pattern = document["grants"].pop(PATTERN)
    ceiling: int = pattern["params"]["max_tokens_max"]
    tokens = (surveyed.context_tokens + surveyed.generated_tokens) * repeat
    money = prices[SMALL].cost(surveyed.context_tokens * repeat, surveyed.generated_tokens * repeat)
    calls = surveyed.rows * repeat
    reserve = tokens // calls + ceiling
    held = prices[SMALL].cost(surveyed.context_tokens * repeat // calls, ceiling)
    names = tuple(f"agent-{number}" for number in range(1, agents + 1))
    document["grants"] |= {
        name: pattern
        | {
            "params": pattern["params"] | {"prices": _price_params(prices)},
            "budget": {
                "tokens": _share(tokens // agents, SCARCE if at == 0 else AMPLE, AGENT_CALLS * reserve),
                RESOURCE: format_amount(
                    _share(money // agents, SCARCE if at == 1 else AMPLE, AGENT_CALLS * held), RESOURCE, scale
                ),
            },
        }
        for at, name in enumerate(names)
    }
    return Fleet(
        agents=names,
        prices=prices,
        max_tokens=ceiling,
        scale=scale,
        payment=_share(money, PAYMENT, TEAM_CALLS * held),
        hold_ns=duration_ns(pattern["hold_ns_max"]),
        manifest=document,
    )


def upgraded(manifest: dict[str, Any]) -> dict[str, Any]:
    """The same manifest, in which the agents' kind of capability is judged by another build."""
    cap = manifest["caps"][CAP] | {"enforcer": SECOND_BUILD}
    return manifest | {
        "modules": {SECOND_BUILD: second_build(manifest["caps"][CAP]["enforcer"])},
        "caps": manifest["caps"] | {CAP: cap},
    }


@cache
def second_build(name: str) -> bytes:
    """A built-in enforcer as another build of it: the same code under a hash of its own.

    A custom section is appended, which says which build this is and which no engine runs.
    """
    section = b"\x05build" + b"2"
    return builtin(name) + b"\x00" + bytes((len(section),)) + section


def load_prices(scale: int) -> dict[str, Price]:
    """The price table of this package in minor units of the resource."""
    table = _read("prices.toml")
    return {
        model: Price(*(parse_amount(entry[part], RESOURCE, scale) for part in ("prompt", "completion")))
        for model, entry in table["models"].items()
    }


def _price_params(prices: dict[str, Price]) -> dict[str, Any]:
    return {"resource": RESOURCE, "models": {model: price._asdict() for model, price in prices.items()}}


def _share(whole: int, thousandths: int, room: int) -> int:
    return min(whole * thousandths // 1_000 + room, NATURAL_MAX)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files("splittally_tools.run_trace") / name).read_text("utf-8"))
