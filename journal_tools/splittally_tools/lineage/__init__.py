"""Where value came from: any credit walked back to what issued it, from one pass over the frames."""

from splittally_tools.lineage.history import History, read_history
from splittally_tools.lineage.levels import Level
from splittally_tools.lineage.targets import Untraceable, trace, trace_in

__all__ = ["History", "Level", "Untraceable", "read_history", "trace", "trace_in"]
