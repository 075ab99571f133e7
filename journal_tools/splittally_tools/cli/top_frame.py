"""One frame of `top`: what a world looks like now, as a document and as lines of a screen.

Rule 1. `frame_of` reads, beside whoever writes; `lines_of` is a function of what was read, the width and the
        height. Nothing else is known here of the terminal.
Rule 2. Spend is what was charged by the last frames, so a rate is of the logical time that they took.
Rule 3. A line is cut at the width of the screen and sections at its height: the views of `tally` show all.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from splittally.core.events import Decided, Settled
from splittally.core.types import APPROVAL, LIFE
from splittally.edge.json_values import printable
from splittally.edge.wording import Wording, span
from splittally.runtime.reader import Reader
from splittally.runtime.record import Record

FRAMES = 200  # that the rate and the last decisions are read from
MINUTE_NS = 60 * 10**9
HEAD_LINES, SECTIONS = 3, 4
CUT = "…"
Line = tuple[str, str]  # a style and a text


def frame_of(reader: Reader) -> dict[str, Any]:
    """The document of a frame: {seq, now_ns, clock, spend, open, waiting, decisions, limits, accounts}."""
    state, health = reader.state, reader.health()
    holds = [state.reservations[digest] for digest in state.reservations]
    records = list(reader.records(max(0, reader.head.size - FRAMES)))
    return {
        "seq": health.seq,
        "now_ns": state.now_ns,
        "clock": health.state if health.clock == "host" else health.clock,
        "spend": _spend(records, state.now_ns),
        "open": {"reserved": len(holds), "running": sum(hold.is_orphan for hold in holds)},
        "waiting": [
            {
                "intent_hash": hold.intent_hash,
                "kind": hold.kind,
                "principal": hold.principal,
                "age_ns": hold.age_ns,
            }
            for hold in sorted(holds, key=lambda hold: hold.seq)
            if hold.phase == APPROVAL
        ],
        "decisions": list(_decisions(records)),
        "limits": sorted(
            _limits(reader), key=lambda row: (-row["used"] / row["limit"], row["grant"], row["dim"])
        ),
        "accounts": [
            {"account": name, "balances": row.balances, "in_flight": row.in_flight}
            for name, row in state.accounts.items()
        ],
    }


def _spend(records: list[Record], now_ns: int) -> dict[str, Any]:
    """What the frames charged, and in how long; a charge counts once, at the grant that was asked for."""
    charged: Counter[str] = Counter()
    for record in records:
        for event in record.body.out:
            if isinstance(event, Settled) and event.legs:
                charged.update(event.legs[0].charged)
    took_ns = now_ns - records[0].body.at_ns if records else 0
    return {"frames": len(records), "took_ns": took_ns, "charged": dict(sorted(charged.items()))}


def _decisions(records: list[Record]) -> Iterator[dict[str, Any]]:
    """The decisions of the frames, the last first."""
    for record in reversed(records):
        members = getattr(record.body.command, "members", ())
        kinds = "/".join(sorted({member.kind for member in members}))
        for event in record.body.out:
            if isinstance(event, Decided):
                yield {
                    "seq": record.seq,
                    "at_ns": record.body.at_ns,
                    "principal": record.body.by,
                    "kind": kinds,
                    "outcome": event.outcome,
                    "codes": [finding.code for finding in event.findings],
                    "intent_hash": event.intent_hash,
                }


def _limits(reader: Reader) -> Iterator[dict[str, Any]]:
    """Counters with a limit of which something is used: of lives, and of the windows that stand."""
    state, standing = reader.state, reader.folded.ledger.windows
    for grant, dims in state.counters.items():
        for dim, row in dims.items():
            yield from _used(grant, dim, LIFE, row)
    for (grant, dim, per, start_ns), row in state.windows.items():
        window = standing.get((grant, dim, per))
        if window is not None and window[0] == start_ns and state.now_ns < window[1]:
            yield from _used(grant, dim, per, row)


def _used(grant: str, dim: str, per: str, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    limit = (row["limit"] or 0) + row.get("raised", 0)
    used = row["reserved"] + row["spent"] - row.get("refunded", 0)
    if limit > 0 and used > 0:
        yield {"grant": grant, "dim": dim, "per": per, "used": used, "limit": limit}


# --- lines ------------------------------------------------------------------------------------------


def lines_of(frame: Mapping[str, Any], words: Wording, width: int, height: int) -> list[Line]:
    """The frame as at most `height` lines of at most `width` characters, each with its style."""
    each = max(1, (height - HEAD_LINES) // SECTIONS - 1)
    opened = frame["open"]
    lines: list[Line] = [
        ("bold", f"frame {frame['seq']}, {words.moment(frame['now_ns'])}, clock {frame['clock']}"),
        ("", _rate(frame["spend"], words)),
        ("", f"{opened['reserved']} open, {opened['running']} of them running; q ends"),
    ]
    for title, rows in (
        ("waiting for approval", [_waiting(row, words) for row in frame["waiting"]]),
        ("last decisions", [_decision(row, words) for row in frame["decisions"]]),
        ("nearest their limit", [_limit(row, words) for row in frame["limits"]]),
        ("accounts", [_account(row, words) for row in frame["accounts"]]),
    ):
        more = f", {len(rows) - each} more" if len(rows) > each else ""
        lines.append(("bold", f"{title}: {'none' if not rows else len(rows)}{more}"))
        lines += rows[:each]
    return [(style, _cut(text, width)) for style, text in lines][:height]


def _rate(spend: Mapping[str, Any], words: Wording) -> str:
    if not spend["charged"]:
        return f"nothing charged in the last {spend['frames']} frames"
    took = spend["took_ns"]
    rates = {unit: amount * MINUTE_NS // took for unit, amount in spend["charged"].items()} if took else {}
    told = [
        words.amount(amount, unit) + (f" ({words.amount(rates[unit], unit)} a minute)" if took else "")
        for unit, amount in spend["charged"].items()
    ]
    return f"charged in {span(took)}: {', '.join(told)}"


def _waiting(row: Mapping[str, Any], words: Wording) -> Line:
    digest = words.hash(row["intent_hash"])
    return "yellow", f"  {digest} {row['kind']} for {row['principal']}, {span(row['age_ns'])}"


def _decision(row: Mapping[str, Any], words: Wording) -> Line:
    codes = f" ({', '.join(row['codes'])})" if row["codes"] else ""
    at, digest = words.minute(row["at_ns"]), words.hash(row["intent_hash"])
    style = "green" if row["outcome"] == "allow" else "red" if row["outcome"] == "deny" else "yellow"
    return style, f"  {at} {row['outcome']}{codes} {digest} {row['kind']} by {row['principal']}"


def _limit(row: Mapping[str, Any], words: Wording) -> Line:
    percent = 100 * row["used"] // row["limit"]
    used, limit = (words.amount(row[key], row["dim"]) for key in ("used", "limit"))
    style = "red" if percent >= 100 else "yellow" if percent >= 80 else ""
    per = "in all" if row["per"] == LIFE else f"a {row['per']}"
    return style, f"  {percent:>3} % {row['grant']}: {used} of {limit} {per}"


def _account(row: Mapping[str, Any], words: Wording) -> Line:
    flying = words.amounts({unit: amount for unit, amount in row["in_flight"].items() if amount})
    return "", f"  {row['account']}: {words.amounts(row['balances']) or 'empty'}" + (
        f"; in flight {flying}" if flying else ""
    )


def _cut(text: str, width: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= width else shown[: width - 1] + CUT
