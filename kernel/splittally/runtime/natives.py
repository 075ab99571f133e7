"""What a kernel is asked that it finishes itself: native effects, and the shorthands for some of them.

Rule 1. A shorthand is its native effect: it is refused for the same and recorded as the same.
"""

from collections.abc import Sequence
from typing import Any

from splittally.core.native import NATIVE
from splittally.core.native.approvals import APPROVE, REJECT
from splittally.core.types import CAP_NATIVE_TYPE, OPERATOR, ROOT
from splittally.edge.arguments import require
from splittally.edge.dimensions import warned
from splittally.edge.hashes import require_hash
from splittally.edge.records import Decision, Intent, worded
from splittally.runtime.callers import IssuedToken, new_secret
from splittally.runtime.planning import Planning

GRANTING = ("grant.issue", "grant.amend", "grant.topup")  # what makes or changes the grant that it names


class Natives(Planning):
    """What a kernel finishes itself, for one principal."""

    def native(
        self,
        kind: str,
        grant: str | None = None,
        now_ns: int | None = None,
        under: str | None = None,
        **params: Any,
    ) -> Decision:
        """Ask for a native effect, such as `native("ledger.issue", resource=..., amount=..., to=...)`.

        It is asked under the grant `under`; without one under the root grant by the operator, and under the
        principal's first native grant by anybody else. `grant` says the same, but for an effect that has a
        param of this name, as `usage.record` has.
        """
        if grant is not None and kind in NATIVE and hasattr(NATIVE[kind].params, "grant"):
            params["grant"] = grant
            grant = None
        with self._lock:
            asked = Intent(kind, params, under or grant or self._native_grant())
            decision = self.submit(asked, now_ns=now_ns)
            granted = [params["name"]] if decision.allowed and kind in GRANTING else []
            return worded(warned(decision, self._world.state, granted), self._world.wording)

    def issue_token(
        self,
        name: str,
        principal: str,
        roles: Sequence[str] = (),
        expires_ns: int | None = None,
        now_ns: int | None = None,
        under: str | None = None,
    ) -> IssuedToken:
        """A token by which a served world is reached as `principal`, and its secret, shown here alone.

        `roles` are `operator` and `auditor`. The secret is None where the answer is no.
        """
        secret, params = drawn_token(name, principal, roles, expires_ns)
        decision = self.native("token.issue", now_ns=now_ns, under=under, **params)
        return IssuedToken(decision, secret if decision.allowed else None)

    def approve(
        self, intent_hash: bytes | str, now_ns: int | None = None, reasons: Sequence[str] | None = None
    ) -> Decision:
        """Approve an intent that waits: every reason that is yours to answer, or those that `reasons` names.

        The finding `approval_answered` tells what `became` of it: `open`, `approval` where more must
        approve, or `released` where it may no longer be done. Approving what is open changes nothing.
        """
        return self._answer(intent_hash, APPROVE, now_ns, reasons)

    def reject(self, intent_hash: bytes | str, now_ns: int | None = None) -> Decision:
        """Reject an intent that waits, which releases its hold."""
        return self._answer(intent_hash, REJECT, now_ns, None)

    def _answer(
        self, intent_hash: bytes | str, answer: str, now_ns: int | None, reasons: Sequence[str] | None
    ) -> Decision:
        more: dict[str, Any] = {} if reasons is None else {"reasons": list(reasons)}
        digest = require_hash(intent_hash)
        return self.native("approval.answer", intent_hash=digest, answer=answer, now_ns=now_ns, **more)

    def _native_grant(self) -> str:
        if self._principal == OPERATOR:
            return ROOT
        caps = self._world.state.caps
        for name in sorted(caps.grants):
            grant = caps.grants[name]
            if grant.holder == self._principal and caps.caps[grant.cap].cap_type == CAP_NATIVE_TYPE:
                return name
        return ROOT


def drawn_token(
    name: str, principal: str, roles: Sequence[str], expires_ns: int | None
) -> tuple[str, dict[str, Any]]:
    """A fresh secret, and the params of `token.issue` that have its hash."""
    require(roles, (list, tuple), "roles", "a list of roles")
    secret, token_hash = new_secret()
    params: dict[str, Any] = {"name": name, "principal": principal, "token_hash": token_hash}
    return secret, params | {"roles": list(roles)} | (
        {} if expires_ns is None else {"expires_ns": expires_ns}
    )
