"""For how long things are kept: the `ttl` argument, and sweeping by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from langgraph.checkpoint.lmdb.engine import sweep as engine
from langgraph.checkpoint.lmdb.engine.retention import Retention
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


class Policy(NamedTuple):
    """What a `TTLConfig` comes to."""

    retention: Retention
    refresh_on_read: bool
    interval: int | None
    """Milliseconds between sweeps in the background."""


def policy(ttl: Mapping[str, Any] | None) -> Policy:
    """Read the `ttl` argument.

    Raises:
        UsageError: There is something in it that is unknown or cannot be meant.
    """
    if ttl is None:
        return Policy(Retention(), False, None)
    names = TTLConfig.__annotations__
    if not isinstance(ttl, Mapping):
        raise UsageError(
            f"ttl={ttl!r}", advice=f'Use a dict, such as {{"default_ttl": 60}}: {", ".join(names)}.'
        )
    unknown = [key for key in ttl if key not in names]
    if unknown:
        raise UsageError(f"ttl has no {unknown[0]!r}", advice=f"It may have {', '.join(names)}.")
    strategy = ttl.get("strategy", "delete")
    if strategy not in ("delete", "keep_latest"):
        raise UsageError(
            f"unknown ttl strategy {strategy!r}", advice="Use 'delete' or 'keep_latest'."
        )
    keep_last = ttl.get("keep_last")
    if keep_last is not None and (type(keep_last) is not int or keep_last < 1):
        raise UsageError(f"keep_last={keep_last!r}", advice="Use a whole number above 0, or None.")
    refresh = ttl.get("refresh_on_read", False)
    if not isinstance(refresh, bool):
        raise UsageError(f"refresh_on_read={refresh!r}", advice="Use True or False.")
    retention = Retention(
        ttl=_minutes(ttl, "default_ttl"),
        deletes=strategy == "delete",
        keep_last=keep_last,
        max_age=_minutes(ttl, "max_history_age"),
    )
    return Policy(retention, refresh, _minutes(ttl, "sweep_interval_minutes"))


def _minutes(ttl: Mapping[str, Any], name: str) -> int | None:
    value = ttl.get(name)
    return None if value is None else milliseconds(value, name)


def milliseconds(minutes: Any, name: str) -> int:
    """Minutes in milliseconds, at least one.

    Raises:
        UsageError: It is not a number above 0, or one that cannot be meant.
    """
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)):
        raise UsageError(f"{name}={minutes!r}", advice="Use a number of minutes, or None.")
    if not 0 < minutes <= _LONGEST:  # nor is NaN
        raise UsageError(
            f"{name}={minutes!r}",
            advice="Use minutes above 0 and below a thousand years; None means for ever.",
        )
    return max(1, round(minutes * _MS_PER_MINUTE))


def set_ttl(session: Session, thread_id: object, minutes: float | None) -> Operation[None, None]:
    """Give a thread a time to live of its own."""
    ttl = NEVER if minutes is None else milliseconds(minutes, "minutes")
    return simple(session.housekeeping.set_ttl(str(thread_id), ttl))


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


def to_epoch_ms(moment: datetime | float) -> int:
    """A moment in milliseconds since the epoch.

    Args:
        moment: Seconds since the epoch, or a datetime with a time zone.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise UsageError(
                f"{moment!r} has no time zone", advice="Use datetime.now(timezone.utc), say."
            )
        return max(0, (moment - _EPOCH) // _MILLISECOND)
    if isinstance(moment, bool) or not isinstance(moment, (int, float)):
        raise UsageError(
            f"{moment!r} is no moment", advice="Use seconds since the epoch, or a datetime."
        )
    if not -_LAST_SECOND <= moment <= _LAST_SECOND:  # nor is NaN
        raise UsageError(f"{moment!r} is no moment", advice="Use seconds since the epoch.")
    return max(0, round(moment * 1_000_000) // 1000)  # a fraction may be a hair too small


def sweep(
    session: Session, now: datetime | float | None, limit: int | None, dry_run: bool
) -> Operations[SweepReport]:
    """Remove what is past its time; an operation for some threads each."""
    if limit is not None and (type(limit) is not int or limit < 0):
        raise UsageError(f"limit={limit!r}", advice="Use a whole number of threads, or None.")
    return _sweep(
        session, session.store.options.now() if now is None else to_epoch_ms(now), limit, dry_run
    )


def _sweep(session: Session, now: int, limit: int | None, dry_run: bool) -> Operations[SweepReport]:
    total = engine.SweepCounts()
    damaged = 0
    after: TimeIndexEntry | None = None
    alone = False
    while limit is None or total.threads < limit:
        count = _ENTRIES_AT_ONCE if limit is None else min(_ENTRIES_AT_ONCE, limit - total.threads)
        with session.snapshot() as snapshot:
            due = snapshot.due(session.store.options, now, after)
            entries = list(islice(due, 1 if alone else count))
        if not entries:
            break
        try:
            swept = yield simple(session.housekeeping.sweep(entries, now, dry_run))
        except engine.Rollback as result:
            swept = result.swept
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
        with session.snapshot() as snapshot:
            number = snapshot.next_tombstone(behind)
        if number is None:
            return damaged
        try:
            yield simple(session.housekeeping.purge(number))
        except DamagedError:
            damaged += 1
            behind = number
