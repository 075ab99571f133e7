"""Prices at the edge and in questions: one row of the table in force, by logical time, whatever its size."""

import datetime
from functools import cache

import cbor2
import pytest
import splittally
from hypothesis import given
from hypothesis import strategies as st
from splittally import Intent, Receipt
from splittally.core.canonical import decode, encode
from splittally.core.errors import InvalidManifest
from splittally.core.events import Defined, Held
from splittally.core.hashing import hash_prices
from splittally.core.limits import (
    INLINE_PRICES_BYTES_MAX,
    MODEL_BYTES_MAX,
    PRICE_MODELS_MAX,
    PRICE_TIERS_MAX,
    PRICES_BYTES_MAX,
    SNAPSHOTS_MAX,
)
from splittally.core.prices import read_table, snapshots_fault, table_fault
from splittally.edge import priced_params

from tests.rows.worlds import canned, codes, few, listen, recorded, reserves, tally, uses
from tests.test_schemas import RECORDS, problems

DAY_NS = 86_400 * 10**9
CAP = "test/llm@1"
FULL = {
    "prompt": "2.50 USD", "completion": "10 USD", "cached": "1.25 USD", "cache_write": "3 USD",
    "reasoning": "11 USD", "audio_prompt": "40 USD", "audio_completion": "80 USD", "image_prompt": "5 USD",
    "call": "0.01 USD", "image": "0.04 USD", "batch": "50%",
    "tiers": [{"above": 200_000, "prompt": "5.00 USD", "completion": "15.00 USD"}],
}  # fmt: skip
UNIT = {"resource": "USD", "scale": 6}
FULL_ROW = {
    "resource": "USD", "scale": 6, "prompt": 2_500_000, "completion": 10_000_000, "cached": 1_250_000,
    "cache_write": 3_000_000, "reasoning": 11_000_000, "audio_prompt": 40_000_000,
    "audio_completion": 80_000_000, "image_prompt": 5_000_000, "call": 10_000, "image": 40_000,
    "batch": [50, 100], "tiers": [{"above": 200_000, "prompt": 5_000_000, "completion": 15_000_000}],
}  # fmt: skip


@cache
def module() -> bytes:
    return canned(reserves({"USD": 5}), uses({"USD": 5}))


def ns(day: str) -> int:
    return (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days * DAY_NS


def table(since="2026-10-01", **row):
    return {"since": since, "resource": "USD", **(row or {"prompt": "2 USD", "completion": "8 USD"})}


def manifest(prices, grants=None, **more):
    """Grants of a cap whose module is asked with rows; `grants` maps a name to what it says of prices."""
    return {
        "resources": {"USD": 6},
        "caps": {CAP: {"enforcer": module(), "cap_type": "llm.basic"}},
        "prices": prices,
        "grants": {
            name: {"cap": CAP, "params": {"prices": said, "kept": name}}
            for name, said in (grants or {"g": "newest"}).items()
        },
        **more,
    }


def opened(document, path=None, now_ns=None):
    kernel = splittally.open(path, clock="given")
    decision = kernel.apply(document, now_ns=now_ns)
    assert decision.allowed, decision
    return kernel


def call(kernel, grant="g", now_ns=None, **params):
    return kernel.submit(Intent("llm.generate", params, grant), now_ns=now_ns)


def asked_prices(asked):
    """What an enforcer was told of prices."""
    return cbor2.loads(asked.message["cap_params"])["prices"]


def refused(document, now_ns=None) -> str:
    with splittally.open(None, clock="given") as kernel, pytest.raises(InvalidManifest) as error:
        kernel.apply(document, now_ns=now_ns)
    return str(error.value)


# --- rows -------------------------------------------------------------------------------------------


@pytest.mark.req("X7-08")
def test_a_question_has_every_price_of_the_models_row_and_nothing_of_any_other():
    prices = {"p": table(models={"m": FULL, "n": {"prompt": "1 USD", "completion": "1 USD"}}, **FULL)}
    with opened(manifest(prices)) as kernel:
        asked = listen(kernel)
        for model in ("m", "n", "unheard of", ""):
            assert call(kernel, model=model).allowed
        digest = decode(kernel._world.state.caps.cap_params(kernel._world.state.caps.grants["g"]))["prices"][
            "snapshots"
        ][0]["hash"]
        rows = [asked_prices(one) for one in asked]
        plain = {"resource": "USD", "scale": 6, "prompt": 1_000_000, "completion": 1_000_000}
        assert rows[0] == {"prices": digest, "row": {**FULL_ROW, "model": "m"}}
        assert rows[1] == {"prices": digest, "row": {**plain, "model": "n"}}
        assert rows[2] == rows[3] == {"prices": digest, "row": FULL_ROW}
        assert [cbor2.loads(one.message["cap_params"])["kept"] for one in asked] == ["g"] * 4


@pytest.mark.req("X7-08")
def test_a_model_without_a_price_is_asked_about_with_no_row():
    with opened(manifest({"p": table(models={"m": {"prompt": 1, "completion": 1}})})) as kernel:
        asked = listen(kernel)
        call(kernel, model="other")
        call(kernel)
        assert [asked_prices(one)["row"] for one in asked] == [None, None]


@pytest.mark.req("X7-07", "X7-08")
def test_a_settle_repeats_the_row_of_its_check_whatever_is_in_force_by_then(tmp_path):
    prices = {
        "old": table("2026-10-01", models={"m": {"prompt": "1 USD", "completion": "1 USD"}}),
        "new": table("2026-11-01", models={"m": {"prompt": "3 USD", "completion": "3 USD"}}),
    }
    with opened(manifest(prices), tmp_path / "w", ns("2026-10-15")) as kernel:
        asked = listen(kernel)
        decision = call(kernel, model="m")
        replaced = {"other": table("2026-12-01", prompt="9 USD", completion="9 USD")}
        assert kernel.apply(manifest(replaced), now_ns=ns("2026-12-05")).allowed
        assert kernel.settle(Receipt(decision.intent_hash, "ok", "a", {})).usage == {"USD": 5}
        check, settle = asked
        assert check.message["cap_params"] == settle.message["cap_params"]
        assert asked_prices(settle)["row"]["prompt"] == 1_000_000
    assert tally(tmp_path / "w", "verify", "--rejudge")[1]["sound"]


# --- since ------------------------------------------------------------------------------------------


@few
@given(
    days=st.lists(st.integers(1, 40), min_size=1, max_size=5, unique=True),
    moments=st.lists(st.integers(0, 45 * 24 * 60), min_size=1, max_size=6),
    minutes=st.sampled_from([-330, 0, 60, 840]),
)
@pytest.mark.req("X7-08")
def test_the_last_snapshot_that_has_begun_is_in_force_and_before_the_first_the_first(days, moments, minutes):
    """The model: the days of the world's clock, one by one."""
    sign, hours = "-" if minutes < 0 else "+", f"{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    first = datetime.date(2026, 1, 1)
    prices = {
        f"day {day}": table(str(first + datetime.timedelta(day)), prompt=day, completion=day) for day in days
    }
    with opened(manifest(prices, world={"utc_offset": f"{sign}{hours}"})) as kernel:
        asked = listen(kernel)
        start = ns("2026-01-01")
        for moment in sorted(moments):
            assert call(kernel, now_ns=start + moment * 60 * 10**9).allowed
            day = (moment + minutes) // (24 * 60)
            begun = [each for each in days if each <= day]
            assert asked_prices(asked[-1])["row"]["prompt"] == (max(begun) if begun else min(days))


@pytest.mark.req("X7-08")
def test_a_price_entered_in_advance_holds_from_its_day_and_a_pinned_one_stays(tmp_path):
    prices = {
        "autumn": table("2026-10-01", prompt=2, completion=2),
        "winter": table("2026-11-01", prompt=3, completion=3),
    }
    said = {"newest": "newest", "pinned": "autumn", "early": "winter"}
    with opened(manifest(prices, said), tmp_path / "w", ns("2026-10-15")) as kernel:
        asked = listen(kernel)
        found = {}
        for day in (ns("2026-10-15"), ns("2026-11-01") - 1, ns("2026-11-01")):
            for grant in said:
                decision = call(kernel, grant, now_ns=day)
                found[grant, day] = asked_prices(asked[-1])["row"]["prompt"], decision.intent_hash
        assert [
            found["newest", day][0] for day in (ns("2026-10-15"), ns("2026-11-01") - 1, ns("2026-11-01"))
        ] == [2, 2, 3]
        assert {found["pinned", day][0] for grant, day in found if grant == "pinned"} == {2}
        assert {found["early", day][0] for grant, day in found if grant == "early"} == {3}
        unchanged = kernel.apply(manifest(prices, said), now_ns=ns("2026-11-05"))
        assert (unchanged.outcome, unchanged.seq) == ("allow", None)
    told = [
        tally(tmp_path / "w", "explain", found["newest", day][1].hex())[1]["chain"][0]["prices"]["snapshot"]
        for day in (ns("2026-10-15"), ns("2026-11-01"))
    ]
    assert told == ["autumn", "winter"]


@pytest.mark.req("X7-08")
def test_explain_names_snapshot_hash_and_row(tmp_path):
    prices = {"p": table(models={"m": FULL}, prompt="1 USD", completion="1 USD")}
    with opened(manifest(prices), tmp_path / "w") as kernel:
        priced, other = call(kernel, model="m"), call(kernel, model="x")
    told = tally(tmp_path / "w", "explain", priced.intent_hash.hex())[1]["chain"][0]["prices"]
    assert (told["snapshot"], told["model"], told["row"]["cached"]) == ("p", "m", 1_250_000)
    assert len(bytes.fromhex(told["hash"])) == 32
    told = tally(tmp_path / "w", "explain", other.intent_hash.hex())[1]["chain"][0]["prices"]
    assert (told["model"], told["row"]) == (None, {**UNIT, "prompt": 10**6, "completion": 10**6})


@pytest.mark.req("X7-08")
def test_a_name_keeps_its_prices_also_among_several_and_also_one_that_is_not_in_force_yet():
    prices = {"a": table("2026-10-01"), "b": table("2026-12-01", prompt=1, completion=1)}
    with opened(manifest(prices)) as kernel:
        changed = {**prices, "b": table("2026-12-01", prompt=2, completion=1)}
        with pytest.raises(InvalidManifest, match="`b` is in use with other prices"):
            kernel.apply(manifest(changed))
        moved = {**prices, "b": table("2026-12-15", prompt=1, completion=1)}
        assert kernel.apply(manifest(moved)).seq is not None  # its day is none of its prices


# --- tables -----------------------------------------------------------------------------------------


def models(count: int, **row):
    row = row or {"prompt": "1.50 USD", "completion": "6 USD", "cached": "0.75 USD"}
    return {f"provider/model-{at:05}-2026-10-01": row for at in range(count)}


@pytest.mark.req("X7-07")
@pytest.mark.parametrize("count", [700, 1_500])
def test_a_table_of_a_whole_gateway_is_recorded_once_and_asked_about_by_rows(count, tmp_path):
    prices = {
        "p": table(models=models(count)),
        "q": table("2026-12-01", models=models(count, prompt=1, completion=1)),
    }
    said = {"g": "newest", "h": "p", "i": "q"}
    with opened(manifest(prices, said), tmp_path / "w") as kernel:
        asked = listen(kernel)
        name = f"provider/model-{count - 1:05}-2026-10-01"
        decision = call(kernel, model=name)
        assert kernel.settle(Receipt(decision.intent_hash, "ok", "a", {})).usage == {"USD": 5}
        assert all(len(one.data) < 1_000 for one in asked)
        assert asked_prices(asked[0])["row"]["model"] == name
        tables = [
            event.key for event in recorded(kernel, Defined)
            if event.table == "blobs" and not table_fault(event.value)
        ]  # fmt: skip
        assert len(tables) == len(set(tables)) == 2
        held = recorded(kernel, Held)[0]
        assert held.legs[0].params == kernel._world.state.caps.grants["g"].params
    with splittally.open(tmp_path / "w", clock="given") as again:
        asked = listen(again)
        assert call(again, model=name).allowed
        assert asked_prices(asked[0])["row"]["model"] == name
    assert tally(tmp_path / "w", "verify", "--rejudge")[1]["sound"]


@pytest.mark.req("X7-07")
def test_what_is_asked_does_not_grow_with_the_table():
    sizes = {}
    for count in (10, 1_500):
        with opened(manifest({"p": table(models=models(count))})) as kernel:
            asked = listen(kernel)
            for at in range(10):
                call(kernel, model=f"provider/model-{at:05}-2026-10-01")
            sizes[count] = [len(one.data) for one in asked]
    assert sizes[10] == sizes[1_500]


@pytest.mark.req("X7-07")
def test_a_table_that_is_too_large_is_refused_with_the_number_that_fits(monkeypatch):
    bytes_max = 20_000
    for place in ("splittally.core.prices", "splittally.edge.prices"):
        monkeypatch.setattr(f"{place}.PRICES_BYTES_MAX", bytes_max)
    said = refused(manifest({"p": table(models=models(1_500))}))
    fit = int(said.split("the first ")[1].split(" ")[0])
    assert said.startswith("`prices.p` has 1500 models; the first ")
    assert refused(manifest({"p": table(models=models(fit + 1))})) == said.replace("1500", str(fit + 1))
    with opened(manifest({"p": table(models=models(fit))})) as kernel:
        assert call(kernel, model="provider/model-00000-2026-10-01").allowed


def test_a_table_has_at_most_so_many_models(monkeypatch):
    for place in ("splittally.core.prices", "splittally.edge.prices"):
        monkeypatch.setattr(f"{place}.PRICE_MODELS_MAX", 3)
    assert "the first 3 of them fit" in refused(manifest({"p": table(models=models(4))}))
    with opened(manifest({"p": table(models=models(3))})):
        pass
    assert PRICE_MODELS_MAX * 100 < PRICES_BYTES_MAX  # usual rows reach neither bound first by far


def test_a_grant_has_at_most_so_many_snapshots(monkeypatch):
    monkeypatch.setattr("splittally.edge.priced_params.SNAPSHOTS_MAX", 3)
    prices = {str(day): table(f"2026-10-{day:02}") for day in range(1, 5)}
    assert "there are 4 snapshots; a grant has at most 3" in refused(manifest(prices))
    with opened(manifest({name: prices[name] for name in ("1", "2", "3")})):
        pass
    row = {"hash": bytes(32), "name": "n", "resource": "USD"}
    rows = [{**row, "since_ns": at} for at in range(SNAPSHOTS_MAX + 1)]
    assert not snapshots_fault({"snapshots": rows[:-1]})
    assert "1 to 256" in snapshots_fault({"snapshots": rows})


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"cache_read": "1 USD"}, "did you mean `cached`"),
        ({"input": "1 USD"}, "did you mean `prompt`"),
        ({"completoin": "1 USD"}, "did you mean `completion`"),
        ({"cached": "1 EUR"}, "`prices.p.cached`: `1 EUR` is not in `USD`"),
        ({"call": -1}, "at least 0"),
        ({"batch": "150%"}, "share between 0 and 1"),
        ({"batch": 0.5}, "is a share such as"),
        ({"tiers": []}, "`tiers` are 1 to"),
        ({"tiers": [{"above": 5}]}, "has `above` and prices"),
        ({"tiers": [{"prompt": 5}]}, r"tiers\[0\].above"),
        ({"tiers": [{"above": 5, "prompt": 1}, {"above": 5, "prompt": 1}]}, "more than the one before"),
        ({"tiers": [{"above": 5, "call": 1}]}, r"tier `prices.p.tiers\[0\]` has no `call`"),
        (
            {"models": {"m": {"prompt": 1, "completion": 1, "modle": 1}}},
            "price `prices.p.models.m` has no `modle`",
        ),
        ({"models": {"": {"prompt": 1, "completion": 1}}}, "the name of a model has 1 to"),
        (
            {"models": {"m" * (MODEL_BYTES_MAX + 1): {"prompt": 1, "completion": 1}}},
            "the name of a model has 1 to",
        ),
        ({"source": 5}, "`prices.p.source` is text"),
    ],
)
@pytest.mark.req("X7-08")
def test_a_price_that_is_none_is_refused_by_name_when_it_is_applied(entry, says):
    document = manifest({"p": {**table(), **entry}})
    with splittally.open(None, clock="given") as kernel, pytest.raises(InvalidManifest, match=says):
        kernel.apply(document)


def test_a_model_has_at_most_so_many_tiers():
    tiers = [{"above": at, "prompt": at} for at in range(PRICE_TIERS_MAX + 1)]
    row = {"prompt": 1, "completion": 1}
    with opened(manifest({"p": table(**row, tiers=tiers[:-1])})):
        pass
    assert "1 to 16" in refused(manifest({"p": table(**row, tiers=tiers)}))


@pytest.mark.req("X7-07")
@pytest.mark.parametrize("said", ["newest", "2026-09"])
def test_a_name_of_no_snapshot_is_refused_also_where_there_is_none(said):
    assert "price snapshot" in refused(manifest({}, {"g": said}))


@pytest.mark.req("X7-07")
def test_a_snapshot_under_a_cap_that_prices_nothing_is_refused():
    document = manifest({"p": table()})
    document["grants"] = {"g": {"cap": "sys/http.out@1", "params": {"prices": "p"}}}
    assert "covers no kind of effect that has a `price_key`" in refused(document)


@pytest.mark.req("X7-07")
def test_params_with_a_table_that_nobody_recorded_are_refused_at_every_door():
    row = {"hash": bytes(32), "name": "p", "resource": "USD", "since_ns": 0}
    with opened(manifest({"p": table()})) as kernel:
        digest = decode(kernel._world.state.caps.cap_params(kernel._world.state.caps.grants["g"]))["prices"][
            "snapshots"
        ][0]["hash"]
        for snapshot in (
            row,
            {**row, "hash": digest, "resource": "EUR"},
            {**row, "hash": digest, "since_ns": -1},
            {**row, "hash": b"short"},
            {"hash": digest},
        ):
            terms = {"cap": CAP, "params": {"prices": {"snapshots": [snapshot]}}}
            issued = kernel.native("grant.issue", name="n", terms=terms)
            assert codes(issued) == ["params.invalid"], snapshot
            amended = kernel.native("grant.amend", name="g", terms=terms)
            assert codes(amended) == ["params.invalid"], snapshot
            document = manifest({})
            document["grants"]["g"]["params"] = terms["params"]
            assert codes(kernel.apply(document)) == ["params.invalid"], snapshot
        good = {"prices": {"snapshots": [{**row, "hash": digest}]}}
        assert kernel.native("grant.issue", name="n", terms={"cap": CAP, "params": good}).allowed
        assert call(kernel, "n").allowed


@pytest.mark.req("X7-07")
def test_a_grant_that_is_issued_names_a_snapshot_that_the_world_has():
    prices = {
        "a": table("2026-10-01", prompt=1, completion=1),
        "b": table("2026-11-01", prompt=2, completion=2),
    }
    with opened(manifest(prices), now_ns=ns("2026-10-05")) as kernel:
        asked = listen(kernel)
        for name, said in (("n", "newest"), ("o", "b")):
            terms = {"cap": CAP, "params": {"prices": said}}
            assert kernel.native("grant.issue", name=name, terms=terms).allowed
            call(kernel, name)
        assert [asked_prices(one)["row"]["prompt"] for one in asked] == [1, 2]
        terms = {"cap": CAP, "params": {"prices": "c"}}
        (finding,) = kernel.native("grant.issue", name="p", terms=terms).findings
        assert "no grant has a price snapshot `c`; there is a, b" in finding.facts["message"]


@pytest.mark.req("X7-07")
def test_a_table_by_hand_is_asked_about_whole_as_it_always_was():
    by_hand = {"resource": "USD", "models": {"m": {"prompt": 5, "completion": 5}}}
    document = manifest({"p": table()})
    document["grants"]["g"]["params"] = {"prices": by_hand}
    with opened(document) as kernel:
        asked = listen(kernel)
        assert call(kernel, model="m").allowed
        assert asked_prices(asked[0]) == by_hand


@pytest.mark.req("X7-07")
def test_whole_tables_by_hand_that_leave_no_room_for_the_call_are_refused_with_the_number_that_fits():
    """The module of older worlds reads the whole table and takes 24 KiB with the call."""
    params = {"prices": {"resource": "USD", "models": models(700, prompt=1, completion=1)}}
    with pytest.raises(InvalidManifest) as error:
        priced_params.require_room("grants.g.params.prices", params)
    fit = int(str(error.value).split("the first ")[1].split(" ")[0])
    few_models = {"resource": "USD", "models": models(fit, prompt=1, completion=1)}
    priced_params.require_room("x", {"prices": few_models})
    assert len(encode({"prices": few_models})) <= INLINE_PRICES_BYTES_MAX
    one_more = {"resource": "USD", "models": models(fit + 1, prompt=1, completion=1)}
    assert len(encode({"prices": one_more})) > INLINE_PRICES_BYTES_MAX


# --- kinds of one's own -----------------------------------------------------------------------------

OWN = {"acme.chat": {"cap_type": "chat", "price_key": "engine"}}


def own(effects=OWN, prices=None, **params):
    return {
        "resources": {"USD": 6},
        "effects": effects,
        "caps": {"acme/chat@1": {"enforcer": module(), "cap_type": "chat"}},
        "prices": prices if prices is not None else {"p": table(models={"m": FULL})},
        "grants": {"g": {"cap": "acme/chat@1", "params": {"prices": "p", **params}}},
    }


@pytest.mark.req("X7-08")
def test_a_kind_of_ones_own_says_which_param_names_the_row():
    with opened(own()) as kernel:
        asked = listen(kernel)
        assert kernel.submit(Intent("acme.chat", {"engine": "m", "model": "x"}, "g")).allowed
        assert asked_prices(asked[0])["row"]["model"] == "m"
        changed = kernel.apply(own({"acme.chat": {"cap_type": "chat", "price_key": "model"}}))
        assert (changed.outcome, codes(changed)) == ("deny", ["cannot_change"])
        assert kernel.apply(own()).seq is None


def test_a_kind_may_get_its_price_key_before_anything_was_priced_and_not_after():
    bare = {"acme.chat": {"cap_type": "chat"}}
    document = own(bare)
    document["grants"]["g"]["params"] = {}
    with opened(document) as kernel:
        assert kernel.apply(own()).allowed
        taken = kernel.apply({**own(bare), "grants": {}})
        assert codes(taken) == ["cannot_change"]


def test_a_price_key_is_the_name_of_a_param():
    assert "price_key" in refused(own({"acme.chat": {"cap_type": "chat", "price_key": ""}}))


# --- money smaller than its unit --------------------------------------------------------------------


def small(scale: int, prompt: str, completion: str = "8 USD", **more):
    document = manifest({"p": table(models={"m": {"prompt": prompt, "completion": completion}})}, **more)
    return {**document, "resources": {"USD": scale}}


@pytest.mark.req("X7-09")
@pytest.mark.parametrize(
    ("scale", "prompt", "scale_to_use"),
    [(2, "0.15 USD", 5), (4, "0.15 USD", 5), (6, "0.009999 USD", 7), (0, "1 USD", 4)],
)
def test_prices_that_rounding_would_swallow_are_said_with_the_scale_to_use(scale, prompt, scale_to_use):
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply(small(scale, prompt, prompt))
        assert (decision.outcome, codes(decision)) == ("allow", ["price_below_unit"])
        facts = decision.findings[0].facts
        assert (facts["resource"], facts["scale"], facts["scale_to_use"]) == ("USD", scale, scale_to_use)
        assert (facts["model"], facts["snapshot"], facts["grants"]) == ("m", "p", ["g"])
    with splittally.open(None, clock="given") as kernel:
        assert not codes(kernel.apply(small(scale_to_use, prompt, prompt)))  # and it is enough


@pytest.mark.req("X7-09")
@pytest.mark.parametrize(
    ("prompt", "completion", "is_said"),
    [
        ("0.01 USD", "1 USD", False),
        ("1 USD", "0.009999 USD", True),
        ("0 USD", "1 USD", False),
        ("0 USD", "0 USD", False),
    ],
)
def test_a_usual_call_of_a_few_units_is_not_said_and_neither_is_a_free_one(prompt, completion, is_said):
    with splittally.open(None, clock="given") as kernel:
        assert (codes(kernel.apply(small(6, prompt, completion))) == ["price_below_unit"]) is is_said


@pytest.mark.req("X7-09")
def test_a_table_by_hand_is_said_too_and_by_whom_it_is_used_once(tmp_path):
    by_hand = {"resource": "USD", "prompt": 15, "completion": 60}
    document = {"resources": {"USD": 2, "EUR": 2}, "caps": manifest({})["caps"], "grants": {}}
    for name in ("a", "b"):
        document["grants"][name] = {"cap": CAP, "params": {"prices": by_hand}}
    document["grants"]["c"] = {"cap": CAP, "params": {"prices": {**by_hand, "resource": "points"}}}
    with splittally.open(None, clock="given") as kernel:
        decision = kernel.apply(document)
        assert [x.facts["grants"] for x in decision.findings if x.code == "price_below_unit"] == [["a", "b"]]
        terms = {"cap": CAP, "params": {"prices": {**by_hand, "resource": "EUR"}}}
        issued = kernel.native("grant.issue", name="n", terms=terms)
        assert [x.facts["resource"] for x in issued.findings] == ["EUR"]


# --- what may stand in a table ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {}, [], {"resource": "USD"}, {"resource": "", "prompt": 1, "completion": 1},
        {"resource": "USD", "prompt": 1},
        {"resource": "USD", "prompt": 1, "completion": -1}, {"resource": "USD", "models": []},
        {"resource": "USD", "models": {"m": 1}},
        {"resource": "USD", "prompt": 1, "completion": 1, "since": 0},
        {"resource": "USD", "prompt": 1, "completion": 1, "batch": [1, 0]},
        {"resource": "USD", "prompt": 1, "completion": 1, "batch": [2, 1]},
        {"resource": "USD", "prompt": 1, "completion": 1, "tiers": [{"above": -1, "prompt": 1}]},
    ],
)  # fmt: skip
def test_bytes_that_are_no_price_table_are_none_for_the_core(value):
    assert table_fault(encode(value))
    assert read_table(hash_prices(encode(value)), encode(value)) is None


def test_bytes_that_are_not_canonical_or_too_many_are_no_price_table():
    assert table_fault(b"\xa0\xa0")
    assert "at most" in table_fault(bytes(PRICES_BYTES_MAX + 1))


@pytest.mark.parametrize("entry", [table(models={"m": FULL}, **FULL), table(), table(models={"m": FULL})])
def test_tables_and_snapshots_are_as_the_wire_schema_says(entry):
    with opened(manifest({"p": {**entry, "source": "a list"}})) as kernel:
        caps = kernel._world.state.caps
        prices = decode(caps.cap_params(caps.grants["g"]))["prices"]
        assert problems(RECORDS, encode(prices), "price-snapshots") == []
        assert problems(RECORDS, caps.blobs[prices["snapshots"][0]["hash"]], "price-table") == []
    assert problems(RECORDS, encode({"resource": "USD", "prices": 1}), "price-table") != []
    assert problems(RECORDS, encode({"snapshots": [{"name": "p"}]}), "price-snapshots") != []
