"""Who may reach a served world: tokens and uids, against a dict; and that no secret stands anywhere."""

import asyncio
import json

import hypothesis.strategies as st
import pytest
import splittally
import splittally.aio
from hypothesis import given
from splittally.core.callers import ROLES, UID_MAX
from splittally.core.errors import InvalidInput, InvalidManifest
from splittally.core.hashing import hash_token
from splittally.core.limits import UIDS_MAX
from splittally.core.snapshot import dump_state, load_state, state_root
from splittally.host.service.problems import Problem
from splittally.host.service.service import Service
from splittally.runtime.callers import Caller, caller_by_token, caller_by_uid, new_secret
from splittally.runtime.recover import fold

from tests.cli_tools import run
from tests.conftest import folder_in_memory
from tests.hostile.test_secrets import bytes_of
from tests.rows.worlds import codes, few, save_snapshot

SECRETS = [f"tally_{digit * 43}" for digit in "ABCD"]
NAMES = ["t", "u", "v"]
OPS = {"cap": "sys/native@1", "params": {"operations": ["token.*"]}}
ENDS_NS = 500  # of bob's grant
HOLDERS = {"ann": "ops-ann", "bob": "ops-bob"}


def digest(secret):
    return hash_token(secret.encode())


@pytest.fixture
def kernel():
    with splittally.open(None, clock="given") as opened:
        make(opened)
        yield opened


def make(kernel):
    for who, name in HOLDERS.items():
        terms = OPS | {"holder": who} | ({"expiry_ns": ENDS_NS} if who == "bob" else {})
        assert kernel.native("grant.issue", name=name, terms=terms).allowed


def issue(kernel, by="operator", name="t", principal="ann", secret=SECRETS[0], **more):
    """A token whose secret the test knows."""
    return kernel.as_principal(by).native(
        "token.issue", name=name, principal=principal, token_hash=digest(secret), **more
    )


def caller(kernel, secret, now_ns=None):
    state = kernel._world.state
    return caller_by_token(state, secret, state.now_ns if now_ns is None else now_ns)


# --- a dict as a model ------------------------------------------------------------------------------


class Model:
    """Tokens as a dict, looked at whole each time."""

    def __init__(self):
        self.now_ns, self.tokens, self.principals, self.revoked = 0, {}, {}, set()

    def is_good(self, grant):
        ended = grant == "ops-bob" and self.now_ns >= ENDS_NS
        return grant in ("root", "manifest") or (grant not in self.revoked and not ended)

    def lets_in(self, token):
        ended = token["expires_ns"] and self.now_ns >= token["expires_ns"]
        return not (token["revoked"] or ended) and self.is_good(token["grant"])

    def caller(self, secret):
        for token in self.tokens.values():
            if token["secret"] == secret and self.lets_in(token):
                had = set(self.principals.get(token["principal"], {}).get("roles", ()))
                is_free = token["grant"] in ("root", "manifest")
                roles = sorted(role for role in token["roles"] if is_free or role in had)
                return Caller(token["principal"], tuple(roles))
        return None

    def issue(self, by, name, token):
        """Whether it is allowed; what is over makes room then."""
        grant = HOLDERS.get(by, "root")
        had = self.principals.get(by, {}).get("roles", ())
        if not self.is_good(grant):
            return False
        if grant != "root" and (token["principal"] != by or not set(token["roles"]) <= set(had)):
            return False
        over = [x for x, old in self.tokens.items() if old["grant"] != "manifest" and not self.lets_in(old)]
        left = {x: old for x, old in self.tokens.items() if x not in over}
        is_late = token["expires_ns"] and token["expires_ns"] <= self.now_ns
        if is_late or name in left or token["secret"] in [old["secret"] for old in left.values()]:
            return False
        self.tokens = {**left, name: {**token, "grant": grant, "revoked": False}}
        return True

    def revoke(self, by, name):
        grant, token = HOLDERS.get(by, "root"), self.tokens.get(name)
        if not self.is_good(grant) or token is None or token["revoked"]:
            return False
        if grant != "root" and token["principal"] != by and token["grant"] != grant:
            return False
        if token["grant"] == "manifest":
            self.tokens[name] = {**token, "revoked": True}
        else:
            del self.tokens[name]
        return True

    def apply(self, tokens, principals):
        burnt = {old["secret"] for old in self.tokens.values() if old["revoked"]}
        theirs = {
            x: old for x, old in self.tokens.items() if old["grant"] != "manifest" and self.lets_in(old)
        }
        for name, token in tokens.items():
            clashes = [x for x, old in theirs.items() if x == name or old["secret"] == token["secret"]]
            is_same = clashes == [name] and theirs[name]["secret"] == token["secret"]
            if token["secret"] in burnt or (clashes and not is_same):
                return False
        stated = {name: {**token, "grant": "manifest", "revoked": False} for name, token in tokens.items()}
        secrets = {token["secret"] for token in tokens.values()}
        kept = {
            x: old
            for x, old in self.tokens.items()
            if old["grant"] != "manifest" and old["secret"] not in secrets
        }
        self.tokens, self.principals = kept | stated, principals
        return True


ROLE_LISTS = st.lists(st.sampled_from(ROLES), unique=True)
TOKENS = st.fixed_dictionaries(
    {
        "principal": st.sampled_from(["ann", "bob", "eve"]),
        "secret": st.sampled_from(SECRETS),
        "roles": ROLE_LISTS,
        "expires_ns": st.sampled_from([0, 0, 100, 300, 900]),
    }
)
BY = st.sampled_from(["operator", "operator", "ann", "bob"])
STATED = st.dictionaries(st.sampled_from(NAMES), TOKENS, max_size=2).filter(
    lambda stated: len({token["secret"] for token in stated.values()}) == len(stated)
)
PRINCIPALS = st.dictionaries(st.sampled_from(["ann", "bob"]), ROLE_LISTS).map(
    lambda roles: {name: {"uids": [len(name) + at], "roles": x} for at, (name, x) in enumerate(roles.items())}
)
STEPS = st.one_of(
    st.tuples(st.just("issue"), BY, st.sampled_from(NAMES), TOKENS),
    st.tuples(st.just("issue own"), st.sampled_from(["ann", "bob"]), st.sampled_from(NAMES), TOKENS),
    st.tuples(st.just("revoke"), BY, st.sampled_from(NAMES)),
    st.tuples(st.just("apply"), STATED, PRINCIPALS),
    st.tuples(st.just("wait"), st.sampled_from([50, 200])),
    st.tuples(st.just("void"), st.sampled_from(["ops-ann", "ops-bob"])),
)


def take(kernel, model, step):
    """Takes a step in the world and in the model; both say whether it was allowed."""
    match step:
        case ("issue" | "issue own" as how, by, name, token):
            token = token | ({"principal": by} if how == "issue own" else {})
            more = {"roles": token["roles"], "expires_ns": token["expires_ns"] or None}
            said = issue(kernel, by, name, token["principal"], token["secret"], **more)
            return said.allowed, model.issue(by, name, token)
        case ("revoke", by, name):
            said = kernel.as_principal(by).native("token.revoke", name=name)
            return said.allowed, model.revoke(by, name)
        case ("apply", tokens, principals):
            said = kernel.apply({"tokens": spelled(tokens), "principals": principals})
            return said.allowed, model.apply(tokens, principals)
        case ("wait", span):
            model.now_ns += span
            assert kernel.native("account.open", account=f"accounts/{model.now_ns}", now_ns=model.now_ns)
            return True, True
        case ("void", grant):
            said = kernel.native("grant.revoke", name=grant)
            is_new = grant not in model.revoked
            model.revoked.add(grant)
            return said.allowed, is_new


def spelled(tokens):
    return {
        name: {
            "principal": token["principal"],
            "hash": digest(token["secret"]).hex(),
            "roles": token["roles"],
            "expires_ns": token["expires_ns"],
        }
        for name, token in tokens.items()
    }


@given(steps=st.lists(STEPS, max_size=12))
def test_tokens_let_in_whom_a_dict_of_them_lets_in(steps):
    """Whatever is issued, revoked, stated, left out, over or void: nobody else, no longer, and no more."""
    with splittally.open(None, clock="given") as kernel:
        make(kernel)
        model = Model()
        for step in steps:
            said, expected = take(kernel, model, step)
            assert said == expected, step
            assert {*kernel.state.tokens} == {*model.tokens}
            let_in = [caller(kernel, secret) for secret in SECRETS]
            assert let_in == [model.caller(secret) for secret in SECRETS]
            live = {name for name, row in kernel.state.tokens.items() if row.standing == "live"}
            assert live == {name for name, token in model.tokens.items() if model.lets_in(token)}
        state = kernel._world.state
        for again in (load_state(dump_state(state)), fold(kernel._world.store), state.copy()):
            assert state_root(again) == state_root(state)
            assert [caller_by_token(again, x, model.now_ns) for x in SECRETS] == [
                model.caller(x) for x in SECRETS
            ]
            assert again.caps.uids == state.caps.uids
        assert dict(state.fork().caps.uids.items()) == state.caps.uids


# --- what a caller may ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "roles", "may"),
    [
        ("ann", (), {"change"}),
        ("ann", ("auditor",), {"see"}),
        ("ann", ("operator",), {"change", "see", "name"}),
        ("ann", ("auditor", "operator"), {"change", "see", "name"}),
        ("operator", (), {"change", "see", "name"}),
    ],
)
def test_roles_say_who_sees_all_who_names_others_and_who_changes(principal, roles, may):
    each = Caller(principal, roles)
    said = {"see": each.may_see_all, "name": each.may_name_others, "change": each.may_change}
    assert {name for name, holds in said.items() if holds} == may


def test_nobody_is_let_in_by_what_has_not_the_form_of_a_secret(kernel):
    """Else somebody could state the hash of a word that can be guessed."""
    for at, weak in enumerate(["", "password", "tally_", SECRETS[0] + "A", "tally_" + "é" * 43, "A" * 49]):
        assert issue(kernel, name=f"w{at}", secret=weak).allowed
        assert caller(kernel, weak) is None
    assert issue(kernel).allowed
    for wrong in (None, 5, SECRETS[0].encode(), SECRETS[0] + "\n", SECRETS[1]):
        assert caller(kernel, wrong) is None
    assert caller(kernel, SECRETS[0]) == Caller("ann", ())


def test_a_token_ends_at_its_instant_and_not_before(kernel):
    assert issue(kernel, expires_ns=100).allowed
    assert caller(kernel, SECRETS[0], 99) == Caller("ann", ())
    assert caller(kernel, SECRETS[0], 100) is None
    assert codes(issue(kernel, name="u", secret=SECRETS[1], expires_ns=0)) == ["already_expired"]


def test_a_drawn_secret_is_new_has_256_bits_and_lets_in(kernel):
    drawn = {new_secret() for _ in range(100)}
    assert len({secret for secret, _ in drawn}) == len({hashed for _, hashed in drawn}) == 100
    assert all(len(secret) == len("tally_") + 43 and hash_token(secret.encode()) == x for secret, x in drawn)
    decision, secret = kernel.issue_token("mine", "ann", ["auditor"])
    assert decision.allowed
    assert caller(kernel, secret) == Caller("ann", ("auditor",))


def test_a_refused_token_has_no_secret_and_an_issued_one_does_not_print_it(kernel):
    issued = kernel.issue_token("mine", "ann")
    assert issued.secret not in f"{issued!r} {issued}"
    refused = kernel.issue_token("mine", "bob")
    assert (codes(refused.decision), refused.secret) == (["name_taken"], None)
    with pytest.raises(InvalidInput):
        kernel.issue_token("other", "ann", "auditor")


def test_the_asyncio_twin_issues_the_same():
    async def issued():
        async with splittally.aio.open(None, clock="given") as kernel:
            decision, secret = await kernel.issue_token("mine", "ann", ["operator"], expires_ns=9)
            return decision.allowed, caller_by_token(kernel._kernel._world.state, secret, 8)

    assert asyncio.run(issued()) == (True, Caller("ann", ("operator",)))


def test_a_service_knows_bearers_and_users_and_lets_in_nobody_else(kernel):
    assert kernel.apply(stated(roles=["auditor"]) | {"principals": {"bob": {"uids": [42]}}}).allowed
    service = Service(kernel, owner_uid=7)
    assert service.caller_of(None, SECRETS[0], None) == Caller("ann", ("auditor",))
    assert service.caller_of(42, None, None) == Caller("bob", ())
    assert service.caller_of(7, None, "zoe") == Caller("zoe", ())
    refused = [(None, SECRETS[1], None), (7, SECRETS[1], None), (None, None, None), (43, None, None)]
    for asked in [*refused, (42, None, "ann"), (None, SECRETS[0], "bob")]:
        with pytest.raises(Problem) as caught:
            service.caller_of(*asked)
        assert SECRETS[1] not in str(caught.value)
    assert kernel.native("token.revoke", name="ci").allowed
    with pytest.raises(Problem):
        service.caller_of(None, SECRETS[0], None)


# --- who may issue ----------------------------------------------------------------------------------


def test_nobody_but_root_lets_in_another_or_gives_a_role_that_they_have_not(kernel):
    assert codes(issue(kernel, "ann", principal="operator")) == ["out_of_reach"]
    assert codes(issue(kernel, "ann", roles=["operator"])) == ["out_of_reach"]
    assert kernel.apply({"principals": {"ann": {"uids": [7], "roles": ["auditor"]}}}).allowed
    assert codes(issue(kernel, "ann", roles=["operator", "auditor"])) == ["out_of_reach"]
    assert issue(kernel, "ann", roles=["auditor"]).allowed
    assert caller(kernel, SECRETS[0]) == Caller("ann", ("auditor",))
    assert kernel.apply({}).allowed
    assert caller(kernel, SECRETS[0]) == Caller("ann", ()), "it gives no role that its principal has not"


def test_a_grant_that_does_not_cover_it_issues_nothing(kernel):
    narrow = {"cap": "sys/native@1", "holder": "dan", "params": {"operations": ["ledger.*"]}}
    assert kernel.native("grant.issue", name="narrow", terms=narrow).allowed
    assert not issue(kernel, "dan", principal="dan").allowed
    assert codes(issue(kernel, "eve", principal="eve")) == ["not_holder"]
    assert {*kernel.state.tokens} == set()


@pytest.mark.parametrize("end", ["revoke", "holder", "expiry"])
def test_a_token_lasts_no_longer_than_the_grant_under_which_it_was_issued(kernel, end):
    who = "bob" if end == "expiry" else "ann"
    assert issue(kernel, who, principal=who).allowed
    assert caller(kernel, SECRETS[0]) == Caller(who, ())
    now_ns = ENDS_NS if end == "expiry" else 0
    if end == "revoke":
        assert kernel.native("grant.revoke", name="ops-ann").allowed
    if end == "holder":
        assert kernel.native("grant.amend", name="ops-ann", terms={"holder": "eve"}).allowed
    assert caller(kernel, SECRETS[0], now_ns) is None
    assert issue(kernel, now_ns=now_ns).allowed, "what is over leaves its name and its secret"
    assert caller(kernel, SECRETS[0], now_ns) == Caller("ann", ())


def test_a_token_of_a_grant_that_is_forgotten_lets_nobody_in(kernel):
    assert issue(kernel, "ann").allowed
    with kernel.fork() as fork:
        state = fork._world.state
        assert fork.native("grant.revoke", name="ops-ann").allowed
        state.caps.grants.pop("ops-ann")
        assert caller_by_token(state, SECRETS[0], 0) is None


def test_nobody_takes_anothers_place_by_the_hash_of_their_secret(kernel):
    """Hashes stand in the journal: who reads one could else make the secret behind it mean somebody else."""
    assert issue(kernel, principal="eve").allowed
    assert codes(issue(kernel, "ann", name="mine")) == ["secret_taken"]
    assert caller(kernel, SECRETS[0]) == Caller("eve", ())


def test_who_may_not_revoke_a_token_is_told_that_there_is_none(kernel):
    assert issue(kernel, principal="eve").allowed
    told = [kernel.as_principal("ann").native("token.revoke", name=name) for name in ("t", "none")]
    assert [codes(decision) for decision in told] == [["not_found"], ["not_found"]]
    assert [set(decision.findings[0].facts) for decision in told] == [{"token", "next"}] * 2
    assert issue(kernel, name="u", secret=SECRETS[1]).allowed
    assert kernel.as_principal("ann").native("token.revoke", name="u").allowed, "it is her own"


@pytest.mark.parametrize(
    "params",
    [
        {"principal": ""}, {"principal": "a b"}, {"roles": ["root"]}, {"roles": ["auditor", "auditor"]},
        {"principal": "operator", "roles": ["auditor"]}, {"token_hash": b"x" * 31}, {"token_hash": b""},
        {"name": ""}, {"expires_ns": -1}, {"expires_ns": 2**63}, {"token_hash": SECRETS[0]},
        {"secret": SECRETS[0]},
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_without_a_record_and_without_a_word_of_the_secret(kernel, params):
    size = kernel.state.seq
    stated = {"name": "t", "principal": "ann", "token_hash": b"h" * 32, **params}
    decision = kernel.native("token.issue", **stated)
    assert (decision.seq, decision.outcome, kernel.state.seq) == (None, "deny", size)
    assert SECRETS[0] not in str(decision)


# --- manifests --------------------------------------------------------------------------------------


def stated(secret=SECRETS[0], **more):
    return {"tokens": {"ci": {"principal": "ann", "hash": digest(secret).hex(), **more}}}


def test_an_unchanged_manifest_writes_nothing_and_one_without_takes_away_its_own_alone(kernel):
    assert issue(kernel, secret=SECRETS[1]).allowed
    assert kernel.apply(stated()).seq is not None
    assert kernel.apply(stated()).seq is None
    assert kernel.apply({}).allowed
    assert [caller(kernel, secret) for secret in SECRETS[:2]] == [None, Caller("ann", ())]


def test_a_revoked_token_of_a_manifest_stays_out_until_it_has_another_secret(kernel):
    assert kernel.apply(stated()).allowed
    assert kernel.native("token.revoke", name="ci").allowed
    assert codes(kernel.native("token.revoke", name="ci")) == ["not_found"]
    assert codes(issue(kernel, name="ci", secret=SECRETS[1])) == ["name_taken"]
    other_name = {"tokens": {"cd": stated()["tokens"]["ci"]}}
    for manifest in (stated(), other_name):
        assert codes(kernel.apply(manifest)) == ["secret_taken"]
        assert caller(kernel, SECRETS[0]) is None
    assert kernel.apply(stated(SECRETS[1])).allowed
    assert [caller(kernel, x) for x in SECRETS[:2]] == [None, Caller("ann", ())]


def test_two_tokens_of_a_manifest_may_exchange_their_secrets_and_their_names(kernel):
    one, two = stated()["tokens"]["ci"], {"principal": "bob", "hash": digest(SECRETS[1]).hex()}
    assert kernel.apply({"tokens": {"a": one, "b": two}}).allowed
    assert kernel.apply({"tokens": {"a": two, "b": one}}).allowed
    assert [caller(kernel, x).principal for x in SECRETS[:2]] == ["ann", "bob"]
    assert kernel.apply({"tokens": {"c": two, "a": one}}).allowed
    assert [caller(kernel, x).principal for x in SECRETS[:2]] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"tokens": {"x": {"principal": "a", "hash": SECRETS[0]}}}, "never the secret"),
        ({"tokens": {"x": {"principal": "a", "hash": SECRETS[0].encode()}}}, "never the secret"),
        ({"tokens": {"x": {"principal": "a", "hash": ""}}}, "64 hex digits"),
        ({"tokens": {"x": {"principal": "a", "secret": SECRETS[0]}}}, "has no `secret`"),
        ({"tokens": {"x": {"principal": "a"}}}, "says no `hash`"),
        ({"tokens": {"x": {"hash": "00" * 32}}}, "says no `principal`"),
        ({"tokens": {"x": {"principal": "a b", "hash": "00" * 32}}}, "principal's name"),
        ({"tokens": {"x": {"principal": "a", "hash": "00" * 32, "roles": ["root"]}}}, "auditor, operator"),
        ({"tokens": {"x": {"principal": "a", "hash": "00" * 32, "roles": "auditor"}}}, "is an array"),
        ({"tokens": {n: {"principal": "a", "hash": "00" * 32} for n in "xy"}}, "stands twice"),
        ({"tokens": {"": {"principal": "a", "hash": "00" * 32}}}, "name"),
        ({"principals": {"a": {"uids": [1]}, "b": {"uids": [2, 1]}}}, "uid 1 stands twice"),
        ({"principals": {"a": {"uids": [1, 1]}}}, "uid 1 stands twice"),
        ({"principals": {"a": {"uids": []}}}, "1 to"),
        ({"principals": {"a": {"roles": ["auditor"]}}}, "1 to"),
        ({"principals": {"a": {"uids": [-1]}}}, "a uid is"),
        ({"principals": {"a": {"uids": [UID_MAX + 1]}}}, "a uid is"),
        ({"principals": {"a": {"uids": [True]}}}, "cannot be read"),
        ({"principals": {"a": {"uids": ["1"]}}}, "cannot be read"),
        ({"principals": {"a": {"uids": list(range(UIDS_MAX + 1))}}}, "1 to"),
        ({"principals": {"a b": {"uids": [1]}}}, "principal's name"),
        ({"principals": {"operator": {"uids": [1], "roles": ["auditor"]}}}, "another principal"),
    ],
)
def test_what_a_manifest_may_not_say_is_refused_and_no_secret_is_repeated(kernel, manifest, said):
    with pytest.raises(InvalidManifest) as caught:
        kernel.apply(manifest)
    assert said in str(caught.value)
    assert SECRETS[0] not in f"{caught.value} {caught.value.facts}"


def test_a_user_of_the_machine_is_who_the_manifest_says(kernel):
    most = list(range(2, UIDS_MAX + 2))
    kernel.apply({"principals": {"ann": {"uids": most}, "bob": {"uids": [0, UID_MAX], "roles": ["auditor"]}}})
    state = kernel._world.state
    assert caller_by_uid(state, 2) == caller_by_uid(state, UIDS_MAX + 1) == Caller("ann", ())
    assert caller_by_uid(state, UID_MAX) == caller_by_uid(state, 0) == Caller("bob", ("auditor",))
    assert [caller_by_uid(state, x) for x in (1, -1, UID_MAX + 1, True, "2", None)] == [None] * 6
    kernel.apply({"principals": {"ann": {"uids": [0]}, "bob": {"uids": [2]}}})
    assert [caller_by_uid(state, x).principal for x in (0, 2)] == ["ann", "bob"]
    assert caller_by_uid(state, 3) is None
    assert kernel.apply({"principals": {}}).allowed
    assert caller_by_uid(state, 0) is None


def test_the_release_takes_no_token_away(kernel):
    assert kernel.apply(stated() | {"principals": {"ann": {"uids": [1]}}}).allowed
    before = kernel.state.root
    kernel.upgrade()
    assert kernel.state.root == before


@pytest.mark.parametrize(
    ("before", "after", "field", "meaning"),
    [
        ({}, stated(), "", "more: who comes with its secret acts as `ann`"),
        (stated(), {}, "", "less: nobody with its secret acts as `ann`"),
        (stated(), stated(SECRETS[1]), "hash", "another secret"),
        (stated(), stated(roles=["operator"]), "roles", "is `operator`"),
        (stated(roles=["operator"]), stated(), "roles", "is no longer `operator`"),
        (stated(), stated(principal="bob"), "principal", "acts as `bob`, and no longer as `ann`"),
        (stated(), stated(expires_ns=5), "expires_ns", "less: it had no end"),
        ({}, {"principals": {"a": {"uids": [5, 6]}}}, "", "more: `5`, `6` acts as it"),
        ({"principals": {"a": {"uids": [5]}}}, {}, "", "less: `5` acts as it no longer"),
        ({"principals": {"a": {"uids": [5]}}}, {"principals": {"a": {"uids": [6]}}}, "uids", "more: `6`"),
        (
            {"principals": {"a": {"uids": [5]}}},
            {"principals": {"a": {"uids": [5], "roles": ["auditor"]}}},
            "roles",
            "is `auditor`",
        ),
    ],
)
def test_a_plan_says_who_is_let_in_and_who_no_more(kernel, before, after, field, meaning):
    assert kernel.apply(before).allowed
    (change,) = kernel.plan(after).changes
    assert change.field == field
    assert meaning in change.meaning


def test_a_plan_says_that_a_token_becomes_the_manifests(kernel):
    assert issue(kernel, name="ci").allowed
    changes = {x.field: x.meaning for x in kernel.plan(stated()).changes}
    assert set(changes) == {"issued_by", "stated", "under"}
    assert "takes it away" in changes["stated"]
    assert kernel.apply(stated()).allowed
    assert kernel.apply({}).allowed
    assert caller(kernel, SECRETS[0]) is None


# --- nowhere but with whoever has it ----------------------------------------------------------------


@few
@given(asks=st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=4))
def test_no_secret_stands_in_any_byte_of_a_world(asks):
    """Not in the journal, the index, a snapshot or a name; also where it was refused or is revoked."""
    with splittally.open(None, clock="given") as memory, folder_in_memory() as folder:
        secrets = []
        with splittally.open(folder, clock="given") as kernel:
            for name, is_revoked in asks:
                secrets.append(kernel.issue_token(name, "ann").secret)
                secrets.append(memory.issue_token(name, "ann").secret)
                if is_revoked:
                    kernel.native("token.revoke", name=name)
            save_snapshot(kernel)
        data = bytes_of(folder)
        assert data
        for secret in filter(None, secrets):
            assert secret.encode() not in data
            assert secret.removeprefix("tally_").encode() not in data
        with splittally.open(folder) as kernel:
            assert {*kernel.state.tokens} <= {name for name, _ in asks}


# --- the command line -------------------------------------------------------------------------------


@pytest.fixture
def made(folder):
    assert run("-w", folder / "w", "init", "--clock", "given").code == 0
    return folder / "w"


def test_a_token_is_issued_shown_once_listed_and_revoked(made):
    ran = run("-w", made, "token", "issue", "ci", "--principal", "ann", "--role", "auditor", "--expires",
              "+1h")  # fmt: skip
    assert ran.code == 0
    secret = ran.out.splitlines()[-1]
    listed = run("-w", made, "token", "list")
    row = listed.out.splitlines()[2].split()
    assert [*row[:3], row[-1]] == ["ci", "ann", "auditor", "live"]
    assert secret not in listed.out
    assert digest(secret).hex()[:12] in listed.out
    assert digest(secret).hex() not in listed.out
    late = run("-w", made, "token", "issue", "cd", "--principal", "ann", "--expires", "+1h", "--json",
               "--now-ns", 3600 * 10**9)  # fmt: skip
    assert (late.code, late.json["secret"][:6]) == (0, "tally_")
    rows = run("-w", made, "token", "list", "--json").json["tokens"]
    assert {name: row["standing"] for name, row in rows.items()} == {"cd": "live"}, "what was over is gone"
    assert run("-w", made, "token", "revoke", "cd").code == 0
    again = run("-w", made, "token", "revoke", "cd", "--json")
    assert (again.code, again.json["findings"][0]["code"]) == (1, "not_found")
    assert run("-w", made, "token", "list", "--json").json["tokens"] == {}


def test_a_refused_token_shows_no_secret(made):
    words = ("-w", made, "token", "issue", "ci", "--principal", "ann")
    assert run(*words).code == 0
    ran, said = run(*words, "--json"), run(*words)
    assert (ran.code, ran.json["secret"]) == (1, None)
    assert (said.code, "tally_" in said.out) == (1, False)


def test_a_secret_is_drawn_for_a_manifest_and_lets_in_what_that_states(made, folder):
    drawn = run("token", "new", "--json").json
    shown = run("token", "new").out.splitlines()
    assert shown[0] == f'hash = "{digest(shown[-1]).hex()}"'
    manifest = folder / "m.toml"
    manifest.write_text(
        f'[tokens.ci]\nprincipal = "ann"\nhash = "{drawn["hash"]}"\nexpires = 2030-01-01T00:00:00Z\n'
        "[principals.bob]\nuids = [1001]\nroles = ['auditor']\n"
    )
    applied = run("-w", made, "apply", manifest)
    assert applied.code == 0
    assert "expires_ns 2030-01-01" in applied.out
    out = run("-w", made, "token", "list").out
    assert "the manifest" in out
    assert out.splitlines()[-1].split() == ["bob", "1001", "auditor"]
    only = run("-w", made, "token", "list", "--principal", "bob", "--json").json
    assert (only["tokens"], [*only["principals"]]) == ({}, ["bob"])
    with splittally.open(made) as kernel:
        assert caller(kernel, drawn["secret"]) == Caller("ann", ())
    assert drawn["secret"].encode() not in bytes_of(made)


def test_a_list_says_what_is_over_revoked_and_void(made):
    with splittally.open(made) as kernel:
        make(kernel)
        assert kernel.apply(stated(SECRETS[2])).allowed
        assert issue(kernel, name="over", expires_ns=9).allowed
        assert issue(kernel, "ann", name="void", secret=SECRETS[1]).allowed
        assert kernel.native("token.revoke", name="ci").allowed
        assert kernel.native("grant.revoke", name="ops-ann", now_ns=9).allowed
    rows = run("-w", made, "token", "list", "--json").json["tokens"]
    assert {name: row["standing"] for name, row in rows.items()} == {
        "ci": "revoked", "over": "expired", "void": "void",
    }  # fmt: skip


def test_a_record_of_a_token_holds_the_hash_and_nothing_else_of_its_secret(made):
    with splittally.open(made) as kernel:
        _, secret = kernel.issue_token("ci", "ann")
    shown = run("-w", made, "log", "--json").out
    assert digest(secret).hex() in shown
    assert secret not in shown
    params = json.loads(shown.splitlines()[1])
    assert params["seq"] == 1
