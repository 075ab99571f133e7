"""What a difference means for people: who may more or less after it, where the difference alone tells that.

Rule 1. One line, from what stood there before and what stands there after, and nothing else.
Rule 2. Where it cannot be told, nothing is said: a cap param means what its enforcer makes of it.
Rule 3. It is text and decides nothing; no program reads it.
"""

from collections.abc import Callable
from typing import Any

from splittally.edge.wording import few

Path = tuple[str, ...]
Tree = dict[str, Any]
Say = Callable[[Path, Any, Any, Tree], str]
MORE, LESS = "more", "less"
_STRICTNESS = {"allow": 0, "require_approval": 1, "deny": 2}
_NO_RULE = {
    "deny": "more: nothing is denied by it any more",
    "require_approval": "more: nobody is asked because of it any more",
    "allow": "less: what it allowed is left to the other rules",
}
_NEW_RULE = {
    "deny": "less: what it matches is denied",
    "require_approval": "less: what it matches must be approved",
    "allow": "more: what it matches is allowed",
}


def meaning_of(table: str, path: Path, before: Any, after: Any, entry: Tree) -> str:
    """The meaning of a difference at a path of an entry, empty where it says nothing.

    `entry` is the entry as it stands after, or as it stood where it is gone.
    """
    say = _SAYS.get((table, path[0] if path else ""))
    said = say(path, before, after, entry) if say is not None else ""
    return said or (_lists(before, after) if path else "")


def _lists(before: Any, after: Any) -> str:
    """What a list of texts gains and loses."""
    if not (_is_texts(before) and _is_texts(after)):
        return ""
    gained = [x for x in after or () if x not in (before or ())]
    lost = [x for x in before or () if x not in (after or ())]
    parts = [f"{verb} {few(items)}" for verb, items in (("gains", gained), ("loses", lost)) if items]
    return ", ".join(parts)


def _is_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(x, str) for x in value))


def _bound(path: Path, before: Any, after: Any, entry: Tree) -> str:
    """A bound on what may be used: absent, a number, or a map of terms that holds one."""
    old, new = _amount(before), _amount(after)
    if old is None and new is None:
        return ""
    if old is None:
        return "less: nothing of its own bounded it before"
    if new is None:
        return "more: nothing of its own bounds it any more"
    return (
        ""
        if old == new
        else f"{MORE if new > old else LESS}: its own bound is {'higher' if new > old else 'lower'}"
    )


def _amount(value: Any) -> int | None:
    if isinstance(value, dict):
        value = value.get("amount")
    return value if type(value) is int else None


def _limit(path: Path, before: Any, after: Any, entry: Tree) -> str:
    """A limit, or a term of one; what only tells and never refuses means no more and no less."""
    if path[-1] == "order" or len(path) < 2 or path[1].endswith(("tell", "shadow")):
        return ""
    if path[-1] == "rollover":
        return "what is left of a window is handed on otherwise"
    return "" if path[-1] == "carried_max" else _bound(path, before, after, entry)


def _later(path: Path, before: Any, after: Any, entry: Tree) -> str:
    """A time that is none where nothing or 0 stands."""
    if not before or not after:
        return "less: it had no end" if after else "more: it has no end any more"
    return f"{MORE}: it ends later" if after > before else f"{LESS}: it ends sooner"


def _larger(what: str, is_more: bool = True) -> Say:
    """A number: the larger it is, the more, or the less, may be done."""

    def say(path: Path, before: Any, after: Any, entry: Tree) -> str:
        old, new = _amount(before) or 0, _amount(after) or 0
        return f"{MORE if (new > old) == is_more else LESS}: {what}" if old != new else ""

    return say


def _holder(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return f"`{after}` may use it, and `{before}` no longer"


def _grant(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return f"more: `{entry['holder']}` may use `{entry['cap']}` through it"


def _payees(path: Path, before: Any, after: Any, entry: Tree) -> str:
    listed = _lists(before, after)
    return f"{listed}: who may be paid" if listed else ""


def _payers(path: Path, before: Any, after: Any, entry: Tree) -> str:
    if before is None:
        return "what it uses of this is paid from there"
    return "nobody pays for this any more" if after is None else "another pays"


def _above(path: Path, before: Any, after: Any, entry: Tree) -> str:
    what = "usage above what was reserved is charged as debt"
    return f"more: {what}" if after == "debt" else f"less: no {what}" if before == "debt" else ""


def _owner(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return "the manifest owns it now: one that leaves it out revokes it" if after == "manifest" else ""


def _token_owner(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return "the manifest owns it now: one that leaves it out takes it away" if after else ""


def _rule(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return (_NEW_RULE if before is None else _NO_RULE).get(str(entry.get("decision")), "")


def _decision(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return "more: it is less strict" if _STRICTNESS[after] < _STRICTNESS[before] else "less: it is stricter"


def _order(path: Path, before: Any, after: Any, entry: Tree) -> str:
    if not after:
        return "more: there is no policy any more"
    return "the first rule that matches decides" if before else "less: what no rule allows is denied"


def _governor(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return "less: a governor is asked" if before is None else "more: no governor is asked any more"


def _adapter(path: Path, before: Any, after: Any, entry: Tree) -> str:
    kinds = few(entry["kinds"])
    if before is None:
        return f"less: receipts of {kinds} are taken only where an adapter of their kind signed them"
    return f"more: receipts of {kinds} need its signature no more, and none where no other adapter signs them"


def _signs(path: Path, before: Any, after: Any, entry: Tree) -> str:
    listed = _lists(before, after)
    return f"{listed}: whose receipts it signs" if listed else ""


def _token(path: Path, before: Any, after: Any, entry: Tree) -> str:
    acts = f"with its secret acts as `{entry['principal']}`"
    return f"less: nobody {acts}" if after is None else f"more: who comes {acts}{_in_roles(entry)}"


def _acts_as(path: Path, before: Any, after: Any, entry: Tree) -> str:
    return f"who comes with its secret acts as `{after}`, and no longer as `{before}`"


def _users(path: Path, before: Any, after: Any, entry: Tree) -> str:
    uids = few([str(uid) for uid in entry["uids"]])
    return (
        f"less: {uids} acts as it no longer"
        if after is None
        else f"more: {uids} acts as it{_in_roles(entry)}"
    )


def _uids(path: Path, before: Any, after: Any, entry: Tree) -> str:
    gained, lost = _parted(before, after)
    said = [f"more: {few(gained)} acts as it"] if gained else []
    return ", ".join([*said, f"less: {few(lost)} no longer does"] if lost else said)


def _roles(path: Path, before: Any, after: Any, entry: Tree) -> str:
    gained, lost = _parted(before, after)
    said = [f"is {few(gained)}"] if gained else []
    return ", ".join([*said, f"is no longer {few(lost)}"] if lost else said)


def _in_roles(entry: Tree) -> str:
    return f" and is {few(entry['roles'])}" if entry["roles"] else ""


def _parted(before: list[Any], after: list[Any]) -> tuple[list[str], list[str]]:
    """What a list has after and had not before, and the other way round."""
    return [str(x) for x in after if x not in before], [str(x) for x in before if x not in after]


def _says(text: str) -> Say:
    return lambda path, before, after, entry: text


_SAYS: dict[tuple[str, str], Say] = {
    ("accounts", "debt_limit"): _larger("how far it may go below zero"),
    ("adapters", ""): _adapter,
    ("adapters", "key"): _says("receipts are signed with another key, also those of intents that are open"),
    ("adapters", "kinds"): _signs,
    ("caps", "enforcer"): _says("another module judges"),
    ("caps", "params_schema"): _says("the params of its grants are judged by another schema"),
    ("effects", "params_schema"): _says("its params are judged by another schema"),
    ("effects", "receipt_schema"): _says("its receipts are judged by another schema"),
    ("effects", "params_bytes_max"): _larger("how large its params may be"),
    ("governor", ""): _governor,
    ("governor", "caps"): _bound,
    ("governor", "envelope"): lambda path, before, after, entry: _larger(
        "how much memory may be taken", path[-1] == "total"
    )(path, before, after, entry),
    ("grants", ""): _grant,
    ("grants", "above"): _above,
    ("grants", "budget"): _bound,
    ("grants", "delegations"): _larger("how many levels may be handed on"),
    ("grants", "dispatch"): lambda path, before, after, entry: (
        "less: an effect is dispatched first" if after else "more: no effect need be dispatched first"
    ),
    ("grants", "draws_on"): _payers,
    ("grants", "expiry_ns"): _later,
    ("grants", "hold_ns_max"): _later,
    ("grants", "holder"): _holder,
    ("grants", "limits"): _limit,
    ("grants", "made_by"): _owner,
    ("grants", "pays_to"): _payees,
    ("modules", "module"): _says("the name means another module"),
    ("policy", ""): _rule,
    ("policy", "approvals"): _larger("how many must approve", is_more=False),
    ("policy", "decision"): _decision,
    ("policy", "order"): _order,
    ("policy", "rates"): _limit,
    ("principals", ""): _users,
    ("principals", "roles"): _roles,
    ("principals", "uids"): _uids,
    ("tokens", ""): _token,
    ("tokens", "expires_ns"): _later,
    ("tokens", "hash"): _says("another secret: with the one before nobody is let in any more"),
    ("tokens", "revoked"): lambda path, before, after, entry: "less: it lets nobody in" if after else "",
    ("tokens", "principal"): _acts_as,
    ("tokens", "roles"): _roles,
    ("tokens", "stated"): _token_owner,
    ("world", "offset_ns"): _says("days begin at another time, and the windows that are open end now"),
    ("world", "timezone"): _says("days begin at another time, and the windows that are open end now"),
}
