"""Full disks, failed writes, and the way back."""

from __future__ import annotations

import errno
import io
import os
import random
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    InvalidPathError,
    LmdbSaverError,
    StoreFullError,
    StoreIOError,
    StoreReplacedError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_lmdb_error
from tests.kv.processes import fork, in_fork, in_new_process
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Open = "Callable[..., LmdbStore]"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 pages."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def write_until_it_fails(store: LmdbStore) -> LmdbSaverError:
    def fill() -> None:
        for number in range(1000):
            store.write(put(b"%03d" % number, b"v" * 8000))

    with pytest.raises(LmdbSaverError) as caught:
        fill()
    return caught.value


def test_a_full_disk_is_an_error_after_which_the_store_goes_on(
    small_disk: Path, open_lmdb: Open
) -> None:
    ballast = small_disk / "ballast"
    store = open_lmdb(small_disk / "store", sync="full")
    ballast.write_bytes(bytes(64 << 10))
    error = write_until_it_fails(store)
    assert isinstance(error, StoreFullError)
    assert error.message == "the disk is full while writing"
    assert error.path == str(small_disk / "store")
    stored = content(store)
    assert len(stored) > 5
    with pytest.raises(StoreFullError):
        store.write(put(b"new", b"v" * 80_000))
    assert content(store) == stored
    ballast.unlink()
    store.write(put(b"new", b"v" * 8000))
    assert len(content(store)) == len(stored) + 1
    store.close()
    assert len(content(open_lmdb(small_disk / "store"))) == len(stored) + 1


def test_room_is_also_made_by_deleting(small_disk: Path, open_lmdb: Open) -> None:
    store = open_lmdb(small_disk / "store")
    assert isinstance(write_until_it_fails(store), StoreFullError)
    stored = len(content(store))
    assert store.write(lambda writer: writer.delete_range(b"000", b"010")) == 10
    store.write(put(b"small"))  # LMDB gives freed pages out from the second commit on
    store.write(put(b"new", b"v" * 8000))
    assert len(content(store)) == stored - 8


@pytest.mark.parametrize("room", range(0, 60 << 10, 4 << 10))
def test_a_store_is_made_whole_or_not_at_all(small_disk: Path, open_lmdb: Open, room: int) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes((256 << 10) - room))
    try:
        store = open_lmdb(small_disk / "store")
        store.write(put(b"k", b"v" * 8000))
    except StoreFullError:
        ballast.unlink()
        store = open_lmdb(small_disk / "store")
        assert content(store) == {}
        store.write(put(b"k", b"v" * 8000))
    assert content(store) == {b"k": b"v" * 8000}


def test_a_store_on_a_disk_that_cannot_be_written(small_disk: Path, open_lmdb: Open) -> None:
    store = open_lmdb(small_disk / "store")
    store.write(put(b"k"))
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InvalidPathError, match="Read-only"):
        open_lmdb(small_disk / "store")
    with pytest.raises(InvalidPathError, match="Read-only"):
        open_lmdb(small_disk / "another")
    assert content(open_lmdb(small_disk / "store", readonly=True)) == {b"k": b"v"}


def test_a_limit_on_the_length_of_files(open_lmdb: Open, folder: Path) -> None:
    open_lmdb().close()

    def body() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        store = LmdbStore.open(folder, sync="off")
        error = write_until_it_fails(store)
        assert isinstance(error, StoreFullError)
        assert error.message == "the limit on the length of files is reached while writing"
        stored = len(content(store))
        assert stored > 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        store.write(put(b"new"))
        assert len(content(store)) == stored + 1

    in_fork(body)


class Handles:
    """The handles that LMDB holds on a store's data file: one for pages, one for the roots."""

    def __init__(self, store: LmdbStore, folder: Path) -> None:
        self.pages = self.roots = -1
        ours = store._env._preallocator._file
        for link in Path("/proc/self/fd").iterdir():
            if link.exists() and link.resolve() == folder / "data.mdb":
                info = Path(f"/proc/self/fdinfo/{link.name}").read_text()
                flags = int(info.split("flags:")[1].split()[0], 8)
                if flags & os.O_DSYNC:
                    self.roots = int(link.name)
                elif int(link.name) != ours:
                    self.pages = int(link.name)
        assert min(self.pages, self.roots) >= 0

    def swap(self, number: int, instead: str, flags: int) -> Callable[[], None]:
        """Make `number` a handle on another file; what puts it back."""
        kept = os.dup(number)
        other = os.open(instead, flags)
        os.dup2(other, number)
        os.close(other)

        def restore() -> None:
            os.dup2(kept, number)
            os.close(kept)

        return restore


@pytest.mark.parametrize(
    ("instead", "flags", "error"),
    [("/dev/full", os.O_WRONLY, StoreFullError), ("/dev/null", os.O_RDONLY, StoreIOError)],
)
def test_a_failed_write_of_pages(
    open_lmdb: Open, folder: Path, instead: str, flags: int, error: type[LmdbSaverError]
) -> None:
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    handles = Handles(store, folder)
    restore = handles.swap(handles.pages, instead, flags)
    for _ in range(2):
        with pytest.raises(error) as caught:
            store.write(put(b"l"))
        assert caught.value.path == str(folder)
        assert content(store) == {b"k": b"v"}
    restore()
    store.write(put(b"l"))
    assert content(store) == {b"k": b"v", b"l": b"v"}


def test_a_failed_write_of_the_root_and_the_panic_after_it(
    open_lmdb: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = open_lmdb(sync="full"), open_lmdb(sync="full")
    store.write(put(b"k"))
    before = store._env._lmdb
    handles = Handles(store, folder)
    handles.swap(handles.roots, "/dev/null", os.O_RDONLY)  # LMDB closes it on opening anew
    with pytest.raises(StoreIOError):
        store.write(put(b"l"))
    with pytest.raises(lmdb.PanicError):
        before.begin()
    assert content(other) == {b"k": b"v"}
    assert store._env._lmdb is not before
    store.write(put(b"m"))
    assert content(other) == {b"k": b"v", b"m": b"v"}


def test_a_panic_is_met_by_a_writer_too(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    handles = Handles(store, folder)
    handles.swap(handles.roots, "/dev/null", os.O_RDONLY)
    with pytest.raises(StoreIOError):
        store.write(put(b"l"))
    store.write(put(b"m"))
    assert content(store) == {b"k": b"v", b"m": b"v"}


def test_a_store_that_was_moved_away_cannot_be_opened_anew(open_lmdb: Open, folder: Path) -> None:
    store = open_lmdb(sync="full")
    store.write(put(b"k"))
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(StoreReplacedError):
        content(store)
    in_fork(lambda: None)  # a fork closes it
    for _ in range(2):
        with pytest.raises(StoreReplacedError, match="moved or replaced"):
            content(store)
        open_lmdb(sync="full")


CUT_SHORT = lmdb.Error("mdb_txn_commit: Input/output error")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EFBIG, "the limit on the length of files is reached"),
        (None, "the disk is full"),
    ],
)
def test_a_write_that_was_cut_short_is_told_by_what_the_next_one_meets(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, told: str
) -> None:
    """A quota shows in no figures of the file system."""
    LmdbStore.open(folder).close()

    class Probe(io.BytesIO):
        def write(self, data: Any) -> int:
            if number is None:
                return len(data) - 1
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: Probe())
    error = translate_lmdb_error(CUT_SHORT, str(folder), "writing")
    assert isinstance(error, StoreFullError)
    assert error.message == f"{told} while writing"


def test_a_broken_disk_is_not_taken_for_a_full_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LmdbStore.open(folder).close()
    before = sorted(folder.iterdir())
    error = translate_lmdb_error(CUT_SHORT, str(folder), "writing")
    assert type(error) is StoreIOError
    assert sorted(folder.iterdir()) == before

    def broken(**options: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("tempfile.TemporaryFile", broken)
    assert type(translate_lmdb_error(CUT_SHORT, str(folder), "writing")) is StoreIOError


class Failing:
    """Stands before a transaction or a cursor of LMDB's; each call on it fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*arguments: Any, **options: Any) -> None:
            raise self.error

        return fail


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CORRUPTED = lmdb.CorruptedError("mdb_cursor_del: MDB_CORRUPTED: Located page was wrong type")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SystemError("returned NULL without setting an exception"), DamagedError),
        (SystemError("Negative size passed to PyBytes_FromStringAndSize"), DamagedError),
        (caused(SystemError("returned a result with an exception set"), CORRUPTED), DamagedError),
        (caused(SystemError("as well"), lmdb.DiskError("mdb_put: No space")), StoreFullError),
        (lmdb.PageFullError("mdb_cursor_del: MDB_PAGE_FULL: Internal error"), DamagedError),
        (lmdb.CursorFullError("mdb_get: MDB_CURSOR_FULL: Internal error"), DamagedError),
        (OverflowError("too large"), DamagedError),
        (MemoryError(), StoreFullError),
        (lmdb.MemoryError("mdb_get: Cannot allocate memory"), StoreFullError),
        (lmdb.Error("mdb_env_open: Too many open files"), StoreIOError),
    ],
    ids=repr,
)
def test_whatever_lmdb_raises_is_an_error_of_the_tree(
    open_lmdb: Open, error: Exception, kind: type[LmdbSaverError]
) -> None:
    store = open_lmdb()
    store.write(lambda writer: [writer.put(b"%d" % n, b"v") for n in range(9)])

    def use(call: Callable[[Any], object]) -> Callable[[Any], object]:
        def apply(transaction: Any) -> None:
            whole, transaction._txn = transaction._txn, Failing(error)
            try:
                call(transaction)
            finally:
                transaction._txn = whole

        return apply

    reads: tuple[Callable[[Any], object], ...] = (
        lambda reader: reader.get(b"k"),
        lambda reader: list(reader.range(b"", b"z")),
        lambda reader: list(reader.keys(b"", b"z", reverse=True)),
    )
    writes: tuple[Callable[[Any], object], ...] = (
        lambda writer: writer.put(b"k", b"v"),
        lambda writer: writer.delete(b"k"),
        lambda writer: writer.delete_range(b"a", b"z"),
    )
    for call in (*reads, *writes):
        with pytest.raises(kind) as caught:
            store.write(use(call))
        assert type(caught.value) is kind
        assert caught.value.path == store.folder
    for call in reads:
        with store.read() as reader, pytest.raises(kind):
            use(call)(reader)
    assert len(content(store)) == 9


DAMAGES = """
import sys
from tests.kv.test_lmdb_faults import damaged_uses
damaged_uses(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


def damaged_uses(folder: str, seed: int, count: int) -> None:
    """In children: use stores with random damage to their pages; print what is no error of ours.

    LMDB itself may end a child.
    """
    place, whole = Path(folder) / "data.mdb", (Path(folder) / "data.mdb").read_bytes()
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            page = chance.randrange(2, len(data) // 4096) * 4096
            data[page + chance.randrange(chance.choice([200, 4096]))] = chance.getrandbits(8)
        if chance.random() < 0.7:
            data[page : page + 4096] = bytes(4096)
        place.write_bytes(data)
        pid = fork()
        if pid == 0:
            try:
                signal.alarm(5)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                use_damaged(folder, chance)
            except BaseException as error:  # noqa: BLE001 - the parent looks for it
                print(number, repr(error), flush=True)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def use_damaged(folder: str, chance: random.Random) -> None:
    keys = [b"%03d" % number for number in range(400)]
    chance.shuffle(keys)
    with suppress(LmdbSaverError):
        store = LmdbStore.open(folder, sync="off")
        with suppress(LmdbSaverError):
            content(store)
        for key in keys[:12]:
            for apply in (
                lambda writer, key=key: writer.put(key, b"w" * 500),
                lambda writer, key=key: writer.delete(key),
                lambda writer, key=key: writer.delete_range(key, b"%03d" % (int(key) + 40)),
                lambda writer, key=key: list(writer.range(key, b"z", reverse=True)),
            ):
                with suppress(LmdbSaverError):
                    store.write(apply)
        with suppress(LmdbSaverError):
            store.compact()
        with suppress(LmdbSaverError):
            store.backup(folder + "-copy")
        store.close()


def damage(folder: Path, seed: int, count: int) -> None:
    store = LmdbStore.open(folder, sync="off")
    store.write(
        lambda writer: [
            writer.put(b"%03d" % n, b"v" * (5000 if n % 10 == 0 else 300)) for n in range(400)
        ]
    )
    store.write(lambda writer: [writer.delete(b"%03d" % n) for n in range(0, 400, 3)])
    store.close()
    assert in_new_process(DAMAGES, folder, seed, count) == ""


def test_damaged_pages_raise_nothing_but_errors_of_the_tree(folder: Path) -> None:
    damage(folder, 2, 40)


@pytest.mark.long
def test_many_damaged_pages_raise_nothing_but_errors_of_the_tree(folder: Path) -> None:
    for _ in range(30):
        damage(folder, random.SystemRandom().getrandbits(32), 100)
