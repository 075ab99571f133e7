"""`offers`: ranks the offers of a file; it needs no world.

Rule 1. Everything is checked before anything is ranked, and a message names the field by its path.
Rule 2. Weights and scores are exact: a weight is a whole number or decimal text, a score a fraction.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, BinaryIO, NoReturn

import click
from splittally.core.errors import InvalidInput
from splittally.core.limits import LINE_BYTES_MAX, NATURAL_MAX
from splittally.core.offers import BETTER, Criterion, Offer, Ranking, rank
from splittally.edge.json_values import parse_json

from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.output import Page, emit, say, table
from splittally_tools.cli.session import Session, shared

WEIGHT_CHARACTERS_MAX = 40  # nobody weighs finer, and a fraction stays small
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")


@click.command()
@shared
@click.argument("source", metavar="FILE|-", type=click.File("rb"))
@click.pass_obj
def offers(session: Session, source: BinaryIO) -> int:
    """Ranks offers by weighted criteria; who does not qualify is listed with what is missing.

    FILE is JSON: `criteria: [{name, weight, better: "lower" or "higher"}]`,
    `offers: [{offer, values: {name: integer}, qualifying?: {metric: n}}]` and, optionally,
    `qualifying: {metric: minimum}`. Qualifying resources are compared, never spent.
    """
    ranking = _ranking(parse_json(source.read(LINE_BYTES_MAX + 1)))
    document = {
        "ranked": [
            {
                "offer": one.offer,
                "score": str(one.score),
                "parts": {name: str(part) for name, part in one.parts.items()},
            }
            for one in ranking.ranked
        ],
        "not_eligible": [{"offer": one.offer, "missing": one.missing} for one in ranking.short],
    }
    emit(session, document, lambda out: _show(out, ranking))
    return DONE


def _show(out: Page, ranking: Ranking) -> None:
    rows = [(place, one.offer, one.score, one.parts) for place, one in enumerate(ranking.ranked, 1)]
    out.print(table(("place", "offer", "score", "of which"), rows))
    if ranking.short:
        say(out, "not eligible:", "bold")
        out.print(table(("offer", "missing"), [(one.offer, one.missing) for one in ranking.short]))


# --- reading ------------------------------------------------------------------------------------


def _ranking(document: Any) -> Ranking:
    _fields(document, "", ("criteria", "offers"), ("qualifying",))
    criteria = [_criterion(item, at) for at, item in _items(document["criteria"], "criteria")]
    _different([criterion.name for criterion in criteria], "criteria", "name")
    found = [_offer(item, at, criteria) for at, item in _items(document["offers"], "offers")]
    _different([offer.offer for offer in found], "offers", "offer")
    return rank(criteria, found, _naturals(document.get("qualifying", {}), "qualifying"))


def _criterion(item: Any, at: str) -> Criterion:
    _fields(item, at, ("name", "weight", "better"))
    if item["better"] not in BETTER:
        _refuse(f"{at}.better", "`lower` or `higher`")
    weight = _weight(item["weight"], f"{at}.weight")
    return Criterion(name=_text(item["name"], f"{at}.name"), weight=weight, better=item["better"])


def _weight(weight: Any, at: str) -> Fraction:
    is_natural = type(weight) is int and 0 <= weight <= NATURAL_MAX
    is_text = isinstance(weight, str) and len(weight) <= WEIGHT_CHARACTERS_MAX
    if not is_natural and not (is_text and _DECIMAL.fullmatch(weight)):
        _refuse(at, 'a natural, or a decimal as text such as `"0.2"`')
    return Fraction(weight)


def _offer(item: Any, at: str, criteria: list[Criterion]) -> Offer:
    _fields(item, at, ("offer", "values"), ("qualifying",))
    values = item["values"]
    if not isinstance(values, Mapping):
        _refuse(f"{at}.values", "a map from criterion to integer")
    for criterion in criteria:
        if type(values.get(criterion.name)) is not int:
            _refuse(f"{at}.values.{criterion.name}", "an integer, and every criterion needs one")
    return Offer(
        offer=_text(item["offer"], f"{at}.offer"),
        values={criterion.name: values[criterion.name] for criterion in criteria},
        qualifying=_naturals(item.get("qualifying", {}), f"{at}.qualifying"),
    )


def _naturals(value: Any, at: str) -> dict[str, int]:
    if not isinstance(value, Mapping):
        _refuse(at, "a map from metric to natural")
    for metric, amount in value.items():
        if type(amount) is not int or amount < 0:
            _refuse(f"{at}.{metric}", "a natural")
    return dict(value)


def _items(value: Any, at: str) -> list[tuple[str, Any]]:
    """Path and value of each item of a list that is not empty."""
    if not isinstance(value, list) or not value:
        _refuse(at, "a list with at least one item")
    return [(f"{at}[{place}]", item) for place, item in enumerate(value)]


def _fields(item: Any, at: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(item, Mapping):
        _refuse(at or "the document", f"a map with {', '.join(needed)}")
    lead = f"{at}." if at else ""
    for field in needed:
        if field not in item:
            raise InvalidInput(f"`{lead}{field}` is missing", field=lead + field)
    for field in item:
        if field not in needed + optional:
            known = ", ".join(needed + optional)
            raise InvalidInput(f"there is no `{lead}{field}`; there are {known}", field=lead + field)


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str) or not value:
        _refuse(at, "a text that is not empty")
    return value


def _different(names: list[str], at: str, field: str) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            _refuse(f"{at}[{place}].{field}", f"another than before: `{name}` stands twice")
        seen.add(name)


def _refuse(at: str, expected: str) -> NoReturn:
    raise InvalidInput(f"`{at}` must be {expected}", field=at)
