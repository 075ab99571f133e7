"""`native KIND`: one sub-command for each native effect, made from the kernel's own table.

Rule 1. Kinds, options and help come from `core.native.NATIVE` and the records of its params; nothing is
        listed here by hand. A field that is a record of its own gives its fields as options.
Rule 2. What amounts were understood is told. How words are read is `native_fields.py`.
"""

from collections.abc import Callable
from typing import Any

import click
from splittally.core.native import NATIVE
from splittally.edge.answer_lines import answer_json
from splittally.edge.json_values import printable
from splittally.edge.records import Decision
from splittally.runtime.preview import change_json

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.differences import show_changes
from splittally_tools.cli.exit_codes import REFUSED
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.hashes import intent_of
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.native_fields import Field, counted, fields_of, yes_or_no
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.replacing import CONFIRM, DRY_RUN, confirmed, emit_plan, planned, previewed
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.understood import understood
from splittally_tools.cli.writing import Writing

SEPARATE = ("manifest.apply",)  # has a command of its own, which reads files
AMENDING = ("grant.amend",)  # changes what stands, so what differs is shown
Act = Callable[[Writing], Decision]


@click.group(cls=Commands)
@shared
def native() -> None:
    """Effects that the kernel itself finishes, under the grant that you hold.

    The operator acts under the root grant, anybody else under a native grant; `--under` names another.
    """


def _command(kind: str) -> click.Command:
    row = NATIVE[kind]
    known = fields_of(row.params, ())
    options: list[click.Parameter] = [_option(name, field) for name, field in known.items()]
    options.append(click.Option(["--under"], metavar="GRANT", help="The grant to act under."))

    @click.pass_obj
    def run(
        session: Session, /, under: str | None, dry_run: bool = False, yes: bool = False, **words: Any
    ) -> int:
        params: dict[str, Any] = {}
        for name, field in known.items():
            said = words[_variable(name)]
            said = tuple(said) if field.is_many else (() if said is None else (said,))
            if said and name == "intent_hash":
                said = (intent_of(session, said[0]),)
            if said:
                _put(params, field.path, field.parse(name, said))

        def act(kernel: Writing) -> Decision:
            told = counted(params, kernel.state.resources)
            return kernel.native(kind, under=under, now_ns=session.now_ns, **told)

        if row.modules is not None:
            return _replace(session, act, dry_run, yes)
        return _amend(session, act, dry_run) if kind in AMENDING else _finish(session, act)

    about = f"{row.help.capitalize()}.\n\n{row.params.__doc__ or ''}"
    command = click.Command(kind, callback=run, params=options, help=about, short_help=row.help)
    if row.modules is not None:
        return _with(command, _replacing)
    return _with(command, _amending if kind in AMENDING else shared)


def _replacing(function: Callable[..., Any]) -> Callable[..., Any]:
    return DRY_RUN(CONFIRM(shared(function)))


def _amending(function: Callable[..., Any]) -> Callable[..., Any]:
    return DRY_RUN(shared(function))


def _finish(session: Session, act: Act) -> int:
    with writer_of(session) as kernel, whole():
        decision = act(kernel)
        amounts = "" if session.as_json else understood(kernel, decision)
    emit(session, answer_json(decision), lambda out: _show(out, decision, amounts))
    return code_of_answer(decision)


def _amend(session: Session, act: Act, dry_run: bool) -> int:
    """The same for an effect that changes what stands, with what differs after it, or would."""
    if dry_run:
        preview = previewed(session, act)
        decision = preview.decision
    else:
        with writer_of(session) as kernel, whole():
            preview = kernel.preview(act, session.now_ns)
            decision = act(kernel)
    changes = list(map(change_json, preview.changes))
    document = {**answer_json(decision), "dry_run": dry_run, "changes": changes}

    def show(out: Page) -> None:
        show_answer(out, decision)
        show_changes(out, preview)
        if dry_run and decision.allowed and not preview.changes:
            say(out, "nothing to change: the grant is what these terms say")

    emit(session, document, show)
    return code_of_answer(decision)


def _show(out: Page, decision: Decision, amounts: str) -> None:
    show_answer(out, decision)
    if amounts:
        say(out, f"  understood: {printable(amounts)}")


def _replace(session: Session, act: Act, dry_run: bool, yes: bool) -> int:
    """The same for an effect that carries modules, after what they would judge otherwise was shown."""
    with planned(session, act) as plan:
        decision = plan.preview.decision
        if not dry_run:
            if not confirmed(session, plan, yes):
                return REFUSED
            with writer_of(session) as kernel, whole():
                decision = act(kernel)
        document = {**answer_json(decision), "dry_run": dry_run}
        emit_plan(session, document, plan, lambda out: show_answer(out, decision))
    return code_of_answer(decision)


def _with(command: click.Command, options: Callable[[Any], Any]) -> click.Command:
    """The command with options that are made for functions."""
    command.params += click.command()(options(_holder)).params
    return command


@click.pass_obj
def _holder(session: Session) -> None:
    """Carries options and is never called."""


def _option(name: str, field: Field) -> click.Option:
    return click.Option(
        [f"--{name.replace('_', '-')}", _variable(name)],
        required=field.is_required,
        multiple=field.is_many,
        is_flag=False,
        flag_value="yes" if field.parse is yes_or_no else None,
        metavar=field.hint,
        help="May be given several times." if field.is_many else None,
    )


def _variable(name: str) -> str:
    """The Python name of an option, which no keyword and no other parameter has."""
    return f"field_{name}"


def _put(params: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        params = params.setdefault(name, {})
    params[path[-1]] = value


for _kind in sorted(NATIVE):
    if _kind not in SEPARATE:
        native.add_command(_command(_kind))
