"""What the static call graph of a module says: whether it has a cycle, and how deep its frames can go.

Rule 1. Only direct calls are edges; indirect calls are refused by a check of their own.
Rule 2. Walks keep their path on a list, so no graph can exhaust the interpreter's stack.
"""

from collections.abc import Sequence

FRAME_BYTES = 64  # return address, frame pointer and saved registers of one call
SLOT_BYTES = 8  # one parameter, local or operand


def order_of_calls(calls: Sequence[Sequence[int]]) -> list[int] | int:
    """Every function after all that it calls; or a function on a cycle when there is one.

    `calls[f]` lists the functions that `f` calls.
    """
    unseen, open_, closed = 0, 1, 2
    mark = [unseen] * len(calls)
    order: list[int] = []
    for root in range(len(calls)):
        if mark[root] != unseen:
            continue
        mark[root] = open_
        path = [(root, iter(calls[root]))]
        while path:
            function, rest = path[-1]
            callee = next(rest, None)
            if callee is None:
                mark[function] = closed
                order.append(function)
                path.pop()
            elif mark[callee] == open_:
                return callee
            elif mark[callee] == unseen:
                mark[callee] = open_
                path.append((callee, iter(calls[callee])))
    return order


def frames_bytes(order: Sequence[int], calls: Sequence[Sequence[int]], slots: Sequence[int]) -> int:
    """The most bytes that declared frames take on one call path."""
    deepest = [0] * len(calls)
    for function in order:
        below = max((deepest[callee] for callee in calls[function]), default=0)
        deepest[function] = below + FRAME_BYTES + SLOT_BYTES * slots[function]
    return max(deepest, default=0)
