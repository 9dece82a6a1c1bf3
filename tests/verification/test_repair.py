"""Repairs: the store is sound, readable data is kept, and lost data is reported."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.engine import threads
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, ReadOnlyError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.verification.quarantine import Quarantine
from langgraph.checkpoint.lmdb.verification.repair import repair
from langgraph.checkpoint.lmdb.verification.verify import verify
from tests.engine import reachability, stores
from tests.verification.damage import Original, assert_repaired, flipped, store_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


def repaired(kv: KeyValueStore) -> Any:
    """Repair a store, assert that it has no problems left, and return the report."""
    found = repair(kv, stores.options())
    assert found.ok, found.problems
    assert verify(kv, stores.options()).problems == ()
    return found


@pytest.mark.parametrize("change", ["deleted", "flipped", "moved"])
def test_one_changed_record_is_repaired(change: str, original: Original) -> None:
    random = Random(1)
    for key in original.keys(random, 2):
        changed = dict(original.records)
        value = changed.pop(key)
        if change == "flipped":
            changed[key] = flipped(value, random)
        elif change == "moved":
            changed[key + b"\x07"] = value
        kv = store_of(changed)
        assert_repaired(kv, repaired(kv), original)


def test_many_changed_records_are_repaired(original: Original) -> None:
    for seed in range(4):
        random = Random(seed)
        changed = dict(original.records)
        for key in random.sample(sorted(changed), 40):
            changed[key] = flipped(changed[key], random)
        kv = store_of(changed)
        found = repaired(kv)
        reachability.check(kv)
        assert found.lost


def test_sound_store_is_not_changed(original: Original) -> None:
    kv = store_of(original.records)
    assert repair(kv, stores.options()).problems == ()
    with kv.read() as reader:
        assert dict(reader.range(b"", b"\xff" * 512)) == original.records


def test_damaged_chunk_removes_each_checkpoint_that_needs_it(original: Original) -> None:
    """Checkpoints of the thread and of its copies are removed; the others keep their values."""
    key = next(k for k in sorted(original.records) if k.startswith(keys.of_thread(b"d", 1)))
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    kv = store_of(changed)
    found = repaired(kv)
    assert kinds.LOST_CHECKPOINT in {problem.kind for problem in found.lost}
    assert_repaired(kv, found, original)


def test_lost_history_raises_instead_of_being_shorter(original: Original) -> None:
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    kv = store_of(changed)
    repaired(kv)
    saver = KvSaver(kv, clock=stores.Clock())
    with pytest.raises(DamagedError, match="delta"):
        saver.get_delta_channel_history(config=stores.config("a"), channels=["delta"])
    assert saver.get_delta_channel_history(config=stores.config("a"), channels=["n"])
    saver.copy_thread("a", "again")
    saver.prune(["again"], keep_last=1)
    with pytest.raises(DamagedError, match="delta"):
        saver.get_delta_channel_history(config=stores.config("again"), channels=["delta"])
    reachability.check(kv)


def test_thread_without_record_keeps_its_id(original: Original) -> None:
    changed = dict(original.records)
    key = keys.thread_number(original.number("copy"))
    changed[key] = flipped(changed[key], Random(1))
    kv = store_of(changed)
    found = repaired(kv)
    assert [problem.kind for problem in found.lost] == [kinds.LOST_THREAD]
    saver = KvSaver(kv, clock=stores.Clock())
    assert saver.get_tuple(stores.config("copy")) is not None


def test_thread_without_record_and_id_gets_a_new_id(original: Original) -> None:
    changed = dict(original.records)
    number = original.number("copy")
    changed[keys.thread_number(number)] = flipped(changed[keys.thread_number(number)], Random(1))
    del changed[keys.thread_id("copy")]
    kv = store_of(changed)
    found = repaired(kv)
    assert {problem.kind for problem in found.lost} == {kinds.LOST_THREAD, kinds.LOST_NAME}
    saver = KvSaver(kv, clock=stores.Clock())
    assert saver.get_tuple(stores.config(f"recovered-{number}")) is not None


def test_record_of_a_newer_release_stops_the_repair(original: Original) -> None:
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
    changed = dict(original.records)
    changed[key] = envelope.seal(key, b"\x63" + b"payload")
    kv = store_of(changed)
    with pytest.raises(FormatVersionError):
        repair(kv, stores.options())
    with kv.read() as reader:
        assert dict(reader.range(b"", b"\xff" * 512)) == changed


def damage(kv: KeyValueStore, key: bytes) -> bytes:
    """Flip a bit of a record; return the new value."""
    with kv.read() as reader:
        value = flipped(reader.get(key) or b"", Random(1))
    kv.write(lambda writer: writer.put(key, value))
    return value


def test_removed_records_are_in_a_private_quarantine_file(tmp_path: Path) -> None:
    kv = LmdbStore.open(tmp_path / "store", sync="off")
    stores.fill(kv)
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
    value = damage(kv, key)
    found = repaired(kv)
    path = Path(found.quarantine)
    assert path.parent == tmp_path / "store"
    assert path.name == "quarantine-1.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {"key": key.hex(), "value": value.hex()} in lines
    with kv.read() as reader:
        thread = threads.find(reader, "copy")
    assert thread is not None
    damage(kv, keys.checkpoint(thread.root, "0005"))
    assert Path(repaired(kv).quarantine).name == "quarantine-2.jsonl"
    reachability.check(kv)
    kv.close()


def test_read_only_store_is_not_repaired(tmp_path: Path) -> None:
    LmdbSaver(tmp_path / "store").close()
    saver = LmdbSaver(tmp_path / "store", readonly=True)
    assert saver.verify().ok
    with pytest.raises(ReadOnlyError):
        saver.verify(repair=True)
    saver.close()


class StoppedError(Exception):
    """The write transaction that ends a repair early."""


class LimitedStore(MemoryStore):
    """A store whose writes raise StoppedError after `limit` transactions; None: never."""

    limit: int | None = None

    def write(self, apply: Any) -> Any:
        if self.limit is not None:
            if not self.limit:
                raise StoppedError
            self.limit -= 1
        return super().write(apply)


def test_interrupted_repair_is_finished_by_the_next(original: Original) -> None:
    random = Random(3)
    changed = dict(original.records)
    for key in original.keys(random, 1):
        changed[key] = flipped(changed[key], random)
    steps, stopped = 0, True
    while stopped:
        kv = LimitedStore()
        store_of(changed, kv)
        kv.limit = steps
        try:
            repair(kv, stores.options())
            stopped = False
        except StoppedError:
            pass
        kv.limit = None
        repaired(kv)
        reachability.check(kv)
        steps += 3
    assert steps > 20


def test_record_written_and_deleted_in_one_repair_needs_no_quarantine() -> None:
    """Encryption writes other bytes in each try, so such a record could never be saved before."""
    kv = open_encrypted(MemoryStore(), bytes(range(32)))
    key = keys.namespace(1, "sub")

    def write_and_delete(writer: Writer) -> bool:
        writer.put(key, envelope.seal(key, envelope.pack(b"payload", None)))
        return writer.delete(key)

    assert Quarantine(None).run(kv, write_and_delete)
