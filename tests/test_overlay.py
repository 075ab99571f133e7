"""An overlay answers as a plain copy of its base would: every fork, dry run and `all` group rests on it."""

import copy
import pickle

import hypothesis.strategies as st
import pytest
import splittally
from hypothesis import given
from splittally import Intent
from splittally.core.overlay import Overlay
from splittally.edge.manifest import read_manifest_document

KEYS, VALUES = st.integers(0, 5), st.integers(0, 3)
ROWS = st.dictionaries(KEYS, VALUES)
OPERATIONS = {
    "set": (lambda d, k, v, r: d.__setitem__(k, v)),
    "get item": (lambda d, k, v, r: d[k]),
    "get": (lambda d, k, v, r: d.get(k)),
    "get or": (lambda d, k, v, r: d.get(k, v)),
    "in": (lambda d, k, v, r: k in d),
    "delete": (lambda d, k, v, r: d.__delitem__(k)),
    "pop": (lambda d, k, v, r: d.pop(k)),
    "pop or": (lambda d, k, v, r: d.pop(k, v)),
    "pop none": (lambda d, k, v, r: d.pop(k, None)),
    "popitem": (lambda d, k, v, r: d.popitem()),
    "setdefault": (lambda d, k, v, r: d.setdefault(k, v)),
    "clear": (lambda d, k, v, r: d.clear()),
    "update": (lambda d, k, v, r: d.update(r)),
    "update named": (lambda d, k, v, r: d.update([(k, v)])),
    "update in place": (lambda d, k, v, r: list((d.__ior__(r)).items())),
    "or": (lambda d, k, v, r: list((d | r).items())),
    "or from": (lambda d, k, v, r: list((r | d).items())),
    "equal": (lambda d, k, v, r: (d == r, r == d, d != r, r != d)),
    "copy": (lambda d, k, v, r: list(d.copy().items())),
    "keys": (lambda d, k, v, r: (list(d.keys()), k in d.keys(), d.keys() & r.keys(), d.keys() - r.keys())),  # noqa: SIM118
    "values": (lambda d, k, v, r: (list(d.values()), v in d.values())),
    "items": (lambda d, k, v, r: (list(d.items()), (k, v) in d.items(), d.items() & r.items())),
    "length": (lambda d, k, v, r: (len(d), bool(d))),
    "reversed": (lambda d, k, v, r: list(reversed(d))),
    "spread": (lambda d, k, v, r: list({**d, **r}.items())),
    "made into a dict": (lambda d, k, v, r: list(dict(d).items())),
    "shown": (lambda d, k, v, r: (repr(d), str(d))),
    "copied": (lambda d, k, v, r: (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d)))),
}
STEPS = st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), KEYS, VALUES, ROWS), max_size=20)


def answer(table, step):
    name, *given_ = step
    try:
        return OPERATIONS[name](table, *given_)
    except (KeyError, TypeError) as error:
        return type(error)


@given(ROWS, STEPS, STEPS)
def test_an_overlay_is_a_plain_copy_under_any_sequence_of_operations(base, first, second):
    """Also an overlay over an overlay, which is the fork of a fork."""
    whole = dict(base)
    below = Overlay(base)
    for step in first:
        answer(below, step)
        answer(whole, step)
    overlay, plain = Overlay(below), dict(whole)
    for step in second:
        assert answer(overlay, step) == answer(plain, step), step
        assert list(overlay.items()) == list(plain.items())
    assert list(below.items()) == list(whole.items())
    assert base == dict(base)


# What of `dict` may be taken over as it is, and why.
INHERITED = {
    "__getitem__": "looks here, then asks `__missing__`",
    "__setitem__": "a write belongs here",
    "update": "a write belongs here",
    "__ior__": "a write belongs here",
    "fromkeys": "there is no overlay without a base: raises",
    "__lt__": "dicts have no order: raises",
    "__le__": "dicts have no order: raises",
    "__gt__": "dicts have no order: raises",
    "__ge__": "dicts have no order: raises",
    "__class_getitem__": "reads no row",
    "__getattribute__": "reads no row",
    "__new__": "reads no row",
    "__sizeof__": "reads no row",
}


def test_no_method_of_dict_is_taken_over_unread():
    """`clear` was, and a fork counted what is open twice."""
    of_dict = {name for name in dir(dict) if getattr(dict, name) is not getattr(object, name, None)}
    of_dict -= {"__doc__", "__init_subclass__", "__subclasshook__"}
    assert of_dict - set(vars(Overlay)) == set(INHERITED)
    with pytest.raises(TypeError):
        Overlay.fromkeys("a")
    with pytest.raises(TypeError):
        assert Overlay({}) < {}


# --- what rests on it -------------------------------------------------------------------------------


def stated(amount):
    return {
        "resources": {"tokens": 0},
        "governor": {"caps": [{"resource": "tokens", "per": "day", "amount": amount}]},
        "grants": {"g": {"cap": "sys/llm.basic@1"}},
    }


def asked(amount):
    return Intent("llm.generate", {"max_tokens": amount}, "g")


@pytest.mark.req("X6-16")
def test_a_fork_and_a_group_decide_under_a_new_governor_as_the_world_does():
    with splittally.open(clock="given") as kernel:
        kernel.apply(stated(100))
        assert kernel.submit(asked(40)).allowed
        fork = kernel.fork()
        assert fork.apply(stated(101)).allowed
        params, _ = read_manifest_document(stated(101), kernel._world.state, kernel._world.sealer.schema)
        both = [Intent("manifest.apply", params, "root"), asked(50)]
        grouped = kernel.fork().submit(both, mode="all")
        assert kernel.apply(stated(101)).allowed
        answers = {kernel.submit(asked(50)).outcome, fork.submit(asked(50)).outcome, grouped[1].outcome}
        assert answers == {"allow"}
