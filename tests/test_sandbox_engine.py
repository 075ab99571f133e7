"""The engine: every switch is decided, the decisions hold, and the engine id names them."""

import re
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import version

import pytest
from splittally.core.canonical import encode
from splittally.sandbox import engine_id, identity
from splittally.sandbox.engine import reference_engine
from splittally.sandbox.identity import decisions
from splittally.sandbox.settings import SETTINGS
from wasmtime import Config, WasmtimeError, _ffi
from wasmtime import Module as CompiledModule

from tests.test_sandbox_fixtures import REFUSED, expected, fixture, named

PREFIX = "wasmtime_config_"
# Accepted by every engine of this version whatever it is told; admission alone refuses them.
NOT_SWITCHABLE = ("features--extended-const", "features--saturating-conversion")

# Properties of the binding's `Config` whose C function has another name.
RENAMED = {"cache": "cache_config_load"}


def test_every_switch_that_the_binding_exports_is_decided_once_with_a_reason():
    exported = sorted(name.removeprefix(PREFIX) for name in vars(_ffi) if name.startswith(PREFIX))
    assert sorted(setting.name for setting in SETTINGS) == exported
    assert all(setting.reason for setting in SETTINGS)


def test_every_property_of_the_binding_is_one_of_these_switches():
    decided = {setting.name for setting in SETTINGS}
    for name, member in vars(Config).items():
        if isinstance(member, property):
            assert {RENAMED.get(name, name), f"{name}_set"} & decided, name


def test_a_switch_that_is_not_called_says_so():
    for setting in SETTINGS:
        assert (setting.value is None) == setting.reason.startswith("not called: "), setting.name


def test_the_engines_start_in_a_process_of_their_own():
    """An inconsistent configuration aborts the process, which a test in this one could not report."""
    code = "from splittally.sandbox import engine; engine.pooled_engine(); engine.reference_engine()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("path", [path for path in REFUSED if expected(path) == "features"], ids=named)
def test_what_admission_refuses_as_a_feature_the_engine_refuses_too(path):
    if path.stem in NOT_SWITCHABLE:
        CompiledModule(reference_engine(), fixture(path)).close()
    else:
        with pytest.raises(WasmtimeError):
            CompiledModule(reference_engine(), fixture(path))


def test_the_engine_id_is_the_version_and_a_whole_digest():
    assert re.fullmatch(r"wasmtime \d+\.\d+\.\d+ / [0-9a-f]{64}", engine_id())


def test_the_engine_names_its_version_without_being_loaded(monkeypatch):
    """Where it does not lie in a folder with its metadata beside it, the packages of Python are asked."""
    assert identity.engine_version() == version("wasmtime")
    monkeypatch.setattr(identity, "PathFinder", Elsewhere)
    assert identity.engine_version() == version("wasmtime")


class Elsewhere:
    @staticmethod
    def find_spec(name):
        return None


def test_of_two_versions_beside_the_engine_neither_is_believed(tmp_path, monkeypatch):
    for number in ("1.0.0", "2.0.0"):
        (tmp_path / f"wasmtime-{number}.dist-info").mkdir()
        (tmp_path / f"wasmtime-{number}.dist-info" / "METADATA").write_text(f"Version: {number}\n")
    spec = ModuleSpec("wasmtime", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path / "wasmtime"))
    monkeypatch.setattr(Elsewhere, "find_spec", lambda name: spec)
    monkeypatch.setattr(identity, "PathFinder", Elsewhere)
    assert identity.engine_version() == version("wasmtime")
    shutil.rmtree(tmp_path / "wasmtime-2.0.0.dist-info")
    assert identity.engine_version() == "1.0.0"


def test_the_engine_id_stands_for_canonical_values_alone():
    assert encode(decisions()) == encode(decisions())
    assert {"abi", "admission", "limits", "settings"} == set(decisions())
