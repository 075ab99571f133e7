"""The types of the expression language (spec/expressions.md).

Rule 1. Types are decided when an expression is compiled, never when it runs.
Rule 2. `ANY` is a value of the canonical data model whose type is checked when it is used.
Rule 3. Two types meet when a value could have both; what has no meeting type does not compile.
"""

from collections.abc import Mapping

from msgspec import Struct


class Type(Struct, frozen=True):
    """A type: a scalar by its kind, a list or map of `item`, or a record with these `fields`."""

    kind: str
    item: "Type | None" = None
    fields: tuple[tuple[str, "Type"], ...] = ()

    def __str__(self) -> str:
        if self.kind == "record":
            return "record {" + ", ".join(name for name, _ in self.fields) + "}"
        return f"{self.kind} of {self.item}" if self.item is not None else self.kind


INT = Type("int")
BOOL = Type("bool")
STRING = Type("string")
ANY = Type("any")
SCALARS = (INT, BOOL, STRING)
NEVER = Type("never")  # the items of an empty list literal; it meets every type


def list_of(item: Type) -> Type:
    """The type of a list whose items are `item`."""
    return Type("list", item)


def map_of(item: Type) -> Type:
    """The type of a map from any text to `item`."""
    return Type("map", item)


def record(fields: Mapping[str, Type]) -> Type:
    """The type of a map with exactly these keys; another key does not compile, an absent one faults."""
    return Type("record", None, tuple(sorted(fields.items())))


def meeting(one: Type, other: Type) -> Type | None:
    """The type of a value that is `one` or `other`; None when no value is comparable as both."""
    if one == other or other == NEVER:
        return one
    if one == NEVER:
        return other
    if ANY in (one, other):
        return ANY
    if one.kind != other.kind or one.item is None or other.item is None:
        return None
    item = meeting(one.item, other.item)
    return None if item is None else Type(one.kind, item)


def field_type(container: Type, key: str) -> Type | None:
    """The type of `container.key`; None when the container has no such key."""
    if container.kind == "record":
        return dict(container.fields).get(key)
    return container.item if container.kind == "map" else ANY


def any_field_type(container: Type) -> Type:
    """The type of a value of `container` under a key that is known only at run time."""
    if container.kind != "record":
        return container.item if container.item is not None else ANY
    common: Type | None = NEVER
    for _, item in container.fields:
        common = None if common is None else meeting(common, item)
    return ANY if common is None or common == NEVER else common
