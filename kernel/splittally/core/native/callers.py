"""Who may reach a served world: `token.issue`, `token.revoke`, and what a manifest says of it.

Rule 1. Root issues a token for any principal with any role. Under another grant a principal issues tokens
        for itself alone, with roles that the manifest gives it: nobody makes a caller who may more than they.
        Such a token is valid while its grant is (`caps/callers.py`).
Rule 2. Names and secrets are one token's each. One that is no longer valid holds neither, and an issue
        drops it; so what is over does not pile up.
Rule 3. A manifest brings and takes away its own tokens alone. It takes over one that was issued where name
        and hash are the same.
Rule 4. What was revoked stays out: an issued token leaves, one of a manifest is marked, and no manifest that
        states its secret is applied, under whatever name.
Rule 5. Under root every token is revoked; under another grant one's own, and those that were issued under it
        or below. Any other is not there.
"""

import msgspec
from msgspec import Struct

from splittally.core.callers import BEARERS, PRINCIPALS, Principal, Token, require_caller
from splittally.core.canonical import encode
from splittally.core.caps.callers import is_valid, roles_of, token_with
from splittally.core.caps.state import Caps
from splittally.core.events import Defined, Event
from splittally.core.findings import Finding, find
from splittally.core.native.caller_terms import TokenTerms, require_hash_and_end
from splittally.core.native.manifest_terms import Manifest
from splittally.core.native.row import NOTHING, Native, NativeCall
from splittally.core.state import State
from splittally.core.types import ROOT, is_id


class IssueToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token by the hash of its secret, which stays with whoever drew it.

    `roles` are `operator`, `auditor` or neither.
    """

    name: str
    principal: str
    token_hash: bytes
    roles: list[str] = []
    expires_ns: int | None = None

    def __post_init__(self) -> None:
        if not is_id(self.name):
            raise ValueError("`name` is a token's name")
        require_caller(self.principal, self.roles)
        require_hash_and_end(self.token_hash, self.expires_ns or 0)


class RevokeToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a token: who has it is let in no more."""

    name: str


# --- issued and revoked ---------------------------------------------------------------------------


def _check_issue(state: State, call: NativeCall, params: IssueToken) -> list[Finding]:
    findings = _check_reach(state, call, params)
    if findings:  # who may not have this is told nothing of what is there
        return findings
    if params.expires_ns is not None and params.expires_ns <= call.now_ns:
        findings.append(find("already_expired", expires_ns=params.expires_ns))
    over = _over(state.caps, call.now_ns)
    standing = state.caps.bearers.get(params.name)
    if standing is not None and params.name not in over:
        more = {"revoked": True} if standing.is_revoked else {}
        findings.append(find("name_taken", name=params.name, **more))
    elif _is_taken(state.caps, params.token_hash, over):
        findings.append(find("secret_taken", name=params.name))
    return findings


def _check_reach(state: State, call: NativeCall, params: IssueToken) -> list[Finding]:
    """Why somebody who does not act under root may not let this caller in."""
    if call.grant == ROOT:
        return []
    if params.principal != call.principal:
        return [find("out_of_reach", principal=params.principal)]
    had = roles_of(state.caps, call.principal)
    wider = [role for role in sorted(params.roles) if role not in had]
    return [find("out_of_reach", roles=wider, available=had)] if wider else []


def _over(caps: Caps, now_ns: int) -> list[str]:
    """The tokens that were issued and are valid no more, by name."""
    tokens = caps.bearers
    return [
        name for name in sorted(tokens) if tokens[name].grant and not is_valid(caps, tokens[name], now_ns)
    ]


def _is_taken(caps: Caps, token_hash: bytes, over: list[str]) -> bool:
    other = token_with(caps, token_hash)
    return other is not None and other.name not in over


def _make_issue(state: State, call: NativeCall, params: IssueToken) -> list[Event]:
    token = Token(
        name=params.name,
        principal=params.principal,
        roles=sorted(params.roles),
        token_hash=params.token_hash,
        expires_ns=params.expires_ns or 0,
        grant=call.grant,
        issued_by=call.principal,
    )
    dropped = [_dropped(name) for name in _over(state.caps, call.now_ns)]
    return [*dropped, _defined(token)]


def _check_revoke(state: State, call: NativeCall, params: RevokeToken) -> list[Finding]:
    token = state.caps.bearers.get(params.name)
    if token is None or not _reaches(state.caps, call, token):
        return [find("not_found", token=params.name)]
    return [find("not_found", token=params.name, revoked=True)] if token.is_revoked else []


def _reaches(caps: Caps, call: NativeCall, token: Token) -> bool:
    if call.grant == ROOT or token.principal == call.principal:
        return True
    return token.grant in caps.grants and caps.descends(token.grant, call.grant)


def _make_revoke(state: State, call: NativeCall, params: RevokeToken) -> list[Event]:
    token = state.caps.bearers[params.name]
    if token.grant:
        return [_dropped(token.name)]
    return [_defined(msgspec.structs.replace(token, is_revoked=True))]


def _dropped(name: str) -> Event:
    return Defined(BEARERS, name, b"")


def _defined(token: Token) -> Event:
    return Defined(BEARERS, token.name, _value(token))


def _value(row: Token | Principal) -> bytes:
    return encode(msgspec.to_builtins(row, builtin_types=(bytes,)))


# --- what a manifest says -------------------------------------------------------------------------


def check_callers(state: State, manifest: Manifest, now_ns: int) -> list[Finding]:
    """Which tokens of a manifest have the name or the secret of another, or a secret that was revoked."""
    caps, findings = state.caps, []
    revoked = {token.token_hash for token in caps.bearers.values() if token.is_revoked}
    for name, terms in sorted((manifest.tokens or {}).items()):
        if terms.token_hash in revoked:
            findings.append(find("secret_taken", name=name, revoked=True))
        elif _is_anothers(caps, caps.bearers.get(name), name, terms, now_ns):
            findings.append(find("name_taken", name=name))
        elif _is_anothers(caps, token_with(caps, terms.token_hash), name, terms, now_ns):
            findings.append(find("secret_taken", name=name))
    return findings


def _is_anothers(caps: Caps, token: Token | None, name: str, terms: TokenTerms, now_ns: int) -> bool:
    """Whether a token was issued, lets somebody in, and is not the one that these terms take over."""
    if token is None or not token.grant or not is_valid(caps, token, now_ns):
        return False
    return token.name != name or token.token_hash != terms.token_hash


def caller_events(state: State, manifest: Manifest) -> list[Event]:
    """The tokens and principals that are new, differ, or stood in the manifest before this one.

    What holds the secret of a stated token is dropped: the manifest left it out, or it lets nobody in.
    """
    caps = state.caps
    stated = {name: terms.token(name) for name, terms in (manifest.tokens or {}).items()}
    hashes = {token.token_hash for token in stated.values()}
    events: list[Event] = [
        _dropped(name)
        for name, token in sorted(caps.bearers.items())
        if name not in stated and (not token.grant or token.token_hash in hashes)
    ]
    events += [_defined(stated[name]) for name in sorted(stated) if stated[name] != caps.bearers.get(name)]
    return events + _principal_events(caps, manifest)


def _principal_events(caps: Caps, manifest: Manifest) -> list[Event]:
    stated = {name: terms.principal(name) for name, terms in (manifest.principals or {}).items()}
    events: list[Event] = [
        Defined(PRINCIPALS, name, b"") for name in sorted(caps.principals) if name not in stated
    ]
    return events + [
        Defined(PRINCIPALS, name, _value(stated[name]))
        for name in sorted(stated)
        if stated[name] != caps.principals.get(name)
    ]


ROWS = {
    "token.issue": Native(
        IssueToken,
        lambda state, call, params: NOTHING,
        _check_issue,
        _make_issue,
        "let somebody reach the served world",
    ),
    "token.revoke": Native(
        RevokeToken,
        lambda state, call, params: NOTHING,
        _check_revoke,
        _make_revoke,
        "let the bearer of a token in no more",
    ),
}
