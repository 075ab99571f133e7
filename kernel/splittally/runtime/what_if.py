"""A kernel over what a reader has read: what-if beside whoever writes."""

from splittally.core.limits import OPEN_HOLDS_MAX
from splittally.core.state import State
from splittally.journal.index import Index
from splittally.journal.store import Store
from splittally.runtime.clock import RandomPool, WorldClock
from splittally.runtime.judge import Judge
from splittally.runtime.kernel import Kernel
from splittally.runtime.world import World
from splittally.sandbox import Sandbox


def kernel_over(state: State, store: Store, index: Index) -> Kernel:
    """A kernel whose forks read through to these; it is not to be asked itself."""
    world = World(
        state=state,
        store=store,
        index=index,
        judge=Judge(Sandbox()),
        clock=WorldClock(state.clock),
        entropy=RandomPool(),
        open_max=OPEN_HOLDS_MAX,
    )
    world.is_frozen = True
    return Kernel(world)
