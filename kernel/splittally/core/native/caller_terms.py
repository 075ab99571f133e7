"""Tokens and principals as a manifest states them, in types that cannot hold the wrong thing."""

from collections.abc import Mapping

from msgspec import Struct

from splittally.core.callers import Principal, Token, require_caller, require_once, require_uids
from splittally.core.limits import HASH_BYTES, TIME_NS_MAX
from splittally.core.types import is_id


class TokenTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As whom acts who has the secret with this hash; without `expires_ns` for ever."""

    principal: str
    token_hash: bytes
    roles: list[str] = []
    expires_ns: int = 0

    def __post_init__(self) -> None:
        require_caller(self.principal, self.roles)
        require_hash_and_end(self.token_hash, self.expires_ns)

    def token(self, name: str) -> Token:
        """The record of this token, which the manifest states."""
        return Token(
            name=name,
            principal=self.principal,
            roles=sorted(self.roles),
            token_hash=self.token_hash,
            expires_ns=self.expires_ns,
            grant="",
            issued_by="",
        )


class PrincipalTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The users of the machine that act as a principal on the socket, and in which roles."""

    uids: list[int]
    roles: list[str] = []

    def __post_init__(self) -> None:
        require_uids(self.uids)

    def principal(self, name: str) -> Principal:
        """The record of this principal."""
        return Principal(name=name, uids=sorted(self.uids), roles=sorted(self.roles))


def require_hash_and_end(token_hash: bytes, expires_ns: int) -> None:
    """Passes the hash of a secret and when its token ends; else `ValueError`."""
    if len(token_hash) != HASH_BYTES:
        raise ValueError(f"the hash of a token's secret has {HASH_BYTES} bytes")
    if not 0 <= expires_ns <= TIME_NS_MAX:
        raise ValueError("`expires_ns` is a natural below 2^63")


def require_apart(tokens: Mapping[str, TokenTerms], principals: Mapping[str, PrincipalTerms]) -> None:
    """Passes names, and secrets and uids each of which stands once; else `ValueError`."""
    if not all(map(is_id, tokens)):
        raise ValueError("a token's name is printable text")
    for name, terms in principals.items():
        require_caller(name, terms.roles)
    require_once("the hash of a token", (terms.token_hash for terms in tokens.values()))
    uids = [uid for terms in principals.values() for uid in terms.uids]
    twice = sorted({uid for uid in uids if uids.count(uid) > 1})
    if twice:
        raise ValueError(f"the uid {twice[0]} stands twice, and acts as one principal")
