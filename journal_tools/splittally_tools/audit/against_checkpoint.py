"""Does the journal begin as a checkpoint saw it? (spec/08-replay-and-audit.md, "Checkpoints")

A chain cannot show that its end was cut off, that yesterday's copy was put back, that it was all
written anew, or that two histories grew from one. A checkpoint that is kept elsewhere can.
"""

from splittally.core.errors import JournalDamaged
from splittally.core.snapshot import state_root
from splittally.core.state import State
from splittally.journal.proof.checkpoint import Checkpoint
from splittally.journal.proof.merkle import Frontier
from splittally.runtime.record import Record


def origin_of(world: bytes) -> str:
    """The name under which a world's checkpoints are signed."""
    return f"splittally/{world.hex()}"


class AgainstCheckpoint:
    """Frames in order, up to the size of a checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._frontier = Frontier()

    def see(self, record: Record, state: State) -> None:
        size = self.checkpoint.size
        if record.seq == 0 and origin_of(state.world) != self.checkpoint.origin:
            raise JournalDamaged(
                f"the checkpoint is of `{self.checkpoint.origin}`; this is `{origin_of(state.world)}`", seq=0
            )
        if record.seq >= size:
            return
        self._frontier.append(record.data)
        if record.seq != size - 1:
            return
        if (self._frontier.root(), record.hash) != (self.checkpoint.root, self.checkpoint.head):
            raise JournalDamaged(
                f"the first {size} frames are not those that the checkpoint saw: one of them was changed, "
                "or this is another history of the same world",
                seq=size - 1,
            )
        if state_root(state) != self.checkpoint.state:
            raise JournalDamaged(f"after frame {size - 1} the state is not what was signed", seq=size - 1)

    def finish(self, size: int) -> None:
        """Refuses a journal that ends before the checkpoint: a lost tail, or an old copy put back."""
        if size < self.checkpoint.size:
            raise JournalDamaged(
                f"the journal ends after {size} frames, and the checkpoint saw {self.checkpoint.size}: "
                "its end was lost, or an old copy was put back",
                seq=size,
            )
