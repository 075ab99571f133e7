"""Which Ed25519 public keys are keys at all. Nothing is verified here.

Rule 1. A public key of low order is none: whoever has it need not sign. Ed25519 accepts signatures under such
        a key that fit many texts, so it is refused where a key is read and where a signature is verified.
"""

from splittally.core.limits import PUBLIC_KEY_BYTES

# The y of the eight points of low order on edwards25519, as the integer that stands in a key beside the sign
# of x. The order of the point is 1, 2, 4 and 8; RFC 8032, 5.1.
_PRIME = 2**255 - 19
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
LOW_ORDER_Y = frozenset((1, _PRIME - 1, 0, _ORDER_8, _PRIME - _ORDER_8))


def is_weak(public: bytes) -> bool:
    """Whether this public key is a point of low order, or its y is not below the prime."""
    y = int.from_bytes(public, "little") % 2**255  # without the sign of x
    return y >= _PRIME or y in LOW_ORDER_Y


def is_key(public: bytes) -> bool:
    """Whether these bytes may be a public key under which signatures show something."""
    return len(public) == PUBLIC_KEY_BYTES and not is_weak(public)
