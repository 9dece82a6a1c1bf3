"""`StateSnapshot`, and the checks of a snapshot of any class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.snapshots import json_text

MAX_VERSION: Final = (1 << 63) - 1
"""The greatest version, as in SQLite."""
_FIELDS: Final = ("id", "task_id", "version", "data", "checkpoint", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSnapshot:
    """The state of a task after one of its steps.

    The `data` of a snapshot is a copy of what was passed, as JSON returns it: tuples become lists,
    and keys become texts.

    Args:
        id: The id of the snapshot.
        task_id: The task, not empty.
        version: A number from 1 to 2**63 - 1. The greatest version of a task is its latest.
        data: The state: a dict that `json.dumps` accepts.
        checkpoint: True for a snapshot of significance. The store only keeps it.
        created_at: A time with a time zone.

    Raises:
        UsageError: An argument is invalid.
        SerializationError: `data` is not JSON-serializable.
    """

    id: str
    task_id: str
    version: int
    data: dict[str, Any]
    checkpoint: bool = False
    created_at: datetime

    def __post_init__(self) -> None:
        checked = check(self)
        object.__setattr__(self, "data", json_text.loads(checked.data))
        for name in ("id", "task_id", "version"):
            object.__setattr__(self, name, getattr(checked, name))


def restored(fields: dict[str, Any]) -> StateSnapshot:
    """Return a StateSnapshot of fields that were checked when they were stored."""
    snapshot = object.__new__(StateSnapshot)
    for name, value in fields.items():
        object.__setattr__(snapshot, name, value)
    return snapshot


class CheckedSnapshot(NamedTuple):
    """The fields of a snapshot in the form that the store keeps."""

    id: str
    task_id: str
    version: int
    data: bytes
    """The data as JSON."""
    checkpoint: bool
    created_at: str
    """The time in ISO 8601, with its offset from UTC."""


def check(snapshot: object) -> CheckedSnapshot:
    """Return the fields of a snapshot of any class.

    Raises:
        UsageError: A field is missing or invalid.
        SerializationError: The data are not JSON-serializable.
    """
    for name in _FIELDS:
        if not hasattr(snapshot, name):
            validation.refuse(
                "snapshot", f"an object with the fields {', '.join(_FIELDS)}", snapshot
            )
    given: Any = snapshot
    task = task_id(given.task_id)
    if not task:
        validation.refuse("task_id", "a str that is not empty", task)
    return CheckedSnapshot(
        id=validation.channel(given.id, "id"),
        task_id=task,
        version=validation.count(given.version, "version", "steps", 1, MAX_VERSION),
        data=json_text.dumps(given.data),
        checkpoint=validation.flag(given.checkpoint, "checkpoint"),
        created_at=_iso(given.created_at),
    )


def task_id(value: object) -> str:
    """Return the id of a task.

    Raises:
        UsageError: It is not a str.
    """
    return validation.channel(value, "task_id")


def _iso(time: object) -> str:
    if not isinstance(time, datetime) or time.utcoffset() is None:
        validation.refuse("created_at", "a datetime with a time zone", time)
    return datetime.isoformat(time)  # without what a subclass adds
