"""Rows of views."""

from typing import Any


class Row(dict[str, Any]):
    """A row whose fields also read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
