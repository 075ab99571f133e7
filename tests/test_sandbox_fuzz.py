"""The loader on modules that nobody wrote: nothing impure is admitted, nothing crashes or differs.

`make soak` makes many more of them.
"""

from collections import Counter

import pytest
from splittally.core.errors import NotAdmitted
from splittally.sandbox import ADMISSION_CHECKS, Sandbox, builtin, builtin_names, failed_checks

from tests.module_fuzz import (
    PROFILES,
    SHAPE,
    SIGNS,
    UNSIZED,
    impurities,
    is_within_the_language,
    mutant,
    smith,
)
from tests.test_sandbox_differential import both
from tests.test_sandbox_fixtures import PURE, fixture

INPUTS = (b"", b"a question", bytes(range(256)) * 4)
NAMED = {*SIGNS, "memory", "recursion"}


@pytest.fixture(scope="module")
def shape(tmp_path_factory):
    """By profile, the file with the exports that a generated module must have."""
    folder = tmp_path_factory.mktemp("smith")
    (folder / "sized.wasm").write_bytes(SHAPE)
    (folder / "unsized.wasm").write_bytes(UNSIZED)
    return lambda profile: folder / ("unsized.wasm" if profile == "sizes" else "sized.wasm")


def tried(wasm: bytes) -> str:
    """What admission says of a module, after all about it was compared; `admitted` where nothing failed.

    What is admitted gives one answer in the fast sandbox, in the definition, and again: `both` compares
    output, fault and fuel. What is refused for an impurity has it for the independent reader too.
    """
    failed = failed_checks(wasm)
    assert failed.keys() <= set(ADMISSION_CHECKS)
    if not failed:
        assert is_within_the_language(wasm)
        assert impurities(wasm) == set()
        for data in INPUTS:
            assert both(wasm, data) == both(wasm, data)
        return "admitted"
    if named := NAMED & failed.keys():
        assert named <= impurities(wasm)
    return next(iter(failed))


def tried_all(modules) -> Counter:
    return Counter(tried(wasm) for wasm in modules if wasm)


def generated(profile: str, shape, seeds: range) -> Counter:
    return tried_all(smith(profile, seed, shape(profile)) for seed in seeds)


MUST = {"floats": "floats", "imports": "imports", "start": "start", "features": "features",
        "calls": "recursion", "tables": "tables", "memories": "features",
        "sizes": "memory", "wild": "features"}  # fmt: skip


@pytest.mark.req("X4-10", "X4-12")
@pytest.mark.parametrize("profile", PROFILES)
def test_no_generated_module_is_admitted_that_is_impure(profile, shape):
    found = generated(profile, shape, range(30))
    assert sum(found.values()) >= 20
    assert found["admitted" if profile == "tame" else MUST[profile]] > 0
    if profile in ("floats", "imports", "sizes"):
        assert found["admitted"] == 0


@pytest.mark.parametrize("name", builtin_names())
def test_no_mutant_of_a_built_in_is_admitted_that_is_impure(name):
    assert sum(tried_all(mutant(builtin(name), seed) for seed in range(8)).values()) >= 3


@pytest.mark.soak
@pytest.mark.parametrize("profile", PROFILES)
def test_no_generated_module_of_thousands_is_admitted_that_is_impure(profile, shape):
    assert sum(generated(profile, shape, range(10_000, 12_000)).values()) >= 1_000


@pytest.mark.soak
@pytest.mark.parametrize("name", [*builtin_names(), *(str(path) for path in PURE)])
def test_no_mutant_of_mutants_is_admitted_that_is_impure(name):
    first = builtin(name) if name in builtin_names() else fixture(next(x for x in PURE if str(x) == name))
    for seed in range(20):
        wasm = first
        for step in range(15):
            wasm = mutant(wasm, seed * 100 + step) or wasm
            tried(wasm)


def test_a_module_that_is_not_admitted_is_not_run(shape):
    refused = next(wasm for seed in range(50) if (wasm := smith("imports", seed, shape("imports"))))
    with pytest.raises(NotAdmitted, match="is imported"):
        Sandbox().load(refused)
