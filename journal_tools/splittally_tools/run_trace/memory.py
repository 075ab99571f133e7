"""How much memory this process has for itself: the part of its resident set that no file backs.

A map of the journal's file counts in the resident set and is the kernel's to take back, so it says nothing.
"""

import time
from pathlib import Path

STATUS = Path("/proc/self/status")
SAMPLE_SECONDS = 0.25


def rss_anon_bytes() -> int:
    """Anonymous resident memory in bytes; 0 where the system does not say."""
    try:
        for line in STATUS.read_text("ascii", "replace").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Peak:
    """The largest of the samples that were taken, at most one each `SAMPLE_SECONDS`."""

    def __init__(self) -> None:
        self.start_bytes = self.peak_bytes = rss_anon_bytes()
        self._next = 0.0

    def sample(self) -> None:
        """Look now, unless the last look was a moment ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SAMPLE_SECONDS
            self.peak_bytes = max(self.peak_bytes, rss_anon_bytes())
