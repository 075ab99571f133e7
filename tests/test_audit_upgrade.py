"""`tally upgrade`: what a release would judge otherwise is shown before anything is recorded."""

import json

import pytest
import splittally
from splittally.edge import release as release_module
from splittally.runtime import opening as world_module
from splittally.sandbox import builtin, builtin_names

from tests.cli_tools import MANIFEST, intent, make_world, receipt, run


def rejudge(world):
    return run("-w", world, "verify", "--rejudge", "--json").json


# --- upgrades ---------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A world of an older release, whose LLM module allowed everything."""

    def older(name):
        return builtin("sys/CapAllowAll@1" if name == "sys/CapEnforceLlm@1" else name)

    monkeypatch.setattr(world_module, "builtin", older)
    world = make_world(tmp_path / "old")
    run("-w", world, "submit", text=intent("cap_llm", 10) + intent("pool", 5) + intent("cap_llm", 500))
    monkeypatch.undo()
    return world


def test_an_upgrade_shows_what_would_be_judged_otherwise_and_records_nothing(old):
    before = run("-w", old, "state", "--root").out
    shown = run("-w", old, "upgrade", "--json").json
    assert (shown["applied"], shown["seq"], shown["checks"]) == (False, None, 3)
    assert [module["name"] for module in shown["modules"]] == ["sys/CapEnforceLlm@1"]
    assert [(each["seq"], each["now"]) for each in shown["otherwise"]] == [
        (2, {"reserve": {"tokens": 10}}), (3, {"reserve": {"tokens": 5}}), (4, {"reserve": {"tokens": 500}}),
    ]  # fmt: skip
    assert run("-w", old, "state", "--root").out == before
    assert "say `--apply`" in run("-w", old, "upgrade").out


def test_a_module_that_differs_in_bytes_alone_judges_nothing_otherwise(tmp_path, monkeypatch):
    custom_section = b"\x00\x05\x04note"
    monkeypatch.setattr(world_module, "builtin", lambda name: builtin(name) + custom_section)
    world = make_world(tmp_path / "world")
    run("-w", world, "submit", text=intent("cap_llm", 10) + intent("cap_llm", 500))
    monkeypatch.undo()
    shown = run("-w", world, "upgrade", "--json").json
    assert (len(shown["modules"]), shown["checks"], shown["otherwise"]) == (len(builtin_names()), 2, [])


ADDED = {"email", "fs", "mcp", "shell", "sql"}  # types of caps that came after the first release


def test_an_upgrade_brings_what_a_later_release_added(tmp_path, monkeypatch):
    caps = {name: row for name, row in release_module.CAPS.items() if row[0] not in ADDED}
    modules = tuple(module for _, module in caps.values())
    kinds = {name: row for name, row in release_module.KINDS.items() if row[0] not in ADDED}
    monkeypatch.setattr(release_module, "CAPS", caps)
    monkeypatch.setattr(release_module, "KINDS", kinds)
    monkeypatch.setattr(world_module, "builtin_names", lambda: modules)
    world = make_world(tmp_path / "world")
    monkeypatch.undo()
    added = sorted(name for name in builtin_names() if name not in modules)
    shown = run("-w", world, "upgrade", "--json").json
    assert [(each["name"], each["old"]) for each in shown["modules"]] == [(name, None) for name in added]
    keys = {(change["table"], change["key"]) for change in shown["changes"]}
    assert {("caps", f"sys/{name}@1") for name in ADDED} <= keys
    assert {("effects", "fs.read"), ("effects", "sql.execute"), ("effects", "email.send")} <= keys
    assert f"module {added[0]}: - -> " in run("-w", world, "upgrade").out
    assert run("-w", world, "upgrade", "--apply", "--json").json["applied"]
    manifest = MANIFEST | {"grants": {"notes": {"cap": "sys/fs@1", "params": {"read": ["/data"]}}}}
    (tmp_path / "notes.json").write_text(json.dumps(manifest))
    assert run("-w", world, "apply", tmp_path / "notes.json", "--allow-revoke").code == 0
    asked = [intent("notes", kind="fs.read", params={"path": path}) for path in ("/data/a", "/etc/a")]
    lines = run("-w", world, "submit", text="".join(asked)).lines
    codes = [finding["code"] for line in lines for finding in line["findings"]]
    assert ([line["outcome"] for line in lines], codes) == (["allow", "deny"], ["path_not_allowed"])


def test_an_upgrade_judges_anew_what_comes_and_settles_with_the_old_what_is_open(old):
    (held, *_) = run("-w", old, "log", "--kind", "llm.generate").lines
    digest = held["command"]["members"][0]["intent_hash"]
    done = run("-w", old, "upgrade", "--apply", "--json").json
    assert done["applied"]
    assert run("-w", old, "upgrade", "--apply", "--json").json["changes"] == []
    after = run("-w", old, "submit", text=intent("cap_llm", 10)).lines[0]
    assert after["reserve"] == {"tokens": 10}
    settled = run("-w", old, "settle", text=receipt(digest, 10, 20)).lines[0]
    assert (settled["status"], settled["usage"]) == ("settled", {})  # as the module that it pins says
    report = rejudge(old)
    assert (report["sound"], report["not_rejudged"]) == (True, 0)


def test_an_upgrade_keeps_what_the_world_chose_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(
        world_module, "builtin", lambda name: builtin(name if "Blob" not in name else "sys/CapAllowAll@1")
    )
    world = make_world(tmp_path / "world", {**MANIFEST, "world": {"utc_offset": "+02:00"}})
    monkeypatch.undo()
    before = run("-w", world, "state", "--json").json
    changes = run("-w", world, "upgrade", "--apply", "--json").json["changes"]
    assert {"table": "caps", "key": "sys/blob@1"} in changes
    assert not [change for change in changes if change["table"] in ("world", "rules", "grants")]
    after = run("-w", world, "state", "--json").json
    assert (after["grants"], after["counters"]) == (before["grants"], before["counters"])
    with splittally.open(world) as kernel:
        assert dict(map(tuple, kernel.state.tables()["world"]))["offset_ns"] == 2 * 3600 * 10**9


def test_only_the_operator_upgrades(old):
    with splittally.open(old) as kernel, pytest.raises(splittally.InvalidInput):
        kernel.as_principal("alice").upgrade()
