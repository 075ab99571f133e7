"""Hypothesis strategies for what a kernel is given: manifests, grants, intents, receipts, economies, rubbish.

Rule 1. What says that it is valid is: a manifest is applied, params fit their schema, an intent is decided.
        Whether it is *allowed* is left to chance, because refusals are half of what is to be tested.
Rule 2. What says that it is hostile is refused, every time, and by a message instead of a crash.
Rule 3. Everything shrinks to little: one grant, small numbers, short texts.
"""

from splittally_tools.testing.strategies.economies import Economy, economies
from splittally_tools.testing.strategies.hostile import hostile_bytes, hostile_json, hostile_values
from splittally_tools.testing.strategies.manifests import amounts, edited, grants, manifests
from splittally_tools.testing.strategies.params import params
from splittally_tools.testing.strategies.requests import intents, keys, receipts

__all__ = [
    "Economy",
    "amounts",
    "economies",
    "edited",
    "grants",
    "hostile_bytes",
    "hostile_json",
    "hostile_values",
    "intents",
    "keys",
    "manifests",
    "params",
    "receipts",
]
