"""`token`: who may reach a world where it is served. Issue, revoke, list; and a secret for a manifest.

Rule 1. A secret is shown once, by the command that draws it, and is written nowhere.
Rule 2. People see of a hash its first digits. Whether a token has expired is said by the world's clock now.
"""

from typing import Any

import click
from splittally.core.callers import ROLES
from splittally.core.types import OPERATOR
from splittally.edge.answer_lines import answer_json
from splittally.edge.wording import Wording
from splittally.runtime.callers import new_secret, token_row
from splittally.runtime.named import Names
from splittally.runtime.reader import Reader
from splittally.runtime.rows import Row

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.exit_codes import DONE
from splittally_tools.cli.filters import by_name, by_word
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.moments import expiry_of
from splittally_tools.cli.open_world import reader_of, writer_of
from splittally_tools.cli.output import Page, emit, say, table
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.views import head_of

BEARERS = Names(
    "principal",
    lambda state: {
        OPERATOR,
        *(grant.holder for grant in state.caps.grants.values()),
        *(token.principal for token in state.caps.bearers.values()),
        *state.caps.principals,
    },
    lambda body: (body.by,),
)
_UNDER = click.option("--under", metavar="GRANT", help="The grant to act under.")
_SHOWN_ONCE = "the secret is shown here alone: keep it where the caller finds it"


@click.group(cls=Commands)
@shared
def token() -> None:
    """Tokens by which programs reach a world that is served.

    The operator issues them for anybody. Who holds a native grant that covers `token.issue` issues them for
    themselves, and they are valid as long as that grant is.
    """


@token.command()
@shared
@click.argument("name")
@click.option("--principal", "bearer", required=True, metavar="NAME", help="As whom its bearer acts.")
@by_word("--role", ROLES, "What the bearer may beside that: see all, or name any principal.", multiple=True)
@click.option("--expires", metavar="DAY|TIME|+SPAN", help="Its end: a day, a time, or a span from now, +90d.")
@_UNDER
@click.pass_obj
def issue(
    session: Session, name: str, bearer: str, role: tuple[str, ...], expires: str | None, under: str | None
) -> int:
    """Issue the token NAME and show its secret, once."""
    with writer_of(session) as kernel, whole():
        expires_ns = None if expires is None else expiry_of(kernel, expires, session.now_ns)
        decision, secret = kernel.issue_token(name, bearer, role, expires_ns, session.now_ns, under)

    def show(out: Page) -> None:
        show_answer(out, decision)
        if secret is not None:
            say(out, f"  {_SHOWN_ONCE}")
            say(out, secret)

    emit(session, {**answer_json(decision), "secret": secret}, show)
    return code_of_answer(decision)


@token.command()
@shared
@click.argument("name")
@_UNDER
@click.pass_obj
def revoke(session: Session, name: str, under: str | None) -> int:
    """Let the bearer of the token NAME in no more."""
    with writer_of(session) as kernel, whole():
        decision = kernel.native("token.revoke", under=under, now_ns=session.now_ns, name=name)
    emit(session, answer_json(decision), lambda out: show_answer(out, decision))
    return code_of_answer(decision)


@token.command("list")
@by_name("--principal", BEARERS, "Only who acts as this principal.")
@shared
@click.pass_obj
def list_(session: Session, principal: str | None) -> int:
    """Who may reach the world: tokens, and the users of this machine that the manifest names."""
    with reader_of(session) as reader:
        now_ns = _now_ns(reader)
        state = reader.folded
        rows = {
            name: row
            for name in sorted(state.caps.bearers)
            if (row := token_row(state, name, now_ns)) and principal in (None, row.principal)
        }
        users = {name: row for name, row in reader.state.principals.items() if principal in (None, name)}
        document = {**head_of(reader.state), "tokens": rows, "principals": users}
        wording = reader.state.wording
    emit(session, document, lambda out: _show(out, rows, users, wording))
    return DONE


def _now_ns(reader: Reader) -> int:
    """The logical time that a command would have now; a clock that has jumped says nothing."""
    health = reader.health()
    read = 0 if health["state"] == "jumped" else health["clock_ns"] or 0
    return max(int(health["now_ns"]), int(read))


def _show(out: Page, rows: dict[str, Row], users: dict[str, Row], wording: Wording) -> None:
    columns = ("token", "principal", "roles", "expires", "from", "hash", "state")
    out.print(table(columns, (_cells(row, wording) for row in rows.values())))
    if users:
        cells = ((name, ", ".join(map(str, row.uids)), ", ".join(row.roles)) for name, row in users.items())
        out.print(table(("principal", "uids", "roles"), cells))


def _cells(row: Row, wording: Wording) -> tuple[Any, ...]:
    expires = wording.moment(row.expires_ns) if row.expires_ns else "never"
    source = "the manifest" if row.stated else row.issued_by
    roles = ", ".join(row.roles)
    return (row.name, row.principal, roles, expires, source, row.token_hash, row.standing)


@token.command()
@shared
@click.pass_obj
def new(session: Session) -> int:
    """Draw a secret and the hash of it that a manifest states; nothing is recorded."""
    secret, token_hash = new_secret()

    def show(out: Page) -> None:
        say(out, f'hash = "{token_hash.hex()}"')
        say(out, f"  {_SHOWN_ONCE}")
        say(out, secret)

    emit(session, {"secret": secret, "hash": token_hash}, show)
    return DONE
