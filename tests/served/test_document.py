"""What a service says of itself is what it does: requests are made from its own document.

The requests are those that the document allows, and those that it does not. None fails the service, what is
answered is of the shape that is said, and what is not allowed is refused, or denied without a record.
"""

import os
from collections.abc import Iterator

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from splittally.host.service.openapi import document
from splittally.host.service.operations import OPERATIONS
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from tests.served.serving import MANIFEST, intent, receipt, unix

EXAMPLES = 8
SOAK_EXAMPLES = int(os.environ.get("SERVE_SOAK_EXAMPLES", "300"))
ELSEWHERE = ("/v1/events", "/v1/run")  # one does not end, the other is lines: test_feed.py, test_http.py
WHERE = "http://localhost"
DENIED = {"deny", "invalid", "not_found", "not_reserved"}
LABELS = [
    f"{method.upper()} {path}"
    for path, methods in document()["paths"].items()
    for method in methods
    if path not in ELSEWHERE
]


class _OverUnix(HTTPAdapter):
    """Requests, over a Unix socket."""

    def __init__(self, path) -> None:
        self._path = path
        super().__init__()

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        path = self._path

        class Connection(HTTPConnection):
            def connect(self) -> None:
                self.sock = unix(path)

        pool = HTTPConnectionPool("localhost")
        pool.ConnectionCls = Connection
        return pool


@pytest.fixture(scope="module")
def session(served) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.mount(WHERE, _OverUnix(served.path))
        yield made


def operation_of(schema, label):
    method, path = label.split(" ", 1)
    return schema[path][method]


def is_refused(response) -> bool:
    """Whether nothing came of a request: a problem, or answers for which nothing was recorded."""
    if response.status_code != 200:
        return 400 <= response.status_code < 500
    said = response.json() if "json" in str(response.headers["content-type"]) else {}
    answers = said if isinstance(said, list) else [said]
    answers = [each for x in answers for each in x.get("all", [x])]
    return all({x.get("outcome"), x.get("status")} & DENIED and x.get("seq") is None for x in answers)


def hold_to_document(session, schema, label, mode, examples):
    operation = operation_of(schema, label)
    shown = [schemathesis.checks.not_a_server_error, checks.status_code_conformance,
             checks.content_type_conformance, checks.response_schema_conformance]  # fmt: skip

    @settings(
        max_examples=examples,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        response = case.call(base_url=WHERE, session=session, timeout=20)
        case.validate_response(response, checks=shown)
        if not is_refused(response):
            case.validate_response(response, checks=[checks.negative_data_rejection])

    ask()


@pytest.mark.parametrize("label", LABELS)
def test_what_the_document_allows_is_answered_as_it_says(session, served, label):
    schema = schemathesis.openapi.from_dict(served.ask("GET", "/openapi.json").json)
    hold_to_document(session, schema, label, GenerationMode.POSITIVE, EXAMPLES)


def is_bound(label):
    """Whether anything can be wrong in a request: paths without fields take any."""
    method, path = label.split(" ", 1)
    said = document()["paths"][path][method.lower()]
    return bool(said.get("parameters") or said.get("requestBody"))


@pytest.mark.parametrize("label", [x for x in LABELS if is_bound(x)])
def test_what_the_document_does_not_allow_is_refused(session, served, label):
    schema = schemathesis.openapi.from_dict(served.ask("GET", "/openapi.json").json)
    hold_to_document(session, schema, label, GenerationMode.NEGATIVE, EXAMPLES)


@pytest.mark.soak
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda x: x.value)
@pytest.mark.parametrize("label", LABELS)
def test_the_same_for_long(session, served, label, mode):
    if mode == GenerationMode.NEGATIVE and not is_bound(label):
        return
    schema = schemathesis.openapi.from_dict(served.ask("GET", "/openapi.json").json)
    hold_to_document(session, schema, label, mode, SOAK_EXAMPLES)


def test_the_document_names_every_operation_and_every_field_once():
    paths = document()["paths"]
    for operation in OPERATIONS:
        said = paths[operation.path][operation.method.lower()]
        names = [x["name"] for x in said["parameters"]]
        body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        names += list(body.get("properties", {}))
        assert sorted(names) == sorted(operation.fields.__struct_fields__)
    ids = [x["operationId"] for methods in paths.values() for x in methods.values() if "operationId" in x]
    assert len(ids) == len(set(ids))


def test_requests_of_every_kind_that_people_send_are_allowed_by_the_document(served):
    """What works is in the document: nobody who generates a client from it lacks a field."""
    said = served.ask("GET", "/openapi.json").json

    def allows(path, value):
        body = said["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return jsonschema_rs.is_valid({**body, "components": said["components"]}, value)

    asked = intent(key="x", labels={"run": "7"}, attempt="ab" * 16, origin={"kind": "plan", "name": "p"})
    for value in (asked, [asked], {"all": [asked]}, {"first": [asked, asked]}, [{"all": [asked]}]):
        assert allows("/v1/intents", value)
        assert served.ask("POST", "/v1/intents", value).status == 200
    told = receipt("ab" * 32, cost_cents=5)
    for value in (told, [told]):
        assert allows("/v1/receipts", value)
        assert served.ask("POST", "/v1/receipts", value).status == 200
    assert allows("/v1/manifest/plan", {"manifest": MANIFEST})
    assert served.ask("POST", "/v1/manifest/plan", {"manifest": MANIFEST}).status == 200
