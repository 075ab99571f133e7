"""Solutions of generated plans beside a model of one page, and proposals beside a checker of its own.

The model pours money by exact fractions and gives what rounding leaves to the largest remainders; it knows
nothing of the kernel's. The checker says of any list of cells whether it may be a solution.
"""

from fractions import Fraction
from math import floor

import hypothesis.strategies as st
from hypothesis import event, given, settings

from tests.rows.budgets import B, create, deposit, done, world
from tests.rows.worlds import codes

UNITS = ("EUR", "USD")
NAMES = ("ads", "bonus", "pay", "rent")
FORMULAS = {"twice": ('cell["ads.USD"] * 2', lambda cells: cells.get("ads.USD", 0) * 2)}


# --- the model ----------------------------------------------------------------------------------------


def proportional(whole, weights):
    """Exact parts of a whole, floored; what is left goes one each by remainder, then by name."""
    exact = {name: Fraction(whole * weight, sum(weights.values())) for name, weight in weights.items()}
    parts = {name: floor(part) for name, part in exact.items()}
    for name in sorted(exact, key=lambda x: (parts[x] - exact[x], x))[: whole - sum(parts.values())]:
        parts[name] += 1
    return parts


def poured(plan, unit, whole):
    """What each line gets of a resource."""
    lines = {name: line for name, line in plan["lines"].items() if line["resource"] == unit}
    wants = {name: max(0, line["amount"]) for name, line in lines.items()}
    got = dict.fromkeys(lines, 0)
    crisis = plan.get("contingency")
    is_crisis = crisis is not None and Fraction(whole) < Fraction(crisis["below"], 100) * sum(wants.values())
    if is_crisis:
        order = [[name] for name in crisis["priorities"] if name in lines]
    else:
        levels = sorted({line.get("priority", 10**9) for line in lines.values()})
        order = [[x for x in lines if lines[x].get("priority", 10**9) == level] for level in levels]
    for group in order:
        open_ = {name: wants[name] for name in group if wants[name]}
        if open_:
            got |= proportional(min(whole, sum(open_.values())), open_)
            whole -= min(whole, sum(open_.values()))
    if whole and not is_crisis and unit in plan.get("surplus", {}):
        for name, part in proportional(whole, plan["surplus"][unit]).items():
            got[name] = got.get(name, 0) + part
        whole = 0
    return {f"{name}.{unit}": part for name, part in got.items()} | {f"unallocated.{unit}": whole}


def may_be(cells, there):
    """Whether cells are a solution of a plan with these lines and formulas: each sentence of 11.10 alone."""
    values = {name: value for name, value, _ in cells}
    known = {f"{line}.{x}" for line in (*NAMES, "unallocated") for x in UNITS}
    for name, value, unit in cells:
        if name in FORMULAS:
            if value != FORMULAS[name][1](values) or unit != "EUR":
                return False
        elif name not in known or unit != name.rpartition(".")[2] or value < 0:
            return False
    return all(sum(y for x, y, _ in cells if x.endswith(f".{unit}")) == there[unit] for unit in UNITS)


# --- generated plans ------------------------------------------------------------------------------------

WEIGHTS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 7), min_size=1).filter(
    lambda x: sum(x.values())
)


@st.composite
def plans(draw):
    lines = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1)):
        lines[name] = {"resource": draw(st.sampled_from(UNITS)), "amount": draw(st.integers(-20, 90))}
        if draw(st.booleans()):
            lines[name]["priority"] = draw(st.integers(0, 2))
    plan = {"lines": lines}
    if draw(st.booleans()):
        named = draw(st.lists(st.sampled_from(sorted(lines)), unique=True, min_size=1))
        plan["contingency"] = {"below": draw(st.integers(1, 100)), "priorities": named}
    shares = draw(st.dictionaries(st.sampled_from(UNITS), WEIGHTS, max_size=2))
    shares = {unit: {x: y for x, y in weights.items() if x in lines} for unit, weights in shares.items()}
    shares = {unit: weights for unit, weights in shares.items() if sum(weights.values())}
    return plan | ({"surplus": shares} if shares else {})


FUNDS = st.fixed_dictionaries({unit: st.integers(0, 200) for unit in UNITS})


@settings(deadline=None)
@given(plan=plans(), funds=FUNDS)
def test_the_waterfall_pours_as_the_model_does_and_any_checker_takes_it(plan, funds):
    with world() as kernel:
        create(kernel, plan)
        for unit, amount in funds.items():
            deposit(kernel, amount, resource=unit)
        done(kernel, "budget.solve", budget=B, solver="waterfall@1")
        cells = kernel.state.budgets[B].solution["cells"]
        if not any(funds.values()):
            assert cells == {}
            return
        expected = poured(plan, "EUR", funds["EUR"]) | poured(plan, "USD", funds["USD"])
        assert {name: cell["value"] for name, cell in cells.items()} == expected
        rows = [[name, cell["value"], cell["unit"]] for name, cell in cells.items()]
        assert may_be(rows, funds)
        again = kernel.native("budget.solve", budget=B, solver="again", cells=rows)
        assert again.allowed
        assert kernel.state.budgets[B].solution["cells"] == cells


CELLS = st.lists(
    st.tuples(
        st.sampled_from(
            [*(f"{x}.{y}" for x in (*NAMES, "unallocated") for y in UNITS), "twice", "yacht.USD", "ads"]
        ),
        st.integers(-3, 9),
        st.sampled_from([*UNITS, ""]),
    ),
    unique_by=lambda cell: cell[0],
    min_size=1,
    max_size=6,
)


@st.composite
def near_misses(draw):
    """Cells that are nearly right: fixed up by chance in units, formula and sums, each or not."""
    cells = {name: [name, value, unit] for name, value, unit in draw(CELLS)}
    there = {unit: draw(st.integers(1, 12)) for unit in UNITS}
    if draw(st.integers(0, 3)):
        cells = {x: [x, abs(y), x.rpartition(".")[2] if "." in x else "EUR"] for x, y, _ in cells.values()}
    if draw(st.integers(0, 3)):
        for name in ("yacht.USD", "ads"):
            cells.pop(name, None)
    if draw(st.integers(0, 3)):
        for unit in UNITS:
            others = sum(y for x, y, _ in cells.values() if x.endswith(unit) and not x.startswith("unall"))
            there[unit] = max(there[unit], others)
            cells[f"unallocated.{unit}"] = [f"unallocated.{unit}", there[unit] - others, unit]
    if "twice" in cells and draw(st.integers(0, 3)):
        cells["twice"][1] = FORMULAS["twice"][1]({x: y for x, y, _ in cells.values()})
    return list(cells.values()), there


@settings(deadline=None)
@given(case=near_misses())
def test_a_proposal_passes_exactly_where_the_checker_takes_it(case):
    cells, there = case
    plan = {
        "lines": {name: {"resource": "USD", "amount": 5} for name in NAMES},
        "formulas": {name: {"value": text, "unit": "EUR"} for name, (text, _) in FORMULAS.items()},
    }
    with world() as kernel:
        create(kernel, plan)
        for unit, amount in there.items():
            deposit(kernel, amount, resource=unit)
        told = kernel.native("budget.solve", budget=B, solver="ann", cells=cells)
        event("taken" if told.allowed else ",".join(sorted(set(codes(told)))))
        assert told.allowed == may_be(cells, there), (cells, there, told.findings)
        if told.allowed:
            stored = kernel.state.budgets[B].solution["cells"]
            assert may_be([[x, y["value"], y["unit"]] for x, y in stored.items()], there)
            assert "twice" in stored
        else:
            assert kernel.state.budgets[B].solution is None


# --- systems of equations -------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    system=st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.integers(0, 9), st.sets(st.sampled_from("abcdef"), max_size=3)),
    )
)
def test_a_system_is_solved_where_it_can_be_and_refused_where_it_goes_in_a_circle(system):
    """The model solves again and again whatever has all its parts, until nothing more can be."""
    system = {name: (own, sorted(reads & set(system))) for name, (own, reads) in system.items()}
    values = {}
    for _ in system:
        for name, (own, reads) in system.items():
            if all(other in values for other in reads):
                values[name] = own + 2 * sum(values[other] for other in reads)
    texts = {
        name: {"value": " + ".join([str(own), *(f"2 * cell.{other}" for other in reads)])}
        for name, (own, reads) in system.items()
    }
    with world() as kernel:
        schema = {"resources": {"USD": 0}, "formulas": texts}
        told = kernel.native("budget.create", budget=B, schema=schema)
        assert told.allowed == (len(values) == len(system))
        if told.allowed:
            done(kernel, "budget.solve", budget=B)
            cells = kernel.state.budgets[B].solution["cells"]
            assert {name: cell["value"] for name, cell in cells.items()} == values
            assert list(cells) == sorted(cells)
