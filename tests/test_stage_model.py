"""Stages and constraints of generated plans, told by an obvious model of one page, beside the kernel.

The model knows balances, what each part spent, what was measured and who holds what. It has no line of the
kernel: an expression is a pair of its text and a function of what it reads.
"""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given
from splittally import Intent

from tests.rows.budgets import done
from tests.rows.worlds import applied, codes, few

B, PARTS, RESOURCES = "budgets/b", ("p", "q"), ("USD", "EUR")
NEEDS = {
    "3 * metric.m": lambda read: 3 * read["m"],
    "balance.EUR / 2": lambda read: read["EUR"] // 2,
    "metric.n": lambda read: read["n"],  # never measured: a fault
}
HOLDS = {
    "balance.USD >= balance.EUR": lambda read: read["USD"] >= read["EUR"],
    "metric.m > 2": lambda read: read["m"] > 2,
    "spent.USD <= 9": lambda read: read["spent USD"] <= 9,
}


@dataclass
class Model:
    constraints: list
    held: dict = field(default_factory=dict)
    spent: dict = field(default_factory=lambda: {(part, x): 0 for part in PARTS for x in RESOURCES})
    m: int = 0

    def read(self):
        totals = {f"spent {x}": sum(self.spent[part, x] for part in PARTS) for x in RESOURCES}
        return {**{x: self.held.get(x, 0) for x in RESOURCES}, **totals, "m": self.m}

    def is_met(self, x):
        try:
            if "holds" in x:
                return HOLDS[x["holds"]](self.read())
            if "participants" in x:
                return len(x.get("blocks", PARTS)) >= x["participants"]  # each part has a holder of its own
            needed = NEEDS[x["needs"]](self.read()) if "needs" in x else x.get("minimum", 0)
        except KeyError:
            return False
        used = sum(self.spent[part, x["resource"]] for part in x.get("opens", ()))
        return self.held.get(x["resource"], 0) + used >= needed

    def stage(self):
        whole = [x for x in self.constraints if "blocks" not in x]
        unmet = {x["tier"] for x in whole if not self.is_met(x)}
        has_partial = any(x["tier"] == "partial" for x in whole)
        if not self.held or "partial" in unmet or (unmet and not has_partial):
            return "planning"
        return "partial" if unmet else "full"

    def may(self, part, resource, amount):
        """Whether a task of a part may be posted: gates as things stand, floors as they would stand."""
        stage = self.stage()
        opened = {y for x in self.constraints for y in x.get("opens", ())}
        if stage == "planning" or (stage == "partial" and opened and part not in opened):
            return False
        if not all(self.is_met(x) for x in self.constraints if part in x.get("blocks", ())):
            return False
        self.take(part, resource, amount)
        floors = [x for x in self.constraints if "blocks" not in x]
        kept = [self.is_met(x) for x in floors if not (stage == "partial" and x["tier"] == "full")]
        self.take(part, resource, -amount)
        return all(kept)

    def take(self, part, resource, amount):
        self.held[resource] = self.held.get(resource, 0) - amount
        self.spent[part, resource] += amount


RESOURCE = st.sampled_from(RESOURCES)
TIERS = st.sampled_from(["partial", "full"])
BLOCKS = st.none() | st.lists(st.sampled_from(PARTS), min_size=1, max_size=2, unique=True)


@st.composite
def constraint(draw):
    tier, blocks = draw(TIERS), draw(BLOCKS)
    body = draw(
        st.builds(lambda x: {"holds": x}, st.sampled_from(sorted(HOLDS)))
        | st.builds(lambda n: {"participants": n}, st.integers(0, 3))
        | st.builds(lambda r, n: {"resource": r, "minimum": n}, RESOURCE, st.integers(0, 20))
        | st.builds(lambda r, x: {"resource": r, "needs": x}, RESOURCE, st.sampled_from(sorted(NEEDS)))
    )
    if blocks:
        return {**body, "tier": tier, "blocks": blocks}
    if "resource" in body and tier == "partial" and draw(st.booleans()):
        return {**body, "tier": tier, "opens": [draw(st.sampled_from(PARTS))]}
    return {**body, "tier": tier}


STEPS = st.lists(
    st.tuples(st.just("fund"), st.sampled_from(RESOURCES), st.integers(1, 20))
    | st.tuples(st.just("measure"), st.just("m"), st.integers(0, 5))
    | st.tuples(st.sampled_from(PARTS), st.sampled_from(RESOURCES), st.integers(1, 8)),
    max_size=12,
)


@few
@given(constraints=st.lists(constraint(), max_size=4), steps=STEPS)
def test_what_may_be_posted_and_in_which_stage_is_what_the_model_says(constraints, steps):
    constraints = [{"name": f"c{at}", **x} for at, x in enumerate(constraints)]
    metrics = {x: {"description": x, "nature": "output"} for x in "mn"}
    schema = {"resources": dict.fromkeys(RESOURCES, 0), "constraints": constraints, "metrics": metrics}
    schema["formulas"] = {"f": {"value": "spent.USD"}}  # so that the charter counts
    model = Model(constraints)
    with applied({"resources": dict.fromkeys(RESOURCES, 0), "accounts": {"accounts/x": {}}}) as kernel:
        done(kernel, "budget.create", budget=B, schema=schema, pays_to=["accounts/x"])
        done(kernel, "metric.record", budget=B, metric="m", value=0)
        for part in PARTS:
            terms = {"cap": "sys/spend@1", "holder": part, "budget": dict.fromkeys(RESOURCES, 1_000)}
            done(kernel, "grant.issue", grant=B, name=f"{B}/{part}", terms=terms)
        for what, name, amount in steps:
            if what == "fund":
                done(kernel, "ledger.issue", resource=name, amount=amount, to=B)
                model.held[name] = model.held.get(name, 0) + amount
            elif what == "measure":
                done(kernel, "metric.record", budget=B, metric="m", value=amount)
                model.m = amount
            else:
                params = {"result": "w", "amounts": {name: amount}}
                told = kernel.as_principal(what).submit(Intent("task.post", params, f"{B}/{what}"))
                is_there = model.held.get(name, 0) >= amount
                assert told.allowed == (is_there and model.may(what, name, amount)), codes(told)
                if told.allowed:
                    model.take(what, name, amount)
            row = kernel.state.budgets[B]
            assert row.stage == model.stage()
            assert {x["constraint"] for x in row.missing} == {
                x["name"] for x in constraints if not model.is_met(x)
            }
