"""A kernel over what a reader has read: what-if beside whoever writes."""

import threading

from splittally.core.limits import OPEN_HOLDS_MAX
from splittally.core.state import State
from splittally.journal.index import Index
from splittally.journal.store import Store
from splittally.runtime.chance import Pool
from splittally.runtime.clock import WorldClock
from splittally.runtime.kernel import Kernel
from splittally.runtime.world import World
from splittally.runtime.writer import Judge, Writer
from splittally.sandbox import Sandbox


def kernel_over(state: State, store: Store, index: Index) -> Kernel:
    """A kernel whose forks read through to these; it is not to be asked itself."""
    writer = Writer(state, store, index, Judge(Sandbox()))
    return Kernel(World(writer, WorldClock(state.clock), Pool(), OPEN_HOLDS_MAX, threading.RLock()))
