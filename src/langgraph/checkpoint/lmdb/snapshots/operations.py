"""The operations of a snapshot store. A task is stored as a thread, a version as a checkpoint."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Final

from typing_extensions import Self

from langgraph.checkpoint.lmdb.codec.serializer import PLAIN
from langgraph.checkpoint.lmdb.codec.value_cache import ChannelKey
from langgraph.checkpoint.lmdb.codec.value_codec import Encode, Encoded, ParentValue
from langgraph.checkpoint.lmdb.engine import checkpoints, prune, states
from langgraph.checkpoint.lmdb.engine.chunks import InlineValue
from langgraph.checkpoint.lmdb.engine.store import NewCheckpoint, Stored
from langgraph.checkpoint.lmdb.errors import DamagedError, LmdbSaverError
from langgraph.checkpoint.lmdb.kv.base import Writer
from langgraph.checkpoint.lmdb.operations import delete as threads_delete
from langgraph.checkpoint.lmdb.operations import get as checkpoint_get
from langgraph.checkpoint.lmdb.operations import retention
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.parent_cache import ParentState
from langgraph.checkpoint.lmdb.operations.session import Operation, Operations, Session, simple
from langgraph.checkpoint.lmdb.snapshots import json_text
from langgraph.checkpoint.lmdb.snapshots.model import CheckedSnapshot

_CHANNEL: Final = "data"
_ROOT: Final = ""
_DIGITS: Final = 19
"""Digits of the greatest version: ids with leading zeros sort as the versions do."""


class SaveOperation(Operation[Stored, None]):
    """An operation that stores a snapshot, in place of one with the same version.

    The data share chunks with the version itself, if the task has it, or else with the nearest
    lower version, or else with the lowest one.
    """

    def __init__(self, session: Session, snapshot: CheckedSnapshot) -> None:
        self._session = session
        self._ref = _ref(snapshot.task_id, snapshot.version)
        self._version = snapshot.version
        self._key = ChannelKey(snapshot.task_id, _ROOT, _CHANNEL)
        self._content = InlineValue(json_text.TAG, PLAIN, snapshot.data)
        self._body = session.codec.encode_record_part({})
        self._metadata = session.codec.encode_record_part(
            {
                "id": snapshot.id,
                "checkpoint": snapshot.checkpoint,
                "created_at": snapshot.created_at,
            }
        )
        self._encode: Encode
        self._encoded: Encoded
        self._new: NewCheckpoint

    def prepare(self, bypass_cache: bool) -> None:
        session, task_id = self._session, self._ref.thread_id
        base = _base(session, self._ref, bypass_cache)
        view = partial(session.view_of, task_id, base.thread_version)
        parent = ParentValue(base.thread_version, base.values.get(_CHANNEL), view)
        self._encode = session.codec.compare_content(self._key, self._content, parent)
        self._new = NewCheckpoint(
            thread_id=task_id,
            checkpoint_ns=_ROOT,
            id=str(self._ref.checkpoint_id),
            parent=None,
            run_id=None,
            root=None,
            body=self._body,
            metadata=self._metadata,
            versions={_CHANNEL: self._version},
            values={},
            terms=[],
            thread_terms=[],
            parent_stored_at=None,
            state=states.COMPLETE,
            thread_version=base.thread_version,
        )

    def encode(self) -> None:
        self._encoded = self._encode()
        self._new.values = {_CHANNEL: self._encoded.to_store}

    def apply(self, writer: Writer) -> Stored:
        return self._session.store.put(writer, self._new)

    def finish(self, result: Stored) -> None:
        session = self._session
        session.codec.remember(self._key, self._encoded, result.thread_version, result.values[0])
        session.parent_cache.put(self._ref, ParentState(result.thread_version, result.record))


def _ref(task_id: str, version: int | None) -> CheckpointRef:
    name = None if version is None else f"{version:0{_DIGITS}}"
    return CheckpointRef(task_id, _ROOT, name)


def _base(session: Session, ref: CheckpointRef, bypass_cache: bool) -> ParentState:
    """Return the version whose data a new version is compared with."""
    with session.store.snapshot() as snapshot:
        thread = snapshot.thread(ref.thread_id)
        if thread is None:
            return ParentState(None, None)
        reader, namespace = snapshot.reader, thread.root
        after = f"{ref.checkpoint_id}\0"
        found = checkpoints.latest_before(reader, namespace, after) or next(
            checkpoints.ids(reader, namespace), None
        )
        if found is None:
            return ParentState(thread.thread_version, None)
        known = session.parent_cache.get(ref._replace(checkpoint_id=found))
        if known is not None and known.thread_version == thread.thread_version and not bypass_cache:
            return known
        record = checkpoints.read(reader, namespace, found)
        return ParentState(thread.thread_version, record)


def get(
    session: Session, task_id: str, version: int | None, budget: int | None = None
) -> dict[str, Any] | None:
    """Return the fields of a snapshot, or None.

    Args:
        session: The session.
        task_id: The task.
        version: The version. None: the latest.
        budget: Bytes of data that may be decoded. None: any number.

    Raises:
        BudgetExceededError: The data are larger than the budget.
    """
    codec, ref = session.codec, _ref(task_id, version)
    with located(task_id, version) as location:
        with session.snapshot() as snapshot:
            found = checkpoint_get.find(session, snapshot, ref)
            if found is None:
                return None
            record, thread_version = found.record, found.thread.thread_version
            location.version = int(record.id)
            fields = codec.load_map(record.metadata, snapshot.reader, "metadata")
            stored = record.values[_CHANNEL]
            key = ChannelKey(task_id, _ROOT, _CHANNEL)
            if budget is not None and stored.size > budget:
                raise checkpoint_get.BudgetExceededError
            decode = codec.fetch(key, stored, thread_version, snapshot.reader)
        data = decode()
    session.parent_cache.put(
        ref._replace(checkpoint_id=record.id), ParentState(thread_version, record)
    )
    return {
        "id": fields["id"],
        "task_id": task_id,
        "version": int(record.id),
        "data": data,
        "checkpoint": fields["checkpoint"],
        "created_at": datetime.fromisoformat(fields["created_at"]),
    }


def list_versions(session: Session, task_id: str) -> list[int]:
    """Return the versions of a task, ascending. Reads their keys only."""
    with located(task_id, None), session.snapshot() as snapshot:
        thread = snapshot.thread(task_id)
        if thread is None:
            return []
        return [int(name) for name in checkpoints.ids(snapshot.reader, thread.root)]


def delete(session: Session, task_id: str, version: int | None) -> Operations[bool]:
    """Delete a version of a task, or the whole task; return True if there was anything."""
    if version is not None:
        name = str(_ref(task_id, version).checkpoint_id)
        found: bool = yield simple(
            lambda writer: prune.delete_checkpoint(writer, task_id, name, session.options)
        )
        return found
    try:
        found = yield simple(partial(_delete_task, session=session, task_id=task_id))
    except DamagedError:
        yield from threads_delete.delete_thread(session, task_id)
        return True
    yield from retention.purge_deleted(session)
    return found


def _delete_task(writer: Writer, session: Session, task_id: str) -> bool:
    found = session.options.find_thread(writer, task_id) is not None
    prune.delete_thread(writer, task_id)
    return found


class located:  # noqa: N801 - used like a function
    """A context manager whose errors name a task and a version, in place of a thread.

    Attributes:
        version: The version, if it is known.
    """

    def __init__(self, task_id: str, version: int | None) -> None:
        self._task_id = task_id
        self.version = version

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LmdbSaverError):
            name = error.checkpoint_id
            found = int(name) if name is not None and name.isdecimal() else None
            version = found if self.version is None else self.version
            error.add_location(task_id=self._task_id, version=version)
            error.thread_id = error.checkpoint_ns = error.checkpoint_id = None
