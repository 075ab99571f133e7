"""Who may reach a served world, as records: tokens, and the principals behind the users of a machine.

Rule 1. Of a token's secret only the hash is here, so nothing that is recorded lets anybody in.
Rule 2. A token says as whom who has it acts, and what else that caller may: a **role**. `operator` names any
        principal, `auditor` sees everything and changes nothing; a caller without a role is a plain host.
Rule 3. The principal `operator` has the role of its name, so it is never an auditor.
"""

from collections.abc import Iterable

from msgspec import Struct

from splittally.core.limits import UIDS_MAX
from splittally.core.types import OPERATOR, is_principal

AUDITOR = "auditor"
ROLES = (AUDITOR, OPERATOR)
BEARERS, PRINCIPALS = "bearers", "principals"  # tables of the state: of tokens, and of principals
UID_MAX = 2**32 - 2  # the one above is nobody's: it is what -1 reads as


class Token(Struct, frozen=True, array_like=True, gc=False):
    """Who has the secret with this hash acts as `principal`, until `expires_ns` (0 for ever).

    `grant` is the one under which it was issued, empty where a manifest states it; `issued_by` who asked. One
    that a manifest states and somebody revoked stays, so that the same manifest does not let it in again.
    """

    name: str
    principal: str
    roles: list[str]
    token_hash: bytes
    expires_ns: int
    grant: str
    issued_by: str
    is_revoked: bool = False


class Principal(Struct, frozen=True, array_like=True, gc=False):
    """As whom the users with these uids act on the socket of a served world, and in which roles."""

    name: str
    uids: list[int]
    roles: list[str]


def require_caller(principal: str, roles: list[str]) -> None:
    """Passes a principal and the roles that a caller may have; else `ValueError`."""
    if not is_principal(principal):
        raise ValueError("`principal` is a principal's name: letters, digits and `._:-`")
    if not set(roles) <= set(ROLES) or len(roles) != len(set(roles)):
        raise ValueError(f"`roles` are of {', '.join(ROLES)}, each once")
    if principal == OPERATOR and AUDITOR in roles:
        raise ValueError(f"`{OPERATOR}` may change everything: an auditor is another principal")


def require_uids(uids: list[int]) -> None:
    """Passes the uids of one principal; else `ValueError`."""
    if not 0 < len(uids) <= UIDS_MAX:
        raise ValueError(f"a principal has 1 to {UIDS_MAX} `uids`")
    if not all(0 <= uid <= UID_MAX for uid in uids):
        raise ValueError(f"a uid is 0 to {UID_MAX}")


def require_once(what: str, values: Iterable[object]) -> None:
    """Passes values of which none stands twice; else `ValueError` that says what of."""
    seen = list(values)
    if len(seen) != len(set(seen)):
        raise ValueError(f"{what} stands twice")
