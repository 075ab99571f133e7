"""What a journal's questions would be answered by other modules: the report before one is replaced.

Rule 1. Every recorded Check and Settle that a replacement is about is asked again with its very bytes;
        only the module differs. So a Settle names the reserve that was held, not what the new module
        would have reserved, and an intent that would be allowed anew has no Settle.
Rule 2. Verdicts are compared, not bytes: a text that is worded anew is counted and changes nothing.
Rule 3. A fault at Settle counts as the kernel counts it: the whole reserve is usage, and a violation.
Rule 4. Totals are over every call that was asked again. Differences lie on disk, so that memory does not
        grow with their number.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from splittally.core.abi import CheckVerdict, Fault, SettleVerdict
from splittally.core.errors import NotAdmitted
from splittally.edge.answer_lines import readable
from splittally.runtime.opening import current_engine
from splittally.runtime.reader import Reader
from splittally.sandbox import Sandbox, admit

from splittally_tools.audit.recorded_calls import (
    CHECK,
    SETTLE,
    Call,
    Recording,
    Verdict,
    verdict_of,
)
from splittally_tools.audit.rejudge import Progress

SHOWN_MAX = 20
SPOOLED_BYTES_MAX = 1024 * 1024  # of the differences in memory; more go to a temporary file
Replacement = Callable[[str, bytes], bytes | None]  # cap and module -> the module to ask in its place


class Otherwise(NamedTuple):
    """A call that comes out otherwise."""

    seq: int
    intent_hash: bytes
    grant: str
    cap: str
    was: dict[str, Any]
    now: dict[str, Any]
    asked: str
    kind: str


class Differences:
    """The calls that come out otherwise, as lines of JSON; `first` are those that people are shown."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[dict[str, Any]] = []
        self._lines = tempfile.SpooledTemporaryFile(SPOOLED_BYTES_MAX, "w+", encoding="ascii")  # noqa: SIM115

    def add(self, found: Otherwise) -> None:
        row = readable(found._asdict())
        self.count += 1
        if len(self.first) < SHOWN_MAX:
            self.first.append(row)
        self._lines.write(json.dumps(row, separators=(",", ":")) + "\n")

    def lines(self) -> Iterator[str]:
        """Each difference as one line of JSON, oldest first."""
        self._lines.seek(0)
        return (line.rstrip("\n") for line in self._lines)

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()


class Totals:
    """Sums over every call that was asked again, as it was answered and as it would be."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Counter[str]]] = {
            name: {"was": Counter(), "now": Counter()} for name in ("reserve", "usage")
        }
        self._counts = Counter(newly_denied=0, newly_allowed=0, newly_faulting=0)
        self._violations = Counter(was=0, now=0)

    def add(self, call: Call, was: Verdict, now: Verdict) -> None:
        for when, verdict in (("was", was), ("now", now)):
            if call.variant == CHECK:
                self._sums["reserve"][when].update(getattr(verdict, "reserve", {}))
                continue
            usage = call.reserve if isinstance(verdict, Fault) else getattr(verdict, "usage", {})
            self._sums["usage"][when].update(usage)
            self._violations[when] += _is_violation(call, verdict)
        if isinstance(now, Fault):
            self._counts["newly_faulting"] += not isinstance(was, Fault)
        elif call.variant == CHECK:
            self._counts["newly_denied"] += _is_allowed(was) and not _is_allowed(now)
            self._counts["newly_allowed"] += _is_allowed(now) and not _is_allowed(was)

    def document(self) -> dict[str, Any]:
        sums = {
            name: {
                dim: {"was": both["was"][dim], "now": both["now"][dim]}
                for dim in sorted({*both["was"], *both["now"]})
            }
            for name, both in self._sums.items()
        }
        return {**sums, **self._counts, "violations": dict(self._violations)}


class Report:
    """What asking again found; `document` is all of it but the differences themselves.

    `asked_of` counts the calls by the module that answered them then. A context manager.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.asked_of: Counter[bytes] = Counter()
        self.reworded = 0
        self.other_engines = 0
        self.unmatched = 0
        self.differences = Differences()
        self.totals = Totals()

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *ending: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the differences."""
        self.differences.close()

    def document(self) -> dict[str, Any]:
        return {
            "checks": self.asked[CHECK],
            "settles": self.asked[SETTLE],
            "reworded": self.reworded,
            "other_engines": self.other_engines,
            "unmatched": self.unmatched,
            "totals": self.totals.document(),
        }


def judged_otherwise(
    reader: Reader,
    replacement: Replacement,
    wasm: Mapping[bytes, bytes],
    progress: Progress | None = None,
) -> Report:
    """The report of asking the modules that `replacement` names, whose bytes are in `wasm`.

    `NotAdmitted` where one of them may not be an enforcer.
    """
    sandbox, report, engine = Sandbox(), Report(), current_engine()
    for module, data in wasm.items():
        try:
            admit(data)
            sandbox.load(data)
        except NotAdmitted as refusal:
            text = f"the new module is not admitted: {refusal}; see `tally enforcer check`"
            raise NotAdmitted(text, **refusal.facts, module=module) from refusal
    recording = Recording(reader, lambda cap, module: replacement(cap, module) is not None)
    for call in recording.calls(progress):
        new = replacement(call.cap, call.question.module)
        assert new is not None
        _compare(report, call, sandbox.judge(new, call.question.data))
        report.other_engines += call.engine != engine
    report.unmatched = recording.unmatched
    return report


def _compare(report: Report, call: Call, answer: bytes | Fault) -> None:
    report.asked[call.variant] += 1
    report.asked_of[call.question.module] += 1
    was, now = verdict_of(call.variant, call.answer), verdict_of(call.variant, answer)
    report.totals.add(call, was, now)
    told_was, told_now = told(was), told(now)
    if told_was != told_now:
        found = (call.seq, call.intent_hash, call.grant, call.cap, told_was, told_now)
        report.differences.add(Otherwise(*found, call.variant, call.kind))
    elif call.answer != answer:
        report.reworded += 1


def told(verdict: Verdict) -> dict[str, Any]:
    """A verdict without its text."""
    match verdict:
        case Fault():
            return {"fault": verdict.cls}
        case CheckVerdict():
            return {"deny": verdict.deny_code} if verdict.deny_code else {"reserve": verdict.reserve}
        case SettleVerdict(violation_code=""):
            return {"usage": verdict.usage}
        case SettleVerdict():
            return {"usage": verdict.usage, "violation": verdict.violation_code}


def _is_allowed(verdict: Verdict) -> bool:
    return isinstance(verdict, CheckVerdict) and not verdict.deny_code


def _is_violation(call: Call, verdict: Verdict) -> bool:
    """Whether the kernel would record a violation: the module's own, a fault, or usage above a reserve."""
    if not isinstance(verdict, SettleVerdict):
        return True
    usage, reserve = verdict.usage, call.reserve
    return bool(verdict.violation_code) or any(usage[dim] > reserve.get(dim, 0) > 0 for dim in usage)
