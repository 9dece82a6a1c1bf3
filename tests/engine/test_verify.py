"""`verify` notices whatever is not as it was stored, and nothing else."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.engine import keys, records, report
from langgraph.checkpoint.lmdb.engine.verify import verify
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import stores
from tests.engine.damage import Original, flipped, store_of
from tests.reliability.oracle import Worker

HOW = ("deleted", "flipped", "moved")


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


def test_a_store_with_something_of_everything_has_no_problems(original: Original) -> None:
    found = verify(store_of(original.records))
    assert found.ok, found.problems
    assert found.checked["threads"] == 9
    assert found.checked["checkpoints"] == len(original.content)
    assert found.pages_unchecked is not None


def test_no_false_alarm_whatever_the_calls() -> None:
    for seed in range(3):
        kv = MemoryStore()
        saver = LmdbSaver.on(kv)
        worker = Worker("a", ["put", "replace", "put_writes", "prune", "copy_thread"])
        worker.kinds += ["delete_for_runs", "set_ttl", "sweep", "delete_thread"]
        worker.begin(f"{seed}", 0)
        for _ in range(25):
            operation = worker.next()
            operation.call(saver)
            worker.state = operation.after(worker.state)
            found = verify(kv)
            assert found.ok, (operation.kind, found.problems)


@pytest.mark.parametrize("how", HOW)
def test_every_record_that_is_changed_is_noticed(how: str, original: Original) -> None:
    random = Random(1)
    for key in original.keys(random, 3):
        changed = dict(original.records)
        value = changed.pop(key)
        if how == "flipped":
            changed[key] = flipped(value, random)
        elif how == "moved":
            changed[key + b"\x07"] = value
        found = verify(store_of(changed))
        assert not found.ok, key
        assert all(problem.outcome == "found" for problem in found.problems)
        assert json.loads(json.dumps(found.to_dict()))["ok"] is False


def test_a_problem_says_where_it_is(original: Original) -> None:
    key = keys.checkpoint(1, 0, "0003")
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    (problem,) = [p for p in verify(store_of(changed)).problems if p.record == key.hex()]
    assert problem.kind == report.DAMAGED
    where = (problem.thread_id, problem.checkpoint_ns, problem.checkpoint_id)
    assert where == ("a", "", "0003")


def test_a_value_of_another_length_is_noticed_where_every_record_is_sound(
    original: Original,
) -> None:
    """As someone makes it who can seal records."""
    random = Random(2)
    chunks = [key for key in sorted(original.records) if key.startswith(keys.of_thread(b"d", 1))]
    key = random.choice(chunks)
    changed = dict(original.records)
    payload = records.unseal(key, changed[key])
    changed[key] = records.seal(key, records.pack(payload + b"\xc0", None))
    found = verify(store_of(changed))
    assert report.DAMAGED in found.counts


def test_what_a_newer_release_wrote_is_called_that(original: Original) -> None:
    key = keys.checkpoint(1, 0, "0003")
    changed = dict(original.records)
    changed[key] = records.seal(key, b"\x63" + b"payload")
    assert report.NEWER in verify(store_of(changed)).counts


def test_progress_counts_threads_and_no_snapshot_stays_open(original: Original) -> None:
    kv = store_of(original.records)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        kv.write(lambda writer: None)  # would fail inside of a snapshot

    verify(kv, progress)
    assert seen[0] == (0, seen[0][1])
    assert seen[-1] == (seen[0][1], seen[0][1])


def test_writers_go_on_meanwhile_and_raise_no_alarm() -> None:
    kv = MemoryStore()
    saver = stores.fill(kv)
    worker = Worker("w")
    worker.kinds = [kind for kind in worker.kinds if kind != "compact"]
    worker.begin("1", 0)

    def write(done: int, total: int) -> None:
        for _ in range(5):
            operation = worker.next()
            operation.call(saver)
            worker.state = operation.after(worker.state)
        saver.delete_thread(["a", "fork", "copy", "pruned"][done % 4])

    found = verify(kv, write)
    assert found.ok, found.problems


def test_an_interrupted_deletion_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    kv = MemoryStore()
    saver = stores.fill(kv)
    monkeypatch.setattr("langgraph.checkpoint.lmdb.engine.retain.ERASED_AT_ONCE", 3)
    core: Any = saver._core
    kv.write(core.housekeeping.delete_thread("a"))
    assert verify(kv).ok
    for _ in range(2):
        kv.write(core.housekeeping.erase(1))
        found = verify(kv)
        assert found.ok, found.problems
