"""`native KIND`: one sub-command for each native effect, made from the kernel's own table.

Rule 1. Kinds, options and help come from `core.native.NATIVE` and the records of its params; nothing is
        listed here by hand. A field that is a record of its own gives its fields as options.
Rule 2. Amounts have units, which the edge reads; what was understood is told. Bytes are hex or `@FILE`, maps
        are `KEY=VALUE` or JSON, as the type says. What may be null is so by an empty text: `--holder ""`,
        `--budget requests=`.
"""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import click
from msgspec import NODEFAULT, Struct, UnsetType
from msgspec.structs import FieldInfo, fields
from splittally.core.budget.plan import Plan
from splittally.core.errors import InvalidInput
from splittally.core.limits import NATIVE_PARAMS_BYTES_MAX
from splittally.core.native import NATIVE
from splittally.edge.json_values import parse_json, printable
from splittally.edge.records import Decision, answer_json
from splittally.runtime import Kernel
from splittally.runtime.preview import change_json

from splittally_tools.cli.answers import code_of_answer, show_answer
from splittally_tools.cli.differences import show_changes
from splittally_tools.cli.exit_codes import REFUSED
from splittally_tools.cli.groups import Commands
from splittally_tools.cli.hashes import intent_of
from splittally_tools.cli.interrupts import whole
from splittally_tools.cli.open_world import writer_of
from splittally_tools.cli.output import Page, emit, say
from splittally_tools.cli.replacing import CONFIRM, DRY_RUN, confirmed, emit_plan, planned
from splittally_tools.cli.session import Session, shared
from splittally_tools.cli.understood import understood

SEPARATE = ("manifest.apply",)  # has a command of its own, which reads files
AMENDING = ("grant.amend",)  # changes what stands, so what differs is shown
SAID = {"until_ns": "until"}  # times that the edge reads: nanoseconds, or a date-time with an offset
AMOUNTS = {"amount", "amounts", "budget", "debt_limit", "usage"}  # fields of amounts, by their names
Parse = Callable[[str, tuple[str, ...]], Any]
Act = Callable[[Kernel], Decision]


class Field(NamedTuple):
    """One option: where its value goes in the params, and how its words are read."""

    path: tuple[str, ...]
    parse: Parse
    is_many: bool
    is_required: bool
    hint: str


@click.group(cls=Commands)
@shared
def native() -> None:
    """Effects that the kernel itself finishes, under the grant that you hold.

    The operator acts under the root grant, anybody else under a native grant; `--under` names another.
    """


def _command(kind: str) -> click.Command:
    row = NATIVE[kind]
    known = _fields_of(row.params, ())
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

        def act(kernel: Kernel) -> Decision:
            return kernel.native(kind, under=under, now_ns=session.now_ns, **params)

        if row.modules is not None:
            return _replace(session, act, dry_run, yes)
        return _amend(session, act) if kind in AMENDING else _finish(session, act)

    about = f"{row.help.capitalize()}.\n\n{row.params.__doc__ or ''}"
    command = click.Command(kind, callback=run, params=options, help=about, short_help=row.help)
    return _with(command, shared if row.modules is None else _replacing)


def _replacing(function: Callable[..., Any]) -> Callable[..., Any]:
    return DRY_RUN(CONFIRM(shared(function)))


def _finish(session: Session, act: Act) -> int:
    with writer_of(session) as kernel, whole():
        decision = act(kernel)
        amounts = "" if session.as_json else understood(kernel, decision)
    emit(session, answer_json(decision), lambda out: _show(out, decision, amounts))
    return code_of_answer(decision)


def _amend(session: Session, act: Act) -> int:
    """The same for an effect that changes what stands, with what differs after it."""
    with writer_of(session) as kernel, whole():
        preview = kernel.preview(act, session.now_ns)
        decision = act(kernel)
    document = {**answer_json(decision), "changes": list(map(change_json, preview.changes))}

    def show(out: Page) -> None:
        show_answer(out, decision)
        show_changes(out, preview)

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
        flag_value="yes" if field.parse is _bool else None,
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


# --- from types to options ----------------------------------------------------------------------


def _fields_of(kind: type, above: tuple[str, ...]) -> dict[str, Field]:
    """The options of a record of params, by name; those of a record inside it beside its own."""
    hints = get_type_hints(kind)
    found: dict[str, Field] = {}
    for info in fields(kind):
        hint = _plain(hints[info.name])
        path, name = (*above, info.encode_name), SAID.get(info.encode_name, info.encode_name)
        if isinstance(hint, type) and issubclass(hint, Plan):
            found[name] = Field(
                path=path, parse=_document, is_many=False, is_required=_is_required(info), hint="JSON|@FILE"
            )
        elif isinstance(hint, type) and issubclass(hint, Struct):
            found |= _fields_of(hint, path)
        else:
            field = _field(path, hint, _is_required(info))
            is_nullable = type(None) in get_args(hints[info.name])
            found[name] = field._replace(parse=_or_null(field.parse)) if is_nullable else field
    return found


def _is_required(info: FieldInfo) -> bool:
    return info.default is NODEFAULT and info.default_factory is NODEFAULT


def _plain(hint: Any) -> Any:
    """A type without its None and its absence."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part not in (type(None), UnsetType))
    return hint


def _field(path: tuple[str, ...], hint: Any, is_required: bool) -> Field:
    name, of = path[-1], get_args(hint)
    if name == "params":
        return Field(path=path, parse=_json, is_many=False, is_required=is_required, hint="JSON")
    if hint is bool:
        return Field(path=path, parse=_bool, is_many=False, is_required=is_required, hint="yes|no")
    if name in SAID:
        return Field(path=path, parse=_amount, is_many=False, is_required=is_required, hint="TIME")
    if hint is int:
        return Field(
            path=path,
            parse=_amount if name in AMOUNTS else _integer,
            is_many=False,
            is_required=is_required,
            hint="AMOUNT" if name in AMOUNTS else "NUMBER",
        )
    if hint is bytes:
        return Field(path=path, parse=_bytes, is_many=False, is_required=is_required, hint="HEX|@FILE")
    if hint is str:
        return Field(path=path, parse=_text, is_many=False, is_required=is_required, hint="TEXT")
    if get_origin(hint) is dict and _plain(of[1]) is int:
        is_nullable = of[1] is not int
        is_amount = name in AMOUNTS
        parse: Parse = _texts if is_amount else _numbers
        hinted = "KEY=AMOUNT" if is_amount else "KEY=NUMBER"
        parse = _with_nulls(parse) if is_nullable else parse
        return Field(path=path, parse=parse, is_many=True, is_required=is_required, hint=hinted)
    if get_origin(hint) is dict and of == (str, str):
        return Field(path=path, parse=_texts, is_many=True, is_required=is_required, hint="KEY=TEXT")
    if get_origin(hint) is list and of == (str,):
        return Field(path=path, parse=_list, is_many=True, is_required=is_required, hint="TEXT")
    return Field(path=path, parse=_json, is_many=False, is_required=is_required, hint="JSON")


def _text(name: str, said: tuple[str, ...]) -> str:
    return said[0]


def _list(name: str, said: tuple[str, ...]) -> list[str]:
    return list(said)


def _integer(name: str, said: tuple[str, ...]) -> int:
    text = said[0]
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()) or len(text) > 20:
        raise InvalidInput(f"`--{name}` is a whole number", field=name)
    return int(text)


def _amount(name: str, said: tuple[str, ...]) -> str:
    """As it was typed: the edge knows the resource and reads it."""
    return said[0]


def _bool(name: str, said: tuple[str, ...]) -> bool:
    if said[0] not in ("yes", "no", "true", "false"):
        raise InvalidInput(f"`--{name}` is yes or no", field=name)
    return said[0] in ("yes", "true")


def _bytes(name: str, said: tuple[str, ...]) -> bytes:
    text = said[0]
    if not text.startswith("@"):
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise InvalidInput(f"`--{name}` is hex text, or `@FILE`", field=name) from None
    file = Path(text[1:])
    try:
        if file.stat().st_size > NATIVE_PARAMS_BYTES_MAX:
            raise InvalidInput(f"`{file}` is larger than {NATIVE_PARAMS_BYTES_MAX} bytes", field=name)
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"`{file}` cannot be read: {error.strerror}", field=name) from error


def _json(name: str, said: tuple[str, ...]) -> Any:
    try:
        return parse_json(said[0])
    except InvalidInput as error:
        raise InvalidInput(f"`--{name}` is JSON: {error}", field=name) from error


def _document(name: str, said: tuple[str, ...]) -> Any:
    """JSON in place, or in a file."""
    text = said[0]
    return _json(name, (_bytes(name, said).decode("utf-8", "replace"),) if text.startswith("@") else said)


def _numbers(name: str, said: tuple[str, ...]) -> dict[str, int]:
    return {key: _integer(name, (text,)) for key, text in _texts(name, said).items()}


def _with_nulls(parse: Parse) -> Parse:
    """The same for a map, whose empty texts are nulls."""

    def read(name: str, said: tuple[str, ...]) -> dict[str, Any]:
        texts = _texts(name, said)
        stated = tuple(f"{key}={text}" for key, text in texts.items() if text)
        return {**dict.fromkeys(texts), **(parse(name, stated) if stated else {})}

    return read


def _or_null(parse: Parse) -> Parse:
    """The same, and null for an empty text."""
    return lambda name, said: None if said == ("",) else parse(name, said)


def _texts(name: str, said: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in said:
        key, sign, text = pair.partition("=")
        if not sign or not key or key in found:
            raise InvalidInput(f"`--{name}` is KEY=VALUE, each key once", field=name)
        found[key] = text
    return found


for _kind in sorted(NATIVE):
    if _kind not in SEPARATE:
        native.add_command(_command(_kind))
