"""Exports: an import stores what the exported store has, value by value."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import ThreadExistsError, UsageError
from langgraph.checkpoint.lmdb.migrate.exports import (
    ImportClock,
    early_threads,
    export_lines,
    import_lines,
)
from langgraph.checkpoint.lmdb.migrate.saver_source import KvSource
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
        for checkpoint_id in ("0", "1fffffff-0000-6000-8000-000000000000"):
            early: Any = graphs.at("chat")
            early["configurable"].update(checkpoint_ns="early", checkpoint_id=checkpoint_id)
            saver.put_writes(early, [("a", "early"), ("__error__", "why")], "task", "~3")
    return path


def exported(path: Path, **options: Any) -> list[str]:
    with LmdbSaver(path, readonly=True, **options) as checked, open_store(str(path)) as saver:
        assert checked.threads()
        lines = export_lines(saver, all_threads(saver), early_threads(saver))
        return [json.dumps(line) for line in lines]


def stored(lines: Iterable[str], path: Path, *, resume: bool = False, **options: Any) -> None:
    clock = ImportClock()
    with create_store(str(path), clock=clock, sync="off", **options) as saver:
        *_, report = import_lines(lines, saver, clock, resume=resume)
        assert report.threads == len(saver.threads())


def contents(path: Path) -> dict[str, Any]:
    """Return what a saver with LangGraph's serializer reads of a store."""
    with LmdbSaver(path, readonly=True) as saver:
        return contents_of(saver)


def contents_of(saver: LmdbSaver) -> dict[str, Any]:
    """Return what a saver reads of its store."""
    found: dict[str, Any] = {}
    for info in saver.threads():
        config: Any = {"configurable": {"thread_id": info.thread_id}}
        checkpoints = [*saver.list(config)]
        with_checkpoints = [one.config for one in checkpoints]
        every = [key.config for key in KvSource(saver).keys(info.thread_id)]
        early = [one for one in every if one not in with_checkpoints]
        found[info.thread_id] = (
            (info.created, info.updated, info.expires, info.namespaces, info.checkpoints),
            (info.writes, info.step, info.source, info.state, info.next),
            checkpoints,
            early,
            [saver.writes(one) for one in (*early, *with_checkpoints)],
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


IDS = st.sampled_from([f"{number:02d}" for number in range(6)])
PLACES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["", "sub:1"]))
CALLS = st.one_of(
    st.tuples(st.just("put"), PLACES, IDS, st.none() | IDS, st.integers(0, 3)),
    st.tuples(
        st.just("writes"),
        PLACES,
        IDS,
        st.lists(st.sampled_from(["x", "y", "__error__", "__interrupt__"]), min_size=1, max_size=3),
        st.sampled_from(["", "~1", "~2"]),
    ),
    st.tuples(st.just("copy"), st.sampled_from(["c", "d"])),
    st.tuples(st.just("prune"), st.integers(1, 2)),
    st.tuples(st.just("ttl"), st.sampled_from([None, 5, 90.5])),
)


@example(
    [
        (("writes", ("b", ""), "02", ["__error__", "x", "x"], ""), 0),
        (("put", ("b", ""), "00", None, 0), 0),
        (("writes", ("b", ""), "02", ["x", "x", "__error__"], "~1"), 0),
    ]
)
@given(st.lists(st.tuples(CALLS, st.sampled_from([0, 0.5, 60])), max_size=15))
def test_import_of_an_export_equals_any_store(calls: list[Any]) -> None:
    now = [1_700_000_000.0]
    clock = ImportClock()
    with (
        LmdbSaver(":memory:", clock=lambda: now[0]) as source,
        LmdbSaver(":memory:", clock=clock) as target,
    ):
        for call, pause in calls:
            now[0] += pause
            make(source, call)
        clock.now = now[0]
        lines = all_lines(source)
        for _ in import_lines(lines, target, clock):
            pass
        clock.now = now[0]
        assert contents_of(target) == contents_of(source)
        assert [*early_threads(target)] == [*early_threads(source)]
        assert all_lines(target) == lines
        assert target.verify().ok


def all_lines(saver: LmdbSaver) -> list[str]:
    lines = export_lines(saver, saver.threads(), early_threads(saver))
    return [json.dumps(line) for line in lines]


def test_a_thread_without_checkpoints_is_exported(tmp_path: Path) -> None:
    early: Any = graphs.at("early")
    early["configurable"].update(checkpoint_ns="", checkpoint_id="0")
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        saver.put_writes(early, [("a", "early")], "task", "~3")
        assert [*early_threads(saver)] == [*early_threads(saver, "ea")] == ["early"]
        assert [*early_threads(saver, "b")] == []
        lines = all_lines(saver)
    clock = ImportClock()
    with LmdbSaver(tmp_path / "new", sync="off", clock=clock) as saver:
        *_, report = import_lines(lines, saver, clock)
        assert (report.threads, report.checkpoints) == (1, 0)
        (write,) = saver.writes(early)
        assert (write.channel, write.value, write.task_path) == ("a", "early", "~3")


def make(saver: LmdbSaver, call: Any) -> None:
    """Make a call, if the store allows it."""
    name, *given_ = call
    if name in ("put", "writes"):
        (thread_id, checkpoint_ns), checkpoint_id, *rest = given_
        at = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns}
    if name == "put":
        parent, size = rest
        checkpoint: Any = {**empty_checkpoint(), "id": checkpoint_id, "ts": "2026-01-01"}
        values = {f"channel {number}": [checkpoint_id, number] for number in range(size)}
        versions = {channel: int(checkpoint_id) + 1 for channel in values}
        checkpoint.update(channel_values=values, channel_versions=versions)
        config: Any = {"configurable": at | ({"checkpoint_id": parent} if parent else {})}
        saver.put(config, checkpoint, {"step": size, "source": "loop"}, versions)
    elif name == "writes":
        channels, path = rest
        config = {"configurable": {**at, "checkpoint_id": checkpoint_id}}
        writes = [(channel, [channel, number]) for number, channel in enumerate(channels)]
        saver.put_writes(config, writes, f"task {len(channels)}", path)
    else:
        (value,) = given_
        for info in saver.threads("a"):
            if name == "copy" and not saver.threads(value):
                saver.copy_thread(info.thread_id, value)
            elif name == "prune":
                saver.prune([info.thread_id], keep_last=value)
            elif name == "ttl":
                saver.set_ttl(info.thread_id, value)


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
