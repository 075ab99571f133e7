"""The commands of `tally budgets`."""
