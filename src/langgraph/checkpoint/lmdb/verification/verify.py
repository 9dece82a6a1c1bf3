"""Verification: every record is readable, reachable, and counted.

Each thread is checked in its own snapshot; of a store on another machine, a few threads are checked
in one. Each index is checked in snapshots of some thousand entries. So no reader is open for long,
and concurrent writers cause no false problems, because all records that are compared come from one
snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from langgraph.checkpoint.lmdb.engine import counts, leases, threads
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, PageCheck, Progress, Reader
from langgraph.checkpoint.lmdb.models import Problem, VerifyReport
from langgraph.checkpoint.lmdb.verification import index_check, key_scan, kinds
from langgraph.checkpoint.lmdb.verification.consistency import check_thread
from langgraph.checkpoint.lmdb.verification.parts import Part, parts_of
from langgraph.checkpoint.lmdb.verification.thread_check import ThreadCheck

_PAGE = 16
"""Threads that are checked in one snapshot of a store on another machine."""


def verify(
    kv: KeyValueStore, options: StoreOptions, progress: Progress | None = None
) -> VerifyReport:
    """Check a store.

    If LMDB's own pages are damaged, no records are read, because LMDB may crash the process.

    Args:
        kv: The store.
        options: The options of the store.
        progress: Function that is called with the number of checked threads and of all threads.
    """
    if kv.files is None:
        pages = PageCheck(skipped_reason="this kind of store has no pages")
    else:
        pages = kv.files.check_pages()
    if pages.problems:
        return VerifyReport(
            tuple(Problem(kinds.PAGES, problem) for problem in pages.problems),
            pages_unchecked=pages.skipped_reason,
            records_unchecked="LMDB may crash when it reads the damaged pages",
        )
    problems: list[Problem] = []
    checked: Counter[str] = Counter()
    failure = None
    try:
        _check_parts(kv, options, progress, problems, checked)
    except IntegrityError as error:
        record = getattr(error, "record", None)
        problems.append(Problem(kinds.PAGES, error.message, record=record))
        failure = "LMDB failed to read records"
    return VerifyReport(
        tuple(problems), dict(checked), pages.skipped_reason, records_unchecked=failure
    )


def _check_parts(
    kv: KeyValueStore,
    options: StoreOptions,
    progress: Progress | None,
    problems: list[Problem],
    checked: Counter[str],
) -> None:
    """Check threads and tasks; add to `problems` and `checked`."""
    parts = [(part, key_scan.thread_numbers(part.kv)) for part in parts_of(kv, options)]
    total = sum(len(numbers) for _, numbers in parts)
    done = 0

    def begin_next() -> None:
        nonlocal done
        if progress is not None:
            progress(done, total)
        done += 1

    for part, numbers in parts:
        found: list[Problem] = []
        count: Counter[str] = Counter()
        try:
            _check_records(part, numbers, begin_next, found, count)
        finally:
            problems += map(part.describe, found)
            checked.update(part.names(count))
    begin_next()


def _check_records(
    part: Part,
    numbers: list[int],
    begin_next: Callable[[], None],
    problems: list[Problem],
    checked: Counter[str],
) -> None:
    """Check threads, indexes and the store's own records; add to `problems` and `checked`."""
    kv = part.kv
    for check in _check_threads(part, numbers):
        begin_next()
        problems += check.problems
        checked["threads"] += check.live and not check.is_layer
        checked["checkpoints"] += len(check.checkpoints)
        checked["writes"] += check.writes
        checked["chunks"] += check.chunks.chunks_read
    for index in index_check.STORE_INDEXES:
        stale, count = index.find_stale(kv)
        checked["entries"] += count
        problems += [
            Problem(kinds.STALE_INDEX, index.stale_message, record=key.hex()) for key in stale
        ]
    with kv.read() as reader:
        problems += [
            Problem(kinds.UNKNOWN, "unknown record kind", record=key.hex())
            for key in key_scan.unknown_keys(reader)
        ]
        problems += _check_store_records(reader)


def _check_threads(part: Part, numbers: list[int]) -> Iterator[ThreadCheck]:
    """Check threads. The reads of a page of them share their trips to another machine."""
    kv, state_of = part.kv, part.options.state_of
    size = _PAGE if kv.is_remote else 1
    for first in range(0, len(numbers), size):
        with kv.read() as reader:
            page = numbers[first : first + size]
            found = [
                *reader.gather(partial(check_thread, reader, number, state_of) for number in page)
            ]
        yield from found


def _check_store_records(reader: Reader) -> list[Problem]:
    """Return the problems of the format, the counts, the thread counter and the sweep lease."""
    total, last, complete = key_scan.totals(reader)
    kept = not reader.many_writers

    def check_format() -> None:
        envelope.decode(keys.FORMAT, envelope.unseal(keys.FORMAT, reader.get(keys.FORMAT) or b""))

    def check_counts() -> str | None:
        recorded = counts.read(reader)
        if recorded == total or not complete or not kept:
            return None
        return f"the store's counts must be {total}, but are {recorded}"

    def check_next_thread() -> str | None:
        if kept and last and reader.raw(keys.NEXT_THREAD) is None:
            return "the counter of thread numbers is missing"
        if not kept or threads.next_number(reader) > last:
            return None
        return f"the counter of thread numbers is too low for thread {last}"

    def check_lease() -> None:
        leases.read(reader)

    checks: list[tuple[bytes, Callable[[], str | None]]] = [
        (keys.FORMAT, check_format),
        (keys.COUNTS, check_counts),
        (keys.NEXT_THREAD, check_next_thread),
        (keys.SWEEP_LEASE, check_lease),
    ]
    found: list[Problem] = []
    for key, check in checks:
        try:
            message, kind = check(), kinds.WRONG_COUNT
        except FormatVersionError as error:
            message, kind = error.message, kinds.NEWER
        except IntegrityError as error:
            message, kind = error.message, kinds.DAMAGED
        if message is not None:
            found.append(Problem(kind, message, record=key.hex()))
    return found
