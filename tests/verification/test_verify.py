"""Verification: every changed record is found, and sound stores have no problems."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.engine import prune, thread_record
from langgraph.checkpoint.lmdb.errors import StoreIOError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.verification.repair import repair
from langgraph.checkpoint.lmdb.verification.verify import verify
from tests.engine import reachability, stores
from tests.reliability.oracle import Worker
from tests.verification.damage import Original, flipped, store_of

CHANGES = ("deleted", "flipped", "moved")


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


def test_sound_store_has_no_problems(original: Original) -> None:
    found = verify(store_of(original.records), stores.options())
    assert found.ok, found.problems
    assert found.checked["threads"] == 13
    stored = [key for key in original.records if key[:1] == b"t" and key[2:3] == b"c"]
    assert found.checked["checkpoints"] == len(stored) < len(original.content)
    assert found.pages_unchecked is not None


def test_no_problems_after_any_call() -> None:
    for seed in range(3):
        kv = MemoryStore()
        saver = KvSaver(kv)
        worker = Worker("a", ["put", "replace", "put_writes", "prune", "copy_thread"])
        worker.kinds += ["delete_for_runs", "set_ttl", "sweep", "delete_thread"]
        worker.begin(f"{seed}", 0)
        for _ in range(25):
            operation = worker.next()
            operation.call(saver)
            worker.state = operation.after(worker.state)
            found = verify(kv, stores.options())
            assert found.ok, (operation.kind, found.problems)


@pytest.mark.parametrize("change", CHANGES)
def test_every_changed_record_is_found(change: str, original: Original) -> None:
    random = Random(1)
    for key in original.keys(random, 3):
        changed = dict(original.records)
        value = changed.pop(key)
        if change == "flipped":
            changed[key] = flipped(value, random)
        elif change == "moved":
            changed[key + b"\x07"] = value
        found = verify(store_of(changed), stores.options())
        assert not found.ok, key
        assert all(problem.outcome == "found" for problem in found.problems)
        assert json.loads(json.dumps(found.to_dict()))["ok"] is False


def test_problem_has_its_location(original: Original) -> None:
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    found = [
        p for p in verify(store_of(changed), stores.options()).problems if p.record == key.hex()
    ]
    assert {problem.kind for problem in found} == {kinds.DAMAGED}
    locations = [(p.thread_id, p.checkpoint_ns, p.checkpoint_id) for p in found]
    assert sorted(locations) == [("a", "", "0003"), ("copy", "", "0003")]


def test_problem_of_a_layer_concerns_threads_that_show_the_checkpoint(original: Original) -> None:
    key = keys.checkpoint(keys.NamespaceRef(original.layer("line"), 0), "0006")
    changed = dict(original.records)
    changed[key] = flipped(changed[key], Random(1))
    found = verify(store_of(changed), stores.options()).problems
    assert {p.thread_id for p in found if p.record == key.hex()} == {"line", "copy of line"}


def test_missing_chunk_is_named(original: Original) -> None:
    key = next(key for key in sorted(original.records) if key.startswith(keys.of_thread(b"d", 1)))
    changed = {other: value for other, value in original.records.items() if other != key}
    found = verify(store_of(changed), stores.options())
    missing = [p for p in found.problems if p.kind == kinds.MISSING]
    assert {problem.record for problem in missing} == {key.hex()}
    assert {problem.thread_id for problem in missing} == {"a", "copy", "fork", "copy of fork"}
    assert all(problem.channel for problem in missing)


def test_value_of_wrong_length_is_found_though_its_records_are_valid(
    original: Original,
) -> None:
    """A chunk with a valid checksum, but another length."""
    random = Random(2)
    chunks = [key for key in sorted(original.records) if key.startswith(keys.of_thread(b"d", 1))]
    key = random.choice(chunks)
    changed = dict(original.records)
    payload = envelope.unseal(key, changed[key])
    changed[key] = envelope.seal(key, envelope.pack(payload + b"\xc0", None))
    found = verify(store_of(changed), stores.options())
    assert kinds.DAMAGED in found.counts


def test_record_of_a_newer_release_has_its_own_kind(original: Original) -> None:
    key = keys.checkpoint(keys.NamespaceRef(1, 0), "0003")
    changed = dict(original.records)
    changed[key] = envelope.seal(key, b"\x63" + b"payload")
    assert kinds.NEWER in verify(store_of(changed), stores.options()).counts


def test_progress_counts_threads_and_runs_outside_snapshots(original: Original) -> None:
    kv = store_of(original.records)
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        kv.write(lambda writer: None)  # raises inside a snapshot

    verify(kv, stores.options(), progress)
    assert seen[0] == (0, seen[0][1])
    assert seen[-1] == (seen[0][1], seen[0][1])


def test_concurrent_writers_cause_no_problems() -> None:
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

    found = verify(kv, stores.options(), write)
    assert found.ok, found.problems


def test_unfinished_purge_is_not_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    kv = MemoryStore()
    stores.fill(kv)
    monkeypatch.setattr("langgraph.checkpoint.lmdb.engine.prune.PURGE_BATCH", 3)
    kv.write(partial(prune.delete_thread, thread_id="a"))
    assert verify(kv, stores.options()).ok
    for _ in range(2):
        kv.write(partial(prune.purge, number=1))
        found = verify(kv, stores.options())
        assert found.ok, found.problems


@pytest.mark.parametrize("name", ["copy", stores.LONG], ids=["layers", "no layers"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("updated", 1),
        ("indexed_at", 1),
        ("next_segment", 0),
        ("next_namespace", 1),
        ("checkpoints", 1),
        ("writes", 1),
        ("size", 1),
        ("shared_owners", [5]),
        ("ttl", 1),
        ("ttl_applied", True),
        ("needs_trim", False),
        ("oldest", None),
        ("id", "another"),
        ("number", 99),
        ("line", "0"),
        ("early", 1),
        ("layers", (keys.Layer(1, 1),)),
    ],
)
def test_wrong_field_of_a_thread_is_found_and_repaired(
    field: str, value: object, name: str, original: Original
) -> None:
    """A wrong field with a valid checksum, as a bug of this package would write it."""
    kv = store_of(original.records)
    key = keys.thread_number(original.number(name))
    with kv.read() as reader:
        thread = thread_record.decode(key, reader.get(key) or b"")
    setattr(thread, field, value)
    sealed = envelope.seal(key, envelope.pack(thread_record.encode(thread), None))
    kv.write(lambda writer: writer.put(key, sealed))
    found = verify(kv, stores.options())
    assert not found.ok
    if field in ("checkpoints", "writes"):
        assert any(field.rstrip("s") in problem.message for problem in found.problems)
    assert repair(kv, stores.options()).ok
    reachability.check(kv)


def test_empty_namespace_is_found(original: Original) -> None:
    kv = store_of(original.records)
    key = keys.namespace(original.number("pruned"), "empty")
    sealed = envelope.seal(key, envelope.pack(envelope.encode((0, "empty")), None))
    kv.write(lambda writer: writer.put(key, sealed))
    assert not verify(kv, stores.options()).ok  # another namespace has the number
    sealed = envelope.seal(key, envelope.pack(envelope.encode((3, "empty")), None))
    kv.write(lambda writer: writer.put(key, sealed))
    (orphan, count) = verify(kv, stores.options()).problems
    assert {orphan.kind, count.kind} == {kinds.ORPHAN, kinds.WRONG_COUNT}


class AbortingStore(MemoryStore):
    """A store that aborts each transaction while `undo` is True."""

    undo = False

    def write(self, apply: Any) -> Any:
        def undone(writer: Any) -> Any:
            result = apply(writer)
            if self.undo:
                raise StoreIOError("aborted")
            return result

        return super().write(undone)


def test_segment_number_of_an_aborted_put_is_reused() -> None:
    kv = AbortingStore()
    saver = KvSaver(kv, clock=stores.Clock())
    at = stores.put(saver, stores.config("a"), "1", {"first": "x" * 2000})
    kv.undo = True
    with pytest.raises(StoreIOError):
        stores.put(saver, at, "2", {"second": "y" * 2000})
    kv.undo = False
    stores.put(saver, at, "2", {"second": "z" * 2000})
    assert verify(kv, stores.options()).ok
