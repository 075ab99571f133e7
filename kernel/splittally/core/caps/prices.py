"""Price snapshots in the params of grants: what is asked with them, and which may be recorded.

Rule 1. A question has one row: that of the intent's model, in the table in force at the intent's own time.
Rule 2. A Settle repeats what its Check was asked: params, time and kind are those of the decision, and the
        `price_key` of a kind never changes while somebody could still settle by it.
Rule 3. A grant is recorded with snapshots only where each names a table that the journal has.
"""

from collections.abc import Mapping, Sequence

from splittally.core.abi import CheckTemplate
from splittally.core.canonical import decode
from splittally.core.caps.grants import GrantTerms
from splittally.core.caps.state import Caps
from splittally.core.findings import Finding, find
from splittally.core.prices import PRICES, SNAPSHOTS, read_book, snapshots_fault, table_fault
from splittally.core.release_kinds import PRICE_KEYS


def asked_template(
    caps: Caps, template: CheckTemplate, kind: str, params: bytes, now_ns: int
) -> CheckTemplate:
    """The template of what is asked about an intent of this kind and time: with the row that prices it."""
    assert template.book is not None
    table = caps.price_table(template.book.at(now_ns).hash)
    return template if table is None else template.priced(table, model_of(caps, kind, params))


def model_of(caps: Caps, kind: str, params: bytes) -> object:
    """What an intent says of its model, under the `price_key` of its kind; empty where there is none."""
    key = caps.effects[kind].price_key
    stated = decode(params) if key else {}
    return stated.get(key, "") if type(stated) is dict else ""


def check_tables(tables: Sequence[bytes]) -> list[Finding]:
    """Whether the tables that a manifest carries are price tables."""
    faults = [fault for data in tables if (fault := table_fault(data))]
    return [find("params.invalid", field="prices", message=fault) for fault in faults]


def check_price_keys(caps: Caps, stated: Mapping[str, str]) -> list[Finding]:
    """Whether kinds keep their `price_key`: what was asked by it is settled by it.

    A kind that had none may get one as long as nothing in the world was ever priced by snapshots.
    """
    findings = []
    for kind, key in stated.items():
        now = caps.effects.get(kind)
        if now is None or now.price_key == key:
            continue
        if now.price_key or any(map(read_book, caps.blobs.values())):
            findings.append(find("cannot_change", kind=kind, field="price_key", needed=now.price_key))
    return findings


def check_prices(caps: Caps, terms: GrantTerms, where: str) -> list[Finding]:
    """Whether the snapshots in the params of a grant can price anything; nothing where there are none."""
    params = decode(terms.params) if terms.params is not None else None
    prices = params.get(PRICES) if type(params) is dict else None
    if type(prices) is not dict or SNAPSHOTS not in prices:
        return []
    fault = snapshots_fault(prices) or _fault(caps, prices[SNAPSHOTS])
    return [find("params.invalid", field=f"{where}.params.prices", message=fault)] if fault else []


def _fault(caps: Caps, rows: list[dict[str, object]]) -> str:
    """Why a world cannot price by these snapshots, which are in their form."""
    if any(kind in caps.effects and not caps.effects[kind].price_key for kind in PRICE_KEYS):
        return "this world is of an older release, which has no rows of prices; run `tally upgrade`"
    for row in rows:
        digest = row["hash"]
        assert type(digest) is bytes
        table = caps.price_table(digest)
        if table is None:
            return f"no price table {digest.hex()} is recorded"
        if table.resource != row["resource"]:
            return f"snapshot `{row['name']}` is in `{table.resource}`"
    return ""
