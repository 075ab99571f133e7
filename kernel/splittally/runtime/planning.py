"""How a world is made what a manifest says: the plan of it first, where that is wanted, and then the record.

Rule 1. A plan is an effect tried on a fork: what `apply` would do is what it does there.
Rule 2. What a plan is refused for (`expect`, `allow_revoke`) is decided under the lock under which the
        manifest is applied, so nothing comes between.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Self

from msgspec.structs import replace

from splittally.core.errors import InvalidInput
from splittally.core.findings import find
from splittally.core.types import DENY, ROOT
from splittally.edge.dimensions import warned
from splittally.edge.manifest import Source, read_manifest_document
from splittally.edge.records import Decision, Intent, worded
from splittally.runtime.pipeline import commit, tick
from splittally.runtime.preview import Preview, preview_of, refusals
from splittally.runtime.requests import Requests
from splittally.runtime.streams import use


class Planning(Requests):
    """What a kernel plans and applies, for one principal."""

    def apply(
        self,
        manifest: Source,
        now_ns: int | None = None,
        accept_modules: bool = False,
        expect: bytes | str | None = None,
        allow_revoke: bool = True,
    ) -> Decision:
        """Make the world what a manifest says, all or nothing; an unchanged one writes nothing.

        `manifest` is a path to TOML or JSON, or a mapping of the same shape (spec/06-manifest.md). A name
        that means another module now is shown (`module_renamed`) and taken with `accept_modules`. `expect`
        is the hash of the `plan` that is meant: another one is refused (`plan_changed`). Without
        `allow_revoke` no grant is revoked (`plan_revokes`). Both are answered without a record.
        """
        with self._lock:
            if expect is not None or not allow_revoke:
                plan = self.plan(manifest, now_ns, accept_modules)
                refused = refusals(plan, expect, allow_revoke)
                if refused:
                    return worded(Decision(None, None, DENY, tuple(refused)), self._world.wording)
            state = self._world.state
            schema_of = self._world.sealer.schema
            params, beside = read_manifest_document(manifest, state, schema_of, accept_modules)
            decision = self.submit(Intent("manifest.apply", params, ROOT), now_ns=now_ns)
            holds = self._world.state.ledger.holds
            if decision.allowed and holds:
                hashes = sorted(holds)[:16]
                beside.append(find("carried_over", count=len(holds), intent_hashes=hashes))
            stated = {budget["budget"] for budget in params.get("budgets", ())}
            kept = sorted(set(self._world.state.plans.budgets) - stated)
            if decision.allowed and "budgets" in params and kept:
                beside.append(find("budgets_kept", count=len(kept), budgets=kept[:16]))
            decision = replace(decision, findings=(*decision.findings, *beside))
            decision = warned(decision, self._world.state, sorted(params["grants"]))
            return worded(decision, self._world.wording)

    def plan(self, manifest: Source, now_ns: int | None = None, accept_modules: bool = False) -> Preview:
        """What `apply` would answer and change, with nothing written: no change is no record."""
        return self.preview(lambda fork: fork.apply(manifest, now_ns, accept_modules), now_ns)

    def preview(self, act: Callable[[Self], Decision], now_ns: int | None = None) -> Preview:
        """What `act` would be answered by this kernel now, and change of what a manifest can state.

        `act` gets a fork and asks it once; `now_ns` is the time at which it asks.
        """
        with self._lock:
            use(self._world)
            before = self._world.fork()
            with suppress(InvalidInput):  # a time that may not be said: what is asked is answered so, too
                tick(before, before.clock.read(before.state.now_ns, now_ns, before.state.clock_jump_ns))
                commit(before)
            after = before.fork()
            decision = act(type(self)(after, self._principal))
            return preview_of(decision, before.state, after.state)
