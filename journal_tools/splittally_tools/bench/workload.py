"""The workload that the kernel is timed on: a team, its agents' grants, and calls of one shape."""

from pathlib import Path
from typing import Any

import splittally
from splittally import Decision, Intent, Receipt
from splittally.core.limits import GROUP_MAX
from splittally.runtime import Kernel

KIND, ADAPTER, MODEL = "llm.generate", "bench", "code-small"
MODULE = "sys/CapEnforceLlmBasic@1"
AMPLE = 10**15
PROMPT, COMPLETION, CEILING = 2_000, 28, 2_048


def manifest(depth: int) -> dict[str, Any]:
    """A team whose grants `leaf` stands under `depth` - 1 others, each asked by its own enforcer."""
    names = [f"above-{at}" for at in range(1, depth)] + ["leaf"]
    grant = {
        "cap": "sys/llm.basic@1",
        "budget": {"tokens": AMPLE, "USD": AMPLE},
        "draws_on": {"USD": "accounts/team"},
        "pays_to": ["accounts/vendor"],
        "params": {
            "models": [MODEL],
            "max_tokens_max": CEILING,
            "prices": {"resource": "USD", "models": {MODEL: {"prompt": 500_000, "completion": 1_500_000}}},
        },
    }
    parents = ["root", *names]
    return {
        "resources": {"USD": 6},
        "accounts": {"accounts/team": {}, "accounts/vendor": {}},
        "grants": {name: grant | {"parent": parents[at]} for at, name in enumerate(names)},
    }


def params(at: int) -> dict[str, Any]:
    """The params of one call."""
    return {"model": MODEL, "prompt_tokens": PROMPT + at, "max_tokens": CEILING}


def payload(at: int) -> dict[str, Any]:
    """What the receipt of one call says."""
    return {"prompt_tokens": PROMPT + at, "completion_tokens": COMPLETION}


class Workload:
    """A world with a chain of `depth` grants, and the runs that are timed on it."""

    def __init__(self, folder: Path, depth: int = 1, clock: str = "given") -> None:
        self.folder = folder
        self.kernel: Kernel = splittally.open(folder, clock=clock)
        if "leaf" not in self.kernel.state.grants:
            assert self.kernel.apply(manifest(depth)).allowed
            issued = self.kernel.native("ledger.issue", resource="USD", amount=AMPLE, to="accounts/team")
            assert issued.allowed
        self._open: list[bytes] = []

    def decide(self, groups: int) -> int:
        """New decisions, 64 a commit; how many were made. They stay open."""
        for _ in range(groups):
            self._take(self.kernel.run(self.intents()))
        return groups * GROUP_MAX

    def settle(self) -> int:
        """Settle whatever is open; how many that was."""
        count = len(self._open)
        self.kernel.settle([self.receipt(digest) for digest in self._open])
        self._open.clear()
        return count

    def pair(self, groups: int) -> int:
        """Settle the group before and decide a new one, in one run; how many pairs were made."""
        if not self._open:
            self.decide(1)
        for _ in range(groups):
            receipts = [self.receipt(digest) for digest in self._open]
            self._open.clear()
            answers = self.kernel.run([*receipts, *self.intents()])
            self._take([answer for answer in answers if isinstance(answer, Decision)])
        return groups * GROUP_MAX

    def intents(self) -> list[Intent]:
        """A group of calls."""
        return [Intent(KIND, params(at), "leaf") for at in range(GROUP_MAX)]

    def receipt(self, digest: bytes) -> Receipt:
        """The answer to one call."""
        return Receipt(digest, "ok", ADAPTER, payload(0), 1)

    def close(self) -> None:
        self.kernel.close()

    def _take(self, decisions: list[Decision]) -> None:
        assert all(decision.allowed for decision in decisions)
        self._open += [decision.intent_hash for decision in decisions if decision.intent_hash]
