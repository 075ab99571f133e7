"""sys/CapEnforceRules@2 on programs: the kernel's own mean their texts, and no other can do harm."""

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import splittally_enforcers
from hypothesis import given
from hypothesis import strategies as st
from splittally.core.abi import CheckVerdict, SettleVerdict, read_check, read_settle
from splittally.core.canonical import decode, encode
from splittally.core.caps.rules import PROGRAM, compile_rules
from splittally.core.errors import InvalidInput
from splittally.core.expr import BOOL, INT
from splittally.core.expr.program import OPCODES
from splittally.core.limits import CHECK_FUEL_MAX
from splittally_enforcers.conformance import encode_input, read_cases

from tests import rule_asking as asking
from tests.expr_maker import EDGES, Maker, some_values, text_of
from tests.expr_model import NAMES, Tree
from tests.rule_texts import Texts, some_map
from tests.test_enforcers_abi import (
    INPUT_BYTES_BUILTIN_MAX,
    RULES,
    RULES_1,
    RULES_CAP,
    check_body,
    compiled,
    judge,
    sandbox,
    settle_body,
)
from tests.test_enforcers_rules_meaning import ROUNDS, SEED

KIND = "mail.send"
CASES = Path(splittally_enforcers.__file__).parent / "rules" / "cases"
PARAMS = {"to": ["ops@acme.com"], "a": [1, "x", {"b": True}], "n": 2**63, "note": None}


# --- the kernel's programs ----------------------------------------------------------------------------


@given(st.randoms(use_true_random=False), st.sampled_from("bbi"))
def test_the_module_gives_the_value_or_the_fault_of_the_text(rng: random.Random, kind: str) -> None:
    text, params = Texts(rng).of(kind, rng.randrange(1, 6)), some_map(rng)
    ask, mean = (
        (asking.enforced_int, asking.meant_int)
        if kind == "i"
        else (asking.enforced_claim, asking.meant_claim)
    )
    assert asking.agrees(ask(text, params), mean(text, params)), (text, params)


def test_a_requirement_denies_where_its_claim_is_false_and_where_it_has_no_value() -> None:
    for text, value in (("true", True), ("false", False), ("params.a == 1", ("fault", "missing_key", 8))):
        for form in ("deny", "require"):
            assert asking.enforced_claim(text, {}, form) == value


def within_params(tree: Any) -> Any:
    """The tree with every name a key of `params`."""
    if type(tree) is list:
        return [within_params(part) for part in tree]
    if type(tree) is not tuple or tree[:1] == ("lit",):
        return tree
    if tree[0] == "name":
        return ("key", tree_of_params(), tree[1], NAMES[tree[1]], ".")
    return (tree[0], *(within_params(part) for part in tree[1:]))


def tree_of_params() -> Tree:
    return ("name", "params")


@pytest.mark.filterwarnings("ignore")
def test_published_cel_gives_the_same_values_where_the_languages_overlap() -> None:
    """Left out is what `test_expr_model` leaves out: what the oracle does otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import celpy  # noqa: PLC0415 - importing it warns, and warnings are errors
        from celpy.adapter import json_to_cel  # noqa: PLC0415
    environment = celpy.Environment()
    edges = [edge for edge in EDGES if abs(edge) < 2**31]
    rng, compared = random.Random(SEED), 0
    for _ in range(ROUNDS // 12):
        result = rng.choice([BOOL, BOOL, INT])
        tree = within_params(Maker(rng, edges=edges, methods_on=0).tree(result, rng.randrange(4)))
        text, values = text_of(tree, rng), some_values(rng, edges)
        values.pop("p")
        ask = asking.enforced_claim if result == BOOL else asking.enforced_int
        found = ask(text, values)
        if type(found) is tuple:
            continue
        names = {"params": json_to_cel(values)}
        try:
            meant = environment.program(environment.compile(text)).evaluate(names)
        except celpy.CELEvalError as error:
            raise AssertionError(f"seed {SEED}: {text!r} {values} {found}") from error
        compared += 1
        assert found == type(found)(meant), f"seed {SEED}: {text!r} {values} {found} {meant!r}"
    assert compared > ROUNDS // 60


@pytest.mark.parametrize("file", sorted(path.name for path in CASES.glob("*.json")))
def test_the_program_of_a_case_is_the_kernels_where_its_rules_compile(file: str) -> None:
    (body,) = decode(encode_input(json.loads((CASES / file).read_text())["input"])).values()
    cap = decode(body["cap_params"])
    try:
        recorded = compile_rules(encode(cap), "params")
    except InvalidInput:
        assert file == "denies_a_misspelt_field.json"
        return
    assert (decode(recorded) == cap) == (not file.endswith(("a_program.json", "no_program.json")))


def test_running_a_program_takes_less_than_half_of_compiling_its_texts() -> None:
    """A question without an expression has nothing to save on: it is mostly its frame and its answer."""
    running, compiling = (read_cases(CASES.parents[1] / folder) for folder in ("rules", "rules_1"))
    fuels = []
    for file in sorted(set(running) & set(compiling)):
        for name, cases in ((RULES, running), (RULES_1, compiling)):
            assert isinstance(judge(name, encode_input(cases[file]["input"])), bytes)
            fuels.append(sandbox().fuel_used)
        (body,) = running[file]["input"].values()
        has_code = "$bytes" in json.dumps(body["cap_params"])
        assert fuels[-2] < (0.5 if has_code else 0.6) * fuels[-1], file
    assert len(fuels) > 40
    assert sum(fuels[::2]) < 0.45 * sum(fuels[1::2])


# --- any other program --------------------------------------------------------------------------------


def answered(cap: Any, params: Any = PARAMS) -> CheckVerdict:
    """The verdicts on a Check and a Settle, which are answers within the fuel whatever the program is."""
    data = encode({"Check": check_body(KIND, cap, params)})
    answer = judge(RULES, data)
    assert isinstance(answer, bytes), answer
    assert sandbox().fuel_used < CHECK_FUEL_MAX
    verdict = read_check(answer)
    assert isinstance(verdict, CheckVerdict), answer
    settling = judge(RULES, encode({"Settle": settle_body(KIND, cap, params, {"mails": 3}, {"cost": 1})}))
    assert isinstance(settling, bytes), settling
    settled = read_settle(settling)
    assert isinstance(settled, SettleVerdict), settling
    if settled.violation_code == "cap_params_invalid":
        assert settled.usage["mails"] == 3
    return verdict


def with_code(code: Any) -> dict[str, Any]:
    data = code if type(code) is bytes else encode(code)
    return {"rules": [{"deny": "true"}], PROGRAM: {"rules": [data], "reserve": {}, "usage": {"mails": data}}}


SMALL = st.integers(0, 30) | st.sampled_from([255, 256, 65535, 65536, 2**32, 2**64 - 1])
LEAF = SMALL | st.sampled_from([-1, True, False, None, "a", "to", "", b"a", 1.5])
ITEM = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner)
)
SOUND = [
    "size(params.to) > 3", "params.a[2].b ? params.n > 1 : has(params.note)", "params.to[0].endsWith('.com')",
    "params.n in [1, 2, 3] || 'a' in params.to && !(params.to == params.a)",
    "kind + grant == 'x' + origin.name", "now_ns * 2 / 3 % 7 - -1 < params.n",
    "[params.n, 1] + [2] != [] && params['to'][0].contains('o')",
]  # fmt: skip
CODES = [
    decode(compiled({"rules": [{form: text}]})[PROGRAM]["rules"][0])
    for text in SOUND
    for form in ("deny", "require")
]


@given(st.lists(st.integers(0, len(OPCODES)) | ITEM, max_size=30))
def test_any_list_of_items_is_answered(items: list[Any]) -> None:
    assert answered(with_code(items)).deny_code in {"cap_params_invalid", "rule_fault", "denied_by_rule", ""}


@given(st.randoms(use_true_random=False), st.sampled_from(CODES))
def test_a_damaged_program_is_answered(rng: random.Random, code: list[Any]) -> None:
    damaged = list(code)
    for _ in range(rng.randrange(1, 4)):
        at, to = sorted((rng.randrange(len(damaged) + 1), rng.randrange(len(damaged) + 1)))
        match rng.randrange(4):
            case 0:
                damaged[at : at + 1] = [rng.choice([*code, rng.randrange(40), True, "", [], [[1], "a"]])]
            case 1:
                damaged[at:at] = [rng.choice(code)]
            case 2:
                del damaged[at:to]
            case _:
                damaged[at:at] = damaged[at:to]
    assert answered(with_code(damaged)).deny_code in {
        "cap_params_invalid",
        "rule_fault",
        "denied_by_rule",
        "",
    }


@given(st.binary(max_size=60) | st.tuples(st.sampled_from(CODES), st.integers(0, 200)).map(
    lambda cut: encode(cut[0])[: cut[1]]
))  # fmt: skip
def test_any_bytes_in_place_of_code_are_answered(data: bytes) -> None:
    assert answered(with_code(data)).deny_code in {"cap_params_invalid", "rule_fault", "denied_by_rule", ""}


@given(ITEM | st.fixed_dictionaries({"rules": ITEM, "reserve": ITEM, "usage": ITEM}))
def test_any_value_in_place_of_the_program_is_answered(program: Any) -> None:
    answered({"rules": [{"deny": "true"}], PROGRAM: program})


@pytest.mark.parametrize(
    "code",
    [
        [], [0], [0, 0], [0, 0, 1], [0, 0, True, 0], [28, 0], [13, 0],
        [0, 0, 1, 13, 0], [1, 0, 5, 0, 0, 1, 14, 0], [1, 0, 9],
        [0, 0, True, 9, 0, 1], [0, 0, True, 12, 0, 2**64 - 1], [0, 0, 1, 7, 0], [0, 0, 1, 11, 0, 0],
        [27, 0, 1], [0, 0, 2, 6, 0, 5, 0, 0, 2, 13, 0], [0, 65536, True], [0, 0, 1, 0, 0, "a", 13, 0],
        [0, 0, "a"], [0, 0, 1, 0, 0, 2, 18, 0], [0, 0, None], [0, 0, 1.5, 7, 0], [0, 0, True, 2, 0],
        [0, 0, True, 2, 0, 1],
        [0, 0, 0] * 502 + [27, 0, 502], [[0, 0, True]], ["push", 0, True],
    ],
)  # fmt: skip
def test_what_the_kernel_never_compiles_denies_as_cap_params(code: list[Any]) -> None:
    assert answered(with_code(code)).deny_code == "cap_params_invalid"


def test_a_program_that_does_not_fit_its_rules_denies() -> None:
    sound = compiled(RULES_CAP)
    program = sound[PROGRAM]
    for other in (
        {"rules": program["rules"][:1]}, {"rules": []}, {"rules": {}}, {"reserve": []}, {"usage": 1},
        {"reserve": {f"d{at}": 1 for at in range(65)}}, {"reserve": {"": 1}}, {"reserve": {"a" * 129: 1}},
        {"reserve": {"a": "1"}}, {"reserve": {"a": -1}}, {"reserve": {"a": encode([0, 0, True])}},
        {"more": 1},
    ):  # fmt: skip
        assert answered(sound | {PROGRAM: program | other}).deny_code == "cap_params_invalid", other
    for text in (
        {"code": ""},
        {"code": "a" * 65},
        {"message": "a" * 257},
        {"message": "\u202e"},
        {"require": "true"},
    ):
        rules = {"rules": [{"deny": "true", **text}]}
        assert answered(rules | {PROGRAM: compiled({"rules": [{"deny": "true"}]})[PROGRAM]}).deny_code == (
            "cap_params_invalid"
        )


def test_a_question_filled_with_a_program_stays_within_the_fuel() -> None:
    """The account ends the work of a program that the kernel would never compile."""
    room = INPUT_BYTES_BUILTIN_MAX - 900
    for code in (
        [0, 0, 1] + [8, 0] * (room // 2), [0, 0, True] + [7, 0] * (room // 2), [1, 4000, 0, 7] * (room // 7),
        [0, 0, 1] + [0, 0, 1, 22, 0] * (room // 5), [0, 0, ""] + [1, 0, 1, 22, 0] * (room // 5),
        [0, 0, True] + [9, 0, 3, 0, 0, True] * (room // 6),
        [0, 0, False, 12, 0, room - 20] + [0] * (room - 9),
        [0, 0, [[]] * (room // 2 - 9), 0, 0, [[]] * 4, 14, 0], [1, 0, 0, 0, 0, "a" * (room - 40), 3, 0, "to"],
    ):  # fmt: skip
        data = encode(code)
        cap = {"rules": [{"deny": "true"}], PROGRAM: {"rules": [data], "reserve": {}, "usage": {}}}
        answer = judge(RULES, encode({"Check": check_body(KIND, cap, PARAMS)}))
        assert isinstance(answer, bytes), (code[:9], answer)
        assert sandbox().fuel_used < CHECK_FUEL_MAX
