"""The journal in forms that other tools read: JSON, CBOR sequences, CSV."""
