"""Whose signature a receipt needs: the adapters that are registered for its kind, and their keys."""

from splittally.core.caps.state import Caps


def key_of(caps: Caps, adapter: str, kind: str) -> bytes:
    """The public key of an adapter that signs receipts of this kind; empty where none of this name does."""
    found = caps.adapters.get(adapter)
    return found.key if found is not None and kind in found.kinds else b""
