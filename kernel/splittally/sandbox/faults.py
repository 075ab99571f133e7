"""How a call can fail to answer, by class; the classes are `core.abi.FAULT_CLASSES`.

Rule 1. What the module did is a fault. What the engine or the machine failed to do is an error: it stops
        the call and never becomes a verdict, because it would not happen again on another machine.
"""

from wasmtime import TrapCode

from splittally.core.abi import Fault
from splittally.core.errors import WorldError

OUT_OF_FUEL = Fault("out_of_fuel")
STACK_OVERFLOW = Fault("stack_overflow")
TRAP = Fault("trap")
OVER_LIMIT = Fault("over_limit")


def fault_of(trap: TrapCode | None) -> Fault:
    """The fault for a trap of that code; a trap without a code is a plain trap."""
    match trap:
        case TrapCode.OUT_OF_FUEL:
            return OUT_OF_FUEL
        case TrapCode.STACK_OVERFLOW:
            return STACK_OVERFLOW
        case _:
            return TRAP


def engine_failed(reason: object) -> WorldError:
    """The error for a failure of the engine itself, such as memory that the machine does not give."""
    return WorldError(f"the WebAssembly engine failed outside the module: {reason}")
