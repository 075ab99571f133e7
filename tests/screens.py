"""What people see at terminals of 80 and 120 columns, kept in `fixtures/screens`.

`python -m tests.screens` writes the screens anew, to be reviewed as a diff; `tests/test_screens.py` compares.

The world is small and always the same: its clock is given, and its ids and keys are counted.
"""

import hashlib
import shlex
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import splittally
from splittally import Intent, Receipt
from splittally_tools.cli import people, records

from tests.cli_tools import run

SCREENS = Path(__file__).parent.parent / "fixtures" / "screens"
WIDTHS = (80, 120)
NOON_NS = 1_796_036_400 * 10**9  # 2026-11-30 12:00 in Amsterdam
MINUTE_NS = 60 * 10**9
MANIFEST = {
    "world": {"timezone": "Europe/Amsterdam"},
    "resources": {"USD": 2},
    "accounts": {"accounts/bakery": {}, "accounts/credit": 5000, "vendors/flour": {}},
    "grants": {
        "alice_llm": {"cap": "sys/llm.basic@1", "holder": "alice", "budget": {"tokens": 100_000},
                      "params": {"models": ["m"]},
                      "limits": [{"dim": "tokens", "per": "day", "amount": 5000}]},
        "alice_card": {"cap": "sys/spend@1", "holder": "alice", "params": {"resources": ["USD"]},
                       "draws_on": {"USD": "accounts/bakery"}, "pays_to": ["vendors/flour"],
                       "limits": [{"dim": "USD", "per": "month", "amount": 100_000},
                                  {"dim": "USD", "per": "intent", "amount": 10_000, "over": "ask"}]},
    },
}  # fmt: skip
COMMANDS = (
    "ledger", "ledger --wide", "ledger --all-windows", "reservations", "reservations --wide", "accounts",
    "accounts --wide", "grants", "grants --wide", "grants alice_card", "grants alice_card --history",
    "budgets", "budgets budgets/oven", "log", "explain {paid}", "explain {denied}", "explain {waiting}",
    "outcome {paid}", "trace {paid}", "ledger --entries", "state",
)  # fmt: skip


def make(folder: Path) -> dict[str, str]:
    """A world in which something of everything happened; the intents that the commands ask for."""
    numbers = count(1)

    def entropy(size: int) -> bytes:
        return hashlib.shake_128(str(next(numbers)).encode()).digest(size)

    at = (NOON_NS + step * MINUTE_NS for step in count())
    with splittally.open(folder, clock="given", entropy=entropy) as kernel:
        kernel.apply(MANIFEST, now_ns=next(at)).or_raise()
        issue = {"resource": "USD", "amount": "1000.00 USD", "to": "accounts/bakery"}
        kernel.native("ledger.issue", now_ns=next(at), **issue).or_raise()
        plan = {
            "resources": {"USD": 2},
            "lines": {"coal": {"resource": "USD", "amount": "100.00 USD", "per": "month"}},
            "constraints": [{"name": "least", "resource": "USD", "minimum": 5000}],
        }
        kernel.native("budget.create", now_ns=next(at), budget="budgets/oven", schema=plan).or_raise()
        alice = kernel.as_principal("alice")
        asked = alice.submit(_task("ten sacks", 25_000), now_ns=next(at))
        kernel.approve(asked.intent_hash, now_ns=next(at)).or_raise()
        alice.settle(
            Receipt(asked.intent_hash, "ok", "bakery-host", {"amounts": {"USD": 24_000}}), now_ns=next(at)
        )
        waiting = alice.submit(_task("a mill", 60_000), now_ns=next(at))
        held = alice.submit(_call(500), now_ns=next(at))
        denied = alice.submit(_call(5000), now_ns=next(at))
        assert (held.outcome, denied.outcome, waiting.outcome) == ("allow", "deny", "require_approval")
        alice.submit(_call(70), now_ns=NOON_NS + 26 * 60 * MINUTE_NS)
    names = {"paid": asked, "denied": denied, "waiting": waiting}
    return {name: decision.intent_hash.hex()[:12] for name, decision in names.items()}


def _task(result: str, minor: int) -> Intent:
    return Intent(
        "task.post", {"result": result, "amounts": {"USD": minor}}, "alice_card", idempotency_key=result
    )


def _call(tokens: int) -> Intent:
    params = {"model": "m", "max_tokens": tokens}
    return Intent("llm.generate", params, "alice_llm", idempotency_key=str(tokens), labels={"run": "7"})


def drawn(width: int) -> str:
    """Every screen of a terminal of this width, one below the other."""
    told = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "w"
        names = make(folder)
        with (
            patch.object(people, "PIPE_WIDTH", width),
            patch.object(records, "for_people", lambda session: True),
        ):
            for command in COMMANDS:
                words = command.format(**names)
                told.append(f"$ tally {words}\n{run('-w', folder, *shlex.split(words)).out}")
    return "\n".join(line.rstrip() for line in "\n".join(told).splitlines()) + "\n"


def write() -> None:
    """Writes the screens anew."""
    SCREENS.mkdir(exist_ok=True)
    for width in WIDTHS:
        (SCREENS / f"{width}.txt").write_text(drawn(width), "utf-8")


if __name__ == "__main__":
    write()
