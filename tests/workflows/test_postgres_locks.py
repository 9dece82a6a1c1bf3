"""Locks of a PostgreSQL server: what ends them, connections, and poolers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.errors import DatabaseUnavailableError, StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.workflows import PostgresLockManager
from langgraph.checkpoint.lmdb.workflows.errors import LockLostError
from tests import servers
from tests.servers import end_connections

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_ends_with_its_connection(postgres: str) -> None:
    with PostgresLockManager(postgres) as first, PostgresLockManager(postgres) as second:
        assert first.acquire("a")
        end_connections(postgres, "langgraph-lock %")
        with pytest.raises(LockLostError):
            first.check("a")
        assert second.acquire("a", blocking=False)
        first.release("a")
        second.check("a")
        assert first.is_locked("a")


def test_each_lock_keeps_a_connection(postgres: str) -> None:
    with PostgresLockManager(postgres, min_conn=0, max_conn=2) as manager:
        assert manager.acquire("a")
        assert manager.acquire("b")
        with pytest.raises(DatabaseUnavailableError, match="all 2 connections hold a lock"):
            manager.acquire("c", blocking=False)
        manager.release("a")
        assert manager.acquire("c")


def test_a_question_without_a_free_connection_fails(postgres: str) -> None:
    with (
        PostgresLockManager(postgres, min_conn=0, max_conn=1, connection_timeout=0.1) as manager,
        manager.lock("a"),
        pytest.raises(DatabaseUnavailableError, match="all 1 connections hold a lock"),
    ):
        manager.is_locked("a")


def test_a_pooler_in_transaction_mode_is_refused(postgres: str) -> None:
    with (
        servers.pooler(postgres, "transaction") as address,
        pytest.raises(UsageError, match="a pooler in transaction mode"),
    ):
        PostgresLockManager(address)


def test_a_pooler_in_session_mode_keeps_locks(postgres: str) -> None:
    with (
        servers.pooler(postgres, "session") as address,
        PostgresLockManager(address) as first,
        PostgresLockManager(postgres) as second,
    ):
        assert first.acquire("a")
        assert not second.acquire("a", blocking=False)
        first.check("a")


def test_a_server_that_is_away_is_a_clear_error(tmp_path: Path) -> None:
    conninfo = f"host={tmp_path} user=postgres password=secret"
    with pytest.raises(DatabaseUnavailableError) as raised:
        PostgresLockManager(conninfo, connection_timeout=0.1)
    assert "secret" not in str(raised.value)
    with pytest.raises(UsageError, match="must be a connection string") as wrong:
        PostgresLockManager("postgresql://u:secret@[")
    assert "secret" not in str(wrong.value)


def test_a_server_that_stops_ends_the_locks() -> None:
    with servers.server() as conninfo:
        manager = PostgresLockManager(conninfo, connection_timeout=0.5)
        assert manager.acquire("a")
    with pytest.raises(LockLostError):
        manager.check("a")
    with pytest.raises(DatabaseUnavailableError):
        manager.acquire("b")
    manager.release("a")
    manager.close()


def test_a_closed_manager_holds_nothing(postgres: str) -> None:
    manager = PostgresLockManager(postgres)
    assert manager.acquire("a")
    manager.close()
    manager.close()
    with pytest.raises(StoreClosedError):
        manager.acquire("a")
    with PostgresLockManager(postgres) as other:
        assert not other.is_locked("a")


def test_waiters_of_many_threads_each_get_the_lock(postgres: str) -> None:
    inside, most = 0, 0

    def work(manager: Any) -> None:
        nonlocal inside, most
        for _ in range(10):
            with manager.lock("a"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    with PostgresLockManager(postgres) as manager:
        threads = [threading.Thread(target=work, args=(manager,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not manager.is_locked("a")
    assert most == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_conn": -1}, "min_conn must be a whole number of connections, 0 or more"),
        ({"min_conn": 3, "max_conn": 2}, "max_conn must be a whole number of connections, 3"),
        ({"max_conn": 0, "min_conn": 0}, "max_conn must be a whole number of connections, 1"),
        ({"connection_timeout": 0}, "connection_timeout must be a number of seconds, above 0"),
        ({"conninfo": None}, "conninfo must be a connection string"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PostgresLockManager(**{"conninfo": "", **arguments})
