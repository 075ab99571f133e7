"""Threads that ask one world at the same time share its commits, as the tasks of asyncio do.

Rule 1. Whoever finds the world free asks alone. The others stand in line; the first of them leads: it takes
        the world when it is free, answers all who stand there with one commit, and wakes them. Then the next
        leads.
Rule 2. One who has the world to himself already, as `apply` has, asks alone: nothing of others comes between.
Rule 3. Where a leader is interrupted, what was decided for others is committed and theirs. Whose request was
        just being decided hears `KernelStopped`; the rest stand in line again.
"""

from typing import Any

from splittally.core.errors import KernelStopped
from splittally.edge.records import At
from splittally.runtime.line import Asked
from splittally.runtime.pipeline import commit, commit_if_running
from splittally.runtime.streams import answers_in_order, require_usable, stream, use
from splittally.runtime.world import World

_INTERRUPTED = "the thread that decided this was interrupted: ask for the outcome, or again with the same key"


def ask_one(world: World, principal: str, item: At) -> Any:
    """The answer to one request, durable; an error as its answer where it cannot be read."""
    if world.lock.acquire(blocking=False):
        try:
            (group,) = stream(world, principal, [item])
            return group[0]
        finally:
            world.lock.release()
    require_usable(world)
    own, line = Asked(principal, item), world.line
    line.join(own)
    try:
        if not own.is_leader:
            own.sleep()
        if own.is_leader:
            with world.lock:
                while not own.is_answered:
                    _answer_line(world, own)
    finally:
        line.leave(own)
    if not own.is_answered:
        require_usable(world)
        raise KernelStopped(_INTERRUPTED)
    if isinstance(own.answer, BaseException):
        raise own.answer
    return own.answer


def _answer_line(world: World, own: Asked) -> None:
    """Answer those who stand in line, as many as a commit takes, and wake them."""
    together = world.line.take()
    answers: list[Any] = []
    rest: list[Asked] = []
    is_durable = False
    try:
        use(world)
        answers.extend(answers_in_order(world, [(asked.principal, asked.item) for asked in together]))
        commit(world)
        is_durable = True
    except BaseException:
        commit_if_running(world)
        is_durable = not world.stopped
        if is_durable:
            rest = [asked for asked in together[len(answers) + 1 :] if asked is not own]
        raise
    finally:
        world.line.put_back(rest)
        for asked, answer in zip(together, answers if is_durable else (), strict=False):
            asked.answer, asked.is_answered = answer, True
        for asked in together:
            if asked is not own and asked not in rest:
                asked.wake()
