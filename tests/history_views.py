"""What a world shows of a history beside what the obvious model says: tables, explain, trace, digest."""

from splittally.core.types import RESERVED
from splittally.runtime.lineage import read_history
from splittally.runtime.lineage.levels import origins_of
from splittally.runtime.lineage.targets import trace_in
from splittally_tools.audit.explanation import explain
from splittally_tools.audit.governor_spend import spent_by_lane

from tests.model.records import start_of

EXPLAINED = 12  # intents of a history: most read the journal up to the frame that decided them
TEAM, VENDOR, ISSUER = "accounts/team", "accounts/vendor", "external/issuer"


# --- after every step -------------------------------------------------------------------------------


def compare_tables(state, model):
    """Grants, counters, windows, holds, the governor and the accounts."""
    assert {*state.grants} - {"root"} == {name for name, grant in model.grants.items() if not grant.forgotten}
    rows = {(name, dim, "life", 0): row for name, dims in state.counters.items() for dim, row in dims.items()}
    rows |= dict(state.windows.items())
    assert set(rows) == set(model.counters)
    for key, counter in model.counters.items():
        row = rows[key]
        found = (row.limit, row.reserved, row.spent, row.get("refunded", 0))
        limit = None if counter.limit < 0 else counter.limit
        assert found == (limit, counter.reserved, counter.spent, counter.refunded), key
    held = {key: hold for key, hold in model.holds.items() if hold.status == RESERVED}
    rows = {key: (row.phase, row.due_ns) for key, row in state.reservations.items()}
    assert rows == {key: (hold.phase, hold.due or None) for key, hold in held.items()}
    compare_governor(state.governor, model, held.values())
    accounts = state.accounts
    assert accounts[TEAM].balances.get("USD", 0) == model.team
    assert accounts[VENDOR].balances.get("USD", 0) == model.vendor
    assert (state.resources["USD"].in_flight, state.resources["USD"].imbalance) == (model.flying, 0)


def compare_governor(row, model, held):
    """Each cap with what counts against it and what of that is reserved, and what was said today."""
    assert (row is None) == (model.caps is None)
    if row is None:
        return
    reserved = {cap[0]: sum(x.reserve.get(cap[0], 0) for x in held) for cap in model.caps}
    found = [(x.resource, x.per, x.amount, x.counted, x.reserved) for x in row.caps]
    assert sorted(found) == sorted((*cap, model.counted(*cap[:2]), reserved[cap[0]]) for cap in model.caps)
    today = start_of("day", model.now)
    assert row.verdicts == {x: count for x, (day, count) in model.verdicts.items() if day == today}
    assert (row.escalated, row.lanes) == (0, {})


# --- at the end -------------------------------------------------------------------------------------


def compare_views(reader, model, told, chance):
    """What a journal says of the intents in it; `told` is the answer that each got."""
    for digest in chance.sample(sorted(told), min(EXPLAINED, len(told))):
        compare_explained(explain(reader, digest), model.holds.get(digest), *told[digest])
    if model.caps is not None:
        compare_spent(spent_by_lane(reader, reader.folded), model)
    compare_sums(reader.state, model)
    compare_lineage(read_history((record.seq, record.body) for record in reader.records()), model)


def compare_explained(row, hold, outcome, codes, grant):
    """The answer and the chain, what was held, and everything that became of it, in order."""
    assert (row["outcome"], row["grant"]) == (outcome, grant)
    assert sorted(x["code"] for x in row["findings"]) == sorted(codes)
    if hold is None:
        assert (row["status"], row["phase"], row["then"], row["reserve"]) == ("", "", [], {})
        return
    assert [link["grant"] for link in row["chain"]] == [*hold.chain, "root"]
    assert all(x["reserve"] == hold.reserve for x in row["chain"][:-1])
    assert (row["status"], row["reserve"]) == (hold.status, hold.reserve)
    assert row["phase"] == (hold.phase if hold.status == RESERVED else "")
    drawn = [("USD", TEAM, hold.drawn, hold.chain.index(hold.payer))] if hold.payer else []
    assert [tuple(x[:4]) for x in row["draws"]] == drawn
    then = [  # what stands in the deciding frame itself is how it is held: several reasons to ask
        x for x in row["then"] if x["type"] not in ("posted", "refunded") and x["seq"] != row["seq"]
    ]
    assert [(x["type"], x.get("phase") or x.get("cause") or x["how"]) for x in then] == [
        x for x in hold.story if x[0] != "refunded"
    ]
    assert [x["type"] for x in row["then"]].count("refunded") == hold.story.count(("refunded", ""))
    for settled in (x for x in then if x["type"] == "settled"):
        assert {leg["grant"]: leg["charged"] for leg in settled["legs"]} == {
            name: hold.charged.get(name, {}) for name in hold.chain
        } | {"root": {}}


def compare_spent(lanes, model):
    """The digest: everything that was charged today, under no lane."""
    today = start_of("day", model.now)
    for resource in {cap[0] for cap in model.caps}:
        spent = sum(charged.get(resource, 0) for now, charged in model.charges if now >= today)
        assert lanes[resource] == ({"": spent} if spent else {})


def compare_sums(state, model):
    """Who spent what: the leaf's charges and what was paid; under a grant what its counter for life says."""
    ended = [hold for hold in model.holds.values() if hold.charged]
    rows = {(row["grant"], row["resource"]): row for row in state.spend()}
    leaves = {(hold.chain[0], dim) for hold in ended for dim in hold.charged.get(hold.chain[0], {})}
    assert {key for key, row in rows.items() if row["charges"]} == leaves
    for leaf, dim in leaves:
        own = [hold for hold in ended if hold.chain[0] == leaf and dim in hold.charged[leaf]]
        row = rows[leaf, dim]
        assert row["charges"] == len(own)
        assert row["charged"] == sum(hold.charged[leaf][dim] for hold in own)
        assert row["refunded"] == sum(hold.refunded.get((leaf, dim), 0) for hold in own)
    paid = [row for row in rows.values() if row["resource"] == "USD"]
    assert sum(row["paid"] for row in paid) == sum(hold.credited for hold in model.holds.values())
    assert sum(row["paid"] - row["repaid"] for row in paid) == model.vendor
    for (name, dim, per, _), counter in model.counters.items():
        charging = [hold for hold in ended if hold.charged.get(name, {}).get(dim)]
        if per == "life" and all((name, dim) in hold.counted for hold in charging):
            found = state.spend(["resource"], under=name, resource=dim) if counter.spent else []
            sums = [(row["charged"], row["refunded"]) for row in found]
            assert sums == ([(counter.spent, counter.refunded)] if counter.spent else [])


def compare_lineage(history, model):
    """All that anybody was paid goes back to the one issue, to the last unit."""
    origins = origins_of(trace_in(history, VENDOR)) if model.vendor else []
    assert [(x.account, x.amount) for x in origins] == ([(ISSUER, model.vendor)] if model.vendor else [])
    for digest, hold in model.holds.items():
        if hold.credited:
            first = [x for x in trace_in(history, digest, depth=1) if x.credit == VENDOR]
            assert sum(x.amount for x in first) == hold.credited
