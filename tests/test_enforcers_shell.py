"""sys/CapEnforceShell@1: a command is its list of arguments, compared with a pattern one by one.

The model turns a pattern into one regular expression over the joined arguments; the module walks both lists.
"""

import re
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.enforcer_models import (
    Denied,
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
from tests.path_model import is_prefix, is_under, resolved
from tests.test_enforcers_abi import NATURAL_MAX, SHELL, check, settle

KIND = "shell.run"
ARGUMENTS_MAX, PATTERNS_MAX, FOLDERS_MAX, NAMES_MAX = 512, 256, 512, 256


def verdict_on(argv: Any, *patterns: list[str], **params: Any) -> str:
    """The deny code, empty when the command may be started."""
    return check(SHELL, KIND, {"commands": list(patterns)}, {"argv": argv} | params).deny_code


@pytest.mark.parametrize(
    ("pattern", "argv", "is_allowed"),
    [
        ("git status", "git status", True),
        ("git status", "git", False),
        ("git status", "git status -s", False),
        ("git status", "GIT status", False),
        ("git status", "./git status", False),
        ("git status", "/usr/bin/git status", False),
        ("/usr/bin/git status", "/usr/bin/git status", True),
        ("git log *", "git log main", True),
        ("git log *", "git log", False),
        ("git log *", "git log main dev", False),
        ("git log *", "git log --output=/etc/passwd", False),
        ("git log *", "git log -p", False),
        ("git log -- *", "git log -- -p", False),
        ("git log -*", "git log -p", True),
        ("git log -*", "git log p", False),
        ("git log --max-count=*", "git log --max-count=5", True),
        ("git log --max-count=*", "git log --max-count=", True),
        ("git log --max-count=*", "git log --max-counts=5", False),
        ("ls **", "ls", True),
        ("ls **", "ls -l --all /etc", True),
        ("ls -l **", "ls", False),
        ("ls -l **", "ls -l", True),
        ("cat /data/*", "cat /data/x", True),
        ("cat /data/*", "cat /data/", True),
        ("cat /data/*", "cat /data", False),
        ("cat /data/*", "cat /data/../etc/passwd", False),
        ("cat /data/*", "cat /data/x/..", False),
        ("cat /data/*", "cat /data/x\\..\\y", False),
        ("cat /data/*", "cat /data/..x", True),
        ("tar --file=/data/*", "tar --file=/data/../etc/x", False),
        ("echo a*", "echo a/../b", True),
        ("echo", "echo; rm -rf /", False),
        ("echo *", "echo $(rm)", True),
    ],
)
def test_a_pattern_permits_what_it_shows(pattern: str, argv: str, is_allowed: bool) -> None:
    assert verdict_on(argv.split(), pattern.split()) == ("" if is_allowed else "command_not_allowed")


def test_an_argument_is_never_split_or_joined() -> None:
    assert verdict_on(["git", "log main"], ["git", "log", "main"]) == "command_not_allowed"
    assert verdict_on(["git log", "main"], ["git", "log", "main"]) == "command_not_allowed"
    assert verdict_on(["git", "log\nmain"], ["git", "*"]) == ""
    assert verdict_on(["git", ""], ["git", "*"]) == ""
    assert verdict_on(["git", ""], ["git"]) == "command_not_allowed"


@pytest.mark.parametrize(
    "params",
    [
        {"argv": "git status"},
        {"argv": []},
        {},
        {"argv": None},
        {"argv": [""]},
        {"argv": ["git", 5]},
        {"argv": ["git", "a\x00b"]},
        {"argv": ["a"] * (ARGUMENTS_MAX + 1)},
        {"argv": ["a"], "env": {"": "x"}},
        {"argv": ["a"], "env": {"A=B": "x"}},
        {"argv": ["a"], "env": {"1A": "x"}},
        {"argv": ["a"], "env": {"É": "x"}},
        {"argv": ["a"], "env": {"A": "x\x00"}},
        {"argv": ["a"], "env": {"A": 5}},
        {"argv": ["a"], "env": {f"A{i}": "" for i in range(NAMES_MAX + 1)}},
        {"argv": ["a"], "timeout_seconds": -1},
    ],
)
def test_what_no_program_can_be_started_with_is_refused(params: Any) -> None:
    for cap in ({}, {"commands": [["**"]]} if "argv" not in params else {"commands": [["a"]], "env": ["A"]}):
        assert check(SHELL, KIND, cap, params).deny_code in ("params_invalid", "cap_params_invalid")
    assert check(SHELL, KIND, {}, params).deny_code == "params_invalid"


@pytest.mark.parametrize(
    "cap",
    [
        {"commands": ["git status"]},
        {"commands": [[]]},
        {"commands": [[""]]},
        {"commands": [["*"]]},
        {"commands": [["git*"]]},
        {"commands": [["**"]]},
        {"commands": [["git", "a*b"]]},
        {"commands": [["git", "*a"]]},
        {"commands": [["git", "a**"]]},
        {"commands": [["git", "**", "x"]]},
        {"commands": [["ok"], ["git", "***"]]},
        {"commands": [["ls"]] * (PATTERNS_MAX + 1)},
        {"commands": [["ls", *["x"] * 600]] * 2},
        {"cwd": ["repo"]},
        {"cwd": ["/repo/../etc"]},
        {"env": ["A=B"]},
        {"env": ["LC_*"]},
        {"env": [""]},
    ],
)
def test_a_grant_that_cannot_be_read_denies(cap: Any) -> None:
    assert check(SHELL, KIND, cap, {"argv": ["ok"]}).deny_code == "cap_params_invalid"


@pytest.mark.parametrize(
    ("cap", "params", "code"),
    [
        ({"cwd": ["/repo"]}, {"cwd": "/repo/src"}, ""),
        ({"cwd": ["/repo"]}, {"cwd": "/repository"}, "cwd_not_allowed"),
        ({"cwd": ["/repo"]}, {"cwd": "/repo/../etc"}, "cwd_not_allowed"),
        ({"cwd": ["/repo"]}, {"cwd": "repo"}, "cwd_not_allowed"),
        ({"cwd": ["/repo"]}, {}, "cwd_not_allowed"),
        ({}, {"cwd": "anything"}, ""),
        ({}, {"env": {"LD_PRELOAD": "/x"}}, ""),
        ({"commands": [["ls"]]}, {"env": {}}, ""),
        ({"commands": [["ls"]]}, {"env": {"LD_PRELOAD": "/x"}}, "env_not_allowed"),
        ({"commands": [["ls"]], "env": ["LANG"]}, {"env": {"LANG": "C"}}, ""),
        ({"env": ["LANG"]}, {"env": {"LANG": "C", "PATH": "/x"}}, "env_not_allowed"),
        ({"env": ["LANG"]}, {"env": {"lang": "C"}}, "env_not_allowed"),
        ({"max_seconds": 9}, {"timeout_seconds": 9}, ""),
        ({"max_seconds": 9}, {"timeout_seconds": 10}, "max_seconds_exceeded"),
    ],
)
def test_each_restriction_has_its_code(cap: Any, params: Any, code: str) -> None:
    assert check(SHELL, KIND, cap, {"argv": ["ls"]} | params).deny_code == code


@pytest.mark.req("S4-59")
def test_the_time_that_a_command_may_run_is_reserved() -> None:
    cap = {"max_seconds": 60}
    assert check(SHELL, KIND, cap, {"argv": ["a"]}).reserve == {"runs": 1, "seconds": 60}
    assert check(SHELL, KIND, cap, {"argv": ["a"], "timeout_seconds": 5}).reserve == {"runs": 1, "seconds": 5}
    assert check(SHELL, KIND, {}, {"argv": ["a"], "timeout_seconds": 5}).reserve == {"runs": 1, "seconds": 5}
    assert check(SHELL, KIND, {}, {"argv": ["a"]}).reserve == {"runs": 1, "seconds": 0}


# --- the model ----------------------------------------------------------------------------------------

SHELL_CAP: Fields = {"commands": is_list, "cwd": is_texts, "env": is_texts, "max_seconds": is_natural}
SHELL_PARAMS: Fields = {"argv": is_texts, "cwd": is_text, "env": is_map, "timeout_seconds": is_natural}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATTERN_TEXT = re.compile(r"[^*]*\*?", re.DOTALL)
CLIMBS = re.compile(r"(?:.*[/\\])?\.\.(?:[/\\].*)?", re.DOTALL)
END = "\x00"  # no argument holds it


def expression_of(pattern: Any) -> re.Pattern[str]:
    """One expression for the whole command, every argument with `END` behind it."""
    require(is_texts(pattern) and bool(pattern), "cap_params_invalid")
    first, *others = pattern
    rest = others.pop() if others and others[-1] == "**" else None
    plain = bool(first) and "*" not in first and all(map(PATTERN_TEXT.fullmatch, others))
    require(plain, "cap_params_invalid")
    parts = [re.escape(first) + END]
    for wanted in others:
        stem = re.escape(wanted.removesuffix("*"))
        open_end = f"{stem}[^{END}]*" if wanted != "*" else f"(?!-)[^{END}]*"
        parts.append((open_end if wanted.endswith("*") else stem) + END)
    return re.compile("".join(parts) + ("" if rest is None else ".*"), re.DOTALL)


def climbs(pattern: list[str], argv: list[str]) -> bool:
    """Whether an argument leaves the folder that a prefix names."""
    return any(
        wanted.endswith("*") and "/" in wanted and bool(CLIMBS.fullmatch(argument))
        for wanted, argument in zip(pattern, argv, strict=False)
    )


def fits(pattern: Any, argv: list[str]) -> bool:
    expression = expression_of(pattern)
    return bool(expression.fullmatch("".join(text + END for text in argv))) and not climbs(pattern, argv)


def shell_cap(cap: Any) -> dict[str, Any]:
    cap = read(cap, SHELL_CAP, "cap_params_invalid")
    require(len(cap.get("commands", [])) <= PATTERNS_MAX, "cap_params_invalid")
    require(all(map(is_prefix, cap.get("cwd", []))), "cap_params_invalid")
    require(all(map(NAME.fullmatch, cap.get("env", []))), "cap_params_invalid")
    return cap


def shell_check(kind: str, cap: Any, params: Any) -> dict[str, int]:
    require(kind == KIND, "effect_kind_mismatch")
    cap = shell_cap(cap)
    params = read(params, SHELL_PARAMS, "params_invalid", ("argv",))
    argv, env = params["argv"], params.get("env", {})
    require(bool(argv) and bool(argv[0]) and len(argv) <= ARGUMENTS_MAX, "params_invalid")
    require(all(map(NAME.fullmatch, env)) and all(map(is_text, env.values())), "params_invalid")
    require(END not in "".join([*argv, *env.values()]), "params_invalid")
    if cap.get("commands"):
        fitting = [fits(pattern, argv) for pattern in cap["commands"]]  # every pattern is read
        require(any(fitting), "command_not_allowed")
    if cap.get("cwd"):
        path = resolved(params.get("cwd", ""))
        if path is None:
            raise Denied("cwd_not_allowed")
        require(any(is_under(path, folder) for folder in cap["cwd"]), "cwd_not_allowed")
    if cap.get("commands") or cap.get("env"):
        require(set(env) <= set(cap.get("env", [])), "env_not_allowed")
    seconds = params.get("timeout_seconds", cap.get("max_seconds", 0))
    require(seconds <= cap.get("max_seconds", NATURAL_MAX), "max_seconds_exceeded")
    return {"runs": 1, "seconds": seconds}


def shell_settle(
    kind: str, cap: Any, params: Any, reserve: dict[str, int], payload: Any, status: str, cost: int | None
) -> Usage:
    require(kind == KIND, "effect_kind_mismatch")
    cap = read(cap, {"max_seconds": is_natural}, "cap_params_invalid")
    payload = read(payload, {"seconds": is_natural}, "receipt_unreadable")
    usage = {"runs": 1}
    seconds = payload.get("seconds", reserve.get("seconds", 0) if status == "timeout" else None)
    if seconds is None:
        return usage, exceeded(usage, reserve) or ("usage_missing" if status == "ok" else "")
    usage["seconds"] = seconds
    too_many = "max_seconds_exceeded" if seconds > cap.get("max_seconds", NATURAL_MAX) else ""
    return usage, exceeded(usage, reserve) or too_many


# --- what is generated --------------------------------------------------------------------------------

texts = st.sampled_from(
    [
        *words("git log -p --max-count=5 main /data/x /data/../y /data/.. .. -- - a* $(rm) a;b"),
        "",
        "a b",
        "\x00",
    ]
)
wanted = st.one_of(
    st.sampled_from(words("git git log -* --max-count=* main * * /data/* ** -- a* /data/x *a a*b ***")),
    st.just(""),
)
patterns = st.one_of(
    st.builds(
        lambda first, rest: [first, *rest],
        st.sampled_from(words("git git git ls *")),
        st.lists(wanted, max_size=4),
    ),
    st.lists(wanted, max_size=2),
)
edges = st.sampled_from([0, 1, 5, 6, NATURAL_MAX])
caps = st.fixed_dictionaries(
    {},
    optional={
        "commands": st.lists(patterns, max_size=3),
        "cwd": st.lists(st.sampled_from(["/repo", "/repo/", "/", "repo"]), max_size=2),
        "env": st.lists(st.sampled_from(["LANG", "PATH", "A B"]), max_size=2),
        "max_seconds": edges,
    },
)
params = st.fixed_dictionaries(
    {
        "argv": st.builds(
            lambda first, rest: [first, *rest],
            st.sampled_from(["git", "ls", ""]),
            st.lists(texts, max_size=4),
        )
    },
    optional={
        "cwd": st.sampled_from(["/repo", "/repo/x", "/repository", "/repo/..", "x", "/repo//x", ""]),
        "env": st.dictionaries(
            st.sampled_from(["LANG", "PATH", "A B"]), st.sampled_from(["x", "\x00"]), max_size=2
        ),
        "timeout_seconds": edges,
    },
)


@given(cap=caps, params=params)
def test_a_check_agrees_with_the_model(cap: Any, params: Any) -> None:
    verdict = check(SHELL, KIND, cap, params)
    event(verdict.deny_code or "allowed")
    assert (verdict.deny_code or verdict.reserve) == reserve_of(shell_check, KIND, cap, params)


@given(
    pattern=patterns.filter(lambda pattern: "*" not in pattern[:1]),
    argv=st.lists(texts, min_size=1, max_size=5),
)
def test_a_command_fits_where_the_model_says(pattern: list[str], argv: list[str]) -> None:
    verdict = check(SHELL, KIND, {"commands": [pattern]}, {"argv": argv})
    event(verdict.deny_code or "allowed")
    expected = reserve_of(shell_check, KIND, {"commands": [pattern]}, {"argv": argv})
    assert (verdict.deny_code or verdict.reserve) == expected


@given(
    cap=st.fixed_dictionaries({}, optional={"max_seconds": edges}),
    reserve=st.dictionaries(st.sampled_from(["runs", "seconds"]), edges),
    payload=st.fixed_dictionaries({}, optional={"seconds": st.one_of(edges, st.just(-1))}),
    status=st.sampled_from(["ok", "error", "timeout"]),
)
def test_a_settle_agrees_with_the_model(cap: Any, reserve: dict[str, int], payload: Any, status: str) -> None:
    settled = settle(SHELL, KIND, cap, {"argv": ["a"]}, reserve, payload, status)
    expected = usage_of(shell_settle, KIND, cap, {}, reserve, payload, status, None)
    assert (settled.usage, settled.violation_code) == expected
