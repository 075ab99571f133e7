"""Who calls a served world: a principal, and what else it may."""

from typing import NamedTuple

from splittally.core.state import State
from splittally.core.types import OPERATOR

AUDITOR = "auditor"


class Caller(NamedTuple):
    """Who calls: a principal, and its roles."""

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


def caller_by_token(state: State, secret: str, now_ns: int) -> Caller | None:
    """Who has this secret: nobody, in a world without tokens."""
    return None


def caller_by_uid(state: State, uid: int) -> Caller | None:
    """Who a user of this machine is: nobody, in a world that maps none."""
    return None
