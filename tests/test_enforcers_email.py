"""sys/CapEnforceEmail@1: an address is read in one way or refused, and no text begins a header.

The model reads addresses with regular expressions; on whatever is allowed Python's own reader of mail must
see the same single recipient, and the same recipients in the mail that is made of it.
"""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.enforcer_models import (
    Fields,
    Usage,
    exceeded,
    is_list,
    is_map,
    is_natural,
    is_text,
    is_texts,
    read,
    require,
    reserve_of,
    usage_of,
    words,
)
from tests.test_enforcers_abi import EMAIL, NATURAL_MAX, check, settle

KIND = "email.send"
GOOD = {"domains": ["good.com", "*.example.com"], "recipients": ["Ops@partner.net"]}
RECIPIENTS_MAX = LISTED_MAX = HEADERS_MAX = 256


def verdict_on(address: str, field: str = "to", **cap: Any) -> str:
    """The deny code, empty when the mail may be sent."""
    return check(EMAIL, KIND, cap or GOOD, {field: [address]}).deny_code


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("a@good.com", ""),
        ("a@GOOD.Com", ""),
        ("a.b+c_d-e=f&g'h~i@good.com", ""),
        ("a@x.example.com", ""),
        ("a@x.y.example.com", ""),
        ("Ops@partner.net", ""),
        ("Ops@PARTNER.net", ""),
        ("x" * 64 + "@good.com", ""),
        ("ops@partner.net", "recipient_not_allowed"),
        ("a@partner.net", "recipient_not_allowed"),
        ("a@example.com", "recipient_not_allowed"),
        ("a@evilexample.com", "recipient_not_allowed"),
        ("a@good.com.evil.com", "recipient_not_allowed"),
        ("a@evilgood.com", "recipient_not_allowed"),
        ("a@com", "recipient_not_allowed"),
        ("a@xn--good-1na.com", "recipient_not_allowed"),
        ("good.com@evil.com", "recipient_not_allowed"),
        ("", "address_invalid"),
        ("a", "address_invalid"),
        ("@good.com", "address_invalid"),
        ("a@", "address_invalid"),
        ("a@@good.com", "address_invalid"),
        ("a@evil.com@good.com", "address_invalid"),
        ("a@good.com,b@evil.com", "address_invalid"),
        ("a@good.com;b@evil.com", "address_invalid"),
        ("a@good.com b@evil.com", "address_invalid"),
        ("b@evil.com a@good.com", "address_invalid"),
        ("Ann <a@good.com>", "address_invalid"),
        ("<a@good.com>", "address_invalid"),
        ("<b@evil.com> a@good.com", "address_invalid"),
        ("b@evil.com (a@good.com)", "address_invalid"),
        ("a(b@evil.com)@good.com", "address_invalid"),
        ('"b@evil.com"@good.com', "address_invalid"),
        ('"a b"@good.com', "address_invalid"),
        ("team: a@good.com;", "address_invalid"),
        ("b%evil.com@good.com", "address_invalid"),
        ("evil.com!b@good.com", "address_invalid"),
        ("@evil.com:a@good.com", "address_invalid"),
        ("|rm@good.com", "address_invalid"),
        ("-oQ/tmp@good.com", "address_invalid"),
        (".a@good.com", "address_invalid"),
        ("a.@good.com", "address_invalid"),
        ("a..b@good.com", "address_invalid"),
        ("x" * 65 + "@good.com", "address_invalid"),
        (" a@good.com", "address_invalid"),
        ("a@good.com\n", "address_invalid"),
        ("a@good.com\r\nBcc: b@evil.com", "address_invalid"),
        ("a\r\nBcc: b@evil.com\r\n@good.com", "address_invalid"),
        ("a@good.com\x00", "address_invalid"),
        ("a@good.com.", "address_invalid"),
        ("a@.good.com", "address_invalid"),
        ("a@good..com", "address_invalid"),
        ("a@-good.com", "address_invalid"),
        ("a@good-.com", "address_invalid"),
        ("a@go_od.com", "address_invalid"),
        ("a@[10.0.0.1]", "address_invalid"),
        ("a@10.0.0.1", "address_invalid"),
        ("a@good.c0m.1", "address_invalid"),
        ("a@gооd.com", "address_invalid"),  # two Cyrillic letters
        ("ä@good.com", "address_invalid"),
        ("a@good。com", "address_invalid"),
        ("a＠good.com", "address_invalid"),
        ("a@" + "x" * 64 + ".example.com", "address_invalid"),
        ("a@" + "x." * 15 + "com", "recipient_not_allowed"),
        ("a@" + "x." * 16 + "com", "address_invalid"),
    ],
)
def test_an_address_has_one_recipient_or_is_refused(address: str, code: str, field: str) -> None:
    assert verdict_on(address, field) == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Tag": "a b\tc"}, ""),
        ({"In-Reply-To": "<x@y.org>"}, ""),
        ({"X-Größe": "a"}, "header_injection"),
        ({"": "a"}, "header_injection"),
        ({"X Tag": "a"}, "header_injection"),
        ({"X-Tag:": "a"}, "header_injection"),
        ({"X-Tag\r\nBcc": "e@evil.com"}, "header_injection"),
        ({"X-Tag": "a\r\nBcc: e@evil.com"}, "header_injection"),
        ({"X-Tag": "a\rb"}, "header_injection"),
        ({"X-Tag": "a\nb"}, "header_injection"),
        ({"X-Tag": "a\x00b"}, "header_injection"),
        ({"X-Tag": "a\x0bb"}, "header_injection"),
        ({"X-Tag": "a\x85b"}, "header_injection"),
        ({"X-Tag": "a\u2028b"}, "header_injection"),
        ({"X-Tag": "a\u2029b"}, "header_injection"),
        ({"X-Tag": "€ ä \u2030"}, ""),
        ({"x" * 77: "a"}, "header_injection"),
        ({"To": "e@evil.com"}, "header_not_allowed"),
        ({"bCC": "e@evil.com"}, "header_not_allowed"),
        ({"Resent-Bcc": "e@evil.com"}, "header_not_allowed"),
        ({"Apparently-To": "e@evil.com"}, "header_not_allowed"),
        ({"Reply-To": "e@evil.com"}, "header_not_allowed"),
        ({"Disposition-Notification-To": "e@evil.com"}, "header_not_allowed"),
        ({"Sender": "e@evil.com"}, "header_not_allowed"),
        ({"Subject": "other"}, "header_not_allowed"),
        ({"Content-Type": "multipart/mixed"}, "header_not_allowed"),
        ({f"X-{i}": "" for i in range(HEADERS_MAX + 1)}, "params_invalid"),
        ({"X-Tag": 5}, "params_invalid"),
        (["X-Tag: a"], "params_invalid"),
    ],
)
def test_a_header_is_one_line_and_names_nobody(headers: Any, code: str) -> None:
    assert check(EMAIL, KIND, GOOD, {"to": ["a@good.com"], "headers": headers}).deny_code == code


@pytest.mark.parametrize(
    "injected", ["\r\nBcc: e@evil.com", "\nBcc: e@evil.com", "\r", "\x00", "\x7f", "\u2028"]
)
def test_a_subject_begins_no_header(injected: str) -> None:
    verdict = check(EMAIL, KIND, {}, {"to": ["a@good.com"], "subject": f"Hi{injected}"})
    assert verdict.deny_code == "header_injection"


@pytest.mark.parametrize(
    ("cap", "params", "code"),
    [
        ({}, {"to": ["a@anywhere.org"]}, ""),
        ({}, {}, "params_invalid"),
        ({}, {"to": []}, "params_invalid"),
        ({}, {"to": "a@good.com"}, "params_invalid"),
        ({}, {"to": ["a@x.org"] * RECIPIENTS_MAX}, ""),
        ({}, {"to": ["a@x.org"] * (RECIPIENTS_MAX + 1)}, "params_invalid"),
        ({}, {"to": ["a@x.org"] * RECIPIENTS_MAX, "cc": ["a@x.org"]}, "params_invalid"),
        ({"from": ["me@x.org"]}, {"from": "me@X.org"}, ""),
        ({"from": ["me@x.org"]}, {"from": "ME@x.org"}, "from_not_allowed"),
        ({"from": ["me@x.org"]}, {}, "from_not_allowed"),
        ({"from": ["me@x.org"]}, {"from": "you@x.org"}, "from_not_allowed"),
        ({}, {"from": "Me <me@x.org>"}, "address_invalid"),
        ({"max_recipients": 2}, {"cc": ["b@x.org"]}, ""),
        ({"max_recipients": 2}, {"cc": ["b@x.org"], "bcc": ["c@x.org"]}, "max_recipients_exceeded"),
        ({"max_attachments": 1}, {"attachments": ["a.pdf"]}, ""),
        ({"max_attachments": 1}, {"attachments": ["a.pdf", {"name": "b"}]}, "max_attachments_exceeded"),
        ({"max_bytes": 9}, {"bytes": 9}, ""),
        ({"max_bytes": 9}, {"bytes": 10}, "max_bytes_exceeded"),
        ({"domains": ["*.com"]}, {"to": ["a@b.com"]}, ""),
        ({"domains": ["*"]}, {}, "cap_params_invalid"),
        ({"domains": ["*.*.com"]}, {}, "cap_params_invalid"),
        ({"domains": ["Good.com"]}, {}, "cap_params_invalid"),
        ({"domains": ["a@good.com"]}, {}, "cap_params_invalid"),
        ({"domains": ["good.com."]}, {}, "cap_params_invalid"),
        ({"domains": [".good.com"]}, {}, "cap_params_invalid"),
        ({"recipients": ["good.com"]}, {}, "cap_params_invalid"),
        ({"recipients": ["*@good.com"]}, {}, "cap_params_invalid"),
        ({"recipients": ["a@Good.com"]}, {}, "cap_params_invalid"),
        ({"from": ["good.com"]}, {}, "cap_params_invalid"),
        ({"domains": [f"d{i}.org" for i in range(LISTED_MAX + 1)]}, {}, "cap_params_invalid"),
    ],
)
def test_each_restriction_has_its_code(cap: Any, params: Any, code: str) -> None:
    mail = params if "to" in params or code == "params_invalid" else {"to": ["a@x.org"]} | params
    assert check(EMAIL, KIND, cap, mail).deny_code == code


@pytest.mark.req("S4-59")
def test_recipients_and_known_bytes_are_reserved() -> None:
    mail = {"to": ["a@x.org", "a@x.org"], "bcc": ["b@x.org"]}
    assert check(EMAIL, KIND, {}, mail).reserve == {"mails": 1, "recipients": 3, "bytes": 0}
    assert check(EMAIL, KIND, {"max_bytes": 9}, mail).reserve["bytes"] == 9
    assert check(EMAIL, KIND, {"max_bytes": 9}, mail | {"bytes": 5}).reserve["bytes"] == 5


# --- the model ----------------------------------------------------------------------------------------

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = re.compile(rf"(?:{LABEL}\.){{0,15}}(?![0-9]+\Z){LABEL}")
ATOM = r"[A-Za-z0-9_+\-=&'~]+"
LOCAL = re.compile(rf"(?!-){ATOM}(?:\.{ATOM})*")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,76}")
NOT_ONE_LINE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
RESERVED = set(
    words("to cc bcc from sender subject return-path content-type mime-version content-transfer-encoding")
)
EMAIL_CAP: Fields = dict.fromkeys(("domains", "recipients", "from"), is_texts) | dict.fromkeys(
    ("max_recipients", "max_bytes", "max_attachments"), is_natural
)
EMAIL_PARAMS: Fields = dict.fromkeys(("to", "cc", "bcc"), is_texts) | {
    "from": is_text,
    "subject": is_text,
    "headers": is_map,
    "attachments": is_list,
    "bytes": is_natural,
}


def address_of(text: str) -> tuple[str, str] | None:
    """Local part and domain in lower case."""
    local, at, domain = text.partition("@")
    is_plain = at and LOCAL.fullmatch(local) and DOMAIN.fullmatch(domain)
    if not is_plain or len(local) > 64 or len(domain) > 253 or len(text) > 254:
        return None
    return local, domain.lower()


def is_listed_address(text: str) -> bool:
    return address_of(text) is not None and text.partition("@")[2] == text.partition("@")[2].lower()


def is_listed_domain(text: str) -> bool:
    domain = text.removeprefix("*.")
    return bool(DOMAIN.fullmatch(domain)) and len(domain) <= 253 and domain == domain.lower()


def is_covered(address: tuple[str, str], domains: list[str], recipients: list[str]) -> bool:
    if not domains and not recipients:
        return True
    wide = [domain[1:] for domain in domains if domain.startswith("*.")]
    return (
        address[1] in domains
        or any(address[1].endswith(suffix) and address[1] != suffix for suffix in wide)
        or "@".join(address) in recipients
    )


def require_headers(params: dict[str, Any]) -> None:
    require(not NOT_ONE_LINE.search(params.get("subject", "")), "header_injection")
    headers = params.get("headers", {})
    for name in sorted(headers, key=lambda name: (len(name.encode()), name.encode())):
        require(is_text(headers[name]), "params_invalid")
        require(
            bool(HEADER_NAME.fullmatch(name)) and not NOT_ONE_LINE.search(headers[name]), "header_injection"
        )
        low = name.lower()
        is_reserved = low in RESERVED or low.startswith("resent-") or low.endswith("-to")
        require(low == "in-reply-to" or not is_reserved, "header_not_allowed")


def email_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    require(kind == KIND, "effect_kind_mismatch")
    cap = read(cap, EMAIL_CAP, "cap_params_invalid")
    domains, recipients, senders = (cap.get(name, []) for name in ("domains", "recipients", "from"))
    require(all(map(is_listed_domain, domains)), "cap_params_invalid")
    require(all(map(is_listed_address, [*recipients, *senders])), "cap_params_invalid")
    params = read(params, EMAIL_PARAMS, "params_invalid")
    to = [address for field in ("to", "cc", "bcc") for address in params.get(field, [])]
    require(0 < len(to) <= RECIPIENTS_MAX, "params_invalid")
    require_headers(params)
    if "from" in params:
        require(address_of(params["from"]) is not None, "address_invalid")
    if senders:
        sender = address_of(params.get("from", ""))
        require(sender is not None and "@".join(sender) in senders, "from_not_allowed")
    require(len(to) <= cap.get("max_recipients", NATURAL_MAX), "max_recipients_exceeded")
    for text in to:
        address = address_of(text)
        require(address is not None, "address_invalid")
        require(address is not None and is_covered(address, domains, recipients), "recipient_not_allowed")
    attachments = len(params.get("attachments", []))
    require(attachments <= cap.get("max_attachments", NATURAL_MAX), "max_attachments_exceeded")
    most = cap.get("max_bytes", NATURAL_MAX)
    require(params.get("bytes", 0) <= most, "max_bytes_exceeded")
    return {"mails": 1, "recipients": len(to), "bytes": params.get("bytes", cap.get("max_bytes", 0))}


def email_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    require(kind == KIND, "effect_kind_mismatch")
    cap = read(cap, EMAIL_CAP, "cap_params_invalid")
    params = read(params, EMAIL_PARAMS, "params_invalid")
    payload = read(payload, {"recipients": is_natural, "bytes": is_natural}, "receipt_unreadable")
    stated = {"recipients": sum(len(params.get(field, [])) for field in ("to", "cc", "bcc"))}
    stated["bytes"] = params.get("bytes", 0)
    usage = (dict.fromkeys(stated, 0) if status == "error" else stated) | payload
    usage["mails"] = 0 if status == "error" and usage["recipients"] == 0 else 1
    too_large = "max_bytes_exceeded" if usage["bytes"] > cap.get("max_bytes", NATURAL_MAX) else ""
    return usage, exceeded(usage, reserve) or too_large


# --- what is generated --------------------------------------------------------------------------------

locals_ = st.one_of(
    st.sampled_from(words('a a.b A a+b -a a- a..b .a a. a%b a!b x\'y "a" é a_b |a')),
    st.text("aZ0._-+%", max_size=6),
)
domains_ = st.one_of(
    st.sampled_from(
        words("good.com GOOD.com a.good.com good.com. evilgood.com com 1 a.1 1.a a-b.c -a.c a_.c")
    ),
    st.builds(".".join, st.lists(st.text("ab0-", max_size=4), min_size=1, max_size=18)),
)
addresses = st.one_of(
    st.builds("{}@{}".format, locals_, domains_),
    st.builds("{}@{}".format, locals_, domains_),
    st.builds(
        "{}{}".format,
        st.builds("{}@{}".format, locals_, domains_),
        st.sampled_from(["\n", " ", ",x@y.z", ">"]),
    ),
    st.text('a@.<>" \r\n,;:()', max_size=12),
)
good_addresses = st.sampled_from(words("a@good.com b@GOOD.com c@a.good.com ops@partner.net d@evil.com"))
lines = st.one_of(
    st.sampled_from(["Hi", "", "ä€", "a\tb", "a\r\nBcc: e@evil.com", "\u2028", "\x85"]), st.text(max_size=4)
)
edges = st.sampled_from([0, 1, 2, 3, NATURAL_MAX])
caps = st.fixed_dictionaries(
    {},
    optional={
        "domains": st.lists(st.sampled_from(words("good.com *.good.com com *.com *.COM a..b")), max_size=2),
        "recipients": st.lists(st.sampled_from(words("ops@partner.net a@good.com a@Good.com")), max_size=2),
        "from": st.lists(st.sampled_from(words("a@good.com ops@partner.net x")), max_size=2),
        "max_recipients": edges,
        "max_bytes": edges,
        "max_attachments": edges,
    },
)
mails = st.fixed_dictionaries(
    {"to": st.lists(st.one_of(good_addresses, good_addresses, addresses), max_size=2)},
    optional={
        "cc": st.lists(good_addresses, max_size=2),
        "bcc": st.lists(st.one_of(good_addresses, addresses), max_size=1),
        "from": st.one_of(good_addresses, good_addresses, addresses),
        "subject": lines,
        "headers": st.dictionaries(
            st.sampled_from(["X-Tag", "Bcc", "in-reply-to", "Reply-To", "a b", "é", "Resent-To"]),
            lines,
            max_size=2,
        ),
        "attachments": st.lists(st.just("a"), max_size=3),
        "bytes": edges,
    },
)


@given(cap=caps, params=mails)
def test_a_check_agrees_with_the_model(cap: Any, params: Any) -> None:
    verdict = check(EMAIL, KIND, cap, params)
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == reserve_of(email_check, KIND, cap, params)


@given(address=addresses)
def test_an_address_is_what_the_model_says(address: str) -> None:
    code = verdict_on(address, domains=["good.com"])
    event(code or "allowed")
    assert code == ("address_invalid" if address_of(address) is None else code)
    assert (code == "") == (
        address_of(address) is not None and address.partition("@")[2].lower() == "good.com"
    )


@given(address=addresses)
def test_whatever_is_allowed_another_reader_sends_to_the_same_recipient(address: str) -> None:
    if check(EMAIL, KIND, {}, {"to": [address]}).deny_code:
        return
    event("allowed")
    assert getaddresses([address]) == [("", address)]
    assert Address(addr_spec=address).addr_spec == address


@given(params=mails)
def test_a_mail_made_of_what_is_allowed_has_the_recipients_that_were_judged(params: Any) -> None:
    if check(EMAIL, KIND, {}, params).deny_code:
        return
    event("allowed")
    mail = EmailMessage()
    for field in ("to", "cc", "bcc"):
        if params.get(field):
            mail[field] = ", ".join(params[field])
    for name, value in {"subject": params.get("subject", ""), **params.get("headers", {})}.items():
        mail[name] = value
    for field in ("to", "cc", "bcc"):
        found = [address for _, address in getaddresses(mail.get_all(field, []))]
        assert found == params.get(field, [])


@given(
    cap=st.fixed_dictionaries({}, optional={"max_bytes": edges}),
    params=st.fixed_dictionaries({"to": st.just(["a@x.org", "b@x.org"])}, optional={"bytes": edges}),
    reserve=st.dictionaries(st.sampled_from(["mails", "recipients", "bytes"]), edges),
    payload=st.fixed_dictionaries({}, optional={"recipients": edges, "bytes": st.one_of(edges, st.just(-1))}),
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(
    cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str
) -> None:
    settled = settle(EMAIL, KIND, cap, params, reserve, payload, status)
    expected = usage_of(email_settle, KIND, cap, params, reserve, payload, status, None)
    assert (settled.usage, settled.violation_code) == expected
