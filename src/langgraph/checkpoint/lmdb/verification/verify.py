"""Checks that all that is stored is as it was stored, reachable, and counted.

A thread is checked in a snapshot of its own, indexes in snapshots of some thousand entries: no
reader stays open for long, and what others write meanwhile raises no false alarm, since all that is
compared comes from one snapshot.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import counts, garbage, leases, threads, time_index
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import ChunkSet
from langgraph.checkpoint.lmdb.models import Problem, VerifyReport
from langgraph.checkpoint.lmdb.verification import index_check, key_scan, kinds
from langgraph.checkpoint.lmdb.verification.thread_check import ThreadCheck

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress, Reader


def verify(kv: KeyValueStore, progress: Progress | None = None) -> VerifyReport:
    """Check a store.

    Where LMDB's own pages are damaged, records are not looked at: LMDB may end the process.

    Args:
        kv: The store.
        progress: Called now and then with how many threads were checked, and how many there are.
    """
    pages = kv.check_pages()
    if pages.problems:
        return VerifyReport(
            tuple(Problem(kinds.PAGES, problem) for problem in pages.problems),
            pages_unchecked=pages.skipped_reason,
            records_unchecked="LMDB might not survive reading these pages",
        )
    check = _Check(kv, progress)
    failure = None
    try:
        check.run()
    except IntegrityError as error:
        check.problems.append(Problem(kinds.PAGES, error.message, record=_record(error)))
        failure = "LMDB failed while they were read"
    return VerifyReport(
        tuple(check.problems), dict(check.checked), pages.skipped_reason, records_unchecked=failure
    )


def _record(error: IntegrityError) -> str | None:
    found: str | None = getattr(error, "record", None)
    return found


class _Check:
    def __init__(self, kv: KeyValueStore, progress: Progress | None) -> None:
        self.kv = kv
        self.progress = progress
        self.problems: list[Problem] = []
        self.checked: Counter[str] = Counter()

    def run(self) -> None:
        numbers = key_scan.thread_numbers(self.kv)
        for done, number in enumerate(numbers):
            if self.progress is not None:
                self.progress(done, len(numbers))
            with self.kv.read() as reader:
                inspection = inspect(reader, number)
            self.problems += inspection.problems
            self.checked["threads"] += inspection.live
            self.checked["checkpoints"] += len(inspection.checkpoints)
            self.checked["writes"] += inspection.writes
            self.checked["chunks"] += inspection.chunks.seen
        for letter, (message, is_stale) in index_check.STORE_WIDE.items():
            self._index(letter, message, is_stale)
        self._foreign()
        with self.kv.read() as reader:
            self.problems += of_store(reader)
        if self.progress is not None:
            self.progress(len(numbers), len(numbers))

    def _index(
        self, letter: bytes, message: str, is_stale: Callable[[Reader, bytes], bool]
    ) -> None:
        def look(reader: Reader, key: bytes) -> None:
            self.checked["entries"] += 1
            if is_stale(reader, key):
                self.problems.append(Problem(kinds.STALE_INDEX, message, record=key.hex()))

        key_scan.scan_keys(self.kv, letter, keys.prefix_end(letter), look)

    def _foreign(self) -> None:
        with self.kv.read() as reader:
            for key in key_scan.unknown_keys(reader):
                text = "a record of a kind that there is not"
                self.problems.append(Problem(kinds.UNKNOWN, text, record=key.hex()))


def of_store(reader: Reader) -> list[Problem]:
    """Problems of the records that the store has of itself."""
    found: list[Problem] = []

    def attempt(key: bytes, check: Callable[[], str | None]) -> None:
        try:
            message = check()
        except FormatVersionError as error:
            found.append(Problem(kinds.NEWER, error.message, record=key.hex()))
        except IntegrityError as error:
            found.append(Problem(kinds.DAMAGED, error.message, record=key.hex()))
        else:
            if message is not None:
                found.append(Problem(kinds.WRONG_COUNT, message, record=key.hex()))

    total, last, whole = key_scan.totals(reader)

    def check_format() -> None:
        envelope.decode(keys.FORMAT, envelope.unseal(keys.FORMAT, reader.get(keys.FORMAT) or b""))

    def check_counts() -> str | None:
        noted = counts.read(reader)
        same = noted == total or not whole
        return None if same else f"the counts are {noted}, there are {total}"

    def check_next() -> str | None:
        upcoming = threads.next_number(reader)
        return None if upcoming > last else f"thread {last} has a number that comes next"

    attempt(keys.FORMAT, check_format)
    attempt(keys.COUNTS, check_counts)
    attempt(keys.NEXT_THREAD, check_next)

    def check_lease() -> None:
        leases.read(reader)

    attempt(keys.SWEEP_LEASE, check_lease)
    return found


def inspect(reader: Reader, number: int) -> ThreadCheck:
    """Check all that is stored of a thread, and what other threads share with it."""
    found = ThreadCheck(reader, number)
    found.run()
    _children(found)
    pinned = _pins(found)
    being_deleted = reader.raw(keys.tombstone(number)) is not None
    if being_deleted:
        _check_detached(found, keys.tombstone(number))
    elif found.live:
        if found.thread is not None and not found.has_unreadable:
            _check_thread(found, found.thread)
    elif found.checkpoints or found.used or found.names or found.unnamed_namespaces:
        found.problem(kinds.ORPHAN, "records of a thread that has no record itself")
    if not found.has_unreadable:
        _check_chunks(found, pinned, being_deleted=being_deleted)
    return found


def _children(found: ThreadCheck) -> None:
    prefix = keys.of_thread(b"k", found.number)
    for key in found.reader.keys(prefix, keys.prefix_end(prefix)):
        found.entries += 1
        try:
            namespace, at = keys.read_number(key, len(prefix))
            stale = found.reader.get(key) != b""
        except IntegrityError:
            stale = True
        else:
            place = namespace, key[at + keys.HASH_SIZE :]
            seen = found.checkpoints.get(place)
            if seen is None and place[1]:
                found.gone.add(place)
            stale = stale or seen is None
            if seen is not None and seen.readable:
                mark = key[at : at + keys.HASH_SIZE]
                stale = stale or seen.parent is None or keys.hash64(seen.parent) != mark
        if stale:
            text = "the index of children leads to a checkpoint with another parent, or to none"
            found.problem(kinds.STALE_INDEX, text, key)


def _pins(found: ThreadCheck) -> ChunkSet | None:
    """What other threads need of this one's chunks; None if that cannot be read."""
    reader, prefix = found.reader, keys.shared_refs(found.number)
    pinned, whole = ChunkSet(), True
    for key in reader.keys(prefix, keys.prefix_end(prefix)):
        try:
            user, end = keys.read_number(key, len(prefix))
            pinned.add(garbage.load_ranges(key, reader.get(key) or b""))
        except IntegrityError as error:
            found.note(error, "what another thread needs of this one cannot be read", key)
            whole = False
            continue
        if end == len(key) and not _uses(reader, user, found.number):
            text = "chunks are kept for a thread that does not use them"
            found.problem(kinds.SHARED_REFS_MISMATCH, text, key)
    return pinned if whole else None


def _uses(reader: Reader, user: int, owner: int) -> bool:
    """Whether a thread says that it uses chunks of another one, or cannot be asked."""
    for key in (keys.thread_number(user), keys.tombstone(user)):
        try:
            record = reader.get(key)
            if record is not None:
                return owner in threads.decode(key, record).owners
        except IntegrityError:
            return True
    return False


def _check_detached(found: ThreadCheck, key: bytes) -> None:
    try:
        threads.decode(key, found.reader.get(key) or b"")
    except IntegrityError as error:
        found.note(error, "the record of a deleted thread cannot be read", key)
    if found.live:
        found.problem(kinds.SHARED_REFS_MISMATCH, "a thread is deleted, and is not", key)


def _check_thread(found: ThreadCheck, thread: Thread) -> None:
    """Compare the record of a thread with what the thread holds."""
    number = thread.number
    key = keys.thread_number(number)

    def count(what: str, noted: object, there: object) -> None:
        if noted != there:
            text = f"the thread's record has {noted} for its {what}, it is {there}"
            found.problem(kinds.WRONG_COUNT, text, key)

    count("checkpoints", thread.checkpoints, len(found.checkpoints))
    count("pending writes", thread.writes, found.writes)
    count("bytes", thread.size, found.total_size())
    count("oldest checkpoint", thread.oldest, found.oldest())
    owners = found.needed.owners() - {number}
    count("shared chunks", thread.owners, sorted(owners))
    if not 0 <= thread.updated - thread.indexed_at < time_index.INDEX_LAG_MS:
        found.problem(kinds.WRONG_COUNT, "the time that the agenda has is not near", key)
    if not all(segment < thread.next_segment for segment in found.chunks.numbers(number)):
        found.problem(kinds.WRONG_COUNT, "the number of an arena will be given again", key)
    _check_names(found, thread, key)
    name = keys.thread(thread.id)
    found.entry(name)
    if found.reader.raw(name) is not None and index_check.is_stale_name(found.reader, name):
        found.problem(kinds.MISSING_INDEX, "the thread's id leads to another one", key)
    for entry in index_check.of_thread(thread):
        found.entry(entry)
    for owner in owners:
        pin = keys.shared_ref(owner, number)
        try:
            record = found.reader.get(pin)
            ranges = [] if record is None else garbage.load_ranges(pin, record)
        except IntegrityError:
            continue  # told where the owner is checked
        noted = ChunkSet()
        noted.add(ranges)
        if noted.ranges() != found.needed.ranges(owner):
            text = "what is kept for this thread of another one's chunks is not what it needs"
            found.problem(kinds.SHARED_REFS_MISMATCH, text, pin)


def _check_names(found: ThreadCheck, thread: Thread, key: bytes) -> None:
    if found.names.get(threads.ROOT) != "":
        found.problem(kinds.MISSING, "the thread has no root namespace", key)
    for number in sorted(found.used - found.names.keys()):
        found.problem(kinds.MISSING, f"namespace {number} has lost its name", key)
    if not found.used:
        found.problem(kinds.ORPHAN, "a thread without checkpoints and writes", key)
    for number, name in sorted(found.names.items()):
        if number not in found.used and number != threads.ROOT:
            where = keys.namespace(thread.number, name)
            found.problem(kinds.ORPHAN, "a namespace without checkpoints and writes", where)
        if number >= thread.next_namespace:
            found.problem(kinds.WRONG_COUNT, f"namespace number {number} comes next", key)


def _check_chunks(found: ThreadCheck, pinned: ChunkSet | None, *, being_deleted: bool) -> None:
    number, key = found.number, keys.orphaned_chunks(found.number)
    left, readable = ChunkSet(), True
    try:
        record = found.reader.get(key)
        left.add([] if record is None else garbage.load_ranges(key, record))
    except IntegrityError as error:
        found.note(error, "what only other threads need cannot be read", key)
        readable = False
    if pinned is None or being_deleted:
        return
    needed = ChunkSet()
    needed.add(found.needed.ranges(number))
    if readable and left.ranges() != pinned.minus(needed).ranges(number):
        text = "what is noted to be needed by other threads only is something else"
        found.problem(kinds.SHARED_REFS_MISMATCH, text, key)
    needed.add(pinned.ranges(number))
    for chunk_range in found.chunks.stored(number).minus(needed).ranges():
        text = f"{chunk_range.length} chunks from here are needed by nothing"
        first = keys.segment(number, chunk_range.segment) + keys.number(chunk_range.start)
        found.problem(kinds.ORPHAN, text, first)
