"""The parts of the specification that are generated: codes, native effects, lifecycles, endings of calls.

`python -m tests.golden` writes them; `tests/test_spec.py` fails when a page differs from its source.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from splittally.client.endings import ENDINGS
from splittally.core.budget.proposals import LIFECYCLE
from splittally.core.findings import Finding
from splittally.core.ledger import lifecycle
from splittally.core.native import NATIVE
from splittally.core.reasons import REASONS
from splittally.edge.sentences import sentence
from splittally.edge.wording import Wording

SPEC = Path(__file__).parent.parent / "spec"
SAID = Wording({"USD": 2})  # the tour's money; all else there has no decimals

STAGES = {
    "edge": "Answered without a record, before anything is decided. `seq` is null and the same key may be "
    "tried again.",
    "known": "What the journal knows already. Answered without a record.",
    "caps": "Stage 3: may this principal, under this chain of grants, ask for this?",
    "enforcer": "Stage 4. An enforcer that refuses brings a code of its own, listed in its README; the "
    "kernel's own code here says that it gave no answer.",
    "ledger": "Stage 5: is there enough? Limits of every leg, and every account drawn on.",
    "native": "What a native effect itself finds (stage 5), and what comes beside its answer.",
    "plan": "Stage 6: do the plans of the budgets whose accounts are debited still hold?",
    "policy": "Stage 7.",
    "governor": "Stage 8: should it happen now? A deferred or escalated intent is judged afresh next time.",
    "group": "Intents that are decided together.",
    "settle": "Violations: found when a hold is settled. They change no outcome; settling always ends a "
    "hold. The first three are no such: for them the receipt is refused, and the hold stays as it was.",
}

# phase or status, what happens, phase or status after it
HOLD = [(before, f"{event}({detail})", after) for (before, event, detail), after in lifecycle.HOLD.items()]

GRANT = [
    ("", "GrantSet", "live"),
    ("live", "GrantSet", "live"),
    ("live", "GrantRevoked", "revoked"),
]


def codes_page(findings: Iterable[Finding]) -> str:
    """`spec/10-codes.md`: one heading for each code, with what the golden tour shows of its facts.

    The sentence is that of the finding with most facts.
    """
    facts: dict[str, set[str]] = {code: set() for code in REASONS}
    fullest: dict[str, Finding] = {}
    for finding in findings:
        if finding.code in REASONS and finding.stage == REASONS[finding.code].stage:
            facts[finding.code] |= set(finding.facts) - {"next", "then"}
            both = fullest.get(finding.code, finding), finding
            fullest[finding.code] = max(both, key=lambda each: len(each.facts))
    parts = [CODES_HEAD]
    stage = ""
    for code, reason in REASONS.items():
        if reason.stage != stage:
            stage = reason.stage
            parts.append(f"## Stage `{stage}`\n\n{STAGES[stage]}\n")
        parts.append(f"### `{code}`\n\n{reason.meaning[0].upper()}{reason.meaning[1:]}.\n")
        shown = ", ".join(f"`{name}`" for name in sorted(facts[code])) or "none"
        advice = f"`{reason.advice}`" if reason.advice else "none"
        parts.append(f"Facts: {shown}. Next: {advice}.\n")
        if code in fullest:
            parts.append(f"Said: {sentence(fullest[code], SAID)}.\n")
    return "\n".join(parts)


CODES_HEAD = """# 10. Codes

Every finding is `{stage, code, facts}`. The code is for programs, the facts are numbers and names, and
`facts.next` says what the caller can do: `retry_after` (the same again later), `replan` (ask for something
else), `top_up` (raise a limit or fund an account), `ask_approval`, `escalate`, `look_again` (at the plan of a
manifest), `confirm` (what cannot be undone), or `new_key`: this denial was told before and stands for its
key, so do what `facts.then` says and ask under another key. Text never decides anything. A code has other
advice than the one below where the numbers say that this cannot help.

What waits for a window says when that ends: `resets_ns` in logical time, `resets` for people. The window ends
by itself then; there may be room earlier, where an open hold ends below its reserve, something is refunded or
the bound is raised. A bound for life has no such time. What can never fit is denied and has none either.

The list is closed, in the order in which the stages run, and a code is never reused for another meaning.
This page is generated from `core/reasons.py` and `edge/phrases.py`; the facts are those that the golden
journal (`fixtures/journals/today/tour.txt`) shows, so each code can be seen there in its place. A finding may
carry fewer facts than are listed here. Behind `Said` stands, as an example, what it says to people, at a
terminal and in `Decision.reason`; a figure that a finding does not carry is left out of its sentence.
"""


def native_table() -> str:
    """The table of native effects: params by name, and what each does."""
    rows = ["| kind | params | what it does |", "|---|---|---|"]
    for kind in sorted(NATIVE):
        native = NATIVE[kind]
        rows.append(f"| `{kind}` | {_params_shown(native.params)} | {native.help} |")
    return "\n".join(rows)


def _params_shown(struct: Any) -> str:
    hints = get_type_hints(struct)
    shown = []
    for field in msgspec.structs.fields(struct):
        text = f"`{field.encode_name}`: {_type_shown(hints[field.name])}"
        if not field.required:
            text += ", may be absent"
        shown.append(text)
    return "; ".join(shown)


def _type_shown(hint: Any) -> str:
    names = {int: "integer", str: "text", bytes: "bytes", bool: "true or false", type(None): "null"}
    if hint in names:
        return names[hint]
    arguments = [part for part in get_args(hint) if part is not msgspec.UnsetType]
    if msgspec.UnsetType in get_args(hint):
        return " or ".join(_type_shown(part) for part in arguments)
    if get_origin(hint) is list:
        return f"list of {_type_shown(arguments[0])}"
    if get_origin(hint) is dict:
        return f"map of {_type_shown(arguments[1])}"
    if arguments:
        return " or ".join(_type_shown(x) for x in arguments if x is not type(None))
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in hint.__name__)
    return words.strip()


def lifecycle_shown(table: list[tuple[str, str, str]]) -> str:
    """A lifecycle as a table and as a Mermaid state diagram of the same rows."""
    rows = ["| from | event | to |", "|---|---|---|"]
    rows += [f"| {before or '(none)'} | `{event}` | {after} |" for before, event, after in table]
    edges: dict[tuple[str, str], list[str]] = {}
    for before, event, after in table:
        edges.setdefault((before or "[*]", after), []).append(event)
    diagram = ["```mermaid", "stateDiagram-v2"]
    diagram += [f"    {before} --> {after}: {'<br>'.join(told)}" for (before, after), told in edges.items()]
    return "\n".join([*rows, "", *diagram, "```"])


def dialogue_table() -> str:
    """Which act fits which kind of proposal, who may do it, and as what the proposal ends."""
    rows = ["| kind | act | who may | ends as |", "|---|---|---|---|"]
    for (kind, act), rule in LIFECYCLE.items():
        operation = f"`{rule.who.operation}`" if rule.who.operation else "anybody"
        who = "who proposed it" if rule.who.is_author else operation
        rows.append(f"| `{kind}` | `{act}` | {who} | {rule.ends or '-'} |")
    return "\n".join(rows)


def endings_table() -> str:
    """The table of endings: what a client tells the kernel, and what its host gets."""
    rows = ["| when | row | what happened | the kernel is told | the host gets |", "|---|---|---|---|---|"]
    for row in ENDINGS:
        told = f"`{row.told}`" if row.told else "nothing"
        rows.append(f"| {row.when} | `{row.name}` | {row.happened} | {told} | {row.host} |")
    return "\n".join(rows)


def generated() -> dict[str, str]:
    """The marked parts of pages that people write, by name."""
    return {
        "native": native_table(),
        "hold": lifecycle_shown(HOLD),
        "grant": lifecycle_shown(GRANT),
        "endings": endings_table(),
        "dialogue": dialogue_table(),
    }


def with_parts(text: str) -> str:
    """A page with each `<!-- generated: NAME -->` part as it is now."""
    for name, part in generated().items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        if begin in text:
            before, rest = text.split(begin, 1)
            text = f"{before}{begin}\n{part}\n{end}{rest.split(end, 1)[1]}"
    return text


def write(findings: Iterable[Finding]) -> None:
    """Rewrite the generated page and the generated parts of the others."""
    (SPEC / "10-codes.md").write_text(codes_page(findings), "utf-8")
    for path in sorted(SPEC.glob("[0-9]*.md")):
        text = path.read_text("utf-8")
        if with_parts(text) != text:
            path.write_text(with_parts(text), "utf-8")
