"""The specification says what the code does: generated parts, tables, terms and examples are compared."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import splittally
from splittally.core import limits, types
from splittally.core.events import GrantRevoked, GrantSet, Held, HoldChanged, Released, Settled
from splittally.core.native import NATIVE
from splittally.core.reasons import REASONS
from splittally.edge import limit_terms, policy_terms
from splittally.edge import manifest as manifests

from tests import golden, spec
from tests.golden_questions import bodies_of

ROOT = Path(__file__).parent.parent


@cache
def findings():
    return golden.play_tour(golden.genesis_of(golden.stored_frames())).found + golden.play_host().found


@cache
def page(name: str) -> str:
    return (spec.SPEC / name).read_text("utf-8")


def mine() -> list[str]:
    return [
        "00-glossary.md",
        "02-records.md",
        "04-pipeline.md",
        "05-ledger.md",
        "06-manifest.md",
        "10-codes.md",
        "11-budgets.md",
        "16-client.md",
    ]


# --- generated parts --------------------------------------------------------------------------------


def test_the_page_of_codes_is_that_of_the_source():
    assert page("10-codes.md") == spec.codes_page(findings())
    assert re.findall(r"^### `(.+)`$", page("10-codes.md"), re.MULTILINE) == list(REASONS)


@pytest.mark.parametrize("path", sorted(spec.SPEC.glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_the_generated_parts_of_a_page_are_those_of_the_source(path):
    text = path.read_text("utf-8")
    assert text == spec.with_parts(text)


def test_every_generated_part_stands_on_a_page():
    text = "".join(page(name) for name in mine())
    assert re.findall(r"<!-- generated: (\w+) -->", text)
    assert set(re.findall(r"<!-- generated: (\w+) -->", text)) == set(spec.generated())


@pytest.mark.parametrize("kind", sorted(NATIVE))
def test_the_table_of_native_effects_lists(kind):
    assert f"| `{kind}` |" in page("04-pipeline.md")


# --- lifecycles -------------------------------------------------------------------------------------


def test_the_lifecycle_of_a_hold_is_what_the_golden_journal_goes_through():
    """Every step that is taken stands in the table, and every row of the table is taken."""
    seen = set()
    phases: dict[bytes, str] = {}
    for event in golden_events():
        match event:
            case Held() | HoldChanged():
                step, after = f"{type(event).__name__}({event.phase})", event.phase
            case Settled():
                step, after = f"Settled({event.how})", "released" if event.how == "late" else "settled"
            case Released():
                step, after = f"Released({event.cause})", "released"
            case _:
                continue
        seen.add((phases.get(event.intent_hash, ""), step, after))
        phases[event.intent_hash] = after
    assert seen == set(spec.HOLD)


def test_the_lifecycle_of_a_grant_is_what_the_golden_journal_goes_through():
    seen = set()
    status: dict[str, str] = {}
    for event in golden_events():
        if isinstance(event, GrantSet):
            seen.add((status.get(event.grant.name, ""), "GrantSet", "live"))
            status[event.grant.name] = "live"
        if isinstance(event, GrantRevoked):
            seen.add((status[event.name], "GrantRevoked", "revoked"))
            status[event.name] = "revoked"
    assert seen == set(spec.GRANT)


def golden_events():
    return [event for body in bodies_of(golden.stored_frames()) for event in body.out]


# --- examples and names -----------------------------------------------------------------------------


def examples(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


def test_the_example_of_a_manifest_shows_every_key_and_can_be_applied(tmp_path):
    (example,) = examples("06-manifest.md", "toml")
    document = tomllib.loads(example)
    assert set(document) == set(manifests.TABLES)
    for table, keys in (
        ("effects", manifests.EFFECT_KEYS), ("caps", manifests.CAP_KEYS), ("grants", manifests.GRANT_KEYS),
    ):  # fmt: skip
        shown = {key for entry in document[table].values() for key in entry}
        assert set(keys) - shown <= {"expiry_ns"}, table
    shown = {key for rule in document["policy"] for key in rule}
    assert set(policy_terms.RULE_KEYS) - shown <= {"origin_kind", "origin_name", "cap_name", "cap_type"}
    path = tmp_path / "team.toml"
    path.write_text(example, "utf-8")
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply(path)
        assert (decision.outcome, decision.findings) == ("allow", ())
        assert kernel.apply(path).seq is None


KEYS = [
    *manifests.TABLES, *manifests.EFFECT_KEYS, *manifests.CAP_KEYS, *manifests.GRANT_KEYS,
    *limit_terms.LIMIT_KEYS, *policy_terms.RULE_KEYS,
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_the_chapter_on_manifests_explains_every_key(key):
    assert f"`{key}`" in page("06-manifest.md")


@pytest.mark.parametrize("name", ["Intent", "Receipt", "Decision", "Settlement", "HoldChange"])
def test_the_chapter_on_records_lists_every_field_of(name):
    """A field of a public record stands in the first column of the table under its heading."""
    section = page("02-records.md").split(f"### {name}\n")[1].split("\n### ")[0].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert listed == list(getattr(splittally, name).__struct_fields__)


def test_the_lines_shown_in_the_chapter_on_records_are_json():
    for example in examples("02-records.md", "json"):
        for line in example.splitlines():
            assert isinstance(json.loads(line), dict)


def test_bounds_named_in_the_chapters_have_the_numbers_of_the_source():
    """A bound is written as `NAME` (number), so that a reader need not look it up."""
    found = [pair for name in mine() for pair in re.findall(r"`([A-Z_]+_MAX)` \(([\d,]+)\)", page(name))]
    assert len(found) >= 6
    for name, number in found:
        assert getattr(limits, name) == int(number.replace(",", "")), name


@pytest.mark.parametrize(
    "words", ["STRICTEST_FIRST", "RELEASE_CAUSES", "RECEIPT_STATUSES", "OVERS", "CALENDAR_WINDOWS"]
)
def test_the_closed_lists_of_words_are_written_out(words):
    text = page("04-pipeline.md") + page("05-ledger.md")
    assert all(f"`{word}`" in text for word in getattr(types, words))


def test_every_term_of_the_glossary_stands_once_and_in_order():
    terms = re.findall(r"^\*\*(.+?)\*\*", page("00-glossary.md"), re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) == len(set(terms))


def test_links_of_the_specification_lead_somewhere():
    pages = [
        *spec.SPEC.glob("*.md"),
        *(spec.SPEC / "adr").glob("*.md"),
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
    ]
    for path in [*pages, ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
