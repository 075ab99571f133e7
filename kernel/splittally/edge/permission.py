"""A permission stated as JSON Schema, compiled to what a grant holds: resources and limits for life.

Rule 1. Each property is a declared resource. Its names become the `resources` of the cap params, so any
        other resource is refused at use; a permission therefore names at least one.
Rule 2. `maximum` and `exclusiveMaximum` are in whole units of the resource and become a limit in minor
        units, rounded down, by exact arithmetic on the digits of the number.
Rule 3. What only describes changes nothing. Any other keyword is refused by name, because a rule that
        nobody enforces must not look like one.
Rule 4. The text stays with the grant, as the cap param `x-permission`.
"""

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from splittally.core.errors import InvalidInput
from splittally.core.limits import NATURAL_MAX
from splittally.core.types import CAP_SPEND, CAP_SPEND_TYPE
from splittally.edge.amounts import format_amount
from splittally.edge.json_values import parse_json

PERMISSION_BYTES_MAX = 8 * 1024  # it travels in every question to the enforcer, which takes 24 KiB
PROSE = ("title", "description", "$comment", "$schema", "$id")
KEYWORDS = (*PROSE, "type", "properties", "additionalProperties")
RESOURCE_KEYWORDS = (*PROSE, "type", "minimum", "maximum", "exclusiveMaximum")
RESOURCE_TYPES = ("number", "integer")
TEXT_PARAM = "x-permission"


class Permission(NamedTuple):
    """Limits for life in minor units, the resources that may be used, the schema as canonical JSON text."""

    limits: dict[str, int]
    resources: list[str]
    text: str


def complete_terms(
    terms: Mapping[str, Any],
    scales: Mapping[str, int],
    cap_types: Mapping[str, str],
    load: Callable[[str], Any] = parse_json,
) -> dict[str, Any]:
    """A grant's terms with their `permission` compiled into them, and who bears doubt where they do not say.

    `load` gives the schema for a permission that is text: JSON, or in a manifest the name of a file.
    """
    whole = dict(terms)
    permission = whole.pop("permission", None)
    if permission is not None:
        schema = load(permission) if isinstance(permission, str) else permission
        _merge(whole, compile_permission(schema, scales), scales)
    if cap_types.get(str(whole.get("cap"))) == CAP_SPEND_TYPE:
        whole.setdefault("doubt", "payee")
    return whole


def _merge(terms: dict[str, Any], permission: Permission, scales: Mapping[str, int]) -> None:
    """The permission's limits stand among those that were written, and like them with their units."""
    params = {} if terms.get("params") is None else terms["params"]
    limits = terms.get("limits", [])
    if not isinstance(params, Mapping) or not isinstance(limits, list):
        raise InvalidInput(
            "beside a `permission`, `params` are a map and `limits` an array", field="permission"
        )
    for name in ("resources", TEXT_PARAM):
        if name in params:
            raise InvalidInput(
                f"the permission states `{name}`; take it out of `params`", field="params", name=name
            )
    if terms.get("cap") is None:
        terms["cap"] = CAP_SPEND
    terms["params"] = {**params, "resources": permission.resources, TEXT_PARAM: permission.text}
    said = {dim: format_amount(x, dim, scales[dim]) for dim, x in permission.limits.items()}
    terms["limits"] = [*limits, *({"dim": dim, "amount": amount} for dim, amount in said.items())]


def compile_permission(schema: Any, scales: Mapping[str, int]) -> Permission:
    """What a schema permits; `InvalidInput` names the keyword and the property that it cannot.

    `scales` has the decimals of every declared resource.
    """
    if not isinstance(schema, Mapping):
        raise InvalidInput("a permission is a JSON Schema of an object", field="permission")
    _require_keywords("the permission", "", schema, KEYWORDS)
    if schema.get("type", "object") != "object":
        raise _refused("the permission", "", "type", "is object")
    if type(schema.get("additionalProperties", False)) is not bool:
        raise _refused("the permission", "", "additionalProperties", "is true or false")
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise _refused("the permission", "", "properties", "names at least one resource")
    limits = {}
    for name in sorted(properties, key=str):
        if name not in scales:
            raise InvalidInput(
                f"`{name}` is no declared resource; declare it or take it out",
                field="permission",
                property=name,
            )
        amount = _limit(name, properties[name], scales[name])
        if amount is not None:
            limits[name] = amount
    plain = {**schema, "properties": {name: dict(properties[name]) for name in properties}}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if len(text.encode("utf-8", "surrogatepass")) > PERMISSION_BYTES_MAX:
        raise InvalidInput(f"a permission has at most {PERMISSION_BYTES_MAX} bytes", field="permission")
    return Permission(limits, sorted(properties), text)


def _limit(name: str, rule: Any, scale: int) -> int | None:
    """The most minor units that a property allows; None where it has no maximum."""
    where = f"`{name}`"
    if not isinstance(rule, Mapping):
        raise InvalidInput(f"{where} of the permission is a table", field="permission", property=name)
    _require_keywords(where, name, rule, RESOURCE_KEYWORDS)
    if rule.get("type", "number") not in RESOURCE_TYPES:
        raise _refused(where, name, "type", "is number or integer")
    if "minimum" in rule and _number(where, name, "minimum", rule["minimum"]) > 0:
        raise _refused(where, name, "minimum", "is at most 0: nobody can be made to spend")
    bounds = []
    for keyword in ("maximum", "exclusiveMaximum"):
        if keyword in rule:
            minor = _number(where, name, keyword, rule[keyword]) * 10**scale
            bounds.append(math.floor(minor) if keyword == "maximum" else math.ceil(minor) - 1)
            if bounds[-1] < 0:
                raise _refused(
                    where, name, keyword, f"is {'at least' if keyword == 'maximum' else 'above'} 0"
                )
            if bounds[-1] > NATURAL_MAX:
                raise _refused(where, name, keyword, "is at most 2^64-1 minor units")
    return min(bounds, default=None)


def _number(where: str, name: str, keyword: str, value: Any) -> Fraction:
    """The number that stands there, by its digits and not by its binary value."""
    if type(value) is int:
        return Fraction(value)
    if type(value) is float and math.isfinite(value):
        return Fraction(Decimal(repr(value)))
    raise _refused(where, name, keyword, "is a number")


def _require_keywords(where: str, name: str, rule: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for keyword in sorted(map(str, rule)):
        if keyword not in known:
            raise InvalidInput(
                f"{where} has `{keyword}`, which nothing would enforce; it may have {', '.join(known)}",
                field="permission",
                keyword=keyword,
                property=name,
            )
    for keyword in PROSE:
        if type(rule.get(keyword, "")) is not str:
            raise _refused(where, name, keyword, "is text")


def _refused(where: str, name: str, keyword: str, expected: str) -> InvalidInput:
    return InvalidInput(
        f"`{keyword}` of {where} {expected}", field="permission", keyword=keyword, property=name
    )
