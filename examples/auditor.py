"""An auditor: is the journal sound, was it decided as it says, and why was something refused?

Run it with a Python that has splittally: `python examples/auditor.py [WORLD]`. Without a world it makes
one, audits it, alters one byte of a copy and audits that.

Reading takes no lock and writes nothing: it works beside the host, on a copy, on a medium that cannot be
written. `tally verify --rejudge` and `tally explain HASH` say the same on the command line.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import splittally
from splittally import Intent, JournalDamaged, Receipt
from splittally.core.events import Decided
from splittally.core.types import DENY
from splittally.runtime.reader import Reader, open_reader
from splittally_tools.audit.explanation import explain
from splittally_tools.audit.ranges import rejudge_here
from splittally_tools.audit.verify import verify

TEAM = {"grants": {"cap_llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 100}}}}


def make_world(folder: Path) -> None:
    """Something to audit: one call that fits and is paid, one that does not fit."""
    with splittally.open(folder) as kernel:
        kernel.apply(TEAM)
        decision = kernel.submit(Intent("llm.generate", {"max_tokens": 50}, "cap_llm"))
        usage = {"prompt_tokens": 10, "completion_tokens": 20}
        kernel.settle(Receipt(decision.intent_hash, "ok", "me", usage))
        kernel.submit(Intent("llm.generate", {"max_tokens": 71}, "cap_llm"))


def audit(world: Path) -> bool:
    """Verify, judge again, and explain every refusal; whether nothing was found."""
    try:
        with open_reader(world) as reader:
            report = verify(reader)
            if report.damage is not None:
                print("  damaged:", report.damage["message"])
                return False
            print(f"  sound: {report.frames} frames, {report.intents} intents, {report.open_holds} open")
            again = rejudge_here(reader, True, reader.head.size, None)
            print(f"  judged again: {again.compared} frames, first difference: {again.drift}")
            for digest in refused(reader):
                tell(reader, digest)
            return report.is_sound and again.drift is None
    except JournalDamaged as error:  # so badly that it cannot even be opened
        print("  damaged:", error)
        return False


def refused(reader: Reader) -> list[bytes]:
    """The intents that were denied, in the order of the journal."""
    return [
        event.intent_hash
        for record in reader.records()
        for event in record.body.out
        if isinstance(event, Decided) and event.outcome == DENY
    ]


def tell(reader: Reader, digest: bytes) -> None:
    """Why one intent was refused, with the numbers that were compared."""
    found = explain(reader, digest)
    assert found is not None
    print(f"  refused: {found['kind']} under {found['grant']} for {found['principal']}")
    for finding in found["findings"]:
        facts = finding["facts"]
        print(f"    {finding['code']}: needs {facts.get('needed')}, has {facts.get('available')}")


def main() -> int:
    """Audit the world that is named, or one made for the occasion and a copy that was altered."""
    if len(sys.argv) > 1:
        return 0 if audit(Path(sys.argv[1])) else 1
    with tempfile.TemporaryDirectory() as folder:
        world, copy = Path(folder) / "world", Path(folder) / "copy"
        make_world(world)
        print("the world")
        audit(world)
        shutil.copytree(world, copy)
        file = copy / "journal" / "data.mdb"
        data = bytearray(file.read_bytes())
        data[data.rindex(b"budget_exceeded")] ^= 1
        file.write_bytes(data)
        print("a copy in which one byte was changed")
        audit(copy)
    return 0


if __name__ == "__main__":
    sys.exit(main())
