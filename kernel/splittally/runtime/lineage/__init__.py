"""Where value came from: any credit walked back to what issued it, from one pass over the frames."""

from splittally.runtime.lineage.history import History, read_history
from splittally.runtime.lineage.levels import Level, Origin, origins_of
from splittally.runtime.lineage.targets import Untraceable, trace, trace_in

__all__ = ["History", "Level", "Origin", "Untraceable", "origins_of", "read_history", "trace", "trace_in"]
