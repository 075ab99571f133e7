"""sys/CapEnforceFs@1: a path is resolved as text or refused, and compared at a segment's boundary.

The model splits and joins lists of segments, the module works byte by byte in place; on whatever is allowed
`posixpath` must see the same place.
"""

import posixpath
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.enforcer_models import (
    Denied,
    Fields,
    Usage,
    exceeded,
    is_natural,
    is_text,
    is_texts,
    read,
    require,
    reserve_of,
    usage_of,
)
from tests.path_model import PATH_BYTES_MAX, is_prefix, is_under, resolved
from tests.test_enforcers_abi import FS, NATURAL_MAX, check, settle

KINDS = ("fs.read", "fs.write", "fs.delete", "fs.list")
LISTED_MAX = 512


def verdict_on(path: str, kind: str = "fs.read", **cap: Any) -> str:
    """The deny code, empty when the path may be touched."""
    return check(FS, kind, cap or {"read": ["/data"]}, {"path": path}).deny_code


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/data", ""),
        ("/data/", ""),
        ("/data/x", ""),
        ("/data/./x/../y", ""),
        ("/x/../data/y", ""),
        ("/data/..x/.hidden", ""),
        ("/data/100%", ""),
        ("/data/%zz", ""),
        ("/data/10:30", ""),
        ("/data/~x", ""),
        ("/data/$HOME/*", ""),
        ("/data/é", ""),
        ("/database", "path_not_allowed"),
        ("/Data/x", "path_not_allowed"),
        ("/dаta/x", "path_not_allowed"),  # a Cyrillic letter
        ("/data/../etc/passwd", "path_not_allowed"),
        ("/data/x/../../etc", "path_not_allowed"),
        ("/data/..", "path_not_allowed"),
        ("/", "path_not_allowed"),
        ("/etc/data", "path_not_allowed"),
        ("", "path_invalid"),
        ("data/x", "path_invalid"),
        ("./data", "path_invalid"),
        ("~/data", "path_invalid"),
        ("~root/data", "path_invalid"),
        ("/..", "path_invalid"),
        ("/../data", "path_invalid"),
        ("/data/../../etc", "path_invalid"),
        ("//data", "path_invalid"),
        ("//server/share", "path_invalid"),
        ("/data//x", "path_invalid"),
        ("/data/x//", "path_invalid"),
        ("/data/x\x00.txt", "path_invalid"),
        ("/data/x\n", "path_invalid"),
        ("/data\\..\\etc", "path_invalid"),
        ("/data/..\\..\\etc", "path_invalid"),
        ("/data/%2e%2e/etc", "path_invalid"),
        ("/data%2F..%2Fetc", "path_invalid"),
        ("/data/.. /etc", "path_invalid"),
        ("/data/.../etc", "path_invalid"),
        ("/data/x.", "path_invalid"),
        ("/data/x ", "path_invalid"),
        ("/C:/data", "path_invalid"),
        ("C:\\data", "path_invalid"),
        ("/data/c:x", "path_invalid"),
        ("file:///data/x", "path_invalid"),
        ("/data/" + "x" * (PATH_BYTES_MAX - 6), ""),
        ("/data/" + "x" * (PATH_BYTES_MAX - 5), "path_invalid"),
    ],
)
def test_a_path_has_one_place_or_is_refused(path: str, code: str) -> None:
    assert verdict_on(path) == code


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("a/b", ""),
        (".", ""),
        ("/srv/agent/a", ""),
        ("../agent/a", ""),
        ("../agents", "path_not_allowed"),
        ("../../etc", "path_not_allowed"),
        ("../../../etc", "path_invalid"),
        ("C:/x", "path_invalid"),
        ("C:x", "path_invalid"),
        ("~/x", "path_invalid"),
        ("a//b", "path_invalid"),
        ("", "path_invalid"),
    ],
)
def test_a_relative_path_is_below_the_base(path: str, code: str) -> None:
    assert verdict_on(path, base="/srv/agent", read=["/srv/agent"]) == code


def test_an_operation_without_a_list_is_denied_where_another_has_one() -> None:
    for kind in KINDS:
        for listed in ("read", "write", "delete", "list"):
            code = "" if kind == f"fs.{listed}" else "operation_not_allowed"
            assert verdict_on("/data/x", kind, **{listed: ["/data"]}) == code
            assert verdict_on("/data/x", kind, **{listed: []}) == ""
        assert verdict_on("/anything", kind, max_bytes=5) == ""


@pytest.mark.parametrize(
    "cap",
    [
        {"read": ["data"]},
        {"read": [""]},
        {"read": ["/data/../etc"]},
        {"read": ["/data/."]},
        {"read": ["//data"]},
        {"read": ["/data//"]},
        {"write": ["/data\\x"]},
        {"base": "work"},
        {"base": ""},
        {"read": ["/data"] * (LISTED_MAX + 1)},
        {"read": "/data"},
        {"max_bytes": -1},
    ],
)
def test_a_grant_that_cannot_be_read_denies(cap: Any) -> None:
    assert check(FS, "fs.read", cap, {"path": "/data/x"}).deny_code == "cap_params_invalid"


@pytest.mark.req("S4-59")
@pytest.mark.parametrize(
    ("kind", "cap", "params", "reserve"),
    [
        ("fs.read", {}, {"bytes": 7}, {"calls": 1, "bytes_read": 7}),
        ("fs.read", {"max_bytes": 9}, {"bytes": 7}, {"calls": 1, "bytes_read": 7}),
        ("fs.write", {"max_bytes": 9}, {}, {"calls": 1, "bytes_written": 9}),
        ("fs.write", {}, {}, {"calls": 1, "bytes_written": 0}),
        ("fs.list", {"max_bytes": 9}, {"bytes": 70}, {"calls": 1}),
        ("fs.delete", {}, {}, {"calls": 1}),
    ],
)
def test_known_bytes_are_reserved(kind: str, cap: Any, params: Any, reserve: dict[str, int]) -> None:
    assert check(FS, kind, cap, {"path": "/x"} | params).reserve == reserve


# --- the model ----------------------------------------------------------------------------------------

FS_CAP: Fields = dict.fromkeys(("read", "write", "delete", "list"), is_texts) | {
    "base": is_text,
    "max_bytes": is_natural,
}


def fs_cap(kind: str, cap: Any) -> dict[str, Any]:
    require(kind in KINDS, "effect_kind_mismatch")
    cap = read(cap, FS_CAP, "cap_params_invalid")
    lists = [cap.get(name, []) for name in ("read", "write", "delete", "list")]
    require(all(len(paths) <= LISTED_MAX for paths in lists), "cap_params_invalid")
    named = [path for paths in lists for path in paths] + ([cap["base"]] if "base" in cap else [])
    require(all(map(is_prefix, named)), "cap_params_invalid")
    return cap | {"is_open": not any(lists)}


def fs_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    cap = fs_cap(kind, cap)
    params = read(params, {"path": is_text, "bytes": is_natural}, "params_invalid", ("path",))
    prefixes = cap.get(kind.removeprefix("fs."), [])
    require(bool(prefixes) or cap["is_open"], "operation_not_allowed")
    path = resolved(params["path"], cap.get("base"))
    if path is None:
        raise Denied("path_invalid")
    require(not prefixes or any(is_under(path, prefix) for prefix in prefixes), "path_not_allowed")
    if kind not in ("fs.read", "fs.write"):
        return {"calls": 1}
    size = params.get("bytes", cap.get("max_bytes", 0))
    require(size <= cap.get("max_bytes", NATURAL_MAX), "max_bytes_exceeded")
    return {"calls": 1, {"fs.read": "bytes_read", "fs.write": "bytes_written"}[kind]: size}


def fs_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    cap = fs_cap(kind, cap)
    params = read(params, {"bytes": is_natural}, "params_invalid")
    payload = read(payload, {"bytes": is_natural}, "receipt_unreadable")
    dim = {"fs.read": "bytes_read", "fs.write": "bytes_written"}.get(kind)
    usage = {"calls": 1}
    if dim is None:
        return usage, exceeded(usage, reserve)
    size = payload.get("bytes", params.get("bytes") if status == "ok" else None)
    if size is None:
        return usage, exceeded(usage, reserve) or ("usage_missing" if status == "ok" else "")
    usage[dim] = size
    too_many = "max_bytes_exceeded" if size > cap.get("max_bytes", NATURAL_MAX) else ""
    return usage, exceeded(usage, reserve) or too_many


# --- what is generated --------------------------------------------------------------------------------

segments = st.one_of(
    st.sampled_from(
        ["data", "data", "x", "y", ".", "..", "..", "", "database", "Data", "é", "..x", "x.", "x "]
    ),
    st.sampled_from(["C:", "c:x", "~", "%2e", "%", "%g0", "a\\b", "...", ". ", "\x00", "\x7f", "$HOME", "*"]),
    st.text(max_size=4),
)
paths = st.builds(
    lambda head, parts, tail: head + "/".join(parts) + tail,
    st.sampled_from(["/", "/", "/", "/", "", "~", "//", "./"]),
    st.lists(segments, max_size=6),
    st.sampled_from(["", "", "", "/", "//"]),
)
prefixes = st.lists(
    st.sampled_from(["/data", "/data/", "/", "/data/x", "/é", "/x", "data", "/data/..", ""]),
    max_size=3,
)
edges = st.sampled_from([0, 1, 5, 6, NATURAL_MAX])
caps = st.fixed_dictionaries(
    {},
    optional={
        "read": prefixes,
        "write": prefixes,
        "list": prefixes,
        "base": st.sampled_from(["/data", "/data/", "/", "/srv/agent", "data", "/./x"]),
        "max_bytes": edges,
    },
)
kinds = st.sampled_from([*KINDS, "fs.read", "fs.read", "fs.move"])


@given(kind=kinds, cap=caps, path=paths, size=st.one_of(st.none(), edges, st.just(-1)))
def test_a_check_agrees_with_the_model(kind: str, cap: Any, path: str, size: int | None) -> None:
    params = {"path": path, "bytes": size}
    verdict = check(FS, kind, cap, params)
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == reserve_of(fs_check, kind, cap, params)


@given(path=paths, base=st.sampled_from(["/data", "/srv/agent"]))
def test_whatever_is_allowed_is_below_its_prefix_for_another_reader(path: str, base: str) -> None:
    if verdict_on(path, read=["/data"], base=base):
        return
    event("allowed")
    place = PurePosixPath(posixpath.normpath(posixpath.join(base, path)))
    assert place.is_relative_to("/data")


@given(
    kind=kinds,
    cap=st.fixed_dictionaries({}, optional={"max_bytes": edges}),
    params=st.fixed_dictionaries({"path": st.just("/x")}, optional={"bytes": edges}),
    reserve=st.dictionaries(st.sampled_from(["bytes_read", "bytes_written", "calls"]), edges),
    payload=st.fixed_dictionaries({}, optional={"bytes": st.one_of(edges, st.just(-1))}),
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str
) -> None:
    settled = settle(FS, kind, cap, params, reserve, payload, status)
    expected = usage_of(fs_settle, kind, cap, params, reserve, payload, status, None)
    assert (settled.usage, settled.violation_code) == expected
