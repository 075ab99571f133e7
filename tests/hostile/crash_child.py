"""A host that can be killed: asks, settles and says what was answered, one line each.

    crash_child.py WORLD FIRST LAST SEED [MODE AT]

`asked N OUTCOME SEQ`, `settled N STATUS` are printed after the kernel answered. With MODE `before` or `after`
the process kills itself around its AT-th commit, `torn` half way through applying a record.
"""

import os
import random
import signal
import sys
from pathlib import Path

import splittally
from splittally import Intent, Receipt
from splittally.core.canonical import encode
from splittally.core.intent import intent_hash
from splittally.core.ledger import evolve as ledger
from splittally.journal.lmdb import LmdbStore

GROUP = 3


def amounts(number: int) -> tuple[int, int]:
    """What intent `number` reserves and uses; every third is never settled."""
    chance = random.Random(number)
    return chance.randrange(9), chance.randrange(9)


def intent(number: int) -> Intent:
    params = {"a": reserve_answer(amounts(number)[0])}
    return Intent("test.act", params, "g", idempotency_key=number.to_bytes(32), attempt=number.to_bytes(16))


def hash_of(number: int) -> bytes:
    asked = intent(number)
    return intent_hash(asked.kind, encode(asked.params), asked.grant, asked.idempotency_key)


def reserve_answer(amount: int) -> bytes:
    return b"\xa1eCheck\xa2nconstraints_ok\xf5preserve_estimate\xa1ftokens" + bytes([amount])


def usage_answer(amount: int) -> bytes:
    return b"\xa1fSettle\xa1eusage\xa1ftokens" + bytes([amount])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(mode: str, at: int) -> None:
    """Arranges this process's end."""
    owner, name = (ledger, "_charge") if mode == "torn" else (LmdbStore, "append")
    real, left = getattr(owner, name), [at]

    def last(*arguments):
        left[0] -= 1
        if left[0] == 0 and mode == "before":
            die()
        answer = real(*arguments)
        if left[0] == 0:
            die()
        return answer

    setattr(owner, name, last)


def main() -> None:
    path, first, last, seed = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    if len(sys.argv) > 5:
        dying(sys.argv[5], int(sys.argv[6]))
    chance = random.Random(seed)
    with splittally.open(path) as kernel:
        for start in range(first, last, GROUP):
            numbers = range(start, min(start + GROUP, last))
            answers = kernel.submit([intent(number) for number in numbers])
            for number, answer in zip(numbers, answers, strict=True):
                print("asked", number, answer.outcome, answer.seq, answer.intent_hash.hex(), flush=True)
            for number, answer in zip(numbers, answers, strict=True):
                if number % 3 and chance.random() < 0.9:
                    payload = usage_answer(amounts(number)[1])
                    status = kernel.settle(Receipt(answer.intent_hash, "ok", "child", payload)).status
                    print("settled", number, status, flush=True)


if __name__ == "__main__":
    main()
