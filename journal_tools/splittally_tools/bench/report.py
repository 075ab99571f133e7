"""What the benchmark says: one JSON object for programs, tables for people."""

from typing import Any

from splittally.core.canonical import FAST

from splittally_tools.bench.plan import CALLERS, Measured, callers_summary, summary
from splittally_tools.bench.stats import Ratio, Series, ratio
from splittally_tools.cli import people
from splittally_tools.cli.output import Page, say

CODEC = "cbrrr" if FAST else "cbor2"
# name of a ratio -> the contestant and its floor
RATIOS = {
    "decisions": ("decisions", "decisions_floor"),
    "pairs": ("pairs", "pairs_floor"),
    "depth3": ("depth3", "decisions_floor"),
    "depth3_three_calls": ("depth3", "depth3_floor"),
}
LABELS = {
    "decisions": "decisions",
    "pairs": "decision and settlement",
    "depth3": "decisions, chain of 3",
    "depth3_three_calls": "the same, floor of 3 calls",
}
FACES = {"http": "single posts", "ndjson": "lines of JSON", "frames": "pipelined frames"}


def document(measured: Measured) -> dict[str, Any]:
    """Everything as one object; rates are a second, `min` and `max` are of the repeats."""
    series = measured.series
    ratios = {name: ratio(series[ours], series[floor]) for name, (ours, floor) in RATIOS.items()}
    return {
        "codec": CODEC,
        "fdatasync_us": round(measured.sync_us, 1),
        "decisions_per_s": round(series["decisions"].rate, 1),
        "decisions_floor_per_s": round(series["decisions_floor"].rate, 1),
        "decisions_ratio": round(ratios["decisions"].median, 4),
        "pairs_per_s": round(series["pairs"].rate, 1),
        "pairs_floor_per_s": round(series["pairs_floor"].rate, 1),
        "pairs_ratio": round(ratios["pairs"].median, 4),
        "depth3_per_s": round(series["depth3"].rate, 1),
        "depth3_ratio": round(ratios["depth3"].median, 4),
        "fold_frames_per_s": round(measured.fold_frames_per_s, 1),
        "fold_frames": measured.fold_frames,
        "rejudge_frames_per_s": round(measured.rejudge_frames_per_s, 1),
        "rejudge_frames": measured.rejudge_frames,
        "callers": CALLERS,
        **callers_summary(measured),
        **summary(measured),
        "ratios": {name: _rounded(value) for name, value in ratios.items()},
        "series": {name: each.row() for name, each in series.items()},
        "stages_us": measured.stages,
        "size": measured.size._asdict(),
    }


def _rounded(value: Ratio) -> dict[str, float]:
    return {name: round(part, 4) for name, part in value._asdict().items()}


def show(measured: Measured, served: dict[str, Any], out: Page) -> None:
    """The report for people; of the faces, where they could be measured."""
    found = document(measured)
    say(out, f"codec {found['codec']}, fdatasync {found['fdatasync_us']:,.0f} µs, groups of 64, in turns")
    out.print(_ratio_table(measured))
    out.print(_stage_table(measured.stages))
    say(
        out,
        f"fold      {found['fold_frames_per_s']:,.0f} frames/s ({found['fold_frames']:,} frames); "
        f"judge again {found['rejudge_frames_per_s']:,.0f} frames/s ({found['rejudge_frames']:,} frames)",
    )
    say(out, f"callers   {CALLERS} in one process: p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms")
    say(
        out,
        f"holds     {found['holds_many']:,} open: {found['bytes_per_open_hold']:,} bytes each, "
        f"{found['cost_many_over_few']:.2f} × the cost of a decision at {found['holds_few']:,}",
    )
    say(out, f"open      {found['open_frames']:,} frames from a snapshot in {found['open_seconds']:.3f} s")
    if served:
        out.print(face_table(served))


def _ratio_table(measured: Measured) -> Any:
    rows = []
    for name, (ours, floor) in RATIOS.items():
        kernel, under = measured.series[ours], measured.series[floor]
        found = ratio(kernel, under)
        rows.append(
            _row(
                LABELS[name],
                *_rates(kernel),
                *_rates(under),
                f"{found.median:.2f}",
                f"{found.least:.2f} – {found.most:.2f}",
                f"{found.on_processor:.2f}",
            )
        )
    heads = ("", "kernel /s", "min – max", "floor /s", "min – max", "ratio", "min – max", "on processor")
    return people.table(heads, rows)


def face_table(served: dict[str, Any]) -> Any:
    """What the faces of a service cost, for people: rates, and microseconds of the processor a request."""
    rows = [
        _row(
            label,
            f"{served[f'{name}_per_s']:,.0f}",
            *(f"{served[f'{name}{what}_us']:.1f}" for what in ("", "_in_process", "_echo")),
            f"{served[f'{name}_face_ratio']:.2f}",
            f"{served[f'{name}_face_ratio_least']:.2f} – {served[f'{name}_face_ratio_most']:.2f}",
        )
        for name, label in FACES.items()
    ]
    heads = ("", "served /s", "served µs", "in process µs", "echo µs", "face / echo", "min – max")
    return people.table(heads, rows)


def _rates(series: Series) -> tuple[str, str]:
    return f"{series.rate:,.0f}", f"{min(series.rates):,.0f} – {max(series.rates):,.0f}"


def _stage_table(stages: dict[str, dict[str, float]]) -> Any:
    names = next(iter(stages.values()))
    rows = [_row(name, *(f"{each[name]:.1f}" for each in stages.values())) for name in names]
    return people.table(("µs of a", *stages), rows)


def _row(label: str, *numbers: str) -> list[tuple[str, bool]]:
    return [(label, False), *((number, True) for number in numbers)]
