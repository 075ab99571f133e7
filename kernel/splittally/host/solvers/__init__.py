"""Solvers outside the kernel: each reads a budget's plan and books and proposes cells, and decides nothing.

Rule 1. A proposal is data. The kernel checks it exactly and journals it, so no solver ever runs in replay.
Rule 2. A proposal names its solver: what it is, and which version of it.
"""
