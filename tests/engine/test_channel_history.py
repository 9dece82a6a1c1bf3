"""Channels that are rebuilt from writes keep their state when ancestors are deleted."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.values import words

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


def step(saver: LmdbSaver, parent: Any, number: int, values: dict[str, Any], writes: int) -> Any:
    """Store a checkpoint with a new version of the channel "d", and writes to "d" and "e"."""
    checkpoint: Any = {
        "v": 4,
        "ts": "",
        "id": f"{number:04}",
        "channel_values": values,
        "channel_versions": {"d": number},
        "versions_seen": {},
    }
    config = saver.put(parent, checkpoint, {"run_id": f"r{number % 3}"}, {"d": number})
    for n in range(writes):
        saver.put_writes(config, [("d", [number, n, words(n, 5)]), ("e", n)], f"task{n:04}")
    return config


def history(saver: LmdbSaver, config: Any) -> Any:
    """Return the history of both channels."""
    return saver.get_delta_channel_history(config=config, channels=["d", "e"])


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("writes", [1, 100])
def test_history_survives_prune_delete_runs_and_copy(seeded: bool, writes: int) -> None:
    """With 100 writes per checkpoint, the compacted history needs several records."""
    kv = MemoryStore()
    saver = KvSaver(kv)
    config = ROOT
    for number in range(8):
        config = step(
            saver, config, number, {"d": ["seed"]} if seeded and not number else {}, writes
        )
    fork_from = saver.get_tuple(config).parent_config  # type: ignore[union-attr]
    fork = step(saver, fork_from, 9, {}, 0)
    before = [history(saver, one) for one in (config, fork)]
    assert len(before[0]["d"]["writes"]) == 7 * writes
    assert before[0]["d"].get("seed") == (["seed"] if seeded else None)
    saver.prune(["t"], keep_last=5)
    reachability.check(kv)
    assert [history(saver, one) for one in (config, fork)] == before
    saver.delete_for_runs(["r2"])
    reachability.check(kv)
    assert [history(saver, one) for one in (config, fork)] == before
    saver.prune(["t"], keep_last=2)
    reachability.check(kv)
    assert [history(saver, one) for one in (config, fork)] == before
    saver.copy_thread("t", "copy")
    saver.delete_thread("t")
    copied: Any = {"configurable": {"thread_id": "copy", "checkpoint_ns": ""}}
    assert history(saver, copied) == before[1]
    later = step(saver, saver.get_tuple(copied).config, 10, {}, 0)  # type: ignore[union-attr]
    assert history(saver, later) == before[1]
    reachability.check(kv)


def test_stored_value_replaces_compacted_history() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    first = step(saver, ROOT, 1, {}, 3)
    second = step(saver, first, 2, {}, 2)
    saver.prune(["t"])
    third = step(saver, second, 3, {"d": "whole"}, 1)
    fourth = step(saver, third, 4, {}, 0)
    found = history(saver, fourth)
    assert found["d"]["seed"] == "whole"
    assert [row[2][0] for row in found["d"]["writes"]] == [3]
    assert [row[2] for row in found["e"]["writes"]] == [0, 1, 2, 0, 1, 0]
    saver.prune(["t"])
    assert history(saver, fourth) == found
    saver.put(ROOT, {**saver.get(fourth)}, {}, {"d": 4})  # type: ignore[typeddict-item]
    assert history(saver, fourth) == {"d": {"writes": []}, "e": {"writes": []}}
    reachability.check(kv)
