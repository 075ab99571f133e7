"""The only writer: ask, judge, step, append, evolve, publish; group commit."""

from splittally.runtime.kernel import At, Kernel, new_attempt, open_store, open_world

__all__ = ["At", "Kernel", "new_attempt", "open_store", "open_world"]
