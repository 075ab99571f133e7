"""The bytes of a WebAssembly module, reduced to the facts that admission asks about.

Rule 1. Nothing here knows an engine: a module is read, never compiled and never run.
"""
