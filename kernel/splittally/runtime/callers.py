"""Who calls a served world: from a secret or from a uid to a principal and its roles.

Rule 1. Who is unknown, expired or revoked is nobody, and nothing tells these apart.
Rule 2. A secret is drawn here, from the operating system alone, shown once and kept nowhere. What does not
        have its form is no secret, so nobody can state the hash of a weak one.
Rule 3. A secret is found by its hash, and hashes are compared in constant time.
"""

import re
import secrets
from collections.abc import Iterable
from hmac import compare_digest
from typing import NamedTuple

from splittally.core.callers import AUDITOR, Token
from splittally.core.caps.callers import is_valid, roles_now, roles_of, token_with
from splittally.core.hashing import hash_token
from splittally.core.state import State
from splittally.core.types import OPERATOR
from splittally.edge.records import Decision
from splittally.runtime.rows import Row

SECRET_PREFIX = "tally_"
SECRET_BYTES = 32
_SECRET = re.compile(rf"{SECRET_PREFIX}[A-Za-z0-9_-]{{43}}")
LIVE, EXPIRED, REVOKED, VOID = "live", "expired", "revoked", "void"


class Caller(NamedTuple):
    """Who calls: a principal, and what else it may."""

    principal: str
    roles: tuple[str, ...]

    @property
    def may_name_others(self) -> bool:
        """Whether the caller may act as any principal."""
        return self.principal == OPERATOR or OPERATOR in self.roles

    @property
    def may_see_all(self) -> bool:
        """Whether the caller may read what is others'."""
        return self.may_name_others or AUDITOR in self.roles

    @property
    def may_change(self) -> bool:
        """Whether the caller may ask for anything but answers to read."""
        return self.may_name_others or AUDITOR not in self.roles


class IssuedToken(NamedTuple):
    """The answer to who wants a token, and its secret, shown here alone; None where it is refused."""

    decision: Decision
    secret: str | None

    def __repr__(self) -> str:
        """Without the secret: what is printed is often logged."""
        return f"IssuedToken(decision={self.decision!r}, secret={'...' if self.secret else None})"


def new_secret() -> tuple[str, bytes]:
    """A secret of 256 bits and its hash."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return secret, hash_token(secret.encode())


def caller_by_token(state: State, secret: str, now_ns: int) -> Caller | None:
    """Who has this secret, at this logical time; None where it lets nobody in."""
    if type(secret) is not str or not _SECRET.fullmatch(secret):
        return None
    digest = hash_token(secret.encode())
    token = token_with(state.caps, digest)
    if token is None or not compare_digest(token.token_hash, digest):
        return None
    if not is_valid(state.caps, token, now_ns):
        return None
    return _caller(token.principal, roles_now(state.caps, token))


def caller_by_uid(state: State, uid: int) -> Caller | None:
    """Who a user of this machine is, by what the manifest says; None where it says nothing."""
    name = state.caps.uids.get(uid) if type(uid) is int else None
    return None if name is None else _caller(name, roles_of(state.caps, name))


def _caller(principal: str, roles: Iterable[str]) -> Caller:
    return Caller(principal, tuple(roles))


def token_row(state: State, name: str, now_ns: int) -> Row | None:
    """A token as it stands at a logical time, with the roles that it gives now; None where there is none.

    `standing` is live, expired, revoked, or void where the grant under which it was issued is.
    """
    token = state.caps.bearers.get(name)
    if token is None:
        return None
    return Row(
        name=name,
        principal=token.principal,
        roles=roles_now(state.caps, token),
        token_hash=token.token_hash,
        expires_ns=token.expires_ns or None,
        stated=not token.grant,
        grant=token.grant,
        issued_by=token.issued_by,
        standing=_standing(state, token, now_ns),
    )


def _standing(state: State, token: Token, now_ns: int) -> str:
    if token.is_revoked:
        return REVOKED
    if token.expires_ns and now_ns >= token.expires_ns:
        return EXPIRED
    return LIVE if is_valid(state.caps, token, now_ns) else VOID
