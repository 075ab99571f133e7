"""What one principal may see of a state: its grants and what they count, its open intents, its accounts.

Rule 1. What is another's is as if it were not there: it is in no table, and no key finds it.
Rule 2. An account is one's own where a grant that one holds draws on it or pays from it. Resources are read
        by everybody.
Rule 3. A budget's plan is a public declaration, read by everybody without its funds. A private one is read by
        who holds a grant at or below its charter; the whole row by who holds the charter.
Rule 4. Whose a row is, is asked of the state before the row is built.
"""

from collections.abc import Iterable

from splittally.core.native.plans import plan_of
from splittally.core.types import BudgetDef, Grant
from splittally.runtime.budget_views import declared_row
from splittally.runtime.grant_views import grant_row
from splittally.runtime.ledger_views import account_row, hold_row
from splittally.runtime.metric_history import no_such_metric
from splittally.runtime.queries import Queries
from splittally.runtime.rows import Row
from splittally.runtime.solution_views import is_public
from splittally.runtime.table import Table


class OwnQueries(Queries):
    """The views of `queries`, for one principal."""

    def __init__(self, queries: Queries, principal: str) -> None:
        super().__init__(queries._current, queries._still, queries._history, queries._book)
        self._principal = principal

    @property
    def grants(self) -> Table[str, Row]:
        """The grants that the principal holds."""
        return self._table(
            lambda: [grant.name for grant in self._held()],
            lambda name: grant_row(self._current(), name) if self._holds(name) else None,
        )

    @property
    def counters(self) -> Table[str, Table[str, Row]]:
        """Life counters of those grants."""
        every = super().counters
        return self._table(
            lambda: [grant.name for grant in self._held() if every.get(grant.name) is not None],
            lambda name: every.get(name) if self._holds(name) else None,
        )

    @property
    def reservations(self) -> Table[bytes, Row]:
        """What the principal asked for and is open."""
        holds = self._current().ledger.holds

        def find(digest: bytes) -> Row | None:
            hold = holds.get(digest)
            is_own = hold is not None and hold.by == self._principal
            return hold_row(self._current(), digest) if is_own else None

        return self._table(lambda: [key for key, hold in holds.items() if hold.by == self._principal], find)

    @property
    def accounts(self) -> Table[str, Row]:
        """The accounts that those grants draw on."""

        def find(name: str) -> Row | None:
            return account_row(self._current(), name) if name in self._drawn_on() else None

        return self._table(self._drawn_on, find)

    def budgets_per(self, per: str) -> Table[str, Row]:
        """Budgets as they are declared, and those whose charters the principal holds as they stand."""

        def find(name: str) -> Row | None:
            state = self._current()
            budget = state.plans.budgets.get(name)
            if budget is None or not self._may_read([budget]):
                return None
            is_own = self._is_held(budget.grant)
            return self._budget_row(name, per) if is_own else Row(declared_row(state, name))

        return self._table(lambda: self._may_read(self._current().plans.budgets.values()), find)

    def _may_read(self, budgets: Iterable[BudgetDef]) -> list[str]:
        """Those whose plans are public, or at or below whose charters the principal holds a live grant."""
        state = self._current()
        private: list[BudgetDef] = []
        readable: list[BudgetDef] = []
        for budget in budgets:
            (private if plan_of(state, budget).private else readable).append(budget)
        held = (grant.name for grant in self._held() if self._is_held(grant.name)) if private else ()
        above = {grant.name for name in held for grant in state.caps.ancestors(name)}
        return [budget.name for budget in [*readable, *(x for x in private if x.grant in above)]]

    def _is_held(self, name: str) -> bool:
        state = self._current()
        return self._holds(name) and state.caps.is_live(name, state.now_ns)

    def cell(self, budget: str, name: str) -> Row | None:
        """One cell of a solution, which anybody may read whose plan is not private."""
        return super().cell(budget, name) if is_public(self._current(), budget) else None

    def metric_history(self, budget: str, metric: str) -> Row:
        """The values of a metric of a budget whose plan the principal reads."""
        if budget not in self.budgets:
            raise no_such_metric(budget, metric)
        return super().metric_history(budget, metric)

    def _holds(self, name: str) -> bool:
        grant = self._current().caps.grants.get(name)
        return grant is not None and grant.holder == self._principal

    def _held(self) -> Iterable[Grant]:
        return (x for x in self._current().caps.grants.values() if x.holder == self._principal)

    def _drawn_on(self) -> set[str]:
        drawn: set[str] = set()
        for grant in self._held():
            drawn |= {*grant.draws_on.values()}
            drawn |= {payer.account for several in grant.payers.values() for payer in several}
        return drawn
