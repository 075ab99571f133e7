"""Prints each row of the requirement list that no passing test has shown, one id a line.

Reads what the last test runs recorded (`out/requirements.json`); runs the tests when there is nothing.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import RECORD

ROWS = Path(__file__).parent.parent / "spec" / "requirements.md"
# Features to come, and fixtures to run.
LATER = {"X5-22", "X5-23", "X7-20", "S0-212", "S0-214", "S0-215", "S0-217"}


def main() -> None:
    if not RECORD.exists():
        subprocess.run([sys.executable, "-m", "pytest", "-q"], stdout=sys.stderr, check=False)
    shown = set(json.loads(RECORD.read_text())) if RECORD.exists() else set()
    rows = re.findall(r"^\| ([SX]\d+-\d+) \|", ROWS.read_text(), re.MULTILINE)
    for row in rows:
        if row not in shown and row not in LATER:
            print(row)


if __name__ == "__main__":
    main()
