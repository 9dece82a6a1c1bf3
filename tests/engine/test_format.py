"""Opening stores of another format, other databases, and read-only stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    FormatVersionError,
    InvalidPathError,
    ReadOnlyError,
)
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.values import checkpoint, words

if TYPE_CHECKING:
    from pathlib import Path

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def with_format(payload: bytes) -> MemoryStore:
    """Return a store with this payload in its format record."""
    kv = MemoryStore()
    record = envelope.seal(keys.FORMAT, envelope.pack(payload, None))
    kv.write(lambda writer: writer.put(keys.FORMAT, record))
    return kv


@pytest.mark.parametrize("version", [0, 2, 99, "1", None, [1]])
def test_other_format_version_is_refused(version: Any) -> None:
    kv = with_format(envelope.encode(version))
    with pytest.raises(FormatVersionError) as caught:
        KvSaver(kv)
    assert caught.value.supported == envelope.SUPPORTED_VERSIONS
    assert caught.value.found == (version if isinstance(version, int) else None)


def test_damaged_format_record_raises_damaged_error() -> None:
    with pytest.raises(DamagedError):
        KvSaver(with_format(b"\xc1"))
    kv = MemoryStore()
    kv.write(lambda writer: writer.put(keys.FORMAT, b"junk"))
    with pytest.raises(DamagedError):
        KvSaver(kv)


def test_store_with_foreign_keys_is_not_changed() -> None:
    kv = MemoryStore()
    kv.write(lambda writer: writer.put(b"foreign", b"value"))
    with pytest.raises(InvalidPathError):
        KvSaver(kv)
    with kv.read() as reader:
        assert [*reader.keys(b"", b"\xff")] == [b"foreign"]


def test_foreign_lmdb_database_is_not_changed(path: Path) -> None:
    path.mkdir()
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"foreign", b"value")
    with pytest.raises(InvalidPathError):
        LmdbSaver(path)
    with lmdb.open(str(path)) as environment, environment.begin() as transaction:
        assert [*transaction.cursor()] == [(b"foreign", b"value")]


def test_readonly_store_reads_and_refuses_writes(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        parent = saver.put(ROOT, checkpoint("1", 1, words(1, 900)), {}, {"x": 1})
    with LmdbSaver(path, readonly=True) as saver:
        assert saver.get(ROOT) == checkpoint("1", 1, words(1, 900))
        with pytest.raises(ReadOnlyError):
            saver.put(parent, checkpoint("2", 2, 2), {}, {"x": 2})
        with pytest.raises(ReadOnlyError):
            saver.put_writes(parent, [("x", 1)], "task")
        with pytest.raises(ReadOnlyError):
            saver.delete_thread("t")
        assert saver.get(ROOT) == checkpoint("1", 1, words(1, 900))
        reachability.check(saver._kv)
