"""The shape of the code: what a reviewer would otherwise have to notice, one check a rule of style.

Each table of exceptions names what is over the line today. It may shrink and never grow.
"""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "splittally": ROOT / "kernel" / "splittally",
    "splittally_enforcers": ROOT / "enforcers" / "splittally_enforcers",
    "splittally_tools": ROOT / "journal_tools" / "splittally_tools",
}
SOURCE_ROOTS = os.pathsep.join(str(ROOT / name) for name in ("kernel", "enforcers", "journal_tools"))

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 330
FILES_OVER: dict[str, int] = {}
FUNCTIONS_OVER = {
    "splittally_tools.run_trace.report:document": 52,
}
NAMES_OF_NOTHING = {"utils", "util", "helpers", "common", "manager", "handler", "processor", "base", "misc"}
ENTRY_POINTS = {
    "splittally_tools.cli", "splittally_tools.__main__", "splittally_tools.testing.plugin",
    "splittally_tools.economies.__main__",
    "splittally_enforcers.build", "splittally_enforcers.conformance",
}  # fmt: skip
DIMENSIONS = {
    "tokens", "bytes", "cost_cents", "requests", "bytes_sent", "bytes_received", "gpu_ms", "prompt_tokens",
    "completion_tokens", "max_tokens", "credits", "usd", "USD",
}  # fmt: skip
PURE = {
    "array", "bisect", "blake3", "cbor2", "cbrrr", "collections", "collections.abc", "decimal", "fractions",
    "functools", "hashlib", "heapq", "itertools", "math", "msgspec", "msgspec.structs", "operator", "re",
    "struct", "typing",
}  # fmt: skip
RECEIPT_FIELDS = {"cost_cents"}  # a key of the ABI's receipt (schemas/abi.cddl), not a dimension
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "compile", "hash", "id", "__import__", "globals"}
HEAVY = {"wasmtime", "lmdb", "jsonschema_rs", "cryptography", "rich", "click", "sqlite3"}
MENUS = {"splittally", "splittally.runtime", "splittally.sandbox"}  # their names are loaded when first used
# A hold learns the hash of its frame when that is sealed; a candidate gathers what the stages find.
MUTABLE = {"Candidate", "Hold"}


@cache
def modules() -> dict[str, ast.Module]:
    """Module name -> syntax tree, for every file of the three packages."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found[name] = ast.parse(path.read_text("utf-8"), str(path))
            found[name].file_lines = len(path.read_text("utf-8").splitlines())
    return found


def core() -> dict[str, ast.Module]:
    return {name: tree for name, tree in modules().items() if name.startswith("splittally.core")}


def functions(tree: ast.AST, prefix: str = ""):
    """Qualified name and node of every function, methods and inner functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        inner = f"{prefix}{node.name}." if hasattr(node, "name") else prefix
        yield from functions(node, inner)


def imports_of(tree: ast.AST):
    """The dotted names that an import statement may mean: `from a import b` is `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def docstrings(tree: ast.AST) -> set[int]:
    """The identities of the constants that are docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners) and node.body]
    return {id(body[0].value) for body in bodies if isinstance(body[0], ast.Expr)}


def texts(tree: ast.AST):
    """Every string constant that is no docstring."""
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def lines_of(node: ast.FunctionDef) -> int:
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and type(first.value.value) is str
    ):
        lines -= first.end_lineno - first.lineno + 1
    return lines


# --- size and place ---------------------------------------------------------------------------------


def test_no_function_is_longer_than_a_screen():
    over = {
        f"{name}:{function}": lines_of(node)
        for name, tree in modules().items()
        for function, node in functions(tree)
        if lines_of(node) > FUNCTIONS_OVER.get(f"{name}:{function}", FUNCTION_LINES_MAX)
    }
    assert over == {}


def test_no_file_is_longer_than_a_reader_can_hold():
    over = {
        name: tree.file_lines
        for name, tree in modules().items()
        if tree.file_lines > FILES_OVER.get(name, FILE_LINES_MAX)
    }
    assert over == {}


def test_no_file_has_a_name_that_fits_every_file():
    assert not [name for name in modules() if name.rsplit(".", maxsplit=1)[-1] in NAMES_OF_NOTHING]


def test_every_file_that_holds_code_opens_with_what_it_decides():
    silent = [name for name, tree in modules().items() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_imports_stand_at_the_top():
    inner = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for _, function in functions(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


def test_only_the_menus_of_packages_import_for_types_alone():
    found = {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"
    }
    assert found <= {
        *MENUS,
        "splittally.edge.records",
    }  # whose `At` is of any request where nobody says which


def test_every_file_is_imported_by_another():
    """Entry points are run by name; menus name their modules as text, whole or by the last part."""
    named = set(ENTRY_POINTS)
    for name, tree in modules().items():
        named |= {found for found in imports_of(tree) if found != name}
        package = name.rsplit(".", maxsplit=1)[0]
        named |= {
            found for text in texts(tree) for found in (text, f"{package}.{text}") if found in modules()
        }
    packages = {name.rsplit(".", maxsplit=1)[0] for name in modules()}
    assert sorted(set(modules()) - named - packages - set(PACKAGES)) == []


def test_nothing_of_ours_maps_a_file_into_memory():
    """Under a map a bad page or a short file is a signal, which ends the process and cannot be caught."""
    assert not [name for name, tree in modules().items() if "mmap" in imports_of(tree)]


def test_the_import_contracts_hold():
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = run(program)
    assert done.returncode == 0, done.stdout + done.stderr


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": SOURCE_ROOTS},
        capture_output=True,
        text=True,
        check=False,
    )


# --- the core ---------------------------------------------------------------------------------------


def test_the_core_imports_only_what_is_pure():
    foreign = {
        f"{name}: {found}"
        for name, tree in core().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for found in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])
        if not found.startswith("splittally.core") and found not in PURE
    }
    assert foreign == set()


def test_the_core_calls_nothing_that_depends_on_the_process():
    called = {
        f"{name}:{node.lineno} {node.func.id}"
        for name, tree in core().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    }
    assert called == set()


def test_importing_the_core_loads_no_engine_and_no_store():
    names = ", ".join(["splittally", *core()])
    program = f"import json, sys, {names}; print(json.dumps(sorted(sys.modules)))"
    done = run(program)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert loaded & HEAVY == set()
    assert not [name for name in loaded if name.startswith("splittally.") and ".core" not in name]


@pytest.mark.req("S4-06", "S4-86")
def test_no_dimension_is_named_in_the_core():
    named = {
        f"{name}: {text}"
        for name, tree in core().items()
        for text in texts(tree)
        if text in DIMENSIONS and not (name.endswith((".abi", ".caps.rules")) and text in RECEIPT_FIELDS)
    }
    assert named == set()


def test_the_core_computes_amounts_in_integers_alone():
    """Floats live in the codec and nowhere else; `/` stands only where paths or expressions are read."""
    found = {
        f"{name}:{node.lineno}"
        for name, tree in core().items()
        if name not in ("splittally.core.canonical",)
        for node in ast.walk(tree)
        if (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    }
    assert found == set()


def test_records_of_the_core_are_frozen():
    loose = {
        node.name
        for tree in core().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Struct" for base in node.bases)
        and not any(
            word.arg == "frozen" and getattr(word.value, "value", False) is True for word in node.keywords
        )
    }
    assert loose <= MUTABLE


# --- codes ------------------------------------------------------------------------------------------


def reasons() -> set[str]:
    (table,) = (
        node.value
        for node in modules()["splittally.core.reasons"].body
        if isinstance(node, ast.AnnAssign) and node.target.id == "REASONS"
    )
    return {key.value for key in table.keys}


def test_every_code_of_the_kernel_is_found_somewhere():
    used = {
        text for name, tree in modules().items() if name != "splittally.core.reasons" for text in texts(tree)
    }
    assert reasons() - used == set()


def test_every_code_that_is_found_is_in_the_closed_list():
    found = {
        node.args[0].value
        for name, tree in modules().items()
        if name.startswith("splittally.")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "find"
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(found) > 40
    assert found - reasons() == set()


# --- amounts ------------------------------------------------------------------------------------------

BOUNDS = {"NATURAL_MAX", "INT_MIN", "INT_MAX"}
KNOW_BOUNDS = (
    "amounts",
    "canonical",
    "limits",
    "expr",
)  # the codec, and rules, whose arithmetic is their own
COUNTED = {"reserved", "spent", "refunded"}  # what a counter holds


def called(node: ast.AST) -> str:
    """The plain name that a call calls; empty for anything else."""
    return getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""


def bounded(tree: ast.AST):
    """Where a number is compared with a bound of amounts, cut off at one, or counted from one."""
    for node in ast.walk(tree):
        is_cut = isinstance(node, ast.Compare | ast.BinOp | ast.UnaryOp) or called(node) in ("min", "max")
        is_named = any(getattr(inner, "id", "") in BOUNDS for inner in ast.iter_child_nodes(node))
        if (is_cut and is_named) or (
            isinstance(node, ast.BinOp) and ast.unparse(node) in ("2 ** 63", "2 ** 64")
        ):
            yield node.lineno


def uncounted(tree: ast.AST):
    """Where a counter gets a number that is no sum of the door."""
    for node in ast.walk(tree):
        for keyword in node.keywords if called(node) in ("replace", "Counter") else ():
            is_none = getattr(keyword.value, "id", "") == "NONE"
            if keyword.arg in COUNTED and not is_none and called(keyword.value) != "added":
                yield node.lineno


def test_one_module_of_the_core_compares_with_the_bounds_of_amounts_and_cuts_off_at_them():
    found = {name.split(".")[2] for name, tree in core().items() if [*bounded(tree)]}
    assert found - set(KNOW_BOUNDS) == set()
    assert "amounts" in found


def test_what_a_counter_holds_is_added_by_the_door_and_nobody_else_makes_a_natural_of_a_number():
    """Of tables the types say so: mypy refuses an `int` where a `Natural` or a `Balance` is held."""
    ledger = {name: tree for name, tree in core().items() if name.startswith("splittally.core.ledger")}
    assert {name: lines for name, tree in ledger.items() if (lines := [*uncounted(tree)])} == {}
    makers = {
        name
        for name, tree in core().items()
        for node in ast.walk(tree)
        if called(node) in ("Natural", "Balance")
    }
    assert makers == {"splittally.core.amounts"}
