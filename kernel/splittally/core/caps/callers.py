"""Which tokens are valid, what they give now, and who is found by a hash or by a uid.

Rule 1. A token that was issued under a grant gives nothing that the grant does not: it is valid while that
        grant is live and its holder is the token's principal, and its roles are those that the principal has
        now. One that root issued or a manifest states has what was written into it.
Rule 2. Hash and uid are found without looking at other rows. One hash is one token's, one uid one
        principal's: who defines them sees to it.

Example. `ann` holds the native grant `ops`, which expires on Friday. A token that she issued under it without
an end is valid until Friday, and no longer than `ops` stands.
"""

from splittally.core.callers import Principal, Token
from splittally.core.caps.state import Caps
from splittally.core.types import ROOT


def set_token(caps: Caps, name: str, token: Token | None) -> None:
    """A token enters, is another now, or leaves."""
    old = caps.bearers.pop(name, None)
    if old is not None and caps.token_names.get(old.token_hash) == name:
        del caps.token_names[old.token_hash]
    if token is not None:
        caps.bearers[name] = token
        caps.token_names[token.token_hash] = name


def set_principal(caps: Caps, name: str, principal: Principal | None) -> None:
    """The users behind a principal are others now, or none."""
    old = caps.principals.pop(name, None)
    for uid in old.uids if old is not None else ():
        if caps.uids.get(uid) == name:
            del caps.uids[uid]
    if principal is not None:
        caps.principals[name] = principal
        caps.uids.update(dict.fromkeys(principal.uids, name))


def rebuild_callers(caps: Caps) -> None:
    """Derive whose a hash and a uid are."""
    caps.token_names = {token.token_hash: name for name, token in caps.bearers.items()}
    caps.uids = {uid: name for name, each in caps.principals.items() for uid in each.uids}


def token_with(caps: Caps, token_hash: bytes) -> Token | None:
    """The token whose secret has this hash, valid or not."""
    name = caps.token_names.get(token_hash)
    return None if name is None else caps.bearers.get(name)


def is_valid(caps: Caps, token: Token, now_ns: int) -> bool:
    """Whether a token lets somebody in at this time."""
    if token.is_revoked or (token.expires_ns and now_ns >= token.expires_ns):
        return False
    return not _is_bound(token) or _stands(caps, token, now_ns)


def roles_now(caps: Caps, token: Token) -> list[str]:
    """The roles that a token gives now."""
    if not _is_bound(token):
        return token.roles
    return [role for role in token.roles if role in roles_of(caps, token.principal)]


def roles_of(caps: Caps, principal: str) -> list[str]:
    """The roles that the manifest gives a principal."""
    stated = caps.principals.get(principal)
    return [] if stated is None else stated.roles


def _is_bound(token: Token) -> bool:
    """Whether a token gives no more than a grant does."""
    return token.grant not in ("", ROOT)


def _stands(caps: Caps, token: Token, now_ns: int) -> bool:
    grant = caps.grants.get(token.grant)
    return grant is not None and grant.holder == token.principal and caps.is_live(token.grant, now_ns)
