"""`migrate`: copy threads from one saver to another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NamedTuple

from langgraph.checkpoint.lmdb.errors import (
    NotASequenceError,
    ThreadExistsError,
    ThreadNotFoundError,
    UsageError,
)
from langgraph.checkpoint.lmdb.migrate.copying import Counts, Job, copy_thread, verify_thread
from langgraph.checkpoint.lmdb.migrate.endpoints import Endpoint, Kind, open_source, open_target
from langgraph.checkpoint.lmdb.migrate.models import MigrationProgress, MigrationReport
from langgraph.checkpoint.lmdb.migrate.refusals import database_errors
from langgraph.checkpoint.lmdb.migrate.source import Source

DEFAULT_WORKERS = 4


def migrate(
    source: Endpoint,
    target: Endpoint,
    *,
    threads: Iterable[str] | None = None,
    workers: int = DEFAULT_WORKERS,
    resume: bool = True,
    verify: bool = True,
    progress: Callable[[MigrationProgress], None] | None = None,
    source_saver: Kind | None = None,
    target_saver: Kind | None = None,
) -> MigrationReport:
    """Copy the threads of one saver to another one.

    Checkpoints, parents, branches, subgraph namespaces, pending writes, metadata and ids are kept.
    The source is only read. What the target has already is not written again: after an interrupted
    migration, or to copy what changed since the last one, call it again. What was deleted in the
    source since the last call remains in the target. A thread that was continued in the target
    keeps its checkpoints and pending writes there.

    Args:
        source: A saver, the folder of a store, a SQLite file, or the connection string of a
            PostgreSQL database.
        target: The same. A store, a SQLite file or tables that do not exist are created.
        threads: Ids of the threads to copy. None: all threads.
        workers: Number of threads that are copied at the same time. A saver that this module does
            not know is used by one worker.
        resume: False: raise ThreadExistsError if the target has one of the threads already.
        verify: Read each copied thread from both savers, and compare every checkpoint by value.
        progress: A function that is called after each checkpoint, one call at a time.
        source_saver: The saver of a connection string: "compact" for CompactPostgresSaver, or
            "postgres" for PostgresSaver. None: the one of which the database has a store.
        target_saver: The same. None: CompactPostgresSaver.

    Returns:
        The counts, the sizes of both savers, and the differences that `verify` found.

    Raises:
        DeserializationError: A value cannot be read, or strict mode refuses its type.
        SerializationError: The target cannot store a value.
        UsageError: An argument is invalid.
        ThreadNotFoundError: The source does not have one of `threads`.
        RetryableError: The database of a saver fails. Call again to continue.
        ThreadExistsError: A thread exists in the target, and `resume` is False.
    """
    stop = threading.Event()
    ends = _Ends(source, target, source_saver, target_saver)
    return _migrate(ends, threads, workers, resume, verify, progress, None, stop)


async def amigrate(
    source: Endpoint,
    target: Endpoint,
    *,
    threads: Iterable[str] | None = None,
    workers: int = DEFAULT_WORKERS,
    resume: bool = True,
    verify: bool = True,
    progress: Callable[[MigrationProgress], None] | None = None,
    source_saver: Kind | None = None,
    target_saver: Kind | None = None,
) -> MigrationReport:
    """Async version of `migrate`; `progress` is called in another thread.

    Savers with asynchronous methods are used in the running event loop. A cancelled call stops
    before the next checkpoint.
    """
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    ends = _Ends(source, target, source_saver, target_saver)
    call = partial(_migrate, ends, threads, workers, resume, verify, progress, loop, stop)
    task = loop.run_in_executor(None, call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        task.exception()
        raise


class _Ends(NamedTuple):
    """Source and target of a migration."""

    source: Endpoint
    target: Endpoint
    source_saver: Kind | None
    target_saver: Kind | None


def _migrate(
    ends: _Ends,
    threads: Iterable[str] | None,
    workers: int,
    resume: bool,
    verify: bool,
    progress: Callable[[MigrationProgress], None] | None,
    loop: asyncio.AbstractEventLoop | None,
    stop: threading.Event,
) -> MigrationReport:
    if isinstance(threads, str):
        raise NotASequenceError(f"threads must be a list of ids, got {threads!r}")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"workers must be a number above 0, got {workers!r}")
    if ends.source is ends.target:
        raise UsageError("source and target are the same saver")
    started = time.monotonic()
    with (
        database_errors(),
        open_source(ends.source, loop, ends.source_saver) as reader,
        open_target(ends.target, loop, ends.target_saver) as writer,
    ):
        counts = Counts()
        job = Job(reader, writer, counts, _notifier(counts, reader.count(), progress), stop)
        names = reader.threads() if threads is None else _chosen(reader, threads)
        if not resume:
            names = _refuse_existing(job, list(names))
        is_known = reader.knows_paths and writer.source.knows_paths
        _run(job, names, workers if is_known else 1, verify)
        job.notify()
        return MigrationReport(
            threads=counts.threads,
            checkpoints=counts.checkpoints,
            writes=counts.writes,
            copied_checkpoints=counts.copied_checkpoints,
            copied_writes=counts.copied_writes,
            verified=counts.verified,
            differences=tuple(sorted(counts.differences)),
            source_bytes=reader.size(),
            target_bytes=writer.source.size(),
            unknown=reader.unknown,
            seconds=time.monotonic() - started,
        )


def _notifier(
    counts: Counts, total: int | None, progress: Callable[[MigrationProgress], None] | None
) -> Callable[[], None]:
    mutex = threading.Lock()

    def notify() -> None:
        if progress is not None:
            with mutex:
                progress(MigrationProgress(counts.threads, counts.checkpoints, total))

    return notify


def _chosen(reader: Source, threads: Iterable[str]) -> Iterator[str]:
    names = [*dict.fromkeys(map(str, threads))]
    for name in names:
        if reader.state(name) is None:
            raise ThreadNotFoundError("the source does not have the thread", thread_id=name)
    return iter(names)


def _refuse_existing(job: Job, names: list[str]) -> Iterator[str]:
    for name in names:
        if job.target.source.state(name) is not None:
            raise ThreadExistsError("the target has the thread already", thread_id=name)
    return iter(names)


def _run(job: Job, names: Iterator[str], workers: int, verify: bool) -> None:
    """Copy threads, several at a time. The first error stops all of them."""
    with ThreadPoolExecutor(workers, thread_name_prefix="migrate") as pool:
        running: set[Future[Any]] = set()
        try:
            for name in names:
                running.add(pool.submit(_copy, job, name, verify))
                if len(running) >= workers:
                    running = _finish(running)
            while running:
                running = _finish(running)
        except BaseException:
            job.stop.set()
            raise


def _finish(running: set[Future[Any]]) -> set[Future[Any]]:
    done, rest = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return rest


def _copy(job: Job, name: str, verify: bool) -> None:
    copy_thread(job, name)
    if verify:
        verify_thread(job, name)
    job.counts.add(threads=1)
