"""sys/CapEnforceHttpOut@1: URLs are read in one way or refused, and compared part by part.

The model reads URLs with regular expressions and `ipaddress`, the module byte by byte; on whatever is
allowed two more readers (`urllib`, and the splitting rule of the WHATWG standard) must see the same host.
"""

import ipaddress
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.enforcer_models import (
    Denied,
    Fields,
    Usage,
    exceeded,
    is_bool,
    is_map,
    is_natural,
    is_naturals,
    is_text,
    is_texts,
    read,
    require,
    reserve_of,
    usage_of,
    words,
)
from tests.test_enforcers_abi import HTTP, NATURAL_MAX, check, settle

KIND = "http.request"
ALLOWED = {"requests": 1, "bytes": 0}
PATH_BYTES_MAX = 8 * 1024
GOOD = {"hosts": ["good.com", "*.example.com", "10.0.0.1", "[::1]"], "path_prefixes": ["/data"]}


def verdict_on(url: str, cap: Any = GOOD, **params: Any) -> str:
    """The deny code, empty when the request is allowed."""
    return check(HTTP, KIND, cap, {"url": url} | params).deny_code


@pytest.mark.req("X4-23")
def test_a_question_mark_ends_the_host_before_the_at_sign() -> None:
    verdict = check(HTTP, KIND, {"hosts": ["good.com"]}, {"url": "http://evil.com?@good.com/"})
    assert verdict.deny_code == "host_not_allowed"
    assert "`evil.com`" in verdict.deny_message


@pytest.mark.req("X4-23")
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://good.com/data", ""),
        ("HTTP://GOOD.com.:80/data?q=%zz#x", ""),
        ("http://a.b.example.com/data", ""),
        ("http://[0:0::0.0.0.1]:8080/data", ""),
        ("http://10.0.0.1./data", ""),
        ("http://good.com:/data", ""),
        ("http://evil.com#@good.com/data", "host_not_allowed"),
        ("http://good.com@evil.com/data", "host_not_allowed"),
        ("http://good.com:80@evil.com/data", "host_not_allowed"),
        ("http://a@good.com@evil.com/data", "host_not_allowed"),
        ("http://evil.com\\@good.com/data", "host_not_allowed"),
        ("http://example.com/data", "host_not_allowed"),
        ("http://evilexample.com/data", "host_not_allowed"),
        ("http://good.com.evil.com/data", "host_not_allowed"),
        ("http://[::2]/data", "host_not_allowed"),
        ("http://good.com\\@evil.com/data", "url_invalid"),
        ("http://good.com\\data", "url_invalid"),
        ("http:good.com/data", "url_invalid"),
        ("http:/good.com/data", "url_invalid"),
        ("http:///good.com/data", "url_invalid"),
        ("//good.com/data", "url_invalid"),
        ("good.com/data", "url_invalid"),
        ("", "url_invalid"),
        ("http://", "url_invalid"),
        ("http://@/data", "url_invalid"),
        ("http://:80/data", "url_invalid"),
        (" http://good.com/data", "url_invalid"),
        ("http://good.com/da\tta", "url_invalid"),
        ("http://good.com/data\n", "url_invalid"),
        ("http://goo\x00d.com/data", "url_invalid"),
        ("http://good.com%2f/data", "url_invalid"),
        ("http://%67ood.com/data", "url_invalid"),
        ("http://gооd.com/data", "url_invalid"),  # two Cyrillic letters
        ("http://good。com/data", "url_invalid"),
        ("http://good..com/data", "url_invalid"),
        ("http://.good.com/data", "url_invalid"),
        ("http://good.com../data", "url_invalid"),
        ("http://good.com:65536/data", "url_invalid"),
        ("http://good.com:8a/data", "url_invalid"),
        ("http://good.com:-1/data", "url_invalid"),
        ("http://good.com:80:80/data", "url_invalid"),
        ("http://[::1/data", "url_invalid"),
        ("http://[::1]x/data", "url_invalid"),
        ("http://[::1%25eth0]/data", "url_invalid"),
        ("http://[:::1]/data", "url_invalid"),
        ("http://::1/data", "url_invalid"),
        ("http://0x7f.1/data", "url_invalid"),
        ("http://0x7f000001/data", "url_invalid"),
        ("http://2130706433/data", "url_invalid"),
        ("http://127.1/data", "url_invalid"),
        ("http://010.0.0.1/data", "url_invalid"),
        ("http://10.0.0.256/data", "url_invalid"),
        ("http://10.0.0.1.1/data", "url_invalid"),
        ("http://10.0.0.0x1/data", "url_invalid"),
    ],
)
def test_a_url_has_one_host_or_is_refused(url: str, code: str) -> None:
    assert verdict_on(url) == code


@pytest.mark.req("X4-24")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/data", ""),
        ("/data/", ""),
        ("/data/x", ""),
        ("/data?x=../..", ""),
        ("/data#/etc", ""),
        ("/data/./x/../y", ""),
        ("/x/../data/y", ""),
        ("/../data", ""),
        ("/data/..x/...", ""),
        ("/data//x", ""),
        ("", "path_not_allowed"),
        ("/", "path_not_allowed"),
        ("/database", "path_not_allowed"),
        ("/Data", "path_not_allowed"),
        ("//data", "path_not_allowed"),
        ("/data/../etc", "path_not_allowed"),
        ("/data/..", "path_not_allowed"),
        ("/data/%2e%2E/etc", "path_not_allowed"),
        ("/data/.%2e/etc", "path_not_allowed"),
        ("/data/%2e%2e%2fetc", "path_not_allowed"),
        ("/data/%5c..%5cetc", "path_not_allowed"),
        ("/data%2fx", "path_not_allowed"),
        ("/data/..;/etc", "path_not_allowed"),
        ("/data//../../etc", "path_not_allowed"),
        ("/data//../etc", "path_not_allowed"),  # a server that merges slashes reads `/etc`
        ("/data/%", "path_not_allowed"),
        ("/data/%g0", "path_not_allowed"),
        ("/data/x%00", "path_not_allowed"),
        ("/dat%61/x", "path_not_allowed"),
        ("/data/" + "x" * PATH_BYTES_MAX, "path_not_allowed"),
    ],
)
def test_a_prefix_ends_at_a_segment_and_dot_segments_are_removed(path: str, code: str) -> None:
    assert verdict_on("http://good.com" + path) == code


def test_without_prefixes_any_path_is_allowed() -> None:
    assert verdict_on("http://good.com/%2f/../..;/%", {"hosts": ["good.com"]}) == ""


@pytest.mark.parametrize(
    ("cap", "params", "code"),
    [
        ({}, {"url": "https://x.org"}, ""),
        ({}, {"url": "ftp://x.org"}, "scheme_not_allowed"),
        ({"schemes": ["ftp"]}, {"url": "ftp://x.org"}, ""),
        ({"schemes": ["ftp"], "ports": [21]}, {"url": "ftp://x.org"}, "port_not_allowed"),
        ({"schemes": ["HTTPS"]}, {"url": "https://x.org"}, ""),
        ({"schemes": ["https"]}, {"url": "http://x.org"}, "scheme_not_allowed"),
        ({"ports": [443]}, {"url": "https://x.org"}, ""),
        ({"ports": [443]}, {"url": "https://x.org:0443"}, ""),
        ({"ports": [443]}, {"url": "http://x.org"}, "port_not_allowed"),
        ({"ports": [443]}, {"url": "https://x.org:8443"}, "port_not_allowed"),
        ({"methods": ["GET"]}, {"url": "http://x.org"}, ""),
        ({"methods": ["GET"]}, {"url": "http://x.org", "method": "get"}, ""),
        ({"methods": ["GET"]}, {"url": "http://x.org", "method": "POST"}, "method_not_allowed"),
        ({}, {"url": "http://x.org", "method": "GET / HTTP/1.1\r\nHost: y"}, "params_invalid"),
        ({}, {"url": "http://x.org", "method": ""}, "params_invalid"),
        ({}, {"url": "http://u:p@x.org"}, "userinfo_not_allowed"),
        ({"allow_userinfo": True}, {"url": "http://u:p@x.org"}, ""),
        ({"allow_userinfo": True}, {"url": "http://u@p@x.org"}, "url_invalid"),
        ({"max_body_bytes": 9}, {"url": "http://x.org", "body_bytes": 9}, ""),
        ({"max_body_bytes": 9}, {"url": "http://x.org", "body_bytes": 10}, "body_too_large"),
        ({"hosts": ["x.org"]}, {"url": "http://x.org", "headers": {"accept": "a"}}, ""),
        ({"hosts": ["x.org"]}, {"url": "http://x.org", "headers": {"HOST": "y"}}, "host_not_allowed"),
        ({"hosts": ["x.org"]}, {"url": "http://x.org", "headers": {":authority": "y"}}, "host_not_allowed"),
        ({}, {"url": "http://x.org", "headers": {"host": "y"}}, ""),
        ({}, {}, "params_invalid"),
        ({}, {"url": 5}, "params_invalid"),
        ({"hosts": ["https://x.org"]}, {"url": "http://x.org"}, "cap_params_invalid"),
        ({"hosts": ["x.org", "*"]}, {"url": "http://x.org"}, "cap_params_invalid"),
        ({"hosts": ["*.1.2.3.4"]}, {"url": "http://1.2.3.4"}, "cap_params_invalid"),
        ({"hosts": ["::1"]}, {"url": "http://[::1]"}, ""),
        ({"hosts": ["X.ORG."]}, {"url": "http://x.org"}, ""),
        ({"path_prefixes": ["data"]}, {"url": "http://x.org/data"}, "cap_params_invalid"),
        ({"allow_userinfo": 1}, {"url": "http://x.org"}, "cap_params_invalid"),
        ({"ports": [-1]}, {"url": "http://x.org"}, "cap_params_invalid"),
    ],
)
def test_each_restriction_has_its_code(cap: Any, params: Any, code: str) -> None:
    assert check(HTTP, KIND, cap, params).deny_code == code


@pytest.mark.req("S4-88")
@pytest.mark.parametrize(("sent", "violation"), [(2047, ""), (2048, ""), (2049, "usage_exceeds_reserve")])
def test_stated_bytes_are_reserved_and_more_is_a_violation(sent: int, violation: str) -> None:
    params = {"url": "http://x.org", "body_bytes": 2048}
    reserve = check(HTTP, KIND, {}, params).reserve
    assert reserve == {"requests": 1, "bytes": 2048}
    settled = settle(HTTP, KIND, {}, params, reserve, {"bytes_sent": sent})
    assert (settled.usage, settled.violation_code) == ({"requests": 1, "bytes": sent}, violation)


@pytest.mark.parametrize(
    ("cap", "payload", "status", "usage", "violation"),
    [
        ({}, {}, "ok", {"requests": 1, "bytes": 5}, ""),
        ({}, {}, "timeout", {"requests": 1, "bytes": 0}, ""),
        ({}, {"bytes_received": 900}, "ok", {"requests": 1, "bytes": 5, "bytes_received": 900}, ""),
        ({"max_body_bytes": 4}, {"bytes_sent": 5}, "ok", {"requests": 1, "bytes": 5}, "body_too_large"),
        ({}, {"bytes_sent": "5"}, "ok", {}, "receipt_unreadable"),
    ],
)
def test_a_settle_counts_the_request_and_its_bytes(
    cap: Any, payload: Any, status: str, usage: dict[str, int], violation: str
) -> None:
    settled = settle(
        HTTP, KIND, cap, {"url": "http://x.org", "body_bytes": 5}, ALLOWED | {"bytes": 5}, payload, status
    )
    assert (settled.usage, settled.violation_code) == (usage, violation)


# --- the model ----------------------------------------------------------------------------------------

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15})://([^/?#\\]*)([^?#]*)(?:\?[^#]*)?(?:#.*)?", re.DOTALL)
PLACE = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", re.DOTALL)
NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
NUMERIC = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)")
METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
DOTS = re.compile(r"(?:\.|%2e)*", re.IGNORECASE)
DEFAULT_PORTS = {"http": 80, "https": 443}
Host = str | ipaddress.IPv4Address | ipaddress.IPv6Address


class Url(NamedTuple):
    scheme: str
    host: Host
    port: int | None
    path: str
    has_userinfo: bool
    is_unclear: bool


def lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def host_of(text: str) -> Host | None:
    if text.startswith("[") and text.endswith("]"):
        return ipv6_of(text[1:-1])
    name = lower(text).removesuffix(".")
    if not NAME.fullmatch(name) or len(name) > 253:
        return None
    if not NUMERIC.fullmatch(name):
        return name
    try:
        return ipaddress.IPv4Address(name)
    except ValueError:
        return None


def ipv6_of(text: str) -> Host | None:
    try:
        return None if "%" in text else ipaddress.IPv6Address(text)
    except ValueError:
        return None


def url_of(text: str) -> Url | None:
    parts = URL.fullmatch(text)
    if not parts or re.search(r"[\x00-\x20\x7f]", text):
        return None
    scheme, authority, path = lower(parts[1]), parts[2], parts[3]
    userinfo, at_sign, place = authority.rpartition("@")
    ends = PLACE.fullmatch(place)
    host = host_of(ends[1]) if ends else None
    if ends is None or host is None:
        return None
    port = int(ends[2]) if ends[2] else DEFAULT_PORTS.get(scheme)
    if port is not None and port > 65535:
        return None
    return Url(scheme, host, port, path or "/", bool(at_sign), "\\" in path or "@" in userinfo)


def path_of(path: str) -> str | None:
    escapes = re.findall(r"%([0-9A-Fa-f]{2})", path)
    values = [int(escape, 16) for escape in escapes]
    if len(escapes) != path.count("%") or any(value < 32 or value in (0x7F, 0x2F, 0x5C) for value in values):
        return None
    if len(path.encode()) > PATH_BYTES_MAX:
        return None
    kept: list[str] = []
    segments = path[1:].split("/")
    for i, segment in enumerate(segments):
        dots = DOTS.match(segment)
        assert dots
        count, rest = len(re.findall(r"\.|%2e", dots[0], re.IGNORECASE)), segment[dots.end() :]
        if count in (1, 2) and (rest.startswith(";") or rest.lower().startswith("%3b")):
            return None
        if count not in (1, 2) or rest:
            kept.append(segment)
            continue
        if count == 2 and kept and kept.pop() == "":
            return None
        if i == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def is_match(pattern: str, host: Host) -> bool:
    wanted: Host | None
    if pattern.startswith("*."):
        wanted = host_of(pattern[2:])
        if not isinstance(wanted, str):
            raise Denied("cap_params_invalid")
        return isinstance(host, str) and host.endswith("." + wanted)
    wanted = ipv6_of(pattern) if ":" in pattern and not pattern.startswith("[") else host_of(pattern)
    if wanted is None:
        raise Denied("cap_params_invalid")
    return wanted == host


HTTP_CAP: Fields = {
    "schemes": is_texts,
    "hosts": is_texts,
    "ports": is_naturals,
    "methods": is_texts,
    "path_prefixes": is_texts,
    "max_body_bytes": is_natural,
    "allow_userinfo": is_bool,
}
HTTP_PARAMS: Fields = {"url": is_text, "method": is_text, "headers": is_map, "body_bytes": is_natural}


def http_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    require(kind == KIND, "effect_kind_mismatch")
    cap = read(cap, HTTP_CAP, "cap_params_invalid")
    params = read(params, HTTP_PARAMS, "params_invalid", ("url",))
    method = params.get("method", "GET")
    require(bool(METHOD.fullmatch(method)), "params_invalid")
    url = url_of(params["url"])
    if url is None:
        raise Denied("url_invalid")
    require(url.scheme in map(lower, cap.get("schemes") or ["http", "https"]), "scheme_not_allowed")
    if cap.get("hosts"):
        require(True in [is_match(pattern, url.host) for pattern in cap["hosts"]], "host_not_allowed")
        require(not {"host", ":authority"} & set(map(lower, params.get("headers", {}))), "host_not_allowed")
    require(not cap.get("ports") or url.port in cap["ports"], "port_not_allowed")
    require(not url.is_unclear, "url_invalid")
    require(not url.has_userinfo or cap.get("allow_userinfo", False), "userinfo_not_allowed")
    require(not cap.get("methods") or lower(method) in map(lower, cap["methods"]), "method_not_allowed")
    if cap.get("path_prefixes"):
        require(all(prefix.startswith("/") for prefix in cap["path_prefixes"]), "cap_params_invalid")
        path = path_of(url.path)
        is_under = path is not None and any(
            path == prefix or path.startswith(prefix.removesuffix("/") + "/")
            for prefix in cap["path_prefixes"]
        )
        require(is_under, "path_not_allowed")
    body_bytes: int = params.get("body_bytes", 0)
    require(body_bytes <= cap.get("max_body_bytes", NATURAL_MAX), "body_too_large")
    return {"requests": 1, "bytes": body_bytes}


def http_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    require(kind == KIND, "effect_kind_mismatch")
    cap = read(cap, HTTP_CAP, "cap_params_invalid")
    params = read(params, {"body_bytes": is_natural}, "params_invalid")
    payload = read(payload, {"bytes_sent": is_natural, "bytes_received": is_natural}, "receipt_unreadable")
    stated = params.get("body_bytes", 0) if status == "ok" else 0
    usage = {"requests": 1, "bytes": payload.get("bytes_sent", stated)}
    if "bytes_received" in payload:
        usage["bytes_received"] = payload["bytes_received"]
    too_large = "body_too_large" if usage["bytes"] > cap.get("max_body_bytes", NATURAL_MAX) else ""
    return usage, exceeded(usage, reserve) or too_large


# --- what is generated --------------------------------------------------------------------------------

hosts = st.one_of(
    st.sampled_from(
        words("good.com GOOD.com. a.good.com xn--bcher-kva.example evil.com good.com.evil.com goodXcom a_b")
    ),
    st.sampled_from(
        words("10.0.0.1 10.1 010.0.0.1 0x0a.0.0.1 167772161 10.0.0.1. 1.2.3.4.5 256.1.1.1 1.2.3.x")
    ),
    st.sampled_from(
        words("[::1] [0:0:0:0:0:0:0:1] [::ffff:10.0.0.1] [1::2::3] [::1%251] [] [::] ::1 [1:2:3:4:5:6:7::]")
    ),
    st.sampled_from(
        ["", ".", "..", "good..com", "gооd.com", "good%2ecom", "good.com%00", "*.com", "a" * 64 + ".com"]
    ),
    st.builds(".".join, st.lists(st.text("ab0x-_", max_size=4), min_size=1, max_size=5)),
    st.builds(
        lambda groups: f"[{':'.join(groups)}]",
        st.lists(st.sampled_from(["", "0", "1", "ffff", "12345", "1.2.3.4", "g"]), max_size=9),
    ),
)
segments = st.sampled_from(
    ["", "", *words("data data data;x x .. . %2e %2E%2e .%2e ... %2f %5C ..; .;x %00 %zz % %61 é")]
)
paths = st.one_of(st.just(""), st.builds(lambda parts: "/" + "/".join(parts), st.lists(segments, max_size=6)))
urls = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(
        ["http://"] * 6
        + ["https://"] * 3
        + ["HTTP://", "ftp://", "http:", "http:/", "http:\\\\", "//", "http:///"]
    ),
    st.sampled_from(
        [""] * 8
        + ["u@", "u:p@", "@", "good.com@", "a@b@", "evil.com\\@", "evil.com?@", "evil.com#@", "evil.com/@"]
    ),
    hosts,
    st.sampled_from(
        [""] * 6 + [":", ":80", ":443", ":0", ":65535", ":65536", ":080", ":8x", ":80:80", ":-1", ":٣"]
    ),
    paths,
    st.sampled_from(
        [""] * 5 + ["?", "?x=1", "#", "#@evil.com", "?@evil.com", "\\", " ", "\t", "\x7f", "?\\"]
    ),
)
noise = st.text("ht:/?#@[]\\.%25ef0a \t", max_size=20)
any_url = st.one_of(urls, urls, urls, st.builds("http://{}".format, noise), noise)
http_caps = st.fixed_dictionaries(
    {},
    optional={
        "schemes": st.sampled_from([[], ["http"], ["HTTPS", "http"], ["ftp"]]),
        "hosts": st.lists(
            st.sampled_from(
                words("good.com *.good.com *.com 10.0.0.1 [::1] ::1 Good.Com. * *.0.0.1 a_b *.[::1]")
            ),
            max_size=3,
        ),
        "ports": st.sampled_from([[], [80], [443, 0]]),
        "methods": st.sampled_from([[], ["GET"], ["post", "Put"]]),
        "path_prefixes": st.lists(
            st.sampled_from(["/data", "/data/", "/", "/data/x", "data", "/%61", "/é"]), max_size=2
        ),
        "max_body_bytes": st.sampled_from([0, 10, NATURAL_MAX]),
        "allow_userinfo": st.booleans(),
    },
)
http_params = st.fixed_dictionaries(
    {"url": any_url},
    optional={
        "method": st.sampled_from(["GET", "get", "POST", "G T", "", "Ü", "PUT~"]),
        "headers": st.dictionaries(
            st.sampled_from(["Host", "accept", ":authority"]), st.just("x"), max_size=1
        ),
        "body_bytes": st.sampled_from([0, 10, 11, None, -1]),
    },
)


@given(cap=http_caps, params=http_params)
def test_a_check_agrees_with_the_model(cap: Any, params: Any) -> None:
    verdict = check(HTTP, KIND, cap, params)
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == reserve_of(http_check, KIND, cap, params)


@pytest.mark.req("X4-23")
@given(url=urls)
def test_whatever_is_allowed_other_readers_send_to_the_same_host(url: str) -> None:
    if check(HTTP, KIND, {"allow_userinfo": True}, {"url": url}).deny_code:
        return
    event("allowed")
    host = urlsplit(url).hostname
    assert host is not None
    pattern = f"[{host}]" if ":" in host else host
    cap = {"allow_userinfo": True, "hosts": [pattern]}
    assert check(HTTP, KIND, cap, {"url": url}).deny_code == ""
    place = re.split(r"[/\\?#]", url.split("://", 1)[1])[0].rpartition("@")[2]
    assert host_of(place if place.endswith("]") else place.rpartition(":")[0] or place) == host_of(pattern)


@pytest.mark.req("X4-24")
@given(path=paths)
def test_whatever_is_allowed_stays_below_its_prefix(path: str) -> None:
    if verdict_on("http://good.com" + path):
        return
    event("allowed")
    stack: list[str] = []
    for segment in path.split("/"):
        if segment.lower().replace("%2e", ".") == "..":
            stack = stack[:-1]
        elif segment.lower().replace("%2e", ".") not in ("", "."):  # as a server that merges slashes
            stack.append(segment)
    assert stack[:1] == ["data"]


@given(
    text=st.one_of(hosts, st.text("0123456789abcdefABCDEF:.[]%", max_size=24).map(lambda text: f"[{text}]"))
)
def test_a_host_is_what_the_model_says(text: str) -> None:
    verdict = check(HTTP, KIND, {"hosts": ["nowhere.test"]}, {"url": f"http://{text}"})
    if url_of(f"http://{text}") is None:
        assert verdict.deny_code == "url_invalid"
    else:
        assert verdict.deny_code == "host_not_allowed"


edges = st.sampled_from([0, 1, 5, 6, NATURAL_MAX])


@given(
    cap=st.fixed_dictionaries({}, optional={"max_body_bytes": edges}),
    params=st.fixed_dictionaries({"url": st.just("http://x.org")}, optional={"body_bytes": edges}),
    reserve=st.dictionaries(st.sampled_from(["bytes", "requests", "bytes_received"]), edges),
    payload=st.fixed_dictionaries(
        {}, optional={"bytes_sent": edges, "bytes_received": st.one_of(edges, st.just(-1))}
    ),
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(
    cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str
) -> None:
    settled = settle(HTTP, KIND, cap, params, reserve, payload, status)
    expected = usage_of(http_settle, KIND, cap, params, reserve, payload, status, None)
    assert (settled.usage, settled.violation_code) == expected
