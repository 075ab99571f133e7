"""From a source to `enforcer.wasm`, the same bytes wherever it is built.

Rule 1. The module is written whole or not at all.
Rule 2. A build uses a folder of compiled parts that is kept between builds; a comparison starts afresh.
"""

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from splittally.core.errors import SplittallyError, WorldError
from splittally.core.hashing import hash_module
from splittally_enforcers.toolchains import LANGUAGES, CompileFailed, CompilerMissing, compile_source

from splittally_tools.enforcers.project import Project

CACHE = Path("splittally", "enforcers")  # in the user's folder of caches


class NotCompiled(SplittallyError):
    """The compiler refused the source; the text is what it said."""

    code = "not_compiled"


class NoCompiler(WorldError):
    """The compiler is not installed; the text names the command that installs it."""

    code = "no_compiler"


class Built(NamedTuple):
    """A module as it was built, and what `enforcer.wasm` held before (None for nothing)."""

    wasm: bytes
    before: bytes | None

    @property
    def is_same(self) -> bool:
        return self.wasm == self.before

    def document(self) -> dict[str, object]:
        """Size and hash of both, and whether they differ."""
        was = self.before
        return {
            "module": hash_module(self.wasm).hex(),
            "bytes": len(self.wasm),
            "was": {"module": hash_module(was).hex(), "bytes": len(was)} if was is not None else None,
            "changed": not self.is_same,
        }


def build(project: Project) -> Built:
    """Compiles the source and writes `enforcer.wasm`; `NoCompiler` or `NotCompiled` when it cannot."""
    with _kept_cache() as cache:
        built = _compiled(project, cache)
    if not built.is_same:
        _replace(project.module, built.wasm)
    elif project.is_stale:
        os.utime(project.module)  # the source is newer and says the same
    return built


def fetch_compiler(language: str) -> None:
    """Installs the compiler of a language with pip, of exactly its version; `NoCompiler` where that fails."""
    of = LANGUAGES[language]
    wanted = f"{of.package}=={of.version}"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", wanted], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise NoCompiler(f"`{of.install_command}` failed: {said[:200]}")
    importlib.invalidate_caches()


def compare(project: Project) -> Built:
    """Compiles the source from nothing; nothing is written."""
    with tempfile.TemporaryDirectory() as cache:
        return _compiled(project, Path(cache))


def _compiled(project: Project, cache: Path) -> Built:
    source = project.folder / project.described().source
    before = project.module.read_bytes() if project.module.is_file() else None
    with tempfile.TemporaryDirectory() as work:
        target = Path(work) / "built.wasm"
        try:
            compile_source(source, target, cache)
        except CompilerMissing as missing:
            raise NoCompiler(str(missing)) from missing
        except CompileFailed as failed:
            raise NotCompiled(str(failed), source=str(source)) from failed
        return Built(target.read_bytes(), before)


def _replace(target: Path, wasm: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(wasm)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _kept_cache() -> Iterator[Path]:
    """The user's own cache, or one for this build where the user has no place for it."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = Path(home) / CACHE
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        with tempfile.TemporaryDirectory() as work:
            yield Path(work)
        return
    yield cache
