"""The ready machine passes over a sound kernel and catches one bug after the other that is planted in it."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test
from splittally import Intent, Receipt
from splittally.core.ledger import check as checking
from splittally.core.ledger import evolve as evolving
from splittally.core.ledger import tick as ticking
from splittally.runtime import answers
from splittally.runtime.history import History
from splittally.sandbox import builtin
from splittally_tools.testing import WorldMachine, open_journal
from splittally_tools.testing.artifacts import KEEPING
from splittally_tools.testing.strategies import edited, manifests

from tests.cli_tools import run

ASK = [
    {"dim": "USD", "per": "intent", "amount": 25, "over": "ask"},
    {"dim": "USD", "per": "5m", "amount": 90},
]
MONEY = {
    "resources": {"USD": 2},
    "accounts": {"accounts/team": {}, "vendors/mill": {}},
    "grants": {
        "team": {
            "cap": "sys/allow@1", "params": {"reserve": {"USD": 20}}, "budget": {"USD": 120}, "limits": ASK,
            "draws_on": {"USD": "accounts/team"}, "pays_to": ["vendors/mill"], "approval_ns": 10**9,
        },
        "one": {
            "cap": "sys/allow@1", "parent": "team", "params": {"reserve": {"USD": 10}}, "budget": {"USD": 40},
        },
        "llm": {"cap": "sys/llm.basic@1", "budget": {"tokens": 200}, "above": "cap", "unknown_ns": 10**9},
    },
}  # fmt: skip


LLM = {"grants": {"g": {"cap": "sys/llm.basic@1", "budget": {"tokens": 60}}}}
COST = {"grants": {"g": {"cap": "sys/cost@1", "budget": {"cost_cents": 50}}}}


class Money(WorldMachine):
    """Cards on an account, an approval, and a grant that caps what it is charged."""

    manifest = MONEY

    def prepare(self, kernel):
        assert kernel.native("ledger.issue", resource="USD", amount=300, to="accounts/team").allowed


class OfTheAuthor(Money):
    """Holds from before the first step, and a rule of one's own."""

    def prepare(self, kernel):
        super().prepare(kernel)
        assert kernel.submit(Intent("llm.generate", {"max_tokens": 3}, "llm")).allowed

    @rule(tokens=st.integers(0, 9))
    def call(self, tokens):
        decision = self.ask(Intent("llm.generate", {"max_tokens": tokens}, "llm"))
        if decision.allowed:
            payload = {"prompt_tokens": 0, "completion_tokens": tokens}
            self.deliver(Receipt(decision.intent_hash, "ok", "author", payload))


class TestOfTheAuthor(OfTheAuthor.TestCase):
    settings = settings(OfTheAuthor.TestCase.settings, max_examples=8, stateful_step_count=20)


class OnDisk(Money):
    store = "lmdb"


class TestMoney(Money.TestCase):
    settings = settings(Money.TestCase.settings, max_examples=25, stateful_step_count=30)


class TestOnDisk(OnDisk.TestCase):
    settings = settings(OnDisk.TestCase.settings, max_examples=5, stateful_step_count=20)


class Anything(WorldMachine):
    """A world that is drawn first."""

    @initialize(document=manifests(grants_max=3))
    def make(self, document):
        assert self.kernel.apply(document).allowed
        self.document = document


class TestAnything(Anything.TestCase):
    settings = settings(Anything.TestCase.settings, max_examples=25, stateful_step_count=15)


# --- bugs -------------------------------------------------------------------------------------------


def caught(machine=Money, examples=60):
    """What the machine says of a kernel with a bug; nothing is made smaller."""
    quick = settings(
        machine.TestCase.settings, max_examples=examples, stateful_step_count=30,
        phases=[Phase.generate], database=None, report_multiple_bugs=False,
    )  # fmt: skip
    with pytest.raises(AssertionError) as error:
        run_state_machine_as_test(machine, settings=quick)
    return str(error.value)


def charges_nothing(ledger, key, reserve, amount):
    return charge(ledger, key, reserve, 0)


charge = evolving._charge
BUGS = {
    "limits are not compared": ((checking, "_refuse", lambda *_: None), "admitted above a limit|holds 20 of"),
    "what is charged is not counted": ((evolving, "_charge", charges_nothing), "spent, and by the answers"),
    "a release gives nothing back": ((ticking, "return_draws", lambda *_: []), "in flight"),
    "what is known is asked again": ((History, "trace", lambda *_: None), "journal"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_in_the_kernel_is_caught(monkeypatch, bug):
    (owner, name, planted), told = BUGS[bug]
    monkeypatch.setattr(owner, name, planted)
    assert any(word in caught() for word in told.split("|"))


def test_an_intent_that_is_answered_afresh_is_caught(monkeypatch):
    """The machine's rules compare what hosts are told; the journal alone would not show it."""
    monkeypatch.setattr(answers, "_known", lambda world, principal, member: None)
    told = caught()
    assert "afresh" in told or "comes out otherwise" in told


def test_a_wrong_expectation_of_the_author_is_caught():
    class Bounded(WorldMachine):
        manifest = COST
        bounded = ("cost_cents",)

        def intents(self):
            return st.just(Intent("llm.generate", {}, "g"))

    assert "`cost_cents`: " in caught(Bounded)


# --- counter-examples -------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    before = KEEPING.under(lambda: tmp_path / "kept")
    yield tmp_path / "kept"
    KEEPING.under(before)


class Refuses(WorldMachine):
    """An author whose claim is wrong: that five tokens are never reserved."""

    manifest = LLM

    @invariant()
    def the_world_is_sound(self):
        assert self.kernel.state.counters["g"]["tokens"].reserved < 5, "too much"


def test_the_smallest_failing_run_is_kept_as_a_world(kept):
    quick = settings(
        Refuses.TestCase.settings, stateful_step_count=6, database=None, report_multiple_bugs=False
    )
    with pytest.raises(AssertionError, match="too much") as error:
        run_state_machine_as_test(Refuses, settings=quick)
    (folder,) = kept.iterdir()
    assert f"tally -w {folder} log" in "\n".join(error.value.__notes__)
    assert run("-w", folder, "verify", "--rejudge").code == 0
    with open_journal(folder) as reader:
        assert reader.head.size <= 4  # open, manifest, and hardly more than the one intent that it takes
        (held,) = reader.state.reservations.values()
        assert held.reserve == {"tokens": 5}


def test_a_passing_run_keeps_nothing(kept):
    quick = settings(Money.TestCase.settings, max_examples=2, stateful_step_count=5)
    run_state_machine_as_test(Money, settings=quick)
    assert not kept.exists()


def test_an_edited_manifest_differs_in_one_limit():
    @settings(max_examples=10)
    @given(edited(MONEY))
    def check(document):
        changed = [name for name in MONEY["grants"] if document["grants"][name] != MONEY["grants"][name]]
        assert len(changed) <= 1
        assert {**document, "grants": None} == {**MONEY, "grants": None}

    check()


def test_a_manifest_may_be_a_file_with_modules_beside_it(tmp_path):
    (tmp_path / "own.wasm").write_bytes(builtin("sys/CapAllowAll@1"))
    file = tmp_path / "shop.toml"
    file.write_text(
        '[effects."a.b"]\n[caps."my/a.b@1"]\nenforcer = "own.wasm"\n'
        '[grants.g]\ncap = "my/a.b@1"\nbudget = { x = 5 }\n'
    )

    class FromFile(WorldMachine):
        manifest = file

    machine = FromFile()
    with machine.kernel:
        assert machine.kernel.apply(machine.with_modules(machine.document)).seq is None
        assert not machine.intents().is_empty
