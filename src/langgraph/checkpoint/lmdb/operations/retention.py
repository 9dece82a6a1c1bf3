"""For how long things are kept: the `ttl` argument, and sweeping by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import prune, threads
from langgraph.checkpoint.lmdb.engine import sweep as sweep_engine
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy
from langgraph.checkpoint.lmdb.engine.time_index import NEVER
from langgraph.checkpoint.lmdb.errors import DamagedError, UsageError
from langgraph.checkpoint.lmdb.operations.session import simple

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.engine.time_index import TimeIndexEntry
    from langgraph.checkpoint.lmdb.operations.session import Operation, Operations, Session

_MS_PER_MINUTE = 60_000
_LONGEST = 1_000 * 365 * 24 * 60
"""Minutes of a thousand years: whoever means more means for ever."""
_ENTRIES_AT_ONCE = 64
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_LAST_SECOND = 1e12
"""Any moment that a datetime can be is well before."""


class TTLConfig(TypedDict, total=False):
    """For how long a store keeps what. Times are in minutes; fractions are allowed."""

    default_ttl: float | None
    """From a thread's last activity on; None: for ever."""
    strategy: Literal["delete", "keep_latest"]
    """Whether an idle thread goes as a whole ("delete", unless told), or keeps its latest
    checkpoints and what they need."""
    refresh_on_read: bool
    """Whether reading a thread's latest checkpoint counts as activity."""
    sweep_interval_minutes: float | None
    """How often to sweep in the background; None: only `sweep()` does it."""
    keep_last: int | None
    """How many checkpoints a namespace of a thread keeps."""
    max_history_age: float | None
    """For how long a checkpoint is kept that is not the latest of its namespace."""


def parse_ttl(ttl: Mapping[str, Any] | None) -> RetentionPolicy:
    """Return the policy that a `ttl` argument describes.

    Raises:
        UsageError: There is something in it that is unknown or cannot be meant.
    """
    if ttl is None:
        return RetentionPolicy()
    names = tuple(TTLConfig.__annotations__)
    if not isinstance(ttl, Mapping):
        validation.refuse("ttl", f"None or a dict with some of {', '.join(names)}", ttl)
    for key in ttl:
        if not isinstance(key, str) or key not in names:
            validation.refuse("each key of ttl", f"one of {', '.join(names)}", key)
    strategy = ttl.get("strategy", "delete")
    validation.choice(strategy, 'ttl["strategy"]', ("delete", "keep_latest"))
    keep_last = validation.optional_count(
        ttl.get("keep_last"), 'ttl["keep_last"]', "checkpoints", least=1
    )
    refresh = validation.flag(ttl.get("refresh_on_read", False), 'ttl["refresh_on_read"]')
    return RetentionPolicy(
        ttl=_minutes(ttl, "default_ttl"),
        delete_expired=strategy == "delete",
        keep_last=keep_last,
        max_age=_minutes(ttl, "max_history_age"),
        refresh_on_read=refresh,
        sweep_interval=_minutes(ttl, "sweep_interval_minutes"),
    )


def _minutes(ttl: Mapping[str, Any], name: str) -> int | None:
    value = ttl.get(name)
    return None if value is None else milliseconds(value, name)


def milliseconds(minutes: Any, name: str) -> int:
    """Minutes in milliseconds, at least one.

    Raises:
        UsageError: It is not a number above 0, or one that cannot be meant.
    """
    is_number = isinstance(minutes, (int, float)) and not isinstance(minutes, bool)
    if not is_number or not 0 < minutes <= _LONGEST:  # nor is NaN
        raise UsageError(
            f"{name} must be a number of minutes above 0, below a thousand years, "
            f"got {validation.shown(minutes)}",
            advice="Pass None to keep for ever.",
        )
    return max(1, round(float(minutes) * _MS_PER_MINUTE))


def set_ttl(session: Session, thread_id: object, minutes: float | None) -> Operation[None, None]:
    """Give a thread a time to live of its own."""
    ttl = NEVER if minutes is None else milliseconds(minutes, "minutes")
    name = validation.text(thread_id, "thread_id")
    return simple(lambda writer: threads.set_ttl(writer, name, ttl, session.options))


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep removed, or would have removed."""

    threads: int = 0
    """Threads that went, or that lost a part of their history."""
    checkpoints: int = 0
    writes: int = 0
    """Pending writes."""
    bytes: int = 0
    """Of records and values, as `stats()` and `threads()` count them."""
    damaged: int = 0
    """Threads that could not be swept since records of them are damaged."""
    dry_run: bool = False
    """Whether nothing was removed in fact."""


def to_epoch_ms(moment: Any, name: str) -> int:
    """A moment in milliseconds since the epoch.

    Args:
        moment: Seconds since the epoch, or a datetime with a time zone.
        name: The argument that it is.

    Raises:
        UsageError: It is neither, or out of the bounds of a datetime.
    """
    if isinstance(moment, datetime) and moment.utcoffset() is not None:
        return max(0, (moment - _EPOCH) // _MILLISECOND)
    is_number = isinstance(moment, (int, float)) and not isinstance(moment, bool)
    if is_number and -_LAST_SECOND <= moment <= _LAST_SECOND:  # nor is NaN
        since_epoch: int = round(moment * 1_000_000) // 1000  # a fraction may be a hair too small
        return max(0, since_epoch)
    return validation.refuse(
        name, "seconds since the epoch, or a datetime with a time zone", moment
    )


def sweep(
    session: Session, now: datetime | float | None, limit: int | None, dry_run: bool
) -> Operations[SweepReport]:
    """Remove what is past its time; an operation for some threads each."""
    limit = validation.optional_count(limit, "limit", "threads")
    validation.flag(dry_run, "dry_run")
    moment = session.options.now() if now is None else to_epoch_ms(now, "now")
    return _sweep(session, moment, limit, dry_run)


def _sweep(session: Session, now: int, limit: int | None, dry_run: bool) -> Operations[SweepReport]:
    total = sweep_engine.SweepCounts()
    damaged = 0
    after: TimeIndexEntry | None = None
    alone = False
    while limit is None or total.threads < limit:
        count = _ENTRIES_AT_ONCE if limit is None else min(_ENTRIES_AT_ONCE, limit - total.threads)
        with session.store.snapshot() as snapshot:
            due = sweep_engine.due(snapshot.reader, session.options, now, after)
            entries = list(islice(due, 1 if alone else count))
        if not entries:
            break
        try:
            swept = yield simple(
                partial(
                    sweep_engine.sweep,
                    options=session.options,
                    entries=entries,
                    now=now,
                    dry_run=dry_run,
                )
            )
        except sweep_engine.Rollback as result:
            swept = result.counts
        except DamagedError:
            if alone:  # the one thread that cannot be swept; the next ones can
                damaged += 1
                after = entries[0]
            alone = not alone
            continue
        alone = False
        after = entries[swept.entries - 1]
        total.threads += swept.threads
        total.checkpoints += swept.checkpoints
        total.writes += swept.writes
        total.bytes += swept.bytes
    if not dry_run:
        damaged += yield from purge_deleted(session)
    return SweepReport(
        total.threads, total.checkpoints, total.writes, total.bytes, damaged, dry_run
    )


def purge_deleted(session: Session) -> Operations[int]:
    """Go on with threads that are out of sight and not gone: that was cut short, or put off.

    Returns:
        How many cannot be erased since records of them are damaged.
    """
    behind = damaged = 0
    while True:
        with session.store.snapshot() as snapshot:
            number = sweep_engine.next_tombstone(snapshot.reader, behind)
        if number is None:
            return damaged
        try:
            yield simple(partial(prune.purge, number=number))
        except DamagedError:
            damaged += 1
            behind = number
