"""Budgets: does the plan still hold? Plans, stages, rules, solutions; never who may or is there enough."""
