"""The folder of these tests is that of the rows: in memory where there is such a place."""

from tests.rows.conftest import folder

__all__ = ["folder"]
