"""A repaired store is whole, keeps what can be read, and says what it lost."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, ReadOnlyError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.verification.repair import repair
from langgraph.checkpoint.lmdb.verification.verify import verify
from tests.engine import reachability, stores
from tests.verification.damage import Original, assert_repaired, flipped, store_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


def settings(kv: KeyValueStore) -> Any:
    return LmdbSaver.on(MemoryStore(), clock=stores.Clock())._session.store.options


def mended(kv: KeyValueStore) -> Any:
    found = repair(kv, settings(kv))
    assert found.ok, found.problems
    assert verify(kv).problems == ()
    return found


@pytest.mark.parametrize("how", ["deleted", "flipped", "moved"])
def test_a_store_with_one_record_changed(how: str, original: Original) -> None:
    random = Random(1)
    for key in original.keys(random, 2):
        changed = dict(original.records)
        value = changed.pop(key)
        if how == "flipped":
            changed[key] = flipped(value, random)
        elif how == "moved":
            changed[key + b"\x07"] = value
        kv = store_of(changed)
        assert_repaired(kv, mended(kv), original)


def test_many_records_changed(original: Original) -> None:
    for seed in range(4):
        random = Random(seed)
        changed = dict(original.records)
        for key in random.sample(sorted(changed), 40):
            changed[key] = flipped(changed[key], random)
        kv = store_of(changed)
        found = mended(kv)
        reachability.check(kv)
        assert found.lost


def test_a_sound_store_is_left_as_it_is(original: Original) -> None:
    kv = store_of(original.records)
    assert repair(kv, settings(kv)).problems == ()
    with kv.read() as reader:
        assert dict(reader.range(b"", b"\xff" * 512)) == original.records


def test_a_damaged_chunk_takes_every_checkpoint_that_needs_it(original: Original) -> None:
    """Its thread's and those of copies; the others stay, with their own values."""
    key = next(k for k in sorted(original.records) if k.startswith(keys.of_thread(b"d", 1)))
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    kv = store_of(changed)
    found = mended(kv)
    assert kinds.LOST_CHECKPOINT in {problem.kind for problem in found.lost}
    assert_repaired(kv, found, original)


def test_the_past_that_is_lost_is_not_silently_shorter(original: Original) -> None:
    key = keys.checkpoint(1, 0, "0003")
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    kv = store_of(changed)
    mended(kv)
    saver = LmdbSaver.on(kv, clock=stores.Clock())
    with pytest.raises(DamagedError, match="delta"):
        saver.get_delta_channel_history(config=stores.config("a"), channels=["delta"])
    assert saver.get_delta_channel_history(config=stores.config("a"), channels=["n"])
    saver.copy_thread("a", "again")
    saver.prune(["again"], keep_last=1)
    with pytest.raises(DamagedError, match="delta"):
        saver.get_delta_channel_history(config=stores.config("again"), channels=["delta"])
    reachability.check(kv)


def test_a_thread_that_lost_its_record_keeps_its_name(original: Original) -> None:
    changed = dict(original.records)
    changed[keys.thread_number(2)] = flipped(changed[keys.thread_number(2)], Random(1))
    kv = store_of(changed)
    found = mended(kv)
    assert [problem.kind for problem in found.lost] == [kinds.LOST_THREAD]
    saver = LmdbSaver.on(kv, clock=stores.Clock())
    assert saver.get_tuple(stores.config("copy")) is not None


def test_a_thread_that_lost_its_name_too_gets_a_new_one(original: Original) -> None:
    changed = dict(original.records)
    changed[keys.thread_number(2)] = flipped(changed[keys.thread_number(2)], Random(1))
    del changed[keys.thread("copy")]
    kv = store_of(changed)
    found = mended(kv)
    assert {problem.kind for problem in found.lost} == {kinds.LOST_THREAD, kinds.LOST_NAME}
    saver = LmdbSaver.on(kv, clock=stores.Clock())
    assert saver.get_tuple(stores.config("recovered-2")) is not None


def test_what_a_newer_release_wrote_is_not_repaired_away(original: Original) -> None:
    key = keys.checkpoint(1, 0, "0003")
    changed = dict(original.records)
    changed[key] = envelope.seal(key, b"\x63" + b"payload")
    kv = store_of(changed)
    with pytest.raises(FormatVersionError):
        repair(kv, settings(kv))
    with kv.read() as reader:
        assert dict(reader.range(b"", b"\xff" * 512)) == changed


def damage(kv: KeyValueStore, key: bytes) -> bytes:
    """Flip a bit of a record; returns what is there now."""
    with kv.read() as reader:
        value = flipped(reader.get(key) or b"", Random(1))
    kv.write(lambda writer: writer.put(key, value))
    return value


def test_what_is_taken_out_is_in_a_file_of_its_owner(tmp_path: Path) -> None:
    kv = LmdbStore.open(tmp_path / "store", sync="off")
    stores.fill(kv)
    key = keys.checkpoint(1, 0, "0003")
    value = damage(kv, key)
    found = mended(kv)
    path = Path(found.quarantine)
    assert path.parent == tmp_path / "store"
    assert path.name == "quarantine-1.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {"key": key.hex(), "value": value.hex()} in lines
    damage(kv, keys.checkpoint(1, 0, "0005"))
    assert Path(mended(kv).quarantine).name == "quarantine-2.jsonl"
    reachability.check(kv)
    kv.close()


def test_a_store_for_reading_is_not_repaired(tmp_path: Path) -> None:
    LmdbSaver(tmp_path / "store").close()
    saver = LmdbSaver(tmp_path / "store", readonly=True)
    assert saver.verify().ok
    with pytest.raises(ReadOnlyError):
        saver.verify(repair=True)
    saver.close()


class StoppedError(Exception):
    """The repair was cut off."""


class LimitedStore(MemoryStore):
    """Ends after so many transactions; None: does not."""

    limit: int | None = None

    def write(self, apply: Any) -> Any:
        if self.limit is not None:
            if not self.limit:
                raise StoppedError
            self.limit -= 1
        return super().write(apply)


def test_a_repair_that_stops_after_any_step_is_finished_by_the_next(original: Original) -> None:
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
            repair(kv, settings(kv))
            stopped = False
        except StoppedError:
            pass
        kv.limit = None
        mended(kv)
        reachability.check(kv)
        steps += 3
    assert steps > 20
