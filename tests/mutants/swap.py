"""A changed function put in the place of the loaded one, so that a place costs a fork and no start.

Rule 1. Every name that a module was imported under leads to the same function object, so its code is what is
        put in; the outermost function is swapped, because those within it are made by running it.
Rule 2. What runs as the module is imported (a default, a table, the body of a class) cannot be put in: None.
"""

import gc
from types import CodeType, FunctionType

OPTIMIZED = 0x1  # inspect.CO_OPTIMIZED: the code of a function, not of a module or a class

Functions = dict[tuple[str, int, str], list[FunctionType]]


def functions_below(folder: str) -> Functions:
    """The loaded functions of the files below a folder, by file, first line and name."""
    found: Functions = {}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(folder):
            found.setdefault(place_of(each.__code__), []).append(each)
    return found


def place_of(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_qualname


def swaps(file: str, old: str, new: str, functions: Functions) -> list[tuple[FunctionType, CodeType]] | None:
    """The functions of `file` that `new` has otherwise, each with its new code."""
    changed = changes(compile(old, file, "exec"), compile(new, file, "exec"))
    if changed is None:
        return None
    found = [(each, code) for was, code in changed for each in functions.get(place_of(was), ())]
    is_whole = all(functions.get(place_of(was)) for was, _ in changed)
    is_same_kind = all(len(each.__code__.co_freevars) == len(code.co_freevars) for each, code in found)
    return found if found and is_whole and is_same_kind else None


def changes(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """The outermost functions in which two versions of a module differ; None where more than those do."""
    if old == new:
        return []
    if old.co_flags & OPTIMIZED:
        return [(old, new)]
    were, are = parts(old), parts(new)
    if own(old) != own(new) or len(were) != len(are):
        return None
    found = []
    for was, now in zip(were, are, strict=True):
        inner = changes(was, now)
        if inner is None:
            return None
        found += inner
    return found


def parts(code: CodeType) -> list[CodeType]:
    return [x for x in code.co_consts if isinstance(x, CodeType)]


def own(code: CodeType) -> tuple[object, ...]:
    """What a module or a class body does itself."""
    consts = [repr(x) for x in code.co_consts if not isinstance(x, CodeType)]
    return code.co_code, consts, code.co_names
