"""What the index of run states costs: keys read to find runs, and keys changed by a put."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.workflows import find_failed_workflows
from tests.retention.stores import CountingStore, contents

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_750_000_000.0
"""The time does not pass, so that only states move entries of the time index."""
FAILED = 10


def test_finding_failed_runs_reads_as_many_keys_among_any_number_of_threads() -> None:
    few, many = (reads_to_find_failed(count) for count in (100, 3_000))
    assert few == many


def reads_to_find_failed(count: int) -> int:
    """Return the number of keys that a search reads for 10 failed runs among other threads."""
    kv = CountingStore()
    saver = KvSaver(kv, clock=lambda: NOW)
    for n in range(count):
        config = put(saver, f"thread-{n:05}", 1, is_due=n % 10 == 0)
        if n % 10 == 0 and n < 10 * FAILED:
            saver.put_writes(config, [("__error__", "failed")], str(UUID(int=n)))
        elif n % 10 == 0:
            saver.put_writes(config, [("__interrupt__", ["?"])], str(UUID(int=n)))
    saver = KvSaver(kv, clock=lambda: NOW)  # with an empty cache
    with kv.counting() as counts:
        found = find_failed_workflows(saver, 0, clock=lambda: NOW + 3600)
        reads = counts.reads
    assert len(found) == FAILED
    return reads


def test_put_changes_one_index_entry_only_when_a_run_starts_or_ends() -> None:
    kv = CountingStore()
    saver = KvSaver(kv, clock=lambda: NOW)
    put(saver, "t", 1, is_due=False)
    assert entries_of_states(kv) == 0
    put(saver, "t", 2, is_due=False)
    changes = changes_of_put(kv, lambda: put(saver, "t", 3, is_due=False))
    assert changes_of_put(kv, lambda: put(saver, "t", 4, is_due=True)) == changes + 1
    assert entries_of_states(kv) == 1
    assert changes_of_put(kv, lambda: put(saver, "t", 5, is_due=True)) == changes
    assert changes_of_put(kv, lambda: put(saver, "t", 6, is_due=False)) == changes + 1
    assert entries_of_states(kv) == 0


def test_writes_of_output_change_no_index_entry() -> None:
    kv = CountingStore()
    saver = KvSaver(kv, clock=lambda: NOW)
    config = put(saver, "t", 1, is_due=True)
    before = {key for key in contents(kv) if key[:1] == b"e"}
    saver.put_writes(config, [("x", 1)], str(UUID(int=1)))
    assert {key for key in contents(kv) if key[:1] == b"e"} == before


@pytest.mark.parametrize("channel", ["__error__", "__interrupt__"])
def test_write_of_a_task_reads_as_much_after_many_parallel_tasks(channel: str) -> None:
    """With more than 16 tasks a write leaves the state to readers."""
    kv = CountingStore()
    saver = KvSaver(kv, clock=lambda: NOW)
    config = put(saver, "t", 1, is_due=True)
    reads = []
    for n in range(48):
        with kv.counting() as counts:
            saver.put_writes(config, [(channel, ["?"])], str(UUID(int=n)))
            reads.append(counts.reads)
    assert len({*reads[17:]}) == 1
    state = {"__error__": "failed", "__interrupt__": "waiting"}[channel]
    assert [thread.state for thread in saver.threads()] == [state]
    found = find_failed_workflows(saver, 0, clock=lambda: NOW + 3600, include_waiting=True)
    assert [status.state for status in found] == [state]


def changes_of_put(kv: CountingStore, call: Callable[[], object]) -> int:
    """Return how many keys a call sets and deletes."""
    with kv.counting() as counts:
        call()
        return counts.changes


def entries_of_states(kv: CountingStore) -> int:
    return sum(key[:1] == b"e" and key[1] >= 8 for key in contents(kv))


def put(saver: KvSaver, thread: str, number: int, *, is_due: bool) -> Any:
    """Store a checkpoint after the one before it; a task follows it if `is_due` is true."""
    checkpoint: Any = {
        "v": 4,
        "id": str(UUID(int=number)),
        "ts": datetime.fromtimestamp(NOW, timezone.utc).isoformat(),
        "channel_values": {"branch:to:work": None} if is_due else {},
        "channel_versions": {"branch:to:work": number},
        "versions_seen": {"work": {"branch:to:work": number - is_due}},
        "updated_channels": None,
    }
    parent: dict[str, Any] = {"thread_id": thread, "checkpoint_ns": ""}
    if number > 1:
        parent["checkpoint_id"] = str(UUID(int=number - 1))
    config: Any = {"configurable": parent}
    return saver.put(config, checkpoint, {"step": number}, {"branch:to:work": number})
