"""Savers by configuration, and one saver for each store and process."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    DatabaseUnavailableError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    CheckpointerManager,
    PersistenceConfig,
    acreate_checkpointer,
    checkpointers,
    create_checkpointer,
)
from tests.kv.processes import in_fork
from tests.workflows.steps import Steps, at

if TYPE_CHECKING:
    from pathlib import Path


def test_one_manager_for_each_store(path: Path) -> None:
    with CheckpointerManager.get_or_create(path, sync="off") as first:
        with CheckpointerManager.get_or_create(str(path), sync="off") as second:
            assert first is second
        assert isinstance(first.get_checkpointer(), LmdbSaver)
        with pytest.raises(UsageError, match="open with other options"):
            CheckpointerManager.get_or_create(path)
    with pytest.raises(StoreClosedError):
        first.get_checkpointer()


def test_savers_by_configuration(path: Path) -> None:
    assert isinstance(create_checkpointer(PersistenceConfig("memory")), InMemorySaver)
    config = PersistenceConfig("lmdb", str(path), checkpoint_ttl_days=1, enable_compression=False)
    create_checkpointer(config).close()  # type: ignore[attr-defined]
    sqlite: Any = create_checkpointer(PersistenceConfig("sqlite", f"{path}.sqlite"))
    sqlite.conn.close()
    with pytest.raises(UsageError, match="backend must be"):
        PersistenceConfig("redis")  # type: ignore[arg-type]


def run(saver: Any, thread_id: str = "t") -> dict[str, Any]:
    """Run a graph on a saver, and return its state as the saver has it."""
    graph = Steps().compile(saver)
    graph.invoke({"ran": []}, at(thread_id))
    values: dict[str, Any] = graph.get_state(at(thread_id)).values
    return values


async def arun(saver: Any, thread_id: str = "t") -> dict[str, Any]:
    """Async version of `run`."""
    graph = Steps().compile(saver)
    await graph.ainvoke({"ran": []}, at(thread_id))
    values: dict[str, Any] = (await graph.aget_state(at(thread_id))).values
    return values


RAN = {"ran": ["first", "second", "third"]}


def test_a_saver_on_postgres(postgres: str) -> None:
    config = PersistenceConfig("postgres", postgres, pool_min_size=2, pool_max_size=3)
    saver: Any = create_checkpointer(config)
    with saver.conn as pool:
        assert run(saver, "sync") == RAN
        assert (pool.min_size, pool.max_size) == (2, 3)


def test_an_async_saver_on_postgres(postgres: str) -> None:
    async def body() -> None:
        saver: Any = await acreate_checkpointer(PersistenceConfig("postgres", postgres))
        async with saver.conn:
            assert await arun(saver, "async") == RAN

    asyncio.run(body())


def test_a_server_that_is_away_is_a_clear_error(tmp_path: Path) -> None:
    config = PersistenceConfig("postgres", f"host={tmp_path} password=secret")
    for create in (create_checkpointer, lambda config: asyncio.run(acreate_checkpointer(config))):
        with pytest.raises(DatabaseUnavailableError, match="PostgreSQL failed: ") as raised:
            create(config)
        assert "No such file or directory" in str(raised.value)
        assert "secret" not in str(raised.value)


def test_async_savers_by_configuration(path: Path) -> None:
    async def body() -> None:
        memory = await acreate_checkpointer(PersistenceConfig("memory"))
        assert isinstance(memory, InMemorySaver)
        saver = await acreate_checkpointer(PersistenceConfig("lmdb", str(path)))
        assert isinstance(saver, LmdbSaver)
        async with saver:
            assert await arun(saver) == RAN
        sqlite: Any = await acreate_checkpointer(PersistenceConfig("sqlite", f"{path}.sqlite"))
        try:
            assert await arun(sqlite) == RAN
        finally:
            await sqlite.conn.close()
        with pytest.raises(UsageError, match="config must be a PersistenceConfig"):
            await acreate_checkpointer("lmdb")  # type: ignore[arg-type]

    asyncio.run(body())


def test_a_file_that_sqlite_cannot_open_is_a_clear_error(path: Path) -> None:
    config = PersistenceConfig("sqlite", str(path / "missing" / "file"))
    for create in (create_checkpointer, lambda config: asyncio.run(acreate_checkpointer(config))):
        with pytest.raises(DatabaseUnavailableError, match="SQLite failed: unable to open"):
            create(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "postgres"}, "connection_string must be"),
        ({"backend": "lmdb", "connection_string": ""}, "connection_string must be"),
        ({"backend": "lmdb", "pool_min_size": -1}, "pool_min_size must be"),
        ({"backend": "lmdb", "pool_min_size": 3, "pool_max_size": 2}, "pool_max_size must be"),
        ({"backend": "lmdb", "checkpoint_ttl_days": 0}, "checkpoint_ttl_days must be"),
        ({"backend": "memory", "checkpoint_ttl_days": 1}, "checkpoint_ttl_days must be None"),
        ({"backend": "lmdb", "enable_compression": 1}, "enable_compression must be"),
    ],
)
def test_a_wrong_configuration_is_named(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PersistenceConfig(**options)


def test_threads_get_one_manager(path: Path) -> None:
    start = threading.Barrier(8)

    def get(_: int) -> CheckpointerManager:
        start.wait(60)
        return CheckpointerManager.get_or_create(path, sync="off")

    with ThreadPoolExecutor(8) as pool:
        managers = [*pool.map(get, range(8))]
    with managers[0]:
        assert all(manager is managers[0] for manager in managers)


def test_a_forked_child_uses_and_closes_its_own_saver(path: Path) -> None:
    def in_child() -> None:
        assert CheckpointerManager.get_or_create(path, sync="off") is manager
        assert run(manager.get_checkpointer())["ran"] == 2 * RAN["ran"]
        manager.close()
        with pytest.raises(StoreClosedError):
            manager.get_checkpointer()
        again = CheckpointerManager.get_or_create(path, sync="off")
        assert again is not manager
        again.close()

    with CheckpointerManager.get_or_create(path, sync="off") as manager:
        run(manager.get_checkpointer())
        in_fork(in_child)
        saver = manager.get_checkpointer()
        assert run(saver)["ran"] == 3 * RAN["ran"]


def test_a_fork_while_another_thread_opens_a_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_opening, is_forked = threading.Event(), threading.Event()

    def open_slowly(*arguments: Any, **options: Any) -> LmdbSaver:
        is_opening.set()
        assert is_forked.wait(60)
        return LmdbSaver(*arguments, **options)

    def in_child() -> None:
        monkeypatch.undo()
        with CheckpointerManager.get_or_create(path, sync="off") as own:
            assert run(own.get_checkpointer()) == RAN

    monkeypatch.setattr(checkpointers, "open_saver", open_slowly)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(CheckpointerManager.get_or_create, path, sync="off")
        assert is_opening.wait(60)
        try:
            in_fork(in_child)
        finally:
            is_forked.set()
        with opening.result() as manager:
            assert len([*manager.get_checkpointer().list(at("t"))]) == 5


def test_a_manager_of_a_saver(saver: LmdbSaver) -> None:
    manager = CheckpointerManager.get_or_create(saver)
    assert manager is CheckpointerManager.get_or_create(saver)
    assert manager.get_checkpointer() is saver
    with pytest.raises(UsageError, match="options must be empty for a saver"):
        CheckpointerManager.get_or_create(saver, sync="off")
    manager.close()
    manager.close()
    with pytest.raises(StoreClosedError):
        saver.get_tuple(at("t"))
    with pytest.raises(UsageError, match="connection must be a path, a connection string"):
        CheckpointerManager.get_or_create(None)  # type: ignore[arg-type]
