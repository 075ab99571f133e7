"""The pytest plug-in: worlds and journals as fixtures, kept when a test that used them fails (spec/15).

Rule 1. A suite that uses none of this is not changed: no hook does anything, and neither the kernel nor
        Hypothesis is imported. `-p no:splittally` leaves the plug-in out.
Rule 2. A world of a fixture lies in memory or in the test's own folder, and is closed after the test.
Rule 3. Where a test fails, the journal of each of its worlds is kept, and the report says how to open it.
"""

import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from splittally_tools import testing
from splittally_tools.testing.artifacts import KEEPING, how_to_open

MARK = "splittally"
_BEFORE = pytest.StashKey[Callable[[], Path]]()
_WORLDS = pytest.StashKey[list[Any]]()
MakeWorld = Callable[..., Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("splittally").addoption(
        "--splittally-save",
        metavar="DIR",
        help="where the journals of failed tests are kept (a folder in pytest's own temporary one)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARK}(manifest=None, clock='given', journal=None): what the worlds of a test consist of, their "
        "clock, and the journal that `splittally_journal` opens; a path is one beside the test",
    )
    config.stash[_BEFORE] = KEEPING.under(lambda: _saving_folder(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    if _BEFORE in config.stash:
        KEEPING.under(config.stash[_BEFORE])


def _saving_folder(config: pytest.Config) -> Path:
    said = config.getoption("splittally_save")
    factory: Any = getattr(config, "_tmp_path_factory", None)
    if said or factory is None:
        return Path(said or tempfile.mkdtemp(prefix="splittally-"))
    return Path(factory.getbasetemp()) / "splittally"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    worlds = item.stash.get(_WORLDS, [])
    if worlds and report.failed and report.when == "call":
        for at, world in enumerate(worlds):
            report.sections.append(("splittally", _kept(world, f"{item.nodeid}-{at}" if at else item.nodeid)))
    return report


def _kept(world: Any, name: str) -> str:
    try:
        return how_to_open(testing.save_world(world, KEEPING.folder_for(name)))
    except Exception as error:  # a report must come out, whatever is wrong with the world
        return f"the journal could not be kept: {error}"


@pytest.fixture
def splittally_manifest() -> Any:
    """The manifest of worlds that neither a marker nor a call gives one; override it for a whole suite."""
    return None


@pytest.fixture
def make_world(
    request: pytest.FixtureRequest, tmp_path: Path, splittally_manifest: Any
) -> Iterator[MakeWorld]:
    """A factory: `make_world(manifest, store="memory"|"lmdb", clock="given")` gives a kernel."""
    marked = _marked(request)
    worlds = request.node.stash.setdefault(_WORLDS, [])
    made: list[Any] = []

    def make(manifest: Any = None, store: str = "memory", clock: Any = None, **options: Any) -> Any:
        if manifest is None:
            manifest = _beside(request, marked.get("manifest", splittally_manifest))
        if store == "lmdb":
            options.setdefault("path", tmp_path / f"world-{len(made)}")
        clock = marked.get("clock", "given") if clock is None else clock
        kernel = testing.make_world(manifest, store=store, clock=clock, **options)
        made.append(kernel)
        worlds.append(kernel)
        return kernel

    yield make
    for kernel in made:
        worlds.remove(kernel)
        kernel.close()


@pytest.fixture
def splittally_world(make_world: MakeWorld) -> Any:
    """A world in memory, with a given clock unless the marker says otherwise."""
    return make_world()


@pytest.fixture
def splittally_lmdb_world(make_world: MakeWorld) -> Any:
    """The same in a folder of the test's own."""
    return make_world(store="lmdb")


@pytest.fixture
def splittally_journal(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The journal that the marker names, opened read-only: a world's folder or a file of frames."""
    path = _marked(request).get("journal")
    if path is None:
        raise pytest.UsageError(f'say which: @pytest.mark.{MARK}(journal="...")')
    worlds = request.node.stash.setdefault(_WORLDS, [])
    with testing.open_journal(_beside(request, path)) as reader:
        worlds.append(reader)
        yield reader
        worlds.remove(reader)


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the markers of a test say, the nearest first."""
    marked: dict[str, Any] = {}
    for mark in request.node.iter_markers(MARK):
        marked = {**mark.kwargs, **marked}
    unknown = sorted(set(marked) - {"manifest", "clock", "journal"})
    if unknown:
        raise pytest.UsageError(f"the marker `{MARK}` takes manifest, clock and journal, not `{unknown[0]}`")
    return marked


def _beside(request: pytest.FixtureRequest, named: Any) -> Any:
    """A path beside the test's file where it is there, else as it is; anything but a path unchanged."""
    if not isinstance(named, str | Path):
        return named
    beside = request.path.parent / named
    return beside if beside.exists() else Path(named)
