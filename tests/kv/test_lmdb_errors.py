"""Errors of LMDB and damaged pages: each one becomes an error of the tree."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    LmdbSaverError,
    StoreFullError,
    StoreIOError,
)
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_lmdb_error
from tests.kv.processes import fork, in_new_process
from tests.kv.test_lmdb_sharing import content

if TYPE_CHECKING:
    from collections.abc import Callable

Open = "Callable[..., LmdbStore]"


PARTIAL_WRITE = lmdb.Error("mdb_txn_commit: Input/output error")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EFBIG, "the limit on the length of files is reached"),
        (None, "the disk is full"),
    ],
)
def test_reason_of_a_partial_write_is_found_by_another_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, reason: str
) -> None:
    """The file system does not report quotas."""
    LmdbStore.open(folder).close()

    class Probe(io.BytesIO):
        def write(self, data: Any) -> int:
            if number is None:
                return len(data) - 1
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **options: Probe())
    error = translate_lmdb_error(PARTIAL_WRITE, str(folder), "writing")
    assert isinstance(error, StoreFullError)
    assert error.message == f"{reason} while writing"


def test_broken_disk_is_not_reported_as_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LmdbStore.open(folder).close()
    before = sorted(folder.iterdir())
    error = translate_lmdb_error(PARTIAL_WRITE, str(folder), "writing")
    assert type(error) is StoreIOError
    assert sorted(folder.iterdir()) == before

    def broken(**options: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("tempfile.TemporaryFile", broken)
    assert type(translate_lmdb_error(PARTIAL_WRITE, str(folder), "writing")) is StoreIOError


class Failing:
    """A transaction or a cursor of LMDB in which each call fails."""

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
def test_errors_of_lmdb_become_errors_of_the_tree(
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


USE_DAMAGED = """
import sys
from tests.kv.test_lmdb_errors import use_damaged_stores
use_damaged_stores(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


def use_damaged_stores(folder: str, seed: int, count: int) -> None:
    """Use stores with random damage in forked children; print errors that are not in the tree.

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
    assert in_new_process(USE_DAMAGED, folder, seed, count) == ""


def test_damaged_pages_raise_only_errors_of_the_tree(folder: Path) -> None:
    damage(folder, 2, 40)


@pytest.mark.long
def test_many_damaged_pages_raise_only_errors_of_the_tree(folder: Path) -> None:
    for _ in range(30):
        damage(folder, random.SystemRandom().getrandbits(32), 100)
