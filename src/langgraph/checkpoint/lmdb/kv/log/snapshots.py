"""Snapshots of a store with a log: the base and the log as of one moment."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, NamedTuple

from langgraph.checkpoint.lmdb.errors import DamagedError, StoreBusyError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Reader
from langgraph.checkpoint.lmdb.kv.lmdb.errors import reported
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.epoch import Epoch
from langgraph.checkpoint.lmdb.kv.log.process_log import ProcessLog
from langgraph.checkpoint.lmdb.kv.log.transactions import LogReader

_ATTEMPTS: Final = 1000
"""Attempts to read while other processes merge."""


class Snapshot:
    """The context of a snapshot.

    Args:
        base: The base store.
        log: The log in front of the base store.
    """

    __slots__ = ("_base", "_log", "_opened", "_reader")

    def __init__(self, base: KeyValueStore, log: ProcessLog) -> None:
        self._base = base
        self._log = log
        self._opened: AbstractContextManager[Reader] | None = None
        self._reader: LogReader | None = None

    def __enter__(self) -> LogReader:
        found: _Look | None = None
        for _ in range(_ATTEMPTS):
            self._opened = self._base.read()
            try:
                snapshot = self._opened.__enter__()
                found = _look(self._log, snapshot, found)
                if found.limit is not None:
                    self._reader = LogReader(snapshot, found.epoch, found.limit)
                    return self._reader
            finally:
                if self._reader is None:
                    self._opened.__exit__(None, None, None)
        raise StoreBusyError("other processes merge too often", path=self._log.folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._opened is not None
        assert self._reader is not None
        self._reader.close()
        self._opened.__exit__(kind, error, trace)


class _Look(NamedTuple):
    """The result of looking into the log, with a snapshot of the base."""

    epoch: Epoch
    """The epoch of the snapshot, with the records that were found."""
    limit: int | None = None
    """Number of the last record that the reader may see. None: the epoch may have ended before."""
    error: DamagedError | None = None
    """The error, unless the epoch had ended before."""


def _look(log: ProcessLog, snapshot: Reader, before: _Look | None) -> _Look:
    """Look into the log.

    Args:
        log: The log.
        snapshot: A snapshot of the base.
        before: The result with the snapshot before, which had no limit. If the epoch is the same
            now, it had not ended before.

    Raises:
        DamagedError: The log is missing, or records are damaged that were durable.
    """
    epoch = log.epoch(snapshot)
    if not epoch.state.size:
        return _Look(epoch, epoch.state.applied)
    if before is not None and before.epoch.record == epoch.record:
        if before.error is not None:
            raise before.error
        return before._replace(limit=before.epoch.position.number)
    with reported(log.folder, "reading the log"):
        if log.sync is None:  # only a process that writes knows how far the log is durable
            try:
                epoch.adopt(log.current_log(epoch))
            except DamagedError as error:
                return _Look(epoch, error=error)
            return _Look(epoch)
        limit = log.counters().durable
        if epoch.adopt(log.log(epoch), limit):
            return _Look(epoch, limit)
        return _Look(epoch, error=log_file.damaged(log.folder))
