"""The log of one store in one process: its files, and the epoch that was seen last."""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakSet, WeakValueDictionary

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv import forking
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync
from langgraph.checkpoint.lmdb.kv.locks import Lock
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log import state as states
from langgraph.checkpoint.lmdb.kv.log.counters import Counters
from langgraph.checkpoint.lmdb.kv.log.epoch import Epoch
from langgraph.checkpoint.lmdb.kv.log.log_file import LogFile


class ProcessLog:
    """The files and the epoch that all writing stores of a process on one folder share.

    A store that only reads has an object of its own: it adopts records that are not durable.

    Args:
        folder: The store's folder.

    Attributes:
        writing: Lock of the thread that writes; it takes the turn among processes after that.
        sync: How the users flush; None: they only read.
        users: The open stores that write.
    """

    def __init__(self, folder: str, sync: Sync | None) -> None:
        self.folder = folder
        self.sync = sync
        self.users: WeakSet[object] = WeakSet()
        self._counters: Counters | None = None
        self._log: LogFile | None = None
        self._epoch: Epoch | None = None
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start in a forked child, which opens the files again."""
        self.writing = Lock()
        self._lock = Lock()
        self.close()

    def counters(self) -> Counters:
        """Return the counters, open."""
        if self._counters is None:
            with self._lock:
                if self._counters is None:
                    self._counters = Counters(self.folder)
        return self._counters

    def log(self, epoch: Epoch) -> LogFile:
        """Return the file of the log of an epoch, open."""
        if self._log is None:
            with self._lock:
                if self._log is None:
                    readonly = self.sync is None
                    self._log = LogFile(self.folder, epoch.state.size, readonly=readonly)
        return self._log

    def current_log(self, epoch: Epoch) -> LogFile:
        """Return the file of the log of an epoch, opened again if it was replaced."""
        log = self.log(epoch)
        if not log.is_at_path():
            with self._lock:
                self._log = None  # other threads may still read it
            log = self.log(epoch)
        return log

    def create_log(self) -> int:
        """Create the file of the log if it is missing; called in the turn. Return its size."""
        if self._log is not None:
            self._log.check()
        return log_file.create(self.folder)

    def epoch(self, snapshot: Reader) -> Epoch:
        """Return the epoch of a snapshot of the base."""
        record = states.read(snapshot)
        epoch = self._epoch
        if epoch is None or epoch.record != record:
            epoch = Epoch(record)
            with self._lock:
                known = self._epoch
                if known is not None and known.record == record:
                    epoch = known
                elif known is None or known.state.epoch <= epoch.state.epoch:
                    self._epoch = epoch  # else the snapshot is older than another thread's
        return epoch

    def close(self) -> None:
        """Close the files until the next use; no thread uses them now."""
        with self._lock:
            counters, log = self._counters, self._log
            self._counters = self._log = self._epoch = None
        if counters is not None:
            counters.close()
        if log is not None:
            log.close()


class Registry:
    """The logs of one process."""

    def __init__(self) -> None:
        self._logs: WeakValueDictionary[Hashable, ProcessLog] = WeakValueDictionary()
        self.renew()
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Start in a forked child: another thread may have held the lock."""
        self._lock = Lock()

    def acquire(self, folder: str, identity: Hashable, sync: Sync, user: object) -> ProcessLog:
        """Return the log of a store that writes, with one more user.

        Raises:
            UsageError: The log has users with another `sync`.
        """
        with self._lock:
            log = self._logs.get(identity)
            if log is None or not log.users:  # a removed file may have had the same identity
                self._logs[identity] = log = ProcessLog(folder, sync)
            _check_sync(log, sync)
            log.users.add(user)
            return log

    def check_sync(self, folder: str, sync: Sync) -> None:
        """Raise UsageError if the log in a folder has users with another `sync`."""
        with self._lock:
            for log in self._logs.values():
                if log.users and log.folder == folder:
                    _check_sync(log, sync)


def _check_sync(log: ProcessLog, sync: Sync) -> None:
    if log.sync != sync:
        raise UsageError(
            f"this process has the store open with sync={log.sync!r}, not {sync!r}",
            path=log.folder,
            advice="Use one setting everywhere, or close the other store first.",
        )


_registry = Registry()
acquire, check_sync = _registry.acquire, _registry.check_sync
