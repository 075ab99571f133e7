"""Small economies: resources, accounts, budgets that are funded, tasks to post under them.

Rule 1. Everything up to the tasks is accepted: what is issued covers the budgets, and each budget holds
        more than its plan wants kept. Whether a task is allowed is left to chance.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st
from splittally import Intent
from splittally.runtime import Kernel

from splittally_tools.testing.worlds import make_world

TREASURY = "accounts/treasury"
PEOPLE = ("accounts/jane", "accounts/kim")
RESOURCES = (("USD",), ("HOURS",), ("HOURS", "USD"))
NATURAL = st.integers(0, 200)


class Economy(NamedTuple):
    """A manifest, the native effects that fund it, in order, and intents to ask for afterwards."""

    manifest: dict[str, Any]
    funding: list[tuple[str, dict[str, Any]]]
    tasks: list[Intent]

    def make(self, **options: Any) -> Kernel:
        """A world with everything but the tasks; options are those of `make_world`."""
        kernel = make_world(self.manifest, **options)
        try:
            for kind, params in self.funding:
                decision = kernel.native(kind, **params)
                assert decision.allowed, (kind, params, decision.findings)
        except BaseException:
            kernel.close()
            raise
        return kernel


@st.composite
def economies(draw: st.DrawFn, budgets_max: int = 3, tasks_max: int = 6) -> Economy:
    """An economy whose world can be made without a refusal."""
    resources = {name: draw(st.integers(0, 2)) for name in draw(st.sampled_from(RESOURCES))}
    names = [f"budgets/b{at}" for at in range(draw(st.integers(1, budgets_max)))]
    created = [_budget(draw, name, resources) for name in names]
    needed = {
        resource: sum(params["amount"] for params in created if params["resource"] == resource)
        for resource in resources
    }
    funding: list[tuple[str, dict[str, Any]]] = []
    for resource, amount in sorted(needed.items()):
        issued = amount + draw(NATURAL)
        if issued:
            funding.append(("ledger.issue", {"resource": resource, "amount": issued, "to": TREASURY}))
    funding += [("budget.create", params) for params in created]
    cards, issued_cards = _cards(draw, names)
    manifest = {"resources": resources, "accounts": {name: {} for name in (TREASURY, *PEOPLE)}}
    tasks = draw(st.lists(_tasks([*names, *cards], sorted(resources)), max_size=tasks_max))
    return Economy(manifest, funding + issued_cards, tasks)


def _budget(draw: st.DrawFn, name: str, resources: dict[str, int]) -> dict[str, Any]:
    """The params of `budget.create`, funded with at least what its plan wants kept."""
    resource = draw(st.sampled_from(sorted(resources)))
    amount = draw(st.integers(1, 200))
    plan: dict[str, Any] = {"resources": resources}
    least = draw(st.none() | st.integers(0, amount))
    if least is not None:
        plan["constraints"] = [{"name": "kept", "resource": resource, "minimum": least}]
    return {
        "budget": name,
        "schema": plan,
        "delegations": 2,
        "pays_to": draw(st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True)),
        "resource": resource,
        "amount": amount,
        "from": TREASURY,
    }


def _cards(draw: st.DrawFn, names: list[str]) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """Narrower grants below some of the budgets."""
    holders = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    cards, calls = [], []
    for at, budget in enumerate(holders):
        limits = draw(st.dictionaries(st.sampled_from(["HOURS", "USD"]), NATURAL, min_size=1))
        terms = {"cap": "sys/spend@1", "budget": limits, "doubt": "payee"}
        cards.append(f"card{at}")
        calls.append(("grant.issue", {"grant": budget, "name": f"card{at}", "terms": terms}))
    return cards, calls


def _tasks(grants: list[str], resources: list[str]) -> st.SearchStrategy[Intent]:
    amounts = st.dictionaries(st.sampled_from(resources), st.integers(0, 60), min_size=1)
    params = st.fixed_dictionaries({"result": st.just("a logo"), "amounts": amounts})
    return st.builds(Intent, st.just("task.post"), params, st.sampled_from(grants))
