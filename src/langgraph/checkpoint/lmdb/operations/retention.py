"""Retention: the `ttl` argument, `set_ttl`, and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import prune, threads
from langgraph.checkpoint.lmdb.engine import sweep as sweep_engine
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy
from langgraph.checkpoint.lmdb.engine.sweep import SweepCounts
from langgraph.checkpoint.lmdb.engine.time_index import NEVER, TimeIndexEntry
from langgraph.checkpoint.lmdb.errors import DamagedError, UsageError
from langgraph.checkpoint.lmdb.kv.buffering import BufferingWriter
from langgraph.checkpoint.lmdb.models import SweepReport, TTLConfig
from langgraph.checkpoint.lmdb.operations.session import Operation, Operations, Session, simple

_MS_PER_MINUTE = 60_000
_MAX_MINUTES = 1_000 * 365 * 24 * 60
"""Minutes of a thousand years."""
_MAX_BATCH = 64
"""Entries of the time index that one transaction of a sweep handles at most."""
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_SECONDS = 1e12
"""Seconds since the epoch that no `datetime` reaches."""


def parse_ttl(ttl: Mapping[str, Any] | None) -> RetentionPolicy:
    """Return the policy that a `ttl` argument describes.

    Raises:
        UsageError: The argument has an unknown key or an invalid value.
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
        ttl=_milliseconds(ttl, "default_ttl"),
        delete_expired=strategy == "delete",
        keep_last=keep_last,
        max_age=_milliseconds(ttl, "max_history_age"),
        refresh_on_read=refresh,
        sweep_interval=_milliseconds(ttl, "sweep_interval_minutes"),
    )


def _milliseconds(ttl: Mapping[str, Any], name: str) -> int | None:
    minutes = ttl.get(name)
    return None if minutes is None else minutes_to_ms(minutes, name)


def minutes_to_ms(minutes: Any, name: str) -> int:
    """Convert minutes to milliseconds, at least one.

    Args:
        minutes: The minutes.
        name: Name of the argument, for errors.

    Raises:
        UsageError: The value is not a number of minutes above 0 and below a thousand years.
    """
    is_number = isinstance(minutes, (int, float)) and not isinstance(minutes, bool)
    if not is_number or not 0 < minutes <= _MAX_MINUTES:  # NaN fails the comparison
        raise UsageError(
            f"{name} must be minutes above 0 and below a thousand years, or None, "
            f"got {validation.shown(minutes)}",
            advice=f"Pass {name}=60, for example, or {name}=None for no limit.",
        )
    ms: int = max(1, round(float(minutes) * _MS_PER_MINUTE))
    return ms


def to_epoch_ms(moment: Any, name: str) -> int:
    """Convert a time to milliseconds since the epoch, at least 0.

    Args:
        moment: Seconds since the epoch, or a timezone-aware datetime.
        name: Name of the argument, for errors.

    Raises:
        UsageError: The value is not a time.
    """
    if isinstance(moment, datetime) and moment.utcoffset() is not None:
        return max(0, (moment - _EPOCH) // _MILLISECOND)
    is_number = isinstance(moment, (int, float)) and not isinstance(moment, bool)
    if not is_number or not -_MAX_SECONDS <= moment <= _MAX_SECONDS:  # NaN fails the comparison
        raise UsageError(
            f"{name} must be seconds since the epoch or a timezone-aware datetime, "
            f"got {validation.shown(moment)}",
            advice="Pass time.time() or datetime.now(timezone.utc), for example.",
        )
    # Round to microseconds before the division: 1.001 * 1000 is 1000.9999999999999.
    ms: int = max(0, round(moment * 1_000_000) // 1000)
    return ms


def set_ttl(session: Session, thread_id: object, minutes: float | None) -> Operation[None, None]:
    """Give a thread its own TTL. None: the thread never expires."""
    ttl = NEVER if minutes is None else minutes_to_ms(minutes, "minutes")
    name = validation.text(thread_id, "thread_id")
    return simple(
        lambda writer: threads.set_ttl(writer, name, ttl, session.options), thread_id=name
    )


def sweep(
    session: Session, now: datetime | float | None, limit: int | None, dry_run: bool
) -> Operations[SweepReport]:
    """Delete expired threads and old history, one operation per batch of threads.

    A batch with a damaged thread is repeated thread by thread, and the damaged thread is skipped.
    """
    limit = validation.optional_count(limit, "limit", "threads")
    validation.flag(dry_run, "dry_run")
    now_ms = session.options.now() if now is None else to_epoch_ms(now, "now")
    total = sweep_engine.SweepCounts()
    damaged = 0
    detached: set[int] = set()
    after: TimeIndexEntry | None = None
    one_by_one = False
    while limit is None or total.threads < limit:
        count = _MAX_BATCH if limit is None else min(_MAX_BATCH, limit - total.threads)
        entries = _due(session, now_ms, after, 1 if one_by_one else count)
        if not entries:
            break
        try:
            if dry_run:
                swept = _rehearse(session, entries, now_ms, detached)
            else:
                swept = yield _sweep_entries(session, entries, now_ms)
        except DamagedError:
            if one_by_one:
                damaged += 1
                after = entries[0]
            one_by_one = not one_by_one
            continue
        one_by_one = False
        after = entries[swept.entries - 1]
        total.add(swept)
    if not dry_run:
        damaged += yield from purge_deleted(session)
    return SweepReport(
        threads=total.threads,
        checkpoints=total.checkpoints,
        writes=total.writes,
        bytes=total.bytes,
        damaged=damaged,
        dry_run=dry_run,
    )


def _due(
    session: Session, now: int, after: TimeIndexEntry | None, count: int
) -> list[TimeIndexEntry]:
    with session.snapshot() as snapshot:
        return [*islice(sweep_engine.due(snapshot.reader, session.options, now, after), count)]


def _rehearse(
    session: Session, entries: list[TimeIndexEntry], now: int, detached: set[int]
) -> SweepCounts:
    with session.snapshot() as snapshot:
        writer = BufferingWriter(snapshot.reader)
        return sweep_engine.sweep(writer, session.options, entries, now, detached)


def _sweep_entries(
    session: Session, entries: list[TimeIndexEntry], now: int
) -> Operation[SweepCounts, SweepCounts]:
    return simple(lambda writer: sweep_engine.sweep(writer, session.options, entries, now))


def purge_deleted(session: Session) -> Operations[int]:
    """Remove the remaining records of all deleted threads, one operation per batch of records.

    Returns:
        The number of threads that were not purged because records of them are damaged.
    """
    damaged = after = 0
    while True:
        with session.snapshot() as snapshot:
            number = prune.next_deleted(snapshot.reader, after)
        if number is None:
            return damaged
        try:
            yield _purge(number)
        except DamagedError:
            damaged += 1
            after = number


def _purge(number: int) -> Operation[int | None, int | None]:
    return simple(lambda writer: prune.purge(writer, number))
