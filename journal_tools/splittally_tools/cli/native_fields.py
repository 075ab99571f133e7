"""The options of a native effect, made from the types of its params, and how their words are read.

Rule 1. A field is an option; those of a record inside the params stand beside the others.
Rule 2. Amounts have units, which the edge reads. Bytes are hex or `@FILE`, maps are `KEY=VALUE` or JSON, as
        the type says. What may be null is so by an empty text: `--holder ""`, `--budget requests=`.
"""

import types
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct, UnsetType
from msgspec.structs import FieldInfo, fields
from splittally.core.budget.plan import Plan
from splittally.core.errors import InvalidInput
from splittally.core.limits import NATIVE_PARAMS_BYTES_MAX
from splittally.edge.json_values import parse_json

SAID = {"until_ns": "until"}  # times that the edge reads: nanoseconds, or a date-time with an offset
AMOUNTS = {"amount", "amounts", "budget", "debt_limit", "usage"}  # fields of amounts, by their names
Parse = Callable[[str, tuple[str, ...]], Any]


class Field(NamedTuple):
    """One option: where its value goes in the params, and how its words are read."""

    path: tuple[str, ...]
    parse: Parse
    is_many: bool
    is_required: bool
    hint: str


def fields_of(kind: type, above: tuple[str, ...]) -> dict[str, Field]:
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
            found |= fields_of(hint, path)
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
        return Field(path=path, parse=yes_or_no, is_many=False, is_required=is_required, hint="yes|no")
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


# --- words ---------------------------------------------------------------------------------------


def _text(name: str, said: tuple[str, ...]) -> str:
    return said[0]


def _list(name: str, said: tuple[str, ...]) -> list[str]:
    return list(said)


def _integer(name: str, said: tuple[str, ...]) -> int:
    text = said[0]
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()) or len(text) > 20:
        raise InvalidInput(f"`--{name}` is a whole number", field=name)
    return int(text)


def counted(params: dict[str, Any], declared: Container[str]) -> dict[str, Any]:
    """The params with the digits of what is no resource as numbers: such a dimension has no unit to name."""
    found = dict(params)
    unit = found.get("resource", found.get("dim"))
    for name in (AMOUNTS - {"debt_limit"}) & found.keys():
        value = found[name]
        if isinstance(value, dict):
            found[name] = {key: _count(x, unit or key, declared) for key, x in value.items()}
        else:
            found[name] = _count(value, unit, declared)
    if isinstance(found.get("terms"), dict):
        found["terms"] = counted(found["terms"], declared)
    return found


def _count(value: Any, unit: Any, declared: Container[str]) -> Any:
    is_digits = type(value) is str and value.isascii() and value.isdigit() and len(value) <= 20
    return int(value) if is_digits and unit not in declared else value


def _amount(name: str, said: tuple[str, ...]) -> str:
    """As it was typed: the edge knows the resource and reads it."""
    return said[0]


def yes_or_no(name: str, said: tuple[str, ...]) -> bool:
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
