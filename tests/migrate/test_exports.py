"""Exports: an import stores what the exported store has, value by value."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import ThreadExistsError, UsageError
from langgraph.checkpoint.lmdb.migrate.exports import ImportClock, export_lines, import_lines
from langgraph.checkpoint.lmdb.views.stores import all_threads, create_store, open_store
from tests.views import graphs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of real graphs: with pruned history, an own TTL, a copy, and a binary value."""
    path = tmp_path_factory.mktemp("exported") / "store"
    with LmdbSaver(path, sync="off") as saver:
        graphs.fill(saver)
        graphs.delta(saver, "pruned delta")
        saver.prune(["pruned delta"], keep_last=2)
        saver.copy_thread("chat", "copy \ud800 of chat")
        saver.set_ttl("waiting", 90.5)
        config: Any = {"configurable": {"thread_id": "chat", "checkpoint_ns": ""}}
        (found,) = saver.list(config, limit=1)
        values = {"binary": b"\x00\xff", "array": bytearray(b"ab"), "none": None, "nan": [1e300]}
        checkpoint: Any = {
            **found.checkpoint,
            "id": "1ffffffe-0000-6000-8000-000000000000",
            "channel_values": {**found.checkpoint["channel_values"], **values},
            "channel_versions": {
                **found.checkpoint["channel_versions"],
                **dict.fromkeys(values, 9),
            },
        }
        saved = saver.put(found.config, checkpoint, {"step": 9}, dict.fromkeys(values, 9))
        saver.put_writes(saved, [("a", 1), ("b", b"2")], "task 1", "~2")
        saver.put_writes(saved, [("a", {"c": (1, 2)})], "task 2", "~1")
    return path


def exported(path: Path, **options: Any) -> list[str]:
    with LmdbSaver(path, readonly=True, **options) as checked, open_store(str(path)) as saver:
        assert checked.threads()
        return [json.dumps(line) for line in export_lines(saver, all_threads(saver))]


def stored(lines: Iterable[str], path: Path, *, resume: bool = False, **options: Any) -> None:
    clock = ImportClock()
    with create_store(str(path), clock=clock, sync="off", **options) as saver:
        *_, report = import_lines(lines, saver, clock, resume=resume)
        assert report.threads == len(saver.threads())


def contents(path: Path) -> dict[str, Any]:
    """Return what a saver with LangGraph's serializer reads of a store."""
    found: dict[str, Any] = {}
    with LmdbSaver(path, readonly=True) as saver:
        for info in saver.threads():
            config: Any = {"configurable": {"thread_id": info.thread_id}}
            checkpoints = [*saver.list(config)]
            found[info.thread_id] = (
                (info.created, info.updated, info.expires, info.namespaces, info.checkpoints),
                (info.writes, info.step, info.source, info.state, info.next),
                checkpoints,
                [saver.writes(one.config) for one in checkpoints],
                [
                    saver.get_delta_channel_history(config=one.config, channels=["log"])
                    for one in checkpoints
                ],
            )
    return found


def test_import_stores_what_was_exported(store: Path, tmp_path: Path) -> None:
    stored(exported(store), tmp_path / "new")
    one, other = contents(store), contents(tmp_path / "new")
    assert list(one) == list(other)  # the order of the last activities
    for thread, expected in one.items():
        assert other[thread] == expected, thread
    with LmdbSaver(tmp_path / "new") as saver:
        assert saver.verify().ok


def test_export_of_an_import_is_the_same(store: Path, tmp_path: Path) -> None:
    lines = exported(store)
    stored(lines, tmp_path / "new")
    assert exported(tmp_path / "new") == lines


def test_graph_continues_on_an_import(store: Path, tmp_path: Path) -> None:
    stored(exported(store), tmp_path / "new")
    with LmdbSaver(tmp_path / "new", sync="off") as saver:
        graphs.chat(saver)
        graphs.delta(saver)
        assert {info.state for info in saver.threads("chat")} == {"complete"}
        (log,) = [
            *saver.get_delta_channel_history(config=graphs.at("delta"), channels=["log"]).values()
        ]
        assert log["writes"]


def test_encrypted_store_is_exported_in_plain_text_and_imported_encrypted(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setenv("LANGGRAPH_AES_KEY", "k" * 32)
    with LmdbSaver(store) as saver:
        saver.copy_store(tmp_path / "encrypted", encryption_key=b"k" * 32)
    lines = exported(tmp_path / "encrypted")
    assert lines == exported(store)
    stored(lines, tmp_path / "new", encryption_key="env")
    assert contents(tmp_path / "new") == contents(store)
    assert b"sunny" not in (tmp_path / "new" / "data.mdb").read_bytes()


def test_thread_that_exists_is_refused(store: Path) -> None:
    before = contents(store)
    with pytest.raises(ThreadExistsError, match="--resume"):
        stored(exported(store), store)
    assert contents(store) == before


def test_interrupted_import_is_continued(store: Path, tmp_path: Path) -> None:
    lines = exported(store)
    for end in (len(lines) // 3, len(lines) // 2):
        with pytest.raises(UsageError, match=f"incomplete: it ends at line {end}"):
            stored(lines[:end], tmp_path / "new", resume=True)
    stored(lines, tmp_path / "new", resume=True)
    assert contents(tmp_path / "new") == contents(store)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "line 2 is not a line of an export"),
        ("[]", "line 2"),
        ('{"thread_id": "t", "channels": []}', "line 2"),
        ('{"kind": "other"}', "unknown kind 'other'"),
        ('{"kind": "checkpoint"}', "a thread must come before its checkpoints"),
        ('{"kind": "store", "format": "langgraph-lmdb export", "version": 2}', "version 1"),
        ('{"kind": "thread", "thread_id": "t"}', "line 2"),
    ],
)
def test_other_line_is_refused(tmp_path: Path, line: str, text: str) -> None:
    head = '{"kind": "store", "format": "langgraph-lmdb export", "version": 1}'
    with pytest.raises(UsageError, match=text):
        stored([head, line], tmp_path / "new")


def test_export_needs_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the first line must name the format"):
        stored(['{"kind": "end", "threads": 0, "checkpoints": 0}'], tmp_path / "new")
    with pytest.raises(UsageError, match="incomplete: it ends at line 0"):
        stored([], tmp_path / "new")


def test_memory_holds_one_checkpoint_at_a_time(tmp_path: Path) -> None:
    """Ten times as many checkpoints need no more memory, at both ends."""
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        for thread, count in (("small", 4), ("large", 40)):
            config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
            for number in range(count):
                checkpoint: Any = {
                    "v": 4,
                    "id": f"{number:08d}",
                    "ts": "2026-01-01T00:00:00+00:00",
                    "channel_values": {"x": f"{number} " * 100_000},
                    "channel_versions": {"x": number + 1},
                    "versions_seen": {},
                    "updated_channels": None,
                }
                config = saver.put(config, checkpoint, {"step": number}, {"x": number + 1})
    peaks = {}
    for thread in ("small", "large"):
        clock = ImportClock()
        with (
            LmdbSaver(tmp_path / "store", readonly=True, cache_size=0) as source,
            LmdbSaver(tmp_path / thread, clock=clock, sync="off", cache_size=0) as target,
        ):
            lines = map(json.dumps, export_lines(source, source.threads(thread)))
            tracemalloc.start()
            for _ in import_lines(lines, target, clock):
                pass
            peaks[thread] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peaks["large"] < 1.5 * peaks["small"]
