"""Should it, now? Caps on spend, classes of failure, memory; never who may, is there enough, or the plan."""
