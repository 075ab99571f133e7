"""What a manifest says and may not say, what files it carries, and how one follows another."""

import json

import pytest
import splittally
from splittally.core.canonical import decode
from splittally.core.errors import InvalidManifest
from splittally.core.limits import ENFORCER_BYTES_MAX, NATIVE_PARAMS_BYTES_MAX
from splittally.core.types import CAP_ANY_TYPE

from tests.rows.worlds import (
    CAP,
    PARROT,
    act,
    another,
    apply,
    bodies,
    codes,
    held,
    manifest,
    module_hash,
)

DAY = 86_400 * 10**9
HOUR = 3_600 * 10**9
G = {"g": {}}


def enforcer(kernel, cap):
    return kernel.state.caps[cap].enforcer


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        yield opened


# --- what it may not say --------------------------------------------------------------------------------


def ruled(**rule):
    return manifest(G, policy=[{"name": "r", "decision": "allow", **rule}])


def changed(name, key, value):
    document = manifest(G, accounts={"accounts/a": {}}, resources={"USD": 2}, world={})
    return document | {name: {entry: {**terms, key: value} for entry, terms in document[name].items()}}


CAPPED = {"resource": "USD", "per": "day", "amount": 1}
UNREADABLE = [
    (ruled(rate={"dim": "tokens", "per": "day", "amount": 1}), "a rate counts `attempts`"),
    (ruled(rate={"per": "life", "amount": 1}), "a rate counts `attempts`"),
    (ruled(rate={"per": "intent", "amount": 1}), "a rate counts `attempts`"),
    (ruled(when="1 +"), "the `when` of rule `r`"),
    (ruled(when="1"), "the `when` of rule `r`"),
    (ruled(decision="maybe"), "`decision` is one of"),
    (ruled(wen="true"), "wen"),
    (ruled(match={"kind": "x"}), "kind"),
    (ruled(rate={"per": "day", "amount": 1, "ovr": "deny"}), "ovr"),
    (manifest(G, policy=[{"name": "r", "decision": "allow"}] * 2), "two policy rules have one name"),
    (manifest(G, world={"utc_offset": "+14:01"}), "at most 14 hours"),
    (manifest(G, world={"utc_offset": "-14:01"}), "at most 14 hours"),
    (manifest(G, world={"utc_offset": 2}), "is like"),
    (manifest(G, world={"offset": "+02:00"}), "offset"),
    (changed("accounts", "debt", 1), "debt"),
    (changed("caps", "kind", "x"), "kind"),
    (changed("effects", "cap", "x"), "cap"),
    (changed("grants", "cpa", "x"), "cpa"),
    (changed("grants", "limits", [{"dim": "t", "amount": 1, "evry": "day"}]), "evry"),
    (manifest(G, resources={"USD": 19}), "0 to 18"),
    (manifest(G, resources={"USD": 0}, governor={"caps": [CAPPED, CAPPED]}), "two caps for one window"),
    (manifest(G, resources={"USD": 0}, governor={"caps": [CAPPED | {"amount": -1}]}), "at least 0"),
    (manifest(G, resources={"USD": 0}, governor={"caps": [CAPPED | {"per": "hour"}]}), "day or week"),
    (manifest(G) | {"caps": {CAP: {"cap_type": "test"}}}, "names no `enforcer`"),
    (manifest(G) | {"polcy": []}, "polcy"),
]


@pytest.mark.parametrize(("document", "why"), UNREADABLE)
def test_what_a_manifest_may_not_say_is_refused_with_its_place(kernel, document, why):
    with pytest.raises(InvalidManifest, match=why):
        kernel.apply(document)
    assert kernel.state.grants.keys() == {"root"}


@pytest.mark.parametrize("offset", ["+14:00", "-14:00", "-05:00", "+00:00"])
def test_days_begin_where_the_world_says(kernel, offset):
    hours = int(offset[:3])
    limit = {"limits": [{"dim": "tokens", "per": "day", "amount": 5}]}
    apply(kernel, manifest({"g": limit}, world={"utc_offset": offset}))
    begins = 3 * DAY - hours * HOUR
    assert act(kernel, {"tokens": 5}, now_ns=begins - 1).allowed
    assert not act(kernel, {"tokens": 1}, now_ns=begins - 1).allowed
    assert act(kernel, {"tokens": 5}, now_ns=begins).allowed


MISSING = b"\1" * 32
REFUSED = [
    (manifest({"g": {"parent": "h"}, "h": {"parent": "g"}}), "not_found"),
    (manifest({"g": {"parent": "none"}}), "not_found"),
    (manifest({"g": {"draws_on": {"USD": "accounts/none"}}}, resources={"USD": 0}), "not_found"),
    (manifest({"g": {"pays_to": ["accounts/none"]}}), "not_found"),
    (manifest(G, MISSING), "not_found"),
    (manifest(G, b"\0asm\1\0\0\0"), "not_admitted"),
    (manifest(G, modules={"acme/m@1": MISSING}), "not_found"),
    (manifest(G, governor={"caps": [CAPPED]}), "not_found"),
    (manifest({"policy/x": {}}), "name_reserved"),
    (manifest(G, modules={"sys/CapAllowAll@1": PARROT}), "name_reserved"),
    (
        manifest(G, accounts={"accounts/a": 2**62, "accounts/b": 2**62 + 2**61, "accounts/c": 2**61}),
        "amount_overflow",
    ),
]


@pytest.mark.parametrize(("document", "code"), REFUSED)
def test_a_manifest_that_does_not_fit_the_world_is_refused_whole(kernel, document, code):
    told = kernel.apply(document | {"resources": {**document.get("resources", {}), "NEW": 0}})
    assert set(codes(told)) == {code}, told.findings
    assert ("NEW" in kernel.state.resources, kernel.state.grants.keys()) == (False, {"root"})


def test_only_the_root_applies_a_manifest(kernel):
    apply(kernel, manifest({"all": {"cap": "sys/all@1", "holder": "ann"}}))
    told = kernel.as_principal("ann").native("manifest.apply", grant="all")
    assert codes(told) == ["root_only"]


# --- how one follows another ----------------------------------------------------------------------------


def test_a_manifest_revokes_what_an_earlier_one_made_and_nothing_else(kernel):
    apply(kernel, manifest({"g": {"delegations": 1}, "h": {}}))
    terms = {"cap": CAP}
    assert kernel.native("grant.issue", name="own", terms=terms).allowed
    assert kernel.native("grant.issue", grant="g", name="child", terms=terms).allowed
    apply(kernel, manifest({"g": {"delegations": 1}}))
    assert [name for name, row in kernel.state.grants.items() if row.revoked] == ["h"]
    assert codes(kernel.apply(manifest({"g": {"delegations": 1}, "h": {}}))) == ["name_taken"]
    below = manifest({"g": {"delegations": 1}, "k": {"parent": "own"}})
    apply(kernel, below)
    assert codes(kernel.apply(manifest({"g": {"delegations": 1}, "k": {}}))) == ["cannot_change"]


def test_a_manifest_that_says_the_same_writes_nothing_and_children_may_stand_before_their_parents(kernel):
    grants = {
        "a": {"parent": "b", "budget": {"NEW": 5}},
        "b": {"parent": "c", "delegations": 1, "budget": {"NEW": 6}},
        "c": {"delegations": 2, "budget": {"NEW": 7}},
    }
    document = manifest(
        grants,
        resources={"NEW": 0},
        accounts={"accounts/a": {}},
        governor={"caps": [{"resource": "NEW", "per": "week", "amount": 0}]},
        policy=[{"name": "r", "decision": "allow", "rates": [{"per": "hour", "amount": 5}]}],
    )
    apply(kernel, document)
    seq = kernel.state.seq
    assert kernel.apply(document).allowed
    assert kernel.state.seq == seq
    assert kernel.state.grants["a"].chain == ["a", "b", "c", "root"]


def test_the_rates_of_a_rule_stand_together_and_its_match_is_one_with_its_own_keys(kernel):
    rule = {
        "decision": "allow",
        "effect_kind": "other.kind",
        "match": {"effect_kind": "test.act", "cap_name": "g"},
        "rate": {"per": "day", "amount": 2},
        "rates": [{"per": "hour", "amount": 1}],
    }
    apply(kernel, manifest({"g": {}, "h": {}}, policy=[rule]))
    assert act(kernel, {}, now_ns=1).allowed
    assert not act(kernel, {}, now_ns=2).allowed
    assert act(kernel, {}, now_ns=HOUR).allowed
    assert not act(kernel, {}, now_ns=2 * HOUR).allowed
    assert not act(kernel, {}, "h", now_ns=3 * HOUR).allowed  # no rule matches it


def test_amounts_are_read_with_the_decimals_that_the_world_or_the_manifest_gives(kernel):
    assert kernel.native("resource.define", resource="USD", scale=2).allowed
    terms = {"budget": {"USD": "25.00 USD", "EUR": "1.5 EUR"}, "expiry_ns": "1970-01-08T00:00:00Z"}
    terms |= {"limits": [{"dim": "USD", "per": "day", "amount": "0.10 USD"}]}
    apply(kernel, manifest({"g": terms}, resources={"EUR": 3}))
    row = kernel.state.grants["g"]
    assert (row.budget, row.expiry_ns) == ({"USD": 2_500, "EUR": 1_500}, 7 * DAY)
    assert [x.amount for x in row.limits if x.per == "day"] == [10]


def test_a_cap_that_states_no_type_has_that_of_its_module_or_of_its_name_where_an_effect_has_it(kernel):
    caps = {
        "acme/test@1": PARROT,
        "acme/else@1": PARROT,
        "acme/pays@1": enforcer(kernel, "sys/spend@1"),
    }
    document = manifest({}) | {"caps": {name: {"enforcer": module} for name, module in caps.items()}}
    apply(kernel, document)
    types = [kernel.state.caps[name].cap_type for name in caps]
    assert types == ["test", CAP_ANY_TYPE, "spend"]


def test_the_params_of_a_grant_are_read_as_the_manifest_itself_defines_its_cap(kernel):
    def stated(key, params, module=PARROT):
        document = manifest({"g": {"params": params}})
        schema = {"type": "object", "required": [key]} if key else {"type": "object"}
        document["caps"][CAP] |= {"params_schema": schema, "enforcer": module}
        return document

    apply(kernel, stated("old", {"old": 1}))
    with pytest.raises(InvalidManifest, match="new"):
        kernel.apply(stated("new", {"old": 1}))
    apply(kernel, stated("new", {"new": 1}))
    rules = enforcer(kernel, "sys/rules@2")
    with pytest.raises(InvalidManifest, match="at character"):
        kernel.apply(stated("", {"kinds": ["test.act"], "rules": [{"require": "1 +"}]}, rules))
    apply(kernel, stated("", {"kinds": ["test.act"], "rules": [{"require": "true"}]}, rules))
    apply(
        kernel, stated("", {"kinds": ["test.act"], "rules": [{"require": "1 +"}]})
    )  # the parrot knows no rules


# --- modules and files ----------------------------------------------------------------------------------


def asked(kernel):
    """The params of the last manifest as they stand in its record."""
    return decode(bodies(kernel)[-1].command.members[0].params)


def test_what_the_world_has_does_not_travel_again(kernel):
    schema = {"type": "object"}
    document = manifest(G)
    document["effects"]["test.act"] |= {"params_schema": schema}
    apply(kernel, document)
    assert [len(asked(kernel)[name]) for name in ("wasm", "schemas")] == [1, 1]
    apply(kernel, document | {"accounts": {"accounts/new": {}}})
    assert [asked(kernel)[name] for name in ("wasm", "schemas")] == [[], []]


def test_a_name_means_what_the_manifest_itself_brings(kernel):
    first, second = PARROT, another()
    apply(kernel, manifest(G, "acme/m@1", modules={"acme/m@1": first}))
    apply(kernel, manifest(G, "acme/m@1", modules={"acme/m@1": second}))
    assert kernel.state.modules["acme/m@1"] == enforcer(kernel, CAP) == module_hash(second)
    assert held(kernel, {"tokens": 1})


def test_a_module_of_a_manifest_is_taken_by_the_hash_of_one_that_was_applied(kernel):
    apply(kernel, manifest(G, modules={"acme/m@1": another()}))
    (digest, modules) = kernel.state.tables()["manifests"][0]
    named = {"manifest_hash": digest, "module_name": "acme/m@1"}
    apply(kernel, manifest(G, named))
    assert enforcer(kernel, CAP) == modules["acme/m@1"] == module_hash(another())
    for wrong in ({"manifest_hash": "0" * 64}, {"module_name": "acme/n@1"}):
        with pytest.raises(InvalidManifest, match="no applied manifest"):
            kernel.apply(manifest(G, named | wrong))


def test_files_are_looked_for_beside_the_manifest(kernel, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "m").mkdir()
    elsewhere.mkdir()
    (tmp_path / "m" / "parrot.wasm").write_bytes(PARROT)
    file = tmp_path / "m" / "manifest.json"
    file.write_text(json.dumps(manifest(G, "parrot.wasm")))
    monkeypatch.chdir(elsewhere)
    apply(kernel, file)
    assert held(kernel, {"tokens": 1})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "is not a table"),
        ('{"accounts": ', "cannot be read"),
        ('{"accounts": {}}' + " " * NATIVE_PARAMS_BYTES_MAX, "larger than"),
    ],
)
def test_a_file_that_holds_no_manifest_is_refused_in_words(kernel, tmp_path, text, why):
    file = tmp_path / "manifest.json"
    file.write_text(text)
    with pytest.raises(InvalidManifest, match=why):
        kernel.apply(file)


def test_a_module_that_is_not_there_or_too_large_is_told_apart(kernel, tmp_path):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest(G, "parrot.wasm")))
    with pytest.raises(
        InvalidManifest, match=r"there is no file `.*parrot.wasm`; `tally enforcer build DIR`"
    ):
        kernel.apply(file)
    (tmp_path / "parrot.wasm").write_bytes(PARROT + bytes(ENFORCER_BYTES_MAX + 1 - len(PARROT)))
    with pytest.raises(InvalidManifest, match=f"is larger than {ENFORCER_BYTES_MAX} bytes"):
        kernel.apply(file)
