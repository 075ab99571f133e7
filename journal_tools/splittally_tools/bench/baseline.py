"""The floor: what one decision cannot do without, in a straight line and with nothing around it.

Encode the params canonically, hash the intent, make one pure call, chain the frame, put it, and sync a
group of 64 in one commit. No authority, no limits, no idempotency, no state: a kernel sits above this.

Rule 1. The call is made in the same sandbox, on the same module, with an input of the same size; frames
        have the size of the kernel's own. Both come from a real decision (`Sample`).
Rule 2. As many commits as the kernel makes: a pair run commits 64 settlements and 64 decisions apart.
"""

from pathlib import Path

import lmdb
from splittally.core.abi import Fault
from splittally.core.canonical import encode
from splittally.core.hashing import hash_frame, hash_intent
from splittally.core.limits import GROUP_MAX
from splittally.sandbox import Sandbox

from splittally_tools.bench.sample import Frozen, Sample

MAP_BYTES = 1 << 34


class Baseline:
    """A store, a sandbox and a chain, and no kernel."""

    def __init__(self, folder: Path, sample: Sample) -> None:
        folder.mkdir(parents=True)
        self._env = lmdb.open(str(folder), map_size=MAP_BYTES, lock=False, max_spare_txns=0)
        self._sample = sample
        self._sandbox = Sandbox()
        self._sandbox.load(sample.wasm)
        self._prev = bytes(32)
        self._seq = 0

    def decide(self, groups: int, calls: int = 1) -> int:
        """Decisions, `calls` pure calls for each; how many were made."""
        for _ in range(groups):
            self._commit([self._decision(at, calls) for at in range(GROUP_MAX)])
        return groups * GROUP_MAX

    def pair(self, groups: int) -> int:
        """Settlements of the group before and new decisions; how many pairs were made."""
        for _ in range(groups):
            self._commit([self._settlement(at) for at in range(GROUP_MAX)])
            self._commit([self._decision(at, 1) for at in range(GROUP_MAX)])
        return groups * GROUP_MAX

    def close(self) -> None:
        self._env.close()
        self._sandbox.close()

    def _decision(self, at: int, calls: int) -> tuple[bytes, bytes]:
        sample = self._sample
        params = encode(sample.params(at))
        hash_intent(sample.intent_front + params + sample.intent_back)
        for _ in range(calls):
            answer = self._sandbox.judge(sample.module, sample.check.question)
            assert not isinstance(answer, Fault)
        return self._frame(sample.check)

    def _settlement(self, at: int) -> tuple[bytes, bytes]:
        encode(self._sample.payload(at))
        answer = self._sandbox.judge(self._sample.module, self._sample.settle.question)
        assert not isinstance(answer, Fault)
        return self._frame(self._sample.settle)

    def _frame(self, frozen: Frozen) -> tuple[bytes, bytes]:
        data = frozen.frame_front + self._prev + frozen.frame_back
        self._prev = hash_frame(data)
        self._seq += 1
        return self._seq.to_bytes(8), self._prev + data

    def _commit(self, rows: list[tuple[bytes, bytes]]) -> None:
        with self._env.begin(write=True) as txn:
            stored = txn.cursor().putmulti(rows, append=True)
        assert stored == (len(rows), len(rows))
