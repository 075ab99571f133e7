"""Where money came from, and the lines of the ledger: the rows on lineage, on the command line."""

import pytest
import splittally
from splittally import Intent, Receipt
from splittally.runtime.lineage import trace
from splittally.runtime.reader import open_reader

from tests.cli_tools import run
from tests.rows.worlds import tally

DESIGNER, TREASURY, MARKETING = "accounts/designer", "accounts/treasury", "budgets/marketing"
MANIFEST = {
    "resources": {"USD": 2, "LLM-Tokens": 0, "GPU-Hours": 0},
    "accounts": {DESIGNER: {}, TREASURY: {}, MARKETING: {}, "accounts/tea": {},
                 "external/investor": {}, "external/revenue": {}},
    "grants": {
        "marketing": {
            "cap": "sys/spend@1",
            "draws_on": dict.fromkeys(("USD", "LLM-Tokens", "GPU-Hours"), MARKETING),
            "pays_to": [DESIGNER, "accounts/"],
            "delegations": 2,
        },
        "banners": {"cap": "sys/spend@1", "parent": "marketing", "budget": {"USD": 500_000}},
    },
}  # fmt: skip


@pytest.fixture
def economy(folder):
    """A treasury of a million, a funded budget and a permission below it; the kernel and its folder."""
    with splittally.open(folder / "w", clock="given") as kernel:
        assert kernel.apply(MANIFEST).allowed
        for resource in ("USD", "LLM-Tokens", "GPU-Hours"):
            issue(kernel, 1_000_000, TREASURY, resource)
            transfer(kernel, 10_000, TREASURY, MARKETING, resource)
        yield kernel, folder / "w"


def issue(kernel, amount, to, resource="USD", **more):
    decision = kernel.native("ledger.issue", resource=resource, amount=amount, to=to, **more)
    assert decision.allowed, decision
    return decision


def transfer(kernel, amount, debit, to, resource="USD"):
    fields = {"resource": resource, "amount": amount, "from": debit, "to": to}
    decision = kernel.native("ledger.transfer", **fields)
    assert decision.allowed, decision
    return decision


def post(kernel, amount, resource="USD", grant="banners", **params):
    params = {"result": "a banner", "amounts": {resource: amount}, "payee": DESIGNER, **params}
    decision = kernel.submit(Intent("task.post", params, grant))
    assert decision.allowed, decision
    return decision


def pay(kernel, amount, resource="USD", grant="banners", **params):
    """Posts a task and settles it; the hash."""
    decision = post(kernel, amount, resource, grant, **params)
    kernel.settle(Receipt(decision.intent_hash, "ok", "adapter", {}))
    return decision.intent_hash


def walked(where, *target):
    """The levels that the command line tells, always as a list."""
    code, lines = tally(where, "trace", *map(str, target))
    assert code == 0, lines
    return lines if isinstance(lines, list) else [lines]


def lines_of(where, *options):
    code, lines = tally(where, "ledger", "--entries", *options)
    assert code == 0, lines
    return lines if isinstance(lines, list) else [lines]


# --- lineage ----------------------------------------------------------------------------------------


@pytest.mark.req("S0-57")
def test_what_investors_and_revenue_contribute_is_one_balance_with_its_sources(economy):
    kernel, where = economy
    issue(kernel, 10_000, "accounts/tea", **{"from": "external/investor", "note": "seed round"})
    issue(kernel, 2_000, "accounts/tea", **{"from": "external/revenue"})
    balance, *sources = walked(where, "accounts/tea")
    assert (balance["what"], balance["amount"], balance["resource"]) == ("balance", 12_000, "USD")
    assert [(x["level"], x["what"], x["debit"], x["amount"]) for x in sources] == [
        (1, "issue", "external/investor", 10_000),
        (1, "issue", "external/revenue", 2_000),
    ]


@pytest.mark.req("S0-231")
def test_the_designers_thousand_has_exactly_five_levels(economy):
    kernel, where = economy
    levels = walked(where, pay(kernel, 1_000).hex())
    assert [(x["level"], x["what"], x["debit"], x["credit"], x["amount"]) for x in levels] == [
        (1, "settlement", "", DESIGNER, 1_000),
        (2, "commitment", MARKETING, "", 1_000),
        (3, "funding", TREASURY, MARKETING, 1_000),
        (4, "debit", TREASURY, MARKETING, 1_000),
        (5, "issue", "external/issuer", TREASURY, 1_000),
    ]
    shown = run("-w", where, "trace", levels[0]["intent_hash"]).out
    assert [line.split()[1] for line in shown.splitlines()[1:]] == [x["what"] for x in levels]
    assert "settlement 10.00 USD to accounts/designer" in shown


@pytest.mark.req("S0-232", "S0-210")
@pytest.mark.parametrize("resource", ["USD", "LLM-Tokens", "GPU-Hours"])
def test_the_same_query_walks_every_unit_and_one_ledger_holds_all(economy, resource):
    kernel, where = economy
    levels = walked(where, pay(kernel, 7, resource).hex(), "--resource", resource)
    assert [x["what"] for x in levels] == ["settlement", "commitment", "funding", "debit", "issue"]
    assert {x["resource"] for x in levels} == {resource}
    assert {row["unit"] for row in lines_of(where)} == {"USD", "LLM-Tokens", "GPU-Hours"}


@pytest.mark.req("S0-230", "S0-229", "S0-228")
def test_every_debit_by_a_delegate_names_its_permission_and_the_chain_to_the_root(economy):
    kernel, where = economy
    terms = {"cap": "sys/spend@1", "budget": {"USD": 5_000}, "holder": "ann"}
    issued = kernel.native("grant.issue", grant="marketing", name="ann", terms=terms)
    assert issued.allowed, issued
    params = {"result": "a banner", "amounts": {"USD": 100}, "payee": DESIGNER}
    decision = kernel.as_principal("ann").submit(Intent("task.post", params, "ann"))
    assert decision.allowed, decision
    (commitment, *_) = walked(where, decision.intent_hash.hex())
    assert commitment["what"] == "commitment"
    assert commitment["chain"] == ["ann", "marketing", "root"]
    assert commitment["grant"] == "marketing"  # whose account pays
    assert commitment["principal"] == "ann"
    kernel.as_principal("ann").settle(Receipt(decision.intent_hash, "ok", "adapter", {}))
    rows = lines_of(where)
    assert all(row["grant"] for row in rows)
    mine = [row["permission"] for row in rows if row["intent_hash"] == decision.intent_hash.hex()]
    assert mine == ["ann"] * 4
    assert all(row["account"] or row["intent_hash"] for row in rows)


@pytest.mark.req("X0-22")
def test_a_sub_task_names_the_task_that_it_is_part_of(economy):
    kernel, where = economy
    prime = pay(kernel, 1_000)
    part = pay(kernel, 300, part_of=prime.hex())
    levels = walked(where, part.hex())
    assert [x.get("part_of") for x in levels] == [None, prime.hex(), None, None, None]
    assert [x.get("parts") for x in walked(where, prime.hex())] == [None, [part.hex()], None, None, None]
    shown = run("-w", where, "trace", prime.hex()).out
    assert f"has the part {part.hex()[:12]}" in shown


def test_what_is_unknown_is_said_and_a_filter_of_nothing_is_a_usage_error(economy):
    _, where = economy
    for target in ("ab" * 32, "999", "0", "accounts/nobody", "no-such"):
        code, document = tally(where, "trace", target)
        assert code == 1
        assert document["error"]["code"] == "not_found"
    code, document = tally(where, "ledger", "--entries", "--account", "accounts/nobody")
    assert (code, document["error"]["code"]) == (2, "invalid_input")
    assert run("-w", where, "ledger", "--account", DESIGNER).code == 2
    assert run("-w", where, "ledger", "--entries", "--grant", "nobody").code == 2


# --- entries ----------------------------------------------------------------------------------------


@pytest.mark.req("S0-172")
def test_a_task_that_passes_writes_one_debit_of_its_budget_with_account_amount_and_unit(economy):
    kernel, where = economy
    decision = post(kernel, 1_000)
    debit, credit = lines_of(where, "--from", str(decision.seq))
    assert (debit["direction"], debit["account"], debit["amount"], debit["unit"]) == (
        "debit", MARKETING, 1_000, "USD",
    )  # fmt: skip
    assert (credit["direction"], credit["account"]) == ("credit", "")
    assert debit["intent_hash"] == credit["intent_hash"] == decision.intent_hash.hex()
    assert lines_of(where, "--account", MARKETING, "--from", str(decision.seq)) == [debit]
    shown = run("-w", where, "ledger", "--entries", "--from", decision.seq).out.splitlines()
    assert shown[0].startswith("DEBIT   budgets/marketing  10.00 USD")
    assert shown[1].startswith(f"CREDIT  in flight of {decision.intent_hash.hex()[:12]}  10.00 USD")


@pytest.mark.req("S0-221", "S0-222")
def test_every_movement_stands_in_the_ledger_once_in_order_small_ones_too(economy):
    kernel, where = economy
    before = lines_of(where)
    asked = [transfer(kernel, amount, TREASURY, "accounts/tea") for amount in (1, 250, 1, 99)]
    refused = kernel.native(
        "ledger.transfer", resource="USD", amount=10**9, to=DESIGNER, **{"from": TREASURY}
    )
    assert not refused.allowed
    new = lines_of(where)[len(before) :]
    assert [(x["seq"], x["direction"], x["amount"]) for x in new] == [
        (decision.seq, direction, amount)
        for decision, amount in zip(asked, (1, 250, 1, 99), strict=True)
        for direction in ("debit", "credit")
    ]
    for unit in ("USD", "LLM-Tokens", "GPU-Hours"):
        rows = [x for x in lines_of(where) if x["unit"] == unit]
        signed = sum(x["amount"] * (1 if x["direction"] == "credit" else -1) for x in rows)
        assert signed == 0


@pytest.mark.req("S0-220")
def test_a_correction_is_a_new_entry_and_what_stood_there_stays(economy):
    kernel, where = economy
    paid = pay(kernel, 1_000)
    before = lines_of(where)
    assert kernel.native("settlement.refund", intent_hash=paid, amounts={"USD": 400}).allowed
    after = lines_of(where)
    assert after[: len(before)] == before
    assert [(x["direction"], x["account"], x["amount"], x["kind"]) for x in after[len(before) :]] == [
        ("debit", DESIGNER, 400, "refund"),
        ("credit", MARKETING, 400, "refund"),
    ]
    for kind in ("ledger.delete", "ledger.update"):
        asked = kernel.native(kind, seq=before[0]["seq"])
        assert (asked.allowed, asked.seq) == (False, None)
    assert lines_of(where) == after


def test_balances_are_the_entries_added_up(economy):
    kernel, where = economy
    pay(kernel, 1_000)
    post(kernel, 40)
    sums: dict[str, int] = {}
    for row in lines_of(where):
        if row["unit"] == "USD":
            sign = 1 if row["direction"] == "credit" else -1
            sums[row["account"]] = sums.get(row["account"], 0) + sign * row["amount"]
    assert sums.pop("") == kernel.state.resources["USD"].in_flight == 40
    assert sums == {
        name: account.balances["USD"] for name, account in kernel.state.accounts.items() if name in sums
    }


def test_a_reader_traces_from_python_too(economy):
    kernel, where = economy
    paid = pay(kernel, 1_000)
    with open_reader(where) as reader:
        frames = [(record.seq, record.body) for record in reader.records()]
    assert trace(frames, paid) == trace(frames, paid.hex()) == trace(iter(frames), paid)
    assert [x.amount for x in trace(frames, DESIGNER, "USD")][:2] == [1_000, 1_000]


def test_a_kernel_walks_its_own_payments_as_the_command_line_does(tmp_path):
    with splittally.open(tmp_path / "w", clock="given") as kernel:
        assert kernel.apply(
            {"resources": {"USD": 0}, "accounts": {"accounts/a": {}, "accounts/b": {}}}
        ).allowed
        assert kernel.native("ledger.issue", resource="USD", amount=9, to="accounts/a").allowed
        moved = {"resource": "USD", "amount": 4, "from": "accounts/a", "to": "accounts/b"}
        assert kernel.native("ledger.transfer", **moved).allowed
        levels = kernel.trace("accounts/b")
        assert [level.what for level in levels] == ["balance", "funding", "debit", "issue"]
        assert [level.document() for level in kernel.fork().trace("accounts/b")] == [
            level.document() for level in levels
        ]
