"""What budgets remember in definitions: digests of metrics, and proposals with what was said about them.

Rule 1. A row is replaced whole; the record that defines it says all of it (`schemas/records-2.cddl`).
"""

from typing import Any

from msgspec import Struct


class Digest(Struct, frozen=True, array_like=True, gc=False):
    """The values of a metric in the period that begins at `start_ns`, under version `version` of the plan."""

    start_ns: int
    count: int
    sum: int
    min: int
    max: int
    last: int
    version: int


class Step(Struct, frozen=True, array_like=True, gc=False):
    """One step of a dialogue: who said what of which amount, and when."""

    by: str
    at_ns: int
    act: str
    amount: int
    note: str


class Proposal(Struct, frozen=True, array_like=True):
    """What is asked of a budget and its people, and the dialogue about it.

    `kind` is `fund` (more funds from the parent), `spend` (a part for somebody), `amend` (a draft of the
    plan: a branch), `review`, or `agree` (to the version of the plan that `base` names). `schema` is the
    draft's hash and `base` the version that it was made from. `basis` is what it rests on, with its numbers.
    `votes` are by principal: agree, object or abstain.
    """

    budget: str
    name: str
    kind: str
    status: str
    by: str
    at_ns: int
    title: str
    resource: str
    amount: int
    part: str
    holder: str
    schema: bytes
    base: int
    basis: dict[str, Any]
    steps: list[Step]
    votes: dict[str, str]
