"""Stores with changed records, and assertions about repaired stores."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import thread_record, threads
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability, stores
from tests.reliability.checking import content

if TYPE_CHECKING:
    from random import Random

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.models import VerifyReport
    from tests.reliability.oracle import Key, Stored

Records = dict[bytes, bytes]


class Original:
    """An undamaged store: its records, its checkpoints and their channel history."""

    def __init__(self) -> None:
        kv = MemoryStore()
        saver = stores.fill(kv)
        with kv.read() as reader:
            self.records: Records = dict(reader.range(b"", b"\xff" * 512))
        self.content = content(saver)
        self.history = {key: history(saver, key) for key in self.content}

    def number(self, thread: str) -> int:
        """Return the number of a thread."""
        name = keys.thread_id(thread)
        return threads.named(name, self.records[name])

    def layer(self, thread: str) -> int:
        """Return the number of the first layer of a thread, the last that a read reaches."""
        key = keys.thread_number(self.number(thread))
        return thread_record.decode(key, self.records[key]).layers[-1].number

    def keys(self, random: Random, count: int) -> list[bytes]:
        """Return keys of every kind, at most `count` of each."""
        kinds: dict[Any, list[bytes]] = defaultdict(list)
        for key in sorted(self.records):
            kinds[key[:1] + key[2:3] * (key[:1] == b"t")].append(key)
        return [
            key for group in kinds.values() for key in random.sample(group, min(len(group), count))
        ]


def history(saver: LmdbSaver, key: Key) -> Any:
    """Return the history of the channel that has no stored value."""
    return saver.get_delta_channel_history(config=stores.config(*key), channels=["delta"])


def store_of(records: Records, kv: MemoryStore | None = None) -> MemoryStore:
    """Return a store that holds exactly these records."""
    kv = MemoryStore() if kv is None else kv

    def fill(writer: Any) -> None:
        for key, value in records.items():
            writer.put(key, value)

    kv.write(fill)
    return kv


def flipped(value: bytes, random: Random) -> bytes:
    """Return a value with one bit changed; an empty value gets one byte."""
    if not value:
        return b"\x00"
    at = random.randrange(len(value))
    return value[:at] + bytes((value[at] ^ 1 << random.randrange(8),)) + value[at + 1 :]


def assert_repaired(kv: KeyValueStore, found: VerifyReport, original: Original) -> None:
    """Assert that a repaired store is sound, accepts writes, and lost only what the report says."""
    reachability.check(kv)
    saver = KvSaver(kv, clock=stores.Clock())
    lost = {(p.thread_id, p.checkpoint_ns, p.checkpoint_id) for p in found.lost}
    kinds = {problem.kind for problem in found.lost}
    remaining = content(saver)
    for key, stored in original.content.items():
        if key not in remaining:
            assert key in lost or "lost_name" in kinds, (key, found.problems)
            continue
        assert_same(key, remaining[key], stored, lost, kinds)
        try:
            same = history(saver, key) == original.history[key]
            assert same or "lost_writes" in kinds, key
        except DamagedError:
            assert "lost_history" in kinds
    stores.grow(saver, "a", 50, 52)
    stores.grow(saver, "another", 1, 3)
    reachability.check(kv)
    saver.delete_thread("a")
    reachability.check(kv)


def assert_same(key: Key, found: Stored, stored: Stored, lost: set[Any], kinds: set[str]) -> None:
    """Assert that a checkpoint is unchanged, except for the kinds of data that were lost."""
    if found.parent != stored.parent:
        assert (*key[:2], stored.parent) in lost
        found = found._replace(parent=stored.parent)
    if "lost_thread" in kinds:
        found = found._replace(expires=stored.expires)
    if "lost_writes" in kinds:
        found = found._replace(writes=stored.writes)
    assert found == stored
