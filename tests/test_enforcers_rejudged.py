"""The built-ins, asked again whatever journals recorded of them: nothing comes out otherwise."""

from pathlib import Path

import pytest
from splittally import Intent, Receipt
from splittally.core.types import CAP_ANY_TYPE
from splittally.edge.release import CAPS, KINDS
from splittally.sandbox import builtin, builtin_names
from splittally_tools.audit.replay_diff import judged_otherwise
from splittally_tools.audit.upgrades import build_for
from splittally_tools.testing import assert_replays
from splittally_tools.testing.worlds import make_world, open_journal

from tests.test_enforcers_abi import LLM_BASIC, NATIVE, TYPICAL

JOURNALS = sorted((Path(__file__).parent.parent / "fixtures" / "journals").glob("*/*.cborseq"))
OTHER_KIND = "mail.send"  # of those that the built-ins judge and the release does not define


def again(reader, name):
    """The report of asking this release's module each call of the module of this name."""
    with judged_otherwise(reader, *build_for(reader, (name,), builtin(name))[1:]) as report:
        return report.document(), report.differences.first


def nothing_changed(reader):
    """How many calls of each module were asked again; fails where one is answered otherwise."""
    asked = {}
    for name in builtin_names():
        told, differences = again(reader, name)
        assert (differences, told["unmatched"], told["reworded"]) == ([], 0, 0), name
        asked[name] = (told["checks"], told["settles"])
    return asked


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recorded_call_of_a_golden_journal_is_answered_as_it_was(path):
    with open_journal(path) as reader:
        asked = nothing_changed(reader)
    assert sum(map(sum, asked.values())) > 100


def grant_of(name):
    """The name of the grant that asks a built-in; the operator's own for native effects."""
    return name.removeprefix("sys/CapEnforce").removeprefix("sys/Cap").replace("@", "/").lower()


def test_a_world_that_asks_every_built_in_is_judged_again_to_the_same_bytes(tmp_path):
    caps = {module: (cap, cap_type) for cap, (cap_type, module) in CAPS.items()}
    caps[LLM_BASIC] = ("acme/llm@1", "llm.basic")  # the cap of older worlds
    grants = {
        grant_of(name): {"cap": caps[name][0], "params": params}
        for name, (_, params, *_) in TYPICAL.items()
        if name != NATIVE
    }
    grants |= {"books": {"cap": "sys/native@1", "params": {"operations": ["account.open"]}}}
    effects = {OTHER_KIND: {"cap_type": CAP_ANY_TYPE}}
    with make_world(
        {
            "effects": effects,
            "caps": {"acme/llm@1": {"enforcer": LLM_BASIC, "cap_type": "llm.basic"}},
            "grants": grants,
        },
        "lmdb",
        path=tmp_path / "world",
    ) as kernel:
        for name, (kind, _, params, reserve, payload) in TYPICAL.items():
            if name == NATIVE:
                assert kernel.native("account.open", account="accounts/a", grant="books").allowed
                continue
            decision = kernel.submit(Intent(kind, params, grant_of(name)))
            assert (decision.outcome, decision.reserve) == ("allow", reserve), name
            kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", payload, cost_cents=3))
            decision = kernel.submit(Intent(kind, params, grant_of(name)))
            kernel.settle(Receipt(decision.intent_hash, "error", "adapter", {"unread": [1.5]}))
        assert_replays(kernel)
    with open_journal(tmp_path / "world") as reader:
        asked = nothing_changed(reader)
    for name, (checks, settles) in asked.items():
        assert (checks, settles) == ((1, 0) if name == NATIVE else (2, 2)), name


def test_the_kinds_of_the_release_have_a_built_in_that_judges_them():
    types = {cap_type for cap_type, _ in CAPS.values()}
    assert {cap_type for cap_type, _ in KINDS.values()} <= types
