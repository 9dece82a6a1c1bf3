"""Opening what this release did not write, or only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
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
    """A store that names its format so."""
    kv = MemoryStore()
    record = envelope.seal(keys.FORMAT, envelope.pack(payload, None))
    kv.write(lambda writer: writer.put(keys.FORMAT, record))
    return kv


@pytest.mark.parametrize("version", [0, 2, 99, "1", None, [1]])
def test_another_format_is_refused(version: Any) -> None:
    kv = with_format(envelope.encode(version))
    with pytest.raises(FormatVersionError) as caught:
        LmdbSaver.on(kv)
    assert caught.value.supported == envelope.SUPPORTED_VERSIONS
    assert caught.value.found == (version if isinstance(version, int) else None)


def test_a_damaged_format_is_damage() -> None:
    with pytest.raises(DamagedError):
        LmdbSaver.on(with_format(b"\xc1"))
    kv = MemoryStore()
    kv.write(lambda writer: writer.put(keys.FORMAT, b"junk"))
    with pytest.raises(DamagedError):
        LmdbSaver.on(kv)


def test_somebody_elses_keys_are_left_alone() -> None:
    kv = MemoryStore()
    kv.write(lambda writer: writer.put(b"somebody", b"else"))
    with pytest.raises(InvalidPathError):
        LmdbSaver.on(kv)
    with kv.read() as reader:
        assert [*reader.keys(b"", b"\xff")] == [b"somebody"]


def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    path.mkdir()
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"somebody", b"else")
    with pytest.raises(InvalidPathError):
        LmdbSaver(path)
    with lmdb.open(str(path)) as environment, environment.begin() as transaction:
        assert [*transaction.cursor()] == [(b"somebody", b"else")]


def test_a_readonly_store_is_read_and_never_written(path: Path) -> None:
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
