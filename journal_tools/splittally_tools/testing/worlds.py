"""Worlds to test in: made from a manifest, kept when a test fails, opened again for reading.

Rule 1. A test's world has a given clock unless it says otherwise: nothing in it depends on when it runs.
Rule 2. What is kept are the committed frames. They make a world of their own that `tally` opens, also
        where the failing one was in memory.
"""

import os
import tempfile
import tomllib
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import splittally
from splittally.core.canonical import decode_record_at
from splittally.core.errors import JournalDamaged, SplittallyError
from splittally.core.hashing import hash_frame
from splittally.core.limits import GROUP_MAX
from splittally.edge.json_values import parse_json
from splittally.journal.frame import Frame, Head, follows
from splittally.journal.lmdb import LmdbStore
from splittally.journal.memory import MemoryStore
from splittally.journal.store import Store
from splittally.runtime import Kernel
from splittally.runtime.folder import is_world
from splittally.runtime.reader import Reader, open_reader, read_store

from splittally_tools.testing.artifacts import KEEPING, how_to_open, is_kept, named_in_test

Manifest = Mapping[str, Any] | str | os.PathLike[str]
Source = Kernel | Reader | Store
STORES = ("memory", "lmdb")
BESIDE = (".wasm", ".json")  # what a manifest may name beside itself


def make_world(
    manifest: Manifest | None = None,
    store: str = "memory",
    clock: Any = "given",
    path: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Kernel:
    """A new world in which the manifest was applied; `AssertionError` with the findings when it was not.

    `store` is memory or lmdb; the latter lies in the folder `path`, a temporary one where none is given.
    `clock` and the options are those of `splittally.open`.
    """
    if store not in STORES:
        raise ValueError(f"`store` is {' or '.join(STORES)}, not `{store}`")
    folder: str | os.PathLike[str] | None = path
    if store == "memory" and path is not None:
        raise ValueError('a world in memory has no `path`; say `store="lmdb"`')
    if store == "lmdb" and path is None:
        folder = Path(tempfile.mkdtemp(prefix="splittally-")) / "world"
    kernel = splittally.open(None if folder is None else Path(folder), clock, **options)
    try:
        apply_manifest(kernel, manifest)
    except BaseException:
        kernel.close()
        raise
    return kernel


def apply_manifest(kernel: Kernel, manifest: Manifest | None) -> None:
    """Applies a manifest; `AssertionError` with the findings when it is refused."""
    if manifest is None:
        return
    decision = kernel.apply(manifest if isinstance(manifest, Mapping) else Path(manifest))
    if not decision.allowed:
        told = "; ".join(f"{finding.code} {finding.facts}" for finding in decision.findings)
        raise AssertionError(f"the manifest was not applied: {told}")


def read_document(manifest: Manifest) -> dict[str, Any]:
    """A manifest as a mapping; the files that it names beside it are named in full."""
    if isinstance(manifest, Mapping):
        return dict(manifest)
    path = Path(manifest).absolute()
    text = path.read_text("utf-8")
    document = parse_json(text) if path.suffix == ".json" else tomllib.loads(text)
    return {table: _in_full(part, path.parent) for table, part in document.items()}


def _in_full(part: Any, folder: Path) -> Any:
    """The same with every module and schema that lies in `folder` under its whole path."""
    if isinstance(part, dict):
        return {key: _in_full(value, folder) for key, value in part.items()}
    is_file = isinstance(part, str) and part.endswith(BESIDE) and (folder / part).is_file()
    return str(folder / part) if is_file else part


@contextmanager
def saved_on_failure(kernel: Kernel, name: str = "world") -> Iterator[Kernel]:
    """The kernel, closed in the end; where the block fails its journal is kept and the error says where.

    Of a property it is the journal of the smallest failing example.
    """
    with kernel:
        try:
            yield kernel
        except Exception as error:
            if is_kept(error):
                note_journal(error, kernel, name_of(error, name))
            raise


def name_of(error: BaseException, name: str) -> str:
    """What to call the journal of a failure: two failures of one test are two."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f"{name}-{type(error).__name__}-{last[0].lineno if last else 0}"


def note_journal(error: BaseException, source: Source, name: str) -> None:
    """Keeps the journal of a failure and adds to the error how to see it; says so where it cannot."""
    try:
        folder = save_world(source, KEEPING.folder_for(named_in_test(name)))
    except (SplittallyError, OSError) as problem:
        error.add_note(f"the journal could not be kept: {problem}")
        return
    error.add_note(how_to_open(folder))


def save_world(source: Source, folder: str | os.PathLike[str]) -> Path:
    """Writes the committed frames of a world to a new world in `folder`, which is empty or missing."""
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"`{target}` is not empty; give a new folder")
    store = source.store if isinstance(source, Reader) else read_store(source).store
    target.mkdir(parents=True, exist_ok=True)
    copy = LmdbStore(target / "journal", writable=True)
    try:
        frames: list[Frame] = []
        for seq, (hash_, data) in enumerate(store.entries(0, store.head.size)):
            frames.append(Frame(seq, hash_, data))
            if len(frames) == GROUP_MAX:
                _append(copy, frames)
                frames = []
        _append(copy, frames)
    finally:
        copy.close()
    return target


def open_journal(path: str | os.PathLike[str]) -> Reader:
    """A journal opened read-only: a world's folder, or a file of `tally export --format cborseq`."""
    file = Path(path)
    if is_world(file):
        return open_reader(file)
    if not file.is_file():
        raise FileNotFoundError(f"`{file}` is neither a world nor a file of frames")
    return read_store(read_frames(file.read_bytes()))


def read_frames(data: bytes) -> MemoryStore:
    """A store of the frames in `data`, one after the other; `JournalDamaged` names the first bad one."""
    store = MemoryStore()
    at = 0
    while at < len(data):
        seq = store.head.size
        try:
            _, end = decode_record_at(data, at)
        except SplittallyError as error:
            raise JournalDamaged(f"frame {seq} cannot be read: {error}", seq=seq) from error
        frame = Frame(seq, hash_frame(data[at:end]), data[at:end])
        if not follows(seq, frame.data, store.head.hash):
            raise JournalDamaged(f"frame {seq} does not follow the one before it", seq=seq)
        _append(store, [frame])
        at = end
    return store


def _append(store: Store, frames: list[Frame]) -> None:
    head = store.append(store.head, frames)
    assert isinstance(head, Head)
