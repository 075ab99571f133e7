"""Manifests as people write them (TOML, JSON or a mapping) to the typed manifest of the core.

Rule 1. Only the spelling changes here: units, durations, file names, schemas. What is allowed is
        decided by the core.
Rule 2. An unknown key is refused by name, with the keys that are known.
"""

import datetime
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from splittally.core.errors import InvalidManifest, SplittallyError
from splittally.core.hashing import hash_module, hash_schema
from splittally.core.limits import ENFORCER_BYTES_MAX, HASH_BYTES, NATIVE_PARAMS_BYTES_MAX
from splittally.core.native.manifest_terms import Manifest
from splittally.core.state import State
from splittally.core.types import CAP_ANY_TYPE, is_name
from splittally.edge.amounts import parse_amount
from splittally.edge.governor_terms import spelled_governor
from splittally.edge.json_values import parse_json
from splittally.edge.native_params import SchemaOf
from splittally.edge.permission import complete_terms
from splittally.edge.quantities import instant, natural, share, span
from splittally.edge.rule_params import check_rules
from splittally.edge.schema import ParamsSchema

TABLES = ("resources", "accounts", "effects", "caps", "modules", "grants", "policy", "governor", "world")
EFFECT_KEYS = ("cap_type", "params_schema", "receipt_schema", "adapters", "params_bytes_max")
CAP_KEYS = ("enforcer", "params_schema", "cap_type")
GRANT_KEYS = (
    "cap", "params", "budget", "limits", "expiry", "expiry_ns", "parent", "holder", "draws_on", "pays_to",
    "delegations", "hold_ns_max", "approval_ns", "unknown_ns", "doubt", "above", "permission",
)  # fmt: skip
LIMIT_KEYS = ("dim", "amount", "per", "over", "rollover")
RULE_KEYS = (
    "name", "decision", "effect_kind", "cap_name", "cap_type", "origin_kind", "origin_name", "when", "match",
    "rates", "rate",
)  # fmt: skip
MATCH_KEYS = ("effect_kind", "cap_name", "cap_type", "origin_kind", "origin_name")
_HASH = re.compile(r"[0-9a-fA-F]{64}")


def read_manifest_document(
    source: str | Path | Mapping[str, Any], state: State, schema_of: SchemaOf
) -> dict[str, Any]:
    """The params of `manifest.apply` for a manifest; `InvalidManifest` says what is wrong and where.

    `source` is a path to `.toml` or `.json`, or a mapping of the same shape.
    """
    if isinstance(source, Mapping):
        document, folder = dict(source), Path()
    else:
        document, folder = _load(Path(source)), Path(source).parent
    return _Reader(document, folder, state, schema_of).read()


def _load(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise InvalidManifest(f"there is no file `{path}`", path=str(path))
        if path.stat().st_size > NATIVE_PARAMS_BYTES_MAX:
            raise InvalidManifest(f"`{path}` is larger than {NATIVE_PARAMS_BYTES_MAX} bytes", path=str(path))
        text = path.read_text("utf-8")
        document = parse_json(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, SplittallyError) as error:
        raise InvalidManifest(f"`{path}` cannot be read: {error}", path=str(path)) from error
    if not isinstance(document, dict):
        raise InvalidManifest(f"`{path}` is not a table", path=str(path))
    return document


class _Reader:
    def __init__(self, document: dict[str, Any], folder: Path, state: State, schema_of: SchemaOf) -> None:
        self.document = document
        self.folder = folder
        self.state = state
        self.schema_of = schema_of
        self.wasm: dict[bytes, bytes] = {}
        self.schemas: dict[bytes, bytes] = {}
        self.loaded: dict[bytes, ParamsSchema] = {}
        self.modules: dict[str, bytes] = {}

    def read(self) -> dict[str, Any]:
        _refuse_unknown("the manifest", self.document, TABLES)
        resources = {name: _scale(name, value) for name, value in self._table("resources").items()}
        self.scales = {name: res.scale for name, res in self.state.ledger.resources.items()} | resources
        for name, source in self._table("modules").items():
            self.modules[name] = self._module(f"modules.{name}", source)
        effects = {kind: self._effect(kind, entry) for kind, entry in self._table("effects").items()}
        caps = {name: self._cap(name, entry, effects) for name, entry in self._table("caps").items()}
        params: dict[str, Any] = {
            "resources": resources,
            "accounts": {name: self._account(name, value) for name, value in self._table("accounts").items()},
            "effects": effects,
            "caps": caps,
            "modules": self.modules,
            "grants": {name: self._grant(name, x, caps) for name, x in self._table("grants").items()},
            "policy": [self._rule(at, rule) for at, rule in enumerate(self._rules())],
            "offset_ns": self._offset(),
            "wasm": [self.wasm[digest] for digest in sorted(self.wasm)],
            "schemas": [self.schemas[digest] for digest in sorted(self.schemas)],
        }
        try:
            if "governor" in self.document:
                params["governor"] = spelled_governor(self.document["governor"], self.scales)
            msgspec.convert(params, Manifest, strict=True)
        except InvalidManifest:
            raise
        except (msgspec.ValidationError, UnicodeError, SplittallyError) as error:
            raise InvalidManifest(f"the manifest cannot be read: {error}") from error
        return params

    def _table(self, name: str) -> dict[str, Any]:
        table = self.document.get(name, {})
        if not isinstance(table, Mapping):
            raise InvalidManifest(f"`{name}` is a table", field=name)
        return dict(table)

    def _rules(self) -> list[Any]:
        return _list("policy", self.document.get("policy", []))

    def _offset(self) -> int:
        world = self._table("world")
        _refuse_unknown("`world`", world, ("utc_offset",))
        text = world.get("utc_offset", "+00:00")
        try:
            zone = datetime.datetime.strptime(text, "%z").utcoffset()
        except (ValueError, TypeError):
            zone = None
        if zone is None:
            raise InvalidManifest("`world.utc_offset` is like +02:00", field="world.utc_offset")
        return int(zone.total_seconds()) * 10**9

    def _account(self, name: str, value: Any) -> int:
        entry = value if isinstance(value, Mapping) else {"debt_limit": value}
        _refuse_unknown(f"account `{name}`", entry, ("debt_limit",))
        return natural(f"accounts.{name}.debt_limit", entry.get("debt_limit", 0))

    def _effect(self, kind: str, entry: Any) -> dict[str, Any]:
        where = f"effects.{kind}"
        entry = _mapping(where, entry)
        _refuse_unknown(f"effect `{kind}`", entry, EFFECT_KEYS)
        return {
            "cap_type": entry.get("cap_type", kind),
            "params_schema": self._schema(f"{where}.params_schema", entry.get("params_schema")),
            "receipt_schema": self._schema(f"{where}.receipt_schema", entry.get("receipt_schema")),
            "adapters": _list(f"{where}.adapters", entry.get("adapters", [])),
            **{key: entry[key] for key in ("params_bytes_max",) if key in entry},
        }

    def _cap(self, name: str, entry: Any, effects: Mapping[str, Any]) -> dict[str, Any]:
        where = f"caps.{name}"
        entry = _mapping(where, entry)
        _refuse_unknown(f"cap `{name}`", entry, CAP_KEYS)
        if "enforcer" not in entry:
            raise InvalidManifest(f"cap `{name}` names no `enforcer`", field=where)
        enforcer = self._module(f"{where}.enforcer", entry["enforcer"])
        return {
            "cap_type": entry.get("cap_type") or self._cap_type(name, enforcer, effects),
            "enforcer": enforcer,
            "params_schema": self._schema(f"{where}.params_schema", entry.get("params_schema")),
        }

    def _cap_type(self, name: str, enforcer: bytes, effects: Mapping[str, Any]) -> str:
        """The type a cap that states none has: its enforcer's in the release, else the one its name
        gives where an effect has it, else any, because an enforcer denies a foreign kind itself."""
        for cap in self.state.caps.caps.values():
            if cap.enforcer == enforcer and cap.name.startswith("sys/"):
                return cap.cap_type
        middle = name.rsplit("/", maxsplit=1)[-1].split("@", maxsplit=1)[0]
        known = {effect["cap_type"] for effect in effects.values()}
        known |= {effect.cap_type for effect in self.state.caps.effects.values()}
        return middle if middle in known else CAP_ANY_TYPE

    def _grant(self, name: str, entry: Any, caps: Mapping[str, Any]) -> dict[str, Any]:
        where = f"grants.{name}"
        entry = _mapping(where, entry)
        _refuse_unknown(f"grant `{name}`", entry, GRANT_KEYS)
        entry = self._completed(where, entry, caps)
        terms = {
            key: value for key, value in entry.items() if key not in ("expiry", "params", "budget", "limits")
        }
        for key in ("hold_ns_max", "approval_ns", "unknown_ns"):
            if key in terms:
                terms[key] = span(f"{where}.{key}", terms[key])
        expiry = entry.get("expiry", entry.get("expiry_ns"))
        if expiry is not None:
            terms["expiry_ns"] = instant(f"{where}.expiry", expiry)
        if entry.get("params") is not None:
            terms["params"] = self._cap_params(
                f"{where}.params", str(entry.get("cap")), entry["params"], caps
            )
        if entry.get("budget") is not None:
            budget = _mapping(f"{where}.budget", entry["budget"])
            terms["budget"] = {
                dim: self._amount(f"{where}.budget.{dim}", dim, x) for dim, x in budget.items()
            }
        if "limits" in entry:
            terms["limits"] = self._limits(f"{where}.limits", entry["limits"])
        return terms

    def _completed(self, where: str, entry: Mapping[str, Any], caps: Mapping[str, Any]) -> dict[str, Any]:
        types = {name: cap.cap_type for name, cap in self.state.caps.caps.items()}
        types |= {name: cap["cap_type"] for name, cap in caps.items()}
        try:
            return complete_terms(entry, self.scales, types, self._permission)
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error

    def _permission(self, text: str) -> Any:
        return parse_json(text) if text.lstrip().startswith("{") else _load(self.folder / text)

    def _cap_params(self, where: str, cap: str, params: Any, caps: Mapping[str, Any]) -> bytes:
        own, known = caps.get(cap), self.state.caps.caps.get(cap)
        digest = own["params_schema"] if own else known.params_schema if known else b""
        schema = self.loaded.get(digest) or self.schema_of(self.state, digest)
        try:
            data = schema.seal(params)
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error
        try:
            check_rules(self.state, own["enforcer"] if own else known.enforcer if known else b"", where, data)
        except SplittallyError as error:
            raise InvalidManifest(str(error), **error.facts) from error
        return data

    def _limits(self, where: str, limits: Any) -> list[dict[str, Any]]:
        return [self._limit(f"{where}[{at}]", limit) for at, limit in enumerate(_list(where, limits))]

    def _limit(self, where: str, limit: Any) -> dict[str, Any]:
        terms = dict(_mapping(where, limit))
        _refuse_unknown(f"limit `{where}`", terms, LIMIT_KEYS)
        if "amount" in terms:
            terms["amount"] = self._amount(f"{where}.amount", str(terms.get("dim")), terms["amount"])
        if "rollover" in terms:
            terms["rollover"] = share(f"{where}.rollover", terms["rollover"])
        return terms

    def _rule(self, at: int, rule: Any) -> dict[str, Any]:
        where = f"policy[{at}]"
        rule = _mapping(where, rule)
        _refuse_unknown(f"rule `{where}`", rule, RULE_KEYS)
        match = _mapping(f"{where}.match", rule.get("match", {}))
        _refuse_unknown(f"`{where}.match`", match, MATCH_KEYS)
        terms = {key: value for key, value in rule.items() if key not in ("match", "rate", "rates")} | dict(
            match
        )
        terms.setdefault("name", f"rule-{at}")
        rates = _list(f"{where}.rates", rule.get("rates", [])) + ([rule["rate"]] if "rate" in rule else [])
        if rates:
            rates = [{"dim": "attempts", **_mapping(f"{where}.rates", rate)} for rate in rates]
            terms["rates"] = self._limits(f"{where}.rates", rates)
        return terms

    def _amount(self, where: str, dim: str, value: Any) -> Any:
        if isinstance(value, str) and dim in self.scales:
            try:
                return parse_amount(value, dim, self.scales[dim])
            except SplittallyError as error:
                raise InvalidManifest(f"`{where}`: {error}", field=where) from error
        return natural(where, value)

    def _module(self, where: str, source: Any) -> bytes:
        """The hash of a module given by name, by hash, by file or as bytes; its bytes travel along."""
        if isinstance(source, bytes) and not source.startswith(b"\0asm") and len(source) == HASH_BYTES:
            return source
        if isinstance(source, bytes):
            return self._carry(source)
        if isinstance(source, Mapping):
            return self._named_by_manifest(where, source)
        if not isinstance(source, str):
            raise InvalidManifest(f"`{where}` is a module's name, hash or file", field=where)
        if is_name(source):
            digest = self.modules.get(source) or self.state.caps.modules.get(source)
            if digest is None:
                raise InvalidManifest(f"`{where}`: no module `{source}` is installed", field=where)
            return digest
        if _HASH.fullmatch(source):
            return bytes.fromhex(source)
        path = self.folder / source
        try:
            if not path.is_file() or path.stat().st_size > ENFORCER_BYTES_MAX:
                raise InvalidManifest(
                    f"`{where}`: `{path}` is no file of at most {ENFORCER_BYTES_MAX} bytes", field=where
                )
            return self._carry(path.read_bytes())
        except OSError as error:
            raise InvalidManifest(f"`{where}`: `{path}` cannot be read", field=where) from error

    def _named_by_manifest(self, where: str, source: Mapping[str, Any]) -> bytes:
        """The module that an applied manifest, named by its hash, installed under a name."""
        _refuse_unknown(f"`{where}`", source, ("manifest_hash", "module_name"))
        modules = self.state.caps.manifests.get(str(source.get("manifest_hash")).lower(), {})
        digest = modules.get(str(source.get("module_name")))
        if digest is None:
            raise InvalidManifest(
                f"`{where}`: no applied manifest of this hash names this module", field=where
            )
        return digest

    def _carry(self, wasm: bytes) -> bytes:
        digest = hash_module(wasm)
        if digest not in self.state.caps.blobs:
            self.wasm[digest] = wasm
        return digest

    def _schema(self, where: str, source: Any) -> bytes:
        if source is None:
            return b""
        if isinstance(source, str):
            source = _load(self.folder / source)
        try:
            schema = ParamsSchema.load(source)
        except SplittallyError as error:
            raise InvalidManifest(f"`{where}`: {error}", field=where) from error
        assert schema.hash == hash_schema(schema.data)
        self.loaded[schema.hash] = schema
        if schema.hash not in self.state.caps.blobs:
            self.schemas[schema.hash] = schema.data
        return schema.hash


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidManifest(f"`{where}` is an array", field=where)
    return value


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidManifest(f"`{where}` is a table", field=where)
    return value


def _refuse_unknown(what: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(str(key) for key in table if key not in known)
    if unknown:
        raise InvalidManifest(
            f"{what} has no `{unknown[0]}`; it has {', '.join(known)}", field=unknown[0], known=list(known)
        )


def _scale(name: str, value: Any) -> int:
    entry = value if isinstance(value, Mapping) else {"scale": value}
    _refuse_unknown(f"resource `{name}`", entry, ("scale",))
    return natural(f"resources.{name}.scale", entry.get("scale", 0))
