"""Functions of workflows with the connection string of a store in PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.lock_files import run_lock
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from langgraph.checkpoint.lmdb.workflows import (
    CheckpointerManager,
    DurableWorkflow,
    PersistenceConfig,
    PostgresLockManager,
    acreate_checkpointer,
    afind_failed_workflows,
    aget_checkpoint_status,
    aresume_failed_workflows,
    aresume_workflow,
    cleanup_old_checkpoints,
    create_checkpointer,
    find_failed_workflows,
    get_checkpoint_status,
    get_progress,
    monitor_workflows,
    needs_resume,
    recover,
    resume_failed_workflows,
    resume_with_retry,
    resume_workflow,
)
from langgraph.checkpoint.lmdb.workflows.connections import default_lock_manager
from tests import servers
from tests.servers import SECRET
from tests.workflows.conftest import STATES
from tests.workflows.steps import Steps, at
from tests.workflows.test_wrong_use import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"


def fill(conninfo: str, steps: Steps) -> None:
    """Create a store with a run in each state."""
    with CompactPostgresSaver(conninfo) as saver:
        for state in STATES:
            getattr(steps, f"leave_{state}")(saver, state)


def wait_for_end_of_sessions(conninfo: str) -> None:
    """Wait until the server has no connection to a database: it ends them after the client."""
    deadline = time.monotonic() + 60
    found = psycopg.conninfo.conninfo_to_dict(conninfo)
    with psycopg.connect(conninfo, dbname="postgres", autocommit=True) as connection:
        while connection.execute(_SESSIONS, (found["dbname"],)).fetchone() != (0,):
            assert time.monotonic() < deadline


def test_functions_take_a_connection_string(database: str, steps: Steps) -> None:
    fill(database, steps)
    for state in STATES:
        status = get_checkpoint_status(state, database)
        assert status is not None
        assert status.state == ("stalled" if state == "crashed" else state)
    assert needs_resume("failed", database)
    assert get_checkpoint_status("unknown", database) is None
    found = {status.thread_id for status in find_failed_workflows(database, 0)}
    assert found == {"failed", "crashed"}
    report = monitor_workflows(database)
    assert report.counts["failed"] == report.counts["complete"] == 1
    assert report.store_bytes
    assert "completed" in get_progress(database, "complete")
    (recovered,) = recover(database, steps.builder, min_age_minutes=0)
    assert (recovered["thread_id"], recovered["status"]) == ("crashed", "success")

    def finish(thread_id: str) -> Any:
        with CompactPostgresSaver(database) as saver:
            return steps.compile(saver).invoke(None, at(thread_id))

    (resumed,) = resume_failed_workflows(database, finish, min_age_minutes=0)
    assert (resumed["thread_id"], resumed["completed"]) == ("failed", True)
    done = resume_workflow("failed", database, finish)
    assert done["status"] == "already_complete"
    assert resume_with_retry("unknown", database, finish)["status"] == "not_found"
    assert not needs_resume("failed", database)
    cleanup_old_checkpoints(database, days=0.0)
    assert get_checkpoint_status("complete", database) is None
    assert get_checkpoint_status("waiting", database) is not None
    wait_for_end_of_sessions(database)


def test_async_functions_take_a_connection_string(database: str, steps: Steps) -> None:
    fill(database, steps)

    async def body() -> None:
        status = await aget_checkpoint_status("failed", database)
        assert status is not None
        assert status.state == "failed"
        found = await afind_failed_workflows(database, 0)
        assert {status.thread_id for status in found} == {"failed", "crashed"}

        async def finish(thread_id: str) -> Any:
            async with CompactPostgresSaver(database) as saver:
                return await steps.compile(saver).ainvoke(None, at(thread_id))

        done = await aresume_workflow("failed", database, finish)
        assert done["completed"]
        (other,) = await aresume_failed_workflows(database, finish, min_age_minutes=0)
        assert other["thread_id"] == "crashed"

    asyncio.run(body())
    wait_for_end_of_sessions(database)


@pytest.mark.parametrize("name", ["status", "find", "batch", "recover", "async status"])
def test_database_without_a_store_gets_none(database: str, name: str) -> None:
    with pytest.raises(InvalidPathError, match="no store in the schema 'langgraph_compact'") as e:
        EVERY[name](database)
    assert SECRET not in str(e.value)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname ~ 'langgraph'")
        assert found.fetchone() is None


@pytest.mark.parametrize("call", [EVERY["status"], EVERY["async find"], EVERY["batch"]])
def test_server_that_is_away_is_named_without_the_password(call: Callable[[Any], Any]) -> None:
    name = f"postgresql://u:{SECRET}@127.0.0.1:1/d"
    with pytest.raises(Exception, match="PostgreSQL cannot be reached") as caught:
        call(name)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__


def test_second_worker_is_kept_out_by_the_database(database: str, steps: Steps) -> None:
    fill(database, steps)
    begun, proceed = threading.Event(), threading.Event()

    def slow(thread_id: str) -> None:
        begun.set()
        assert proceed.wait(60)

    worker = threading.Thread(target=resume_workflow, args=("failed", database, slow))
    worker.start()
    try:
        assert begun.wait(60)
        with PostgresLockManager(database) as other:
            assert other.is_locked(run_lock("failed"))
        assert resume_workflow("failed", database, print)["status"] == "already_running"
        status = get_checkpoint_status("failed", database)
        assert status is not None
        assert status.state == "running"
    finally:
        proceed.set()
        worker.join()
    assert not needs_resume("unknown", database)
    wait_for_end_of_sessions(database)


def test_savers_of_one_connection_string_share_a_lock_manager(database: str) -> None:
    with CompactPostgresSaver(database) as one:
        with CompactPostgresSaver(database) as other:
            locks = default_lock_manager(one)
            assert isinstance(locks, PostgresLockManager)
            assert default_lock_manager(other) is locks
        assert locks.acquire("a")
        assert locks.is_locked("a")
    wait_for_end_of_sessions(database)
    with CompactPostgresSaver(database) as again:
        assert default_lock_manager(again) is not locks


def test_saver_on_a_pool_has_locks_of_its_database(database: str, steps: Steps) -> None:
    from psycopg_pool import ConnectionPool

    found = psycopg.conninfo.conninfo_to_dict(database)
    name = found.pop("dbname")
    options: dict[str, Any] = {"dbname": name, "autocommit": True}
    with (
        ConnectionPool(psycopg.conninfo.make_conninfo("", **found), kwargs=options) as pool,
        CompactPostgresSaver(pool) as saver,
    ):
        workflow = DurableWorkflow(steps.compile(saver), saver)
        seen = []
        steps.actions["second"] = lambda: seen.append(saver.advisory_locks())
        workflow.execute("t", {"ran": []})
        assert [len(keys) for keys in seen] == [1]
        assert saver.advisory_locks() == frozenset()


def test_manager_of_a_connection_string(database: str) -> None:
    with CheckpointerManager.get_or_create(database, cache_size=0) as manager:
        assert isinstance(manager.get_checkpointer(), CompactPostgresSaver)
        assert CheckpointerManager.get_or_create(database, cache_size=0) is manager
        other = CheckpointerManager.get_or_create(f"{database}&schema=other")
        assert other is not manager
        other.close()
        for name, options, differing in (
            (database, {"encryption_key": b"k" * 32}, "cache_size, encryption_key"),
            (f"{database}&sslmode=prefer", {"cache_size": 0}, "connection string"),
        ):
            with pytest.raises(UsageError, match=f": {differing} differ") as caught:
                CheckpointerManager.get_or_create(name, **options)
            assert SECRET not in str(caught.value)
            assert "kkkk" not in str(caught.value)


def test_configuration_with_a_connection_string(database: str) -> None:
    config = PersistenceConfig(
        "lmdb", database, checkpoint_ttl_days=1, enable_compression=False, pool_max_size=3
    )
    assert SECRET not in repr(config)
    for create in (create_checkpointer, lambda config: asyncio.run(acreate_checkpointer(config))):
        with create(config) as saver:
            assert isinstance(saver, CompactPostgresSaver)
            assert saver.stats().threads == 0


def test_pooler_in_transaction_mode_is_refused_with_advice(postgres: str, steps: Steps) -> None:
    with servers.pooler(postgres, "transaction") as conninfo:
        name = f"{conninfo} schema=behind_pooler"
        with CompactPostgresSaver(conninfo, schema="behind_pooler") as saver:
            steps.leave_failed(saver, "t")
        with pytest.raises(UsageError, match="lock_manager=PostgresLockManager"):
            resume_workflow("t", name, print)
        with PostgresLockManager(postgres) as locks:
            done = resume_workflow("t", name, lambda thread_id: "done", lock_manager=locks)
            assert done["result"] == "done"
