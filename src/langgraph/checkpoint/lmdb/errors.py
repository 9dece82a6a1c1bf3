"""The errors that this package raises on purpose: one tree, grouped by what the caller can do.

    LmdbSaverError
    ├── UsageError            change the call
    ├── RetryableError        free space or wait, then call again: stored data is unharmed
    └── IntegrityError        repair, restore or upgrade: stored data cannot be used as it is

Each class has a `kind`, a word for logs and metrics that does not change between releases. The
attributes of an error name the place where it happened, and survive pickling. Its text says what
happened, where, and what to do. The workflows add errors of their own to the tree, in
`workflows/errors.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "CheckpointNotFoundError",
    "DamagedError",
    "DatabaseUnavailableError",
    "DeserializationError",
    "FormatVersionError",
    "IntegrityError",
    "InvalidConfigError",
    "InvalidPathError",
    "InvalidVersionError",
    "LmdbSaverError",
    "MissingKeyError",
    "NotASequenceError",
    "NotCopyableError",
    "NotEncryptedError",
    "PlaintextRecordError",
    "ReadOnlyError",
    "RetryableError",
    "SerializationError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreFullError",
    "StoreIOError",
    "StoreReplacedError",
    "ThreadDivergedError",
    "ThreadExistsError",
    "ThreadNotFoundError",
    "TooManyReadersError",
    "UsageError",
    "WrongKeyError",
]


class LmdbSaverError(Exception):
    """The root of the tree.

    Args:
        message: What happened, without a full stop.
        path: The store's folder.
        thread_id: The thread of the call.
        checkpoint_ns: The checkpoint namespace; the root namespace is the empty string.
        checkpoint_id: The checkpoint of the call.
        channel: The state channel.
        task_id: The task of the call, in a snapshot store.
        version: The version of the task's snapshot.
        advice: Sentence that says what to do. None: the default advice of the class.
    """

    kind: ClassVar[str] = "error"
    default_advice: ClassVar[str] = ""
    _location_fields: ClassVar[tuple[str, ...]] = (
        "path",
        "thread_id",
        "checkpoint_ns",
        "checkpoint_id",
        "channel",
        "task_id",
        "version",
    )

    def __init__(
        self,
        message: str = "",
        *,
        path: str | None = None,
        thread_id: str | None = None,
        checkpoint_ns: str | None = None,
        checkpoint_id: str | None = None,
        channel: str | None = None,
        task_id: str | None = None,
        version: int | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.thread_id = thread_id
        self.checkpoint_ns = checkpoint_ns
        self.checkpoint_id = checkpoint_id
        self.channel = channel
        self.task_id = task_id
        self.version = version
        self.advice = self.default_advice if advice is None else advice

    def add_location(self, **location: str | int | None) -> None:
        """Set the fields of the location that are not known yet."""
        for name, value in location.items():
            if getattr(self, name, None) is None:
                setattr(self, name, value)

    def __str__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self._location_fields)
        location = ", ".join(f"{name} {value!r}" for name, value in fields if value is not None)
        text = f"{self.message} ({location})" if location else self.message
        return f"{text}. {self.advice}" if self.advice else text


class UsageError(LmdbSaverError, ValueError):
    """The call cannot be right as it stands; the same call will fail again."""

    kind = "usage"


class InvalidConfigError(UsageError):
    """A config without what the call needs, or with a value of the wrong kind."""

    kind = "invalid_config"
    default_advice = 'Pass {"configurable": {"thread_id": ...}}, and what else the method asks for.'


class InvalidPathError(UsageError):
    """The store cannot be opened at this path."""

    kind = "invalid_path"


class SerializationError(UsageError, TypeError):
    """A value that the serializer cannot encode.

    Args:
        message: What happened.
        inside: The way from the channel's value to what cannot be encoded: `["rows"][3].owner`.
        where: As for `LmdbSaverError`.
    """

    kind = "serialization"
    default_advice = "Store a value the serde knows, or give the saver a serde that knows this one."
    _location_fields = (*LmdbSaverError._location_fields, "inside")

    def __init__(self, message: str = "", *, inside: str | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.inside = inside


class InvalidVersionError(UsageError):
    """A channel version that cannot be stored."""

    kind = "invalid_version"
    default_advice = "A version is a str, a float, or an int of at most 64 bits."


class NotASequenceError(UsageError, TypeError):
    """A single id where a list of ids belongs."""

    kind = "not_a_sequence"


class NotCopyableError(UsageError, TypeError):
    """A saver that was to be pickled, or copied with all that it holds."""

    kind = "not_copyable"
    default_advice = (
        "Pass the path, and open a saver on it where it is needed; "
        "savers of one path share one store."
    )


class ReadOnlyError(UsageError):
    """A write to a store that was opened with `readonly=True`."""

    kind = "read_only"
    default_advice = "Open the store without readonly=True to write to it."


class StoreClosedError(UsageError):
    """The store was closed before the call, or while it was waiting."""

    kind = "store_closed"
    default_advice = "Open the store again, and close it only after its last user."


class ThreadNotFoundError(UsageError):
    """A call that needs a thread which the store does not have, or which has expired."""

    kind = "thread_not_found"
    default_advice = "threads() lists what there is."


class CheckpointNotFoundError(UsageError):
    """A call that needs a checkpoint which the store does not have, or which has expired."""

    kind = "checkpoint_not_found"
    default_advice = "list() and history() show what there is."


class ThreadExistsError(UsageError):
    """A thread is already where a new one was to be made."""

    kind = "thread_exists"
    default_advice = "Choose another thread id, or delete that thread first."


class ThreadDivergedError(UsageError):
    """A thread that changed in two savers after it was copied from one to the other.

    Args:
        message: What happened.
        old_tip: Latest checkpoint in the saver that the thread was copied from.
        new_tip: Latest checkpoint in the saver that it was copied to.
        where: As for `LmdbSaverError`.
    """

    kind = "thread_diverged"
    default_advice = (
        "Stop all writers of the old saver. Then delete the thread in one of the two savers."
    )
    _location_fields = (*LmdbSaverError._location_fields, "old_tip", "new_tip")

    def __init__(
        self,
        message: str = "",
        *,
        old_tip: str | None = None,
        new_tip: str | None = None,
        **where: Any,
    ) -> None:
        super().__init__(message, **where)
        self.old_tip = old_tip
        self.new_tip = new_tip


class MissingKeyError(UsageError):
    """An encrypted store that was opened without a key."""

    kind = "missing_key"
    default_advice = "Pass encryption_key, or set LANGGRAPH_AES_KEY."


class WrongKeyError(UsageError):
    """A key that does not open the store: another store's, or one that a rotation replaced."""

    kind = "wrong_key"
    default_advice = "Pass the key that the store was made with, or last rotated to."


class NotEncryptedError(UsageError):
    """A key for a store that was made without one."""

    kind = "not_encrypted"
    default_advice = (
        "Open it without encryption_key. copy_store(path, encryption_key=...) of the saver "
        "then makes an encrypted copy, which is opened with the key."
    )


class RetryableError(LmdbSaverError):
    """It could not be done now. Nothing of the call was stored; what was stored before is whole."""

    kind = "retryable"


class StoreFullError(RetryableError):
    """The disk, a quota, the file size limit or the address space is full."""

    kind = "store_full"
    default_advice = "Free space on the disk, then call again. Reading still works."


class TooManyReadersError(RetryableError):
    """Every slot of the reader table is taken by a live reader."""

    kind = "too_many_readers"
    default_advice = "Read from fewer threads and processes at the same time, then call again."


class StoreIOError(RetryableError):
    """The operating system refused to read, write or flush the store's files."""

    kind = "store_io"
    default_advice = "Look at the disk and the system log, then call again."


class StoreBusyError(RetryableError):
    """Another process has kept a lock of the store for longer than this one waits.

    Args:
        message: What happened.
        processes: Ids of the processes that may hold the lock, as far as they are known.
        where: As for `LmdbSaverError`.
    """

    kind = "store_busy"
    default_advice = (
        "Call again. If it lasts, find out whether one of the processes is stopped, and end it."
    )
    _location_fields = (*LmdbSaverError._location_fields, "processes")

    def __init__(
        self, message: str = "", *, processes: list[int] | None = None, **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.processes = processes or None


class StoreReplacedError(RetryableError):
    """The store's files were removed, moved or replaced while the store was open."""

    kind = "store_replaced"
    default_advice = (
        "Put the files back, or close the saver in every process and open the store again."
    )


class DatabaseUnavailableError(RetryableError):
    """A database server that does not answer, or that has no connection left."""

    kind = "database_unavailable"
    default_advice = "Check the server and the connection string, then call again."


class IntegrityError(LmdbSaverError):
    """Stored data differs from what was written, or this release cannot read it."""

    kind = "integrity"


class DamagedError(IntegrityError):
    """Stored data is damaged. The damage was found before the data was used.

    Args:
        message: What happened.
        record: The damaged record.
        where: As for `LmdbSaverError`.
    """

    kind = "damaged"
    default_advice = "Restore the store from a backup, or verify it to see what else is damaged."
    _location_fields = (*LmdbSaverError._location_fields, "record")

    def __init__(self, message: str = "", *, record: str | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.record = record


class PlaintextRecordError(DamagedError):
    """A record of an encrypted store that is not encrypted: it is of someone without the key."""

    kind = "plaintext_record"
    default_advice = "Find out who else can write to the store's files; restore it from a backup."


class FormatVersionError(IntegrityError):
    """The store, or a record in it, is of a format that this release does not read.

    Args:
        message: What happened.
        found: The stored version, if it is known.
        supported: The versions that this release reads.
        where: As for `LmdbSaverError`.
    """

    kind = "format_version"
    default_advice = "Open it with the release that wrote it, or upgrade langgraph-lmdb."
    _location_fields = (*LmdbSaverError._location_fields, "found", "supported")

    def __init__(
        self,
        message: str = "",
        *,
        found: int | None = None,
        supported: tuple[int, ...] | None = None,
        **where: Any,
    ) -> None:
        super().__init__(message, **where)
        self.found = found
        self.supported = supported


class DeserializationError(IntegrityError):
    """Bytes that were read whole, and that the serializer cannot decode."""

    kind = "deserialization"
    default_advice = "Open the store with the serde, the key and the types it was written with."
