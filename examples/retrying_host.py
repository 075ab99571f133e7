"""A host that may be killed at any line: one job has one key and one attempt, and is never paid for twice.

Run it with a Python that has splittally: `python examples/retrying_host.py`. It plays three lives of a host
in a folder of its own: the first is killed before it knows the answer, the second after it has acted and
before it has said so, the third finds out.

What the host must write down, before the step that it protects:

    the attempt      before it asks      so that asking again is the same submission, not a second one
    that it began    before it acts      so that it can later say "I do not know" instead of acting again
"""

import hashlib
import json
import tempfile
from pathlib import Path

import splittally
from splittally import Intent, Kernel, Receipt, new_attempt

TEAM = {"grants": {"cap_llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}}
JOB = "summary of the week"


class Killed(Exception):
    """Stands in for a `kill -9`."""


def key_of(job: str) -> bytes:
    """The same job has the same 32 bytes in every life, so the kernel knows it again."""
    return hashlib.sha256(job.encode()).digest()


def recall(memory: Path) -> dict[str, str]:
    """What earlier lives wrote down. A real host uses a row of its database."""
    return json.loads(memory.read_text()) if memory.exists() else {}


def call_model(job: str) -> dict[str, int]:
    """The effect itself: it costs money each time."""
    print(f"  the model is called for: {job}")
    return {"prompt_tokens": 10, "completion_tokens": 20}


def live(kernel: Kernel, memory: Path, dies: str = "") -> None:
    """One life of the host. `dies` names the place where it is killed."""
    known = recall(memory)
    known.setdefault("attempt", new_attempt().hex())
    memory.write_text(json.dumps(known))

    attempt = bytes.fromhex(known["attempt"])
    asked = Intent(
        "llm.generate", {"max_tokens": 50}, "cap_llm", idempotency_key=key_of(JOB), attempt=attempt
    )
    decision = kernel.submit(asked)
    if dies == "before the answer":
        raise Killed
    print(f"  {decision.outcome}, answered before: {decision.duplicate}")
    if not decision.allowed:
        return  # refused, or the answer belongs to another host with the same job

    if "began" in known:  # an earlier life may have acted: say so, and let an operator decide
        told = kernel.settle(Receipt(decision.intent_hash, "unknown", "my-host", {}))
    else:
        memory.write_text(json.dumps({**known, "began": "yes"}))
        usage = call_model(JOB)
        if dies == "after acting":
            raise Killed
        told = kernel.settle(Receipt(decision.intent_hash, "ok", "my-host", usage))
    print(f"  the receipt is {told.status}; {kernel.state.counters['cap_llm']['tokens']}")


def main() -> None:
    """Three lives of the same job over one world."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder) / "memory.json"
        for dies in ("before the answer", "after acting", ""):
            print(f"a host starts{', and is killed ' + dies if dies else ''}")
            with splittally.open(Path(folder) / "world") as kernel:
                kernel.apply(TEAM)  # writes nothing the second time
                try:
                    live(kernel, memory, dies)
                except Killed:
                    print("  killed")


if __name__ == "__main__":
    main()
