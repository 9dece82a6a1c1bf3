"""The history of channels without a stored value: writes along the parent chain.

When ancestors are deleted, the writes and the seed that they held are compacted: copied into hidden
records of the oldest remaining checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import NoneType
from typing import TypeAlias

from langgraph.checkpoint.lmdb.engine import checkpoints, layers, writes
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.chunks import StoredValue, stored_value
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

_WRITES_PER_RECORD = 256
_FIELD_TYPES = envelope.field_types(envelope.OPTIONAL_TEXT, (list, NoneType), list)
_Row: TypeAlias = "tuple[str, StoredValue]"
_Record: TypeAlias = "tuple[str | None, StoredValue | None, list[_Row]]"
"""Channel, seed and rows of a record of compacted history."""
_LOST: _Record = (None, None, [])
"""The record that notes lost history."""


@dataclass(slots=True)
class ChannelHistory:
    """The history of one channel."""

    writes: list[_Row] = field(default_factory=list)
    """Task id and value of each write, oldest first."""
    seed: StoredValue | None = None
    """The stored value that the writes follow. None: they follow nothing."""


def history(
    reader: Reader, namespace: NamespaceRef, checkpoint: CheckpointRecord, channels: Iterable[str]
) -> dict[str, ChannelHistory]:
    """Walk the ancestors of a checkpoint once, for all channels together.

    The walk of a channel ends at the nearest ancestor with a stored value of the channel; the
    ancestor's own writes belong to the history. A loop in the chain ends the walk.

    Raises:
        DamagedError: A part of the history is damaged, or was lost in a repair.
    """
    found = {channel: ChannelHistory() for channel in channels}
    walk = _Walk(reader, namespace, found.__contains__, len(found), found)
    walk.follow(checkpoint)
    missing = found.keys() - walk.done
    if walk.lost and missing:
        what = f"the history of {', '.join(map(repr, sorted(missing)))} was lost in a repair"
        envelope.raise_damaged(keys.checkpoint(namespace, checkpoint.id), what)
    return found


@dataclass(slots=True)
class _Walk:
    """A walk along the ancestors of a checkpoint."""

    reader: Reader
    namespace: NamespaceRef
    wanted: Callable[[str], bool]
    """Function that returns True for a channel to follow."""
    count: int | None = None
    """Number of channels to follow. None: unknown."""
    found: dict[str, ChannelHistory] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Channels with a complete history: it begins with a stored value or was compacted."""
    lost: bool = False
    """True if the history before the last visited checkpoint is lost."""

    def follow(self, checkpoint: CheckpointRecord, tolerant: bool = False) -> None:
        """Walk from a checkpoint. If tolerant, end at a damaged ancestor and note the loss."""
        try:
            self._follow(checkpoint, tolerant)
        except IntegrityError:
            if not tolerant:
                raise
            self.lost = True
        for entry in self.found.values():
            entry.writes.reverse()

    def _follow(self, current: CheckpointRecord, tolerant: bool) -> None:
        visited = {current.id}
        while self.count is None or len(self.done) < self.count:
            compacted = read_compacted(self.reader, self.namespace, current.id)
            for channel, entry in compacted.items():
                if channel is None:
                    self.lost = True
                elif self._is_open(channel):
                    self._entry(channel).writes += reversed(entry.writes)
                    self._close(channel, entry.seed)
            parent = None
            if current.parent is not None and current.parent not in visited:
                parent = checkpoints.read(self.reader, self.namespace, current.parent)
            if parent is None:
                self.lost |= tolerant and current.parent not in (None, *visited)
                return
            visited.add(parent.id)
            for task_id, write in reversed(
                writes.of_checkpoint(self.reader, self.namespace, parent.id)
            ):
                if self._is_open(write.channel):
                    self._entry(write.channel).writes.append((task_id, write.value))
            for channel, value in parent.values.items():
                if self._is_open(channel):
                    self._close(channel, value)
            current = parent

    def _is_open(self, channel: str) -> bool:
        return self.wanted(channel) and channel not in self.done

    def _entry(self, channel: str) -> ChannelHistory:
        return self.found.setdefault(channel, ChannelHistory())

    def _close(self, channel: str, seed: StoredValue | None) -> None:
        self._entry(channel).seed = seed
        self.done.add(channel)


def compact(
    writer: Writer,
    namespace: NamespaceRef,
    checkpoint: CheckpointRecord,
    skip: Callable[[str], bool],
    level: int | None,
    is_sound: Callable[[StoredValue], bool] | None = None,
) -> bool:
    """Copy the history that a checkpoint has from its ancestors into records of its own.

    The caller deletes the ancestors afterwards.

    Args:
        writer: The write transaction.
        namespace: The namespace.
        checkpoint: The checkpoint that remains.
        skip: Function that returns True for a channel whose history is never read.
        level: Compression level of zstd, or None.
        is_sound: Function that returns True for a readable value. If given, damaged history is left
            out and noted as lost.

    Returns:
        True if the history is complete.
    """
    if checkpoint.parent is None:
        old = read_compacted(writer, namespace, checkpoint.id)
        if old:
            return None not in old
    walk = _Walk(
        writer, namespace, lambda channel: not (channel in checkpoint.values or skip(channel))
    )
    walk.follow(checkpoint, tolerant=is_sound is not None)
    if is_sound is not None:
        _drop_damaged(walk, is_sound)
    remove(writer, namespace, checkpoint.id)
    prefix = keys.compacted(namespace, checkpoint.id)
    for number, fields in enumerate(_records(walk)):
        _write(writer, prefix + keys.number(number), fields, level)
    return not walk.lost


def _drop_damaged(walk: _Walk, is_sound: Callable[[StoredValue], bool]) -> None:
    for channel, entry in list(walk.found.items()):
        values = [value for _, value in entry.writes]
        if not all(map(is_sound, values if entry.seed is None else [*values, entry.seed])):
            del walk.found[channel]
            walk.lost = True


def _records(walk: _Walk) -> Iterator[_Record]:
    """List the records of compacted history. The last one notes lost history, if there is any."""
    for channel, entry in walk.found.items():
        if (not entry.writes and entry.seed is None) or (walk.lost and channel not in walk.done):
            continue
        for start in range(0, max(1, len(entry.writes)), _WRITES_PER_RECORD):
            rows = entry.writes[start : start + _WRITES_PER_RECORD]
            yield channel, None if start else entry.seed, rows
    if walk.lost:
        yield _LOST


def _write(writer: Writer, key: bytes, fields: _Record, level: int | None) -> None:
    writer.put(key, envelope.seal(key, envelope.pack(envelope.encode(fields), level)))


def mark_lost(
    writer: Writer, namespace: NamespaceRef, checkpoint_id: str, level: int | None
) -> None:
    """Replace the compacted history of a checkpoint by the note that its history is lost."""
    remove(writer, namespace, checkpoint_id)
    _write(writer, keys.compacted(namespace, checkpoint_id) + keys.number(0), _LOST, level)


def read_compacted(
    reader: Reader, namespace: NamespaceRef, checkpoint_id: str
) -> dict[str | None, ChannelHistory]:
    """Return the compacted history of a checkpoint by channel.

    The key None notes that more history is lost.
    """
    prefix = keys.compacted(namespace, checkpoint_id)
    found: dict[str | None, ChannelHistory] = {}
    shown = layers.merged(reader, namespace)
    for key, record in shown.range(prefix, keys.prefix_end(prefix)):
        channel, seed, rows = decode(key, record)
        entry = found.setdefault(channel, ChannelHistory())
        entry.seed = entry.seed if seed is None else seed
        entry.writes += rows
    return found


def decode(key: bytes, record: bytes) -> _Record:
    """Decode channel, seed and rows of a record of compacted history.

    The channel None notes that more history is lost.

    Raises:
        DamagedError: The record differs from what was stored.
    """
    channel, seed, rows = envelope.decode_fields(key, record, _FIELD_TYPES)
    try:
        if not {str}.issuperset(type(task_id) for task_id, _ in rows):
            raise ValueError("a task id has the wrong type")
        if channel is None and (seed is not None or rows):
            raise ValueError("a history without a channel is not empty")
        return (
            channel,
            None if seed is None else stored_value(seed),
            [(task_id, stored_value(value)) for task_id, value in rows],
        )
    except (TypeError, ValueError) as error:
        envelope.raise_damaged(key, f"unexpected field types: {error}")


def compacted_values(
    reader: Reader, namespace: NamespaceRef
) -> Iterator[tuple[list[StoredValue], int]]:
    """List the values of each record of compacted history, with the bytes of its key and record."""
    prefix = keys.of_namespace(keys.Kind.COMPACTED, namespace)
    for key, record in reader.range(prefix, keys.prefix_end(prefix)):
        _, seed, rows = decode(key, record)
        values = [value for _, value in rows]
        yield (values if seed is None else [*values, seed]), len(key) + len(record)


def remove(writer: Writer, namespace: NamespaceRef, checkpoint_id: str) -> None:
    """Delete the compacted history of a checkpoint."""
    prefix = keys.compacted(namespace, checkpoint_id)
    writer.delete_range(prefix, keys.prefix_end(prefix))
