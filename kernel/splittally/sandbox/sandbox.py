"""Modules by content hash, each compiled when it is first asked: what the kernel holds.

Rule 1. The engine is loaded and started by the first question. A world that is opened, read or made asks
        nobody, so it costs nothing here, however many modules it holds.
Rule 2. `load` asks the static checks, except of a module of this release, whose admission is known.
Rule 3. What does not compile when it is first asked is an error of this installation. It is never an
        answer: nothing is decided, and the question can be asked again.
"""

from importlib import import_module
from typing import Any, Protocol

from splittally.core.abi import Fault
from splittally.core.errors import ModuleNotCompiled
from splittally.core.hashing import hash_module
from splittally.sandbox.registry import is_released

_STATIC_CHECKS = "splittally.sandbox.admission"
_CALLS = "splittally.sandbox.pooled"  # loads the engine
_ROOM = "splittally.sandbox.room"


class Calls(Protocol):
    """What makes the calls of a sandbox; `fuel_used` is that of the last one."""

    fuel_used: int

    def prepare(self, wasm: bytes) -> Any:
        """The compiled module; `ModuleNotCompiled` when the engine refuses it."""

    def call(self, prepared: Any, data: bytes) -> bytes | Fault:
        """What a prepared module answers to `data`, or the fault that kept it from answering."""


class Sandbox:
    """Modules by content hash; each call in a fresh instance."""

    def __init__(self) -> None:
        self._wasm: dict[bytes, bytes] = {}
        self._prepared: dict[bytes, Any] = {}
        self._calls: Calls | None = None

    @property
    def fuel_used(self) -> int:
        """What the last call used, 0 where it was not begun."""
        return 0 if self._calls is None else self._calls.fuel_used

    def load(self, wasm: bytes) -> bytes:
        """The hash under which `wasm` can be judged; `NotAdmitted` by the first static check it fails.

        Nothing is compiled: `admit` asks the engine too, and so does the first question.
        """
        module = hash_module(wasm)
        if module not in self._wasm:
            if not is_released(module):
                import_module(_STATIC_CHECKS).inspect(wasm)
            self._wasm[module] = wasm
        return module

    def knows(self, module: bytes) -> bool:
        """Whether `module`, the hash of a module's bytes, is loaded."""
        return module in self._wasm

    def judge(self, module: bytes, data: bytes) -> bytes | Fault:
        """What the loaded `module` answers to `data`, or the fault that kept it from answering.

        `ModuleNotCompiled` when it is asked for the first time and the engine refuses it.
        """
        prepared = self._prepared.get(module)
        if prepared is None:
            prepared = self._prepare(module)
        assert self._calls is not None
        return self._calls.call(prepared, data)

    def room(self, module: bytes) -> int:
        """The most bytes of input that the loaded `module` takes, for a refusal that says it."""
        room: int = import_module(_ROOM).input_room(self._wasm[module])
        return room

    def close(self) -> None:
        """Forget every module; the engine and what it compiled are the process's."""
        self._wasm.clear()
        self._prepared.clear()

    def _prepare(self, module: bytes) -> Any:
        if self._calls is None:
            calls: Calls = import_module(_CALLS).PooledCalls()
            self._calls = calls
        try:
            self._prepared[module] = prepared = self._calls.prepare(self._wasm[module])
        except ModuleNotCompiled as error:
            text = f"module {module.hex()} cannot be asked: {error}; nothing was decided"
            raise ModuleNotCompiled(text, module=module) from error
        return prepared
