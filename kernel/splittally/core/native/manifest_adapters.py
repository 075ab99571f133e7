"""Who signs receipts, as a manifest states it.

Rule 1. The adapters are the manifest's, as the policy is: one that it leaves out is gone, and one without any
        leaves receipts as they are without signatures.
Rule 2. What is open stays open. Its receipt is judged by the adapters that stand when it comes.
"""

import msgspec
from msgspec import Struct

from splittally.core.canonical import encode
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.limits import ADAPTER_KINDS_MAX, PUBLIC_KEY_BYTES
from splittally.core.public_keys import is_key
from splittally.core.state import State
from splittally.core.types import CAP_NATIVE_TYPE, AdapterDef


class AdapterTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An adapter: its Ed25519 public key, and the kinds whose receipts it signs."""

    key: bytes
    kinds: list[str]

    def __post_init__(self) -> None:
        if len(self.key) != PUBLIC_KEY_BYTES or not is_key(self.key):
            raise ValueError(f"an adapter's `key` is an Ed25519 public key of {PUBLIC_KEY_BYTES} bytes")
        if not 0 < len(self.kinds) <= ADAPTER_KINDS_MAX or len(self.kinds) != len(set(self.kinds)):
            raise ValueError(f"an adapter's `kinds` are 1 to {ADAPTER_KINDS_MAX}, each once")

    def adapter(self, name: str) -> AdapterDef:
        """The record of this adapter."""
        return AdapterDef(name, self.key, sorted(self.kinds))


def check_adapters(defined: State, adapters: dict[str, AdapterTerms]) -> list[Finding]:
    """Whether every kind is there, in the state as the manifest defines it, and has receipts."""
    effects = defined.caps.effects
    return [
        find("not_found", adapter=name, kind=kind)
        for name, terms in sorted(adapters.items())
        for kind in terms.kinds
        if kind not in effects or effects[kind].cap_type == CAP_NATIVE_TYPE
    ]


def adapter_events(state: State, adapters: dict[str, AdapterTerms]) -> list[Event]:
    """The adapters that are new or differ, and those that are gone."""
    now, wanted = state.caps.adapters, {name: terms.adapter(name) for name, terms in adapters.items()}
    return [
        Defined("adapters", name, _value(wanted[name]) if name in wanted else b"")
        for name in sorted({*now, *wanted})
        if now.get(name) != wanted.get(name)
    ]


def _value(adapter: AdapterDef) -> bytes:
    return encode(msgspec.to_builtins(adapter, builtin_types=(bytes,)))
