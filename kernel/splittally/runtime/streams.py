"""How requests become groups, and groups commits.

Rule 1. An answer is given only after the commit of its group.
Rule 2. A list is cut into groups of at most `GROUP_MAX` frames, each durable before it is answered.
Rule 3. A world is kept to itself only while a batch is decided or committed, never while the caller has
        control: a stream may be read in parts, in several threads, or not to its end.
Rule 4. Whoever uses a world first makes durable what an interrupted or abandoned call left decided; so
        nobody sees what is not in the journal.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from splittally.core.errors import KernelStopped
from splittally.core.limits import GROUP_MAX
from splittally.edge.records import At, Request
from splittally.runtime.pipeline import answer_batch, commit, commit_if_running
from splittally.runtime.prefetch import batch_size
from splittally.runtime.world import World


def require_usable(world: World) -> None:
    """Raises `KernelStopped` where a world cannot be used here, or no more."""
    if os.getpid() != world.pid:
        raise KernelStopped("this kernel was opened in another process; open the world again here")
    if world.is_closed:
        raise KernelStopped("this kernel is closed; open the world again")
    if world.stopped:  # its state is ahead of its journal
        world.refuse_stopped()


def use(world: World) -> None:
    """Raises where a world cannot be used; else what somebody left decided is durable afterwards."""
    require_usable(world)
    if world.group:
        commit(world)


def stream(world: World, principal: str, requests: Iterable[Request | At]) -> Iterator[list[Any]]:
    """The answers to requests in order, a list for each commit."""
    waiting: list[tuple[int, Any]] = []  # how long the journal is once an answer is durable
    for batch in batches(world, requests):
        while batch:
            with world.lock:
                done, size = _answer(world, principal, batch, waiting)
            batch = batch[done:]
            given = [answer for needed, answer in waiting if needed <= size]
            if given:
                waiting = waiting[len(given) :]
                yield given
    with world.lock:
        use(world)
    if waiting:
        yield [answer for _, answer in waiting]


def _answer(
    world: World, principal: str, batch: list[Request | At], waiting: list[tuple[int, Any]]
) -> tuple[int, int]:
    """Answer a batch up to a commit; how many were answered, and the frames that it made durable or 0."""
    require_usable(world)
    done, committed = 0, world.commits
    try:
        for answer in answer_batch(world, principal, batch):
            done += 1
            waiting.append((world.state.size, answer))
            if world.commits != committed and not world.group:
                return done, world.state.size
    except BaseException:
        commit_if_running(world)
        raise
    return done, world.store.head.size if world.commits != committed else 0


def batches(world: World, requests: Iterable[Request | At]) -> Iterator[list[Request | At]]:
    """A list in batches that are prefetched together and fit into the group; else each request alone."""
    if type(requests) is not list:
        for request in requests:
            yield [request]
        return
    if len(requests) == 1:
        yield requests
        return
    at = 0
    while at < len(requests):
        size = max(1, min(batch_size(requests, at), GROUP_MAX - len(world.group)))
        yield requests[at : at + size]
        at += size


def answers_for(world: World, requests: Iterable[tuple[str, At]]) -> list[Any]:
    """The answers to requests of several principals, in as few commits as they fit in.

    What fails has its error as its answer.
    """
    given: list[Any] = []
    with world.lock:  # until the commit, so that no query sees what is not durable
        require_usable(world)
        try:
            given.extend(answers_in_order(world, requests))
        except BaseException:
            commit_if_running(world)
            raise
        commit(world)
    return given


def answers_in_order(world: World, requests: Iterable[tuple[str, At]]) -> Iterator[Any]:
    """The same one by one, none of them durable yet; the caller holds the lock, and commits."""
    for principal, run in groupby(requests, itemgetter(0)):
        yield from _answers_or_errors(world, principal, [item for _, item in run])


def _answers_or_errors(world: World, principal: str, requests: list[Request | At]) -> Iterator[Any]:
    """The answers in order; what fails has its error as its answer, and the others have theirs.

    Only a world that stopped answers none of them: its state is ahead of its journal.
    """
    done = 0
    while done < len(requests):
        try:
            for batch in batches(world, requests[done:]):
                for answer in answer_batch(world, principal, batch):
                    done += 1
                    yield answer
        except Exception as error:
            if world.stopped:
                raise
            done += 1
            yield error
