"""The OpenAPI 3.1 document of a service, from the table of operations and the types of their fields."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from splittally.host.service.documents import ANSWERS, All, First, Intent, Receipt
from splittally.host.service.operations import OPERATIONS, Operation
from splittally.host.service.problems import MEDIA_TYPE, TITLES
from splittally.host.service.service import MANY_MAX

_REF = "#/components/schemas/{name}"
INTENTS = ("Intent", "All", "First")
_PROBLEMS = (400, 401, 403, 404, 413, 429, 500, 503, 504, 507)
Document = dict[str, Any]


@cache
def document() -> Document:
    """The document, as `/openapi.json` gives it."""
    answers = [*ANSWERS.values(), Intent, All, First, Receipt]
    fields = [operation.fields for operation in OPERATIONS]
    every, components = msgspec.json.schema_components([*answers, *fields], ref_template=_REF)
    shapes = dict(zip(fields, every[len(answers) :], strict=True))
    paths: dict[str, Document] = {}
    for operation in OPERATIONS:
        shape = _resolved(shapes[operation.fields], components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = _said(operation, shape)
    used = {name: shape for name, shape in components.items() if name not in {x.__name__ for x in fields}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Splittally", "version": version("splittally"), "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}, {}],  # the second by the Unix socket, where the uid says who asks
        "paths": {**_hot_paths(), **paths, **_plain_paths()},
        "components": {
            "schemas": used,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _resolved(shape: Document, components: dict[str, Any]) -> Document:
    name = shape["$ref"].rsplit("/", 1)[1]
    found: Document = components[name]
    return found


def _said(operation: Operation, shape: Document) -> Document:
    """One operation: fields in its path, the others in the query of a GET and the body of a POST."""
    names = set(re.findall(r"{(\w+)}", operation.path))
    properties, needed = shape.get("properties", {}), set(shape.get("required", ()))
    where = {name: "path" if name in names else "query" for name in properties}
    is_read = operation.method == "GET"
    parameters = [
        {"name": name, "in": place, "required": name in needed, "schema": properties[name]}
        for name, place in where.items()
        if is_read or place == "path"
    ]
    said: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": _responses({"$ref": _REF.format(name=ANSWERS[operation.answer].__name__)}),
    }
    rest = {name: schema for name, schema in properties.items() if name not in names}
    if not is_read and rest:
        body = {
            "type": "object",
            "properties": rest,
            "required": sorted(needed - names),
            "additionalProperties": False,
        }
        said["requestBody"] = _body(body, is_required=bool(needed - names))
    return said


def _hot_paths() -> Document:
    def one_or_many(name: str, forms: Sequence[str], answers: Sequence[str], summary: str) -> Document:
        one = {"anyOf": [{"$ref": _REF.format(name=each)} for each in forms]}
        told = {"anyOf": [{"$ref": _REF.format(name=each)} for each in answers]}
        several = {"type": "array", "items": one, "maxItems": MANY_MAX}
        return {
            "post": {
                "operationId": name,
                "summary": summary,
                "requestBody": _body({"anyOf": [*one["anyOf"], several]}, is_required=True),
                "responses": _responses({"anyOf": [*told["anyOf"], {"type": "array", "items": told}]}),
            }
        }

    lines = {"application/x-ndjson": {"schema": {"type": "string"}}}
    return {
        "/v1/intents": one_or_many(
            "intents", INTENTS, ("Decision", "Decisions", "Refused"), "ask for an effect, or several"
        ),
        "/v1/receipts": one_or_many(
            "receipts", ("Receipt",), ("Settlement", "Refused"), "report what became of effects"
        ),
        "/v1/run": {
            "post": {
                "operationId": "run",
                "summary": "requests of any kind, a line each, answered line by line",
                "requestBody": {"content": lines, "required": True},
                "responses": {"200": {"description": "an answer a line", "content": lines}, **_problems()},
            }
        },
    }


def _plain_paths() -> Document:
    row: Document = {"type": "object"}
    return {
        "/v1/events": _events(),
        "/health": _read("whether it runs", "application/json", row),
        "/ready": _ready(row),
        "/metrics": _read("figures for Prometheus", "text/plain", {"type": "string"}),
        "/access/v1/evaluation": {"post": _evaluation()},
    }


def _read(summary: str, media: str, schema: Document) -> Document:
    """A path that anybody reads."""
    answered = {"description": summary, "content": {media: {"schema": schema}}}
    return {"get": {"summary": summary, "security": [], "responses": {"200": answered, **_problems()}}}


def _events() -> Document:
    said = _read("the frames as they come", "text/event-stream", {"type": "string"})
    bounds = {"type": "integer", "minimum": -1, "maximum": 2**53}
    del said["get"]["security"]
    said["get"]["parameters"] = [{"name": "after", "in": "query", "schema": bounds}]
    return said


def _ready(row: Document) -> Document:
    said = _read("whether it takes requests", "application/json", row)
    not_now = {"description": "not now", "content": {"application/json": {"schema": row}}}
    said["get"]["responses"]["503"] = not_now
    return said


def _evaluation() -> Document:
    part = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    fields = {"name": {"type": "string"}, "properties": {"type": "object"}}
    action = {"type": "object", "properties": fields, "required": ["name"]}
    parts = {"subject": part, "resource": part, "action": action}
    asked = {"type": "object", "properties": parts, "required": sorted(parts)}
    told = {"type": "object", "properties": {"decision": {"type": "boolean"}}, "required": ["decision"]}
    return {
        "operationId": "evaluation",
        "summary": "AuthZEN 1.0: what would be decided",
        "requestBody": _body(asked, is_required=True),
        "responses": _responses(told),
    }


def _body(schema: Document, is_required: bool) -> Document:
    return {"content": {"application/json": {"schema": schema}}, "required": is_required}


def _responses(schema: Document) -> Document:
    answered = {"description": "answered", "content": {"application/json": {"schema": schema}}}
    return {"200": answered, **_problems()}


def _problems() -> Document:
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {str(status): {"description": TITLES[status], "content": content} for status in _PROBLEMS}
