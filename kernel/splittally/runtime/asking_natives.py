"""How a task of asyncio asks for what the kernel finishes itself: twins of `natives.py` and `planning.py`."""

from collections.abc import Callable, Sequence
from typing import Any

from splittally.edge.manifest import Source
from splittally.edge.records import Decision
from splittally.runtime.asking import Asking
from splittally.runtime.callers import IssuedToken
from splittally.runtime.kernel import Kernel
from splittally.runtime.preview import Preview


class AskingNatives(Asking):
    """The native effects, manifests and plans of a kernel, awaited."""

    async def native(
        self,
        kind: str,
        grant: str | None = None,
        now_ns: int | None = None,
        under: str | None = None,
        **params: Any,
    ) -> Decision:
        """Ask for a native effect."""
        return await self._call(lambda: self._kernel.native(kind, grant, now_ns, under, **params))

    async def issue_token(
        self,
        name: str,
        principal: str,
        roles: Sequence[str] = (),
        expires_ns: int | None = None,
        now_ns: int | None = None,
        under: str | None = None,
    ) -> IssuedToken:
        """A token by which a served world is reached; see `Kernel.issue_token`."""
        asked = (name, principal, roles, expires_ns, now_ns, under)
        return await self._call(lambda: self._kernel.issue_token(*asked))

    async def apply(
        self,
        manifest: Source,
        now_ns: int | None = None,
        accept_modules: bool = False,
        expect: bytes | str | None = None,
        allow_revoke: bool = True,
    ) -> Decision:
        """Make the world what a manifest says."""
        asked = (manifest, now_ns, accept_modules, expect, allow_revoke)
        return await self._call(lambda: self._kernel.apply(*asked))

    async def plan(
        self, manifest: Source, now_ns: int | None = None, accept_modules: bool = False
    ) -> Preview:
        """What `apply` would answer and change, with nothing written."""
        return await self._call(lambda: self._kernel.plan(manifest, now_ns, accept_modules))

    async def preview(self, act: Callable[[Kernel], Decision], now_ns: int | None = None) -> Preview:
        """What `act` would be answered now, and change, with nothing written; see `Kernel.preview`."""
        return await self._call(lambda: self._kernel.preview(act, now_ns))

    async def approve(
        self, intent_hash: bytes | str, now_ns: int | None = None, reasons: Sequence[str] | None = None
    ) -> Decision:
        """Approve an intent that waits."""
        return await self._call(lambda: self._kernel.approve(intent_hash, now_ns, reasons))

    async def reject(self, intent_hash: bytes | str, now_ns: int | None = None) -> Decision:
        """Reject an intent that waits."""
        return await self._call(lambda: self._kernel.reject(intent_hash, now_ns))
