"""The command line `tally` (spec/09-command-line.md)."""

from splittally_tools.cli.menu import tally


def main() -> None:
    """Runs `tally` with the arguments of this process; ends it with exit code 0, 1, 2 or 3."""
    tally.main()


__all__ = ["main", "tally"]
