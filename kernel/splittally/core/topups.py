"""A top-up that ends by itself: a record beside the terms of its grant, which no manifest changes."""

from msgspec import Struct


class TopUp(Struct, frozen=True, array_like=True, gc=False):
    """What a hard limit is raised by until a time; it stands beside the terms of the grant."""

    scope: str
    dim: str
    per: str
    amount: int
    until_ns: int
