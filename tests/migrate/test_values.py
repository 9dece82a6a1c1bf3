"""What a migration keeps or refuses: types, encryption, old formats, the order of writes, kills."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import BaseModel

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import DeserializationError
from langgraph.checkpoint.lmdb.migrate import Difference, amigrate, migrate
from tests.graphs.driving import at_thread
from tests.migrate.conftest import KINDS
from tests.migrate.savers import AsyncPlainSaver, SpoilingSaver
from tests.migrate.test_graphs import shown, travel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class Order:
    """A type of an application."""

    number: int


class Reversing(CipherProtocol):
    """A cipher that reverses bytes."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "rev", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "rev"
        return ciphertext[::-1]


class Renamed(BaseModel):
    """A model of an application."""

    number: int


def put(saver: Any, values: dict[str, Any], number: int = 1, parent: str | None = None) -> Any:
    """Store a checkpoint with values; return its config."""
    versions = dict.fromkeys(values, f"{number:032}.0")
    checkpoint = {
        **empty_checkpoint(),
        "id": f"1f000000-0000-6000-8000-{number:012x}",
        "channel_values": values,
        "channel_versions": versions,
    }
    at = at_thread("t", checkpoint_ns="", **({} if parent is None else {"checkpoint_id": parent}))
    return saver.put(at, checkpoint, {"source": "loop", "step": number, "parents": {}}, versions)


STRICT = JsonPlusSerializer(allowed_msgpack_modules=None)


@contextmanager
def made_strict(kind: str, saver: Any) -> Iterator[Any]:
    """Return a saver on the same store that refuses types."""
    if kind == "lmdb":
        with LmdbSaver(saver.path, serde=STRICT, sync="off") as strict:
            yield strict
        return
    saver.serde = STRICT
    if kind == "plain":
        saver._inner.serde = STRICT
    yield saver


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_refused_type_is_an_error(kind: str, inside: bool, open_kind: Callable[..., Any]) -> None:
    source, target = open_kind(kind), open_kind("lmdb")
    put(source, {"order": [Order(1)] if inside else Order(1), "nothing": None})
    with (
        made_strict(kind, source) as strict,
        pytest.raises(DeserializationError, match=r"refuses the type .*\.Order") as caught,
    ):
        migrate(strict, target)
    assert caught.value.thread_id == "t"
    assert caught.value.checkpoint_id == "1f000000-0000-6000-8000-000000000001"
    assert target.get_tuple(at_thread("t")) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_type_in_a_pending_write_is_an_error(
    kind: str, open_kind: Callable[..., Any]
) -> None:
    source, target = open_kind(kind), open_kind("lmdb")
    source.put_writes(put(source, {"a": 1}), [("order", {"one": Order(1)})], "task")
    with (
        made_strict(kind, source) as strict,
        pytest.raises(DeserializationError, match=r"refuses the type .*\.Order") as caught,
    ):
        migrate(strict, target)
    assert caught.value.checkpoint_id == "1f000000-0000-6000-8000-000000000001"


def test_a_refused_type_in_an_encrypted_value_is_an_error(open_kind: Callable[..., Any]) -> None:
    source = open_kind("sqlite", EncryptedSerializer(Reversing(), JsonPlusSerializer()))
    put(source, {"order": Order(1)})
    source.serde = EncryptedSerializer(Reversing(), STRICT)
    with pytest.raises(DeserializationError, match=r"refuses the type .*\.Order"):
        migrate(source, open_kind("lmdb"))


def test_a_type_that_an_async_saver_refuses_is_an_error(open_kind: Callable[..., Any]) -> None:
    source = AsyncPlainSaver()
    put(source.inner, {"order": Order(1)})
    source.inner.serde = STRICT

    async def run() -> None:
        with pytest.raises(DeserializationError, match=r"refuses the type .*\.Order"):
            await amigrate(source, open_kind("lmdb"))

    asyncio.run(run())


def test_an_allowed_type_is_copied(open_kind: Callable[..., Any]) -> None:
    source = open_kind("sqlite")
    put(source, {"order": Order(1)})
    source.serde = JsonPlusSerializer(allowed_msgpack_modules=[(__name__, "Order")])
    target = open_kind("lmdb", source.serde)
    assert migrate(source, target).ok
    values = target.get_tuple(at_thread("t")).checkpoint["channel_values"]
    assert values == {"order": Order(1)}


def test_a_type_that_cannot_be_imported_is_an_error(
    open_kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The serializer would return the parts of the object without its type."""
    source = open_kind("sqlite")
    put(source, {"order": Renamed(number=1)})
    monkeypatch.delattr(sys.modules[__name__], "Renamed")
    with pytest.raises(DeserializationError, match=r"\.Renamed cannot be imported"):
        migrate(source, open_kind("lmdb"))


PARTS = (
    "channel 'a'",
    "checkpoint",
    "checkpoint['ts']",
    "metadata",
    "parent",
    "writes of task 'task'",
)


@pytest.mark.parametrize("part", PARTS)
def test_verify_finds_a_difference(part: str, open_kind: Callable[..., Any]) -> None:
    source = open_kind("sqlite")
    put(source, {"a": 1}, 1)
    config = put(source, {"a": 1}, 2, parent="1f000000-0000-6000-8000-000000000001")
    source.put_writes(config, [("a", 1), ("a", 2)], "task")
    report = migrate(source, SpoilingSaver(part))
    assert not report.ok
    assert report.differences[-1] == Difference(
        "t", "", "1f000000-0000-6000-8000-000000000002", part
    )
    assert {difference.part for difference in report.differences} == {part}
    assert f"differs: {part} (thread_id 't', " in str(report)
    assert migrate(source, SpoilingSaver(part), verify=False).differences == ()


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "memory"])
def test_none_stays_none(kind: str, open_kind: Callable[..., Any]) -> None:
    source, target = open_kind(kind), open_kind("lmdb")
    put(source, {"nothing": None, "list": [None]})
    assert migrate(source, target).ok
    values = target.get_tuple(at_thread("t")).checkpoint["channel_values"]
    assert values == {"nothing": None, "list": [None]}


@pytest.mark.parametrize(("one", "other"), [("sqlite", "lmdb"), ("lmdb", "postgres")])
@pytest.mark.parametrize("encrypted", ["source", "target", "both"])
def test_either_side_may_be_encrypted(
    one: str, other: str, encrypted: str, open_kind: Callable[..., Any]
) -> None:
    serde = EncryptedSerializer(Reversing(), JsonPlusSerializer())
    source = open_kind(one, serde if encrypted != "target" else None)
    target = open_kind(other, serde if encrypted != "source" else None)
    travel(source)
    assert migrate(source, target).ok
    assert shown(source, "a") == shown(target, "a")


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "memory", "plain"])
def test_the_order_of_writes_is_kept(kind: str, open_kind: Callable[..., Any]) -> None:
    """Task ids and task paths disagree about the order, and tasks have gaps and ten writes."""
    source, ours, back = open_kind(kind), open_kind("lmdb"), open_kind("sqlite")
    config = put(source, {"a": 1})
    for task_id, path in (("z", "~1"), ("a", "~3"), ("m", "~2")):
        writes: list[tuple[str, Any]] = [("a", f"{task_id} {n}") for n in range(12)]
        writes[3] = ("__interrupt__", "stop")
        source.put_writes(config, writes, task_id, path)
    assert migrate(source, ours).ok
    assert migrate(ours, back).ok
    expected = source.get_tuple(config).pending_writes
    assert ours.get_tuple(config).pending_writes == expected
    assert back.get_tuple(config).pending_writes == expected
    if kind != "plain":
        assert [(w.task_id, w.task_path, w.index) for w in ours.writes(config)] == [
            (task_id, path, index)
            for task_id, path in (("z", "~1"), ("m", "~2"), ("a", "~3"))
            for index in (-3, 0, 1, 2, *range(4, 12))
        ]


@pytest.mark.parametrize("kind", ["lmdb", "compact", "sqlite", "postgres", "memory"])
def test_writes_whose_checkpoint_was_never_stored_are_copied(
    kind: str, open_kind: Callable[..., Any]
) -> None:
    source, target, back = open_kind(kind), open_kind("lmdb"), open_kind(kind)
    put(source, {"a": 1})
    id_ = "1f000000-0000-6000-8000-000000000009"
    places = (("t", ""), ("t", "sub:1"), ("only writes", ""))
    for thread, ns in places:
        config = at_thread(thread, checkpoint_ns=ns, checkpoint_id=id_)
        source.put_writes(config, [("a", thread), ("b", [ns])], "one", "~2")
        source.put_writes(config, [("a", None)], "two", "~1")
    report = migrate(source, target)
    assert report.ok
    assert (report.threads, report.writes, report.copied_writes) == (2, 9, 9)
    assert report.unknown == ()
    assert migrate(source, target).copied_writes == 0
    assert migrate(target, back).copied_writes == 9
    for saver in (target, back):
        for thread, ns in places:
            at = at_thread(thread, checkpoint_ns=ns)
            config = saver.put(at, {**empty_checkpoint(), "id": id_}, {"step": 1}, {})
            assert saver.get_tuple(config).pending_writes == [
                ("two", "a", None),
                ("one", "a", thread),
                ("one", "b", [ns]),
            ]


def test_the_report_tells_of_writes_with_a_long_checkpoint_id(
    open_kind: Callable[..., Any],
) -> None:
    source, target = open_kind("lmdb"), open_kind("lmdb")
    for id_ in ("x" * 1000, "\x00" * 200, "y"):
        source.put_writes(at_thread("t", checkpoint_ns="", checkpoint_id=id_), [("a", 1)], "task")
    report = migrate(source, target)
    assert report.copied_writes == 1
    assert "is longer than" in str(report)


def test_old_postgres_checkpoints_have_their_pending_sends(open_kind: Callable[..., Any]) -> None:
    source, target = open_kind("postgres"), open_kind("lmdb")
    parent = put(source, {"a": 1}, 1)
    source.put_writes(parent, [("__pregel_tasks", "send")], "task")
    at = {"configurable": {**parent["configurable"]}}
    checkpoint = {**empty_checkpoint(), "v": 3, "id": "1f000000-0000-6000-8000-000000000002"}
    checkpoint["channel_versions"] = {"a": f"{1:032}.0"}
    config = source.put(at, checkpoint, {"source": "loop", "step": 2, "parents": {}}, {})
    assert migrate(source, target).ok
    found = target.get_tuple(config)
    assert (
        found.checkpoint["channel_values"] == source.get_tuple(config).checkpoint["channel_values"]
    )
    assert found.checkpoint["channel_values"]["__pregel_tasks"] == ["send"]


def test_tables_without_task_paths_can_be_read(open_kind: Callable[..., Any]) -> None:
    source, target = open_kind("sqlite"), open_kind("lmdb")
    config = put(source, {"a": 1})
    source.put_writes(config, [("a", 2)], "task")
    source.conn.execute("ALTER TABLE writes DROP COLUMN task_path")
    source.conn.commit()
    path = source.conn.execute("PRAGMA database_list").fetchone()[2]
    assert migrate(path, target).ok
    assert target.get_tuple(config).pending_writes == [("task", "a", 2)]


def test_async_savers(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "a.sqlite")) as source:
            for number in (1, 2):
                at = at_thread("t", checkpoint_ns="")
                checkpoint = {**empty_checkpoint(), "id": f"1f-{number}"}
                await source.aput(at, checkpoint, {"step": number}, {})
            async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "b.sqlite")) as target:
                report = await amigrate(source, target)
                assert report.ok
                assert report.copied_checkpoints == 2
                assert len([found async for found in target.alist(None)]) == 2

    asyncio.run(run())


PROGRAM = """
import sys
from langgraph.checkpoint.lmdb.migrate import migrate

def show(progress):
    print(progress.checkpoints, flush=True)

migrate(*sys.argv[1:], workers=2, progress=show)
"""


@pytest.mark.faults
def test_a_migration_that_is_killed_20_times_is_complete_in_the_end(tmp_path: Path) -> None:
    """Each kill falls while a checkpoint is copied, after a random number of others."""
    file, folder = tmp_path / "a.sqlite", tmp_path / "b"
    with SqliteSaver.from_conn_string(str(file)) as source:
        travel(source)
        count = len([*source.list(None)])
        chance = random.Random(1)
        for number in range(20):
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(file), str(folder)], stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            for _ in range(1 + min(number * 2, chance.randrange(count))):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert migrate(file, folder).ok
        with LmdbSaver(folder) as target:
            for thread in ("a", "b"):
                assert shown(source, thread) == shown(target, thread)
            assert target.verify().ok


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("went_on", ["a checkpoint", "another write"])
def test_an_answer_that_the_target_replaced_is_kept(
    kind: str, went_on: str, open_kind: Callable[..., Any]
) -> None:
    """The target has a later answer, and after it a checkpoint or the result of the task."""
    source, target = open_kind("sqlite"), open_kind(kind)
    config = put(source, {"a": 1})
    source.put_writes(config, [("__resume__", ["one"])], "task", "~1")
    assert migrate(source, target).ok
    target.put_writes(config, [("__resume__", ["one", "two"])], "task", "~1")
    if went_on == "a checkpoint":
        put(target, {"a": 2}, 2, config["configurable"]["checkpoint_id"])
    else:
        target.put_writes(config, [("a", 2)], "task", "~1")
    expected = target.get_tuple(config).pending_writes
    report = migrate(source, target)
    assert report.differences == ()
    assert report.copied_writes == 0
    assert target.get_tuple(config).pending_writes == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_the_source_replaced_is_copied(
    kind: str, open_kind: Callable[..., Any]
) -> None:
    source, target = open_kind("sqlite"), open_kind(kind)
    config = put(source, {"a": 1})
    source.put_writes(config, [("__resume__", ["one"])], "task", "~1")
    assert migrate(source, target).ok
    source.put_writes(config, [("__resume__", ["one", "two"]), ("a", 2)], "task", "~1")
    put(source, {"a": 2}, 2, config["configurable"]["checkpoint_id"])
    report = migrate(source, target)
    assert report.ok
    assert (report.copied_checkpoints, report.copied_writes) == (1, 2)
    assert target.get_tuple(config).pending_writes == source.get_tuple(config).pending_writes
