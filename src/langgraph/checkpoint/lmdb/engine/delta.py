"""The history of channels that keep no value of their own: writes along the parent chain.

Where the chain is shortened, the part that goes is folded: the oldest checkpoint that stays keeps,
out of sight, the writes and the seed that its channels would have been rebuilt from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import checkpoints, keys, records, writes
from langgraph.checkpoint.lmdb.engine.values import StoredValue, stored_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

_WRITES_PER_RECORD = 256


@dataclass(slots=True)
class ChannelHistory:
    """What one channel is rebuilt from."""

    writes: list[tuple[str, StoredValue]] = field(default_factory=list)
    """Task id and value, oldest first."""
    seed: StoredValue | None = None
    """The stored value that the writes follow on; None: they follow on nothing."""


def history(
    reader: Reader,
    thread: int,
    namespace: int,
    checkpoint: CheckpointRecord,
    *,
    channels: Iterable[str] | None = None,
    skip: Callable[[str], bool] | None = None,
) -> dict[str, ChannelHistory]:
    """Walk the ancestors of a checkpoint once, for all channels together.

    Each channel's walk ends at the nearest ancestor with a stored value of it, whose own writes
    belong to the history. A loop in the chain ends the walk.

    Args:
        channels: The channels to follow; None follows every channel that ancestors wrote to and
            that `skip` does not exclude.
    """
    found: dict[str, ChannelHistory] = {c: ChannelHistory() for c in channels or ()}
    open_channels = None if channels is None else set(found)
    done: set[str] = set()

    def follows(channel: str) -> bool:
        if open_channels is not None:
            return channel in open_channels
        return channel not in done and not (skip and skip(channel))

    def close(channel: str, seed: StoredValue | None) -> None:
        found.setdefault(channel, ChannelHistory()).seed = seed
        done.add(channel)
        if open_channels is not None:
            open_channels.discard(channel)

    visited = {checkpoint.id}
    current = checkpoint
    while open_channels is None or open_channels:
        for channel, folded in read_folded(reader, thread, namespace, current.id).items():
            if follows(channel):
                found.setdefault(channel, ChannelHistory()).writes += reversed(folded.writes)
                close(channel, folded.seed)
        parent = None
        if current.parent is not None and current.parent not in visited:
            parent = checkpoints.read(reader, thread, namespace, current.parent)
        if parent is None:
            break
        visited.add(parent.id)
        for task_id, write in reversed(writes.of_checkpoint(reader, thread, namespace, parent.id)):
            if follows(write.channel):
                rows = found.setdefault(write.channel, ChannelHistory()).writes
                rows.append((task_id, write.value))
        for channel, value in parent.values.items():
            if follows(channel):
                close(channel, value)
        current = parent
    for entry in found.values():
        entry.writes.reverse()
    return found


def fold(
    writer: Writer,
    thread: int,
    namespace: int,
    checkpoint: CheckpointRecord,
    skip: Callable[[str], bool],
    level: int | None,
) -> None:
    """Keep the history that a checkpoint has from its ancestors, which are about to go."""
    old = read_folded(writer, thread, namespace, checkpoint.id)
    if old and checkpoint.parent is None:
        return
    channels = history(
        writer,
        thread,
        namespace,
        checkpoint,
        skip=lambda channel: channel in checkpoint.values or skip(channel),
    )
    prefix = keys.folded(thread, namespace, checkpoint.id)
    writer.delete_range(prefix, keys.after(prefix))
    number = 0
    for channel, entry in channels.items():
        if not entry.writes and entry.seed is None:
            continue
        for start in range(0, max(1, len(entry.writes)), _WRITES_PER_RECORD):
            batch = entry.writes[start : start + _WRITES_PER_RECORD]
            payload = records.encode((channel, None if start else entry.seed, batch))
            key = prefix + keys.number(number)
            writer.put(key, records.seal(key, records.pack(payload, level)))
            number += 1


def read_folded(
    reader: Reader, thread: int, namespace: int, checkpoint_id: str
) -> dict[str, ChannelHistory]:
    """The history that was folded into a checkpoint, by channel."""
    prefix = keys.folded(thread, namespace, checkpoint_id)
    found: dict[str, ChannelHistory] = {}
    for key, record in reader.range(prefix, keys.after(prefix)):
        channel, seed, rows = decode(key, record)
        entry = found.setdefault(channel, ChannelHistory())
        entry.seed = entry.seed if seed is None else seed
        entry.writes += rows
    return found


def decode(
    key: bytes, record: bytes
) -> tuple[str, StoredValue | None, list[tuple[str, StoredValue]]]:
    """Channel, seed and rows of a record of folded history.

    Raises:
        DamagedError: The bytes are not what was stored under the key.
    """
    fields = records.decode(key, records.unseal(key, record))
    try:
        channel, seed, rows = fields
        if not {str}.issuperset(map(type, [channel, *(task_id for task_id, _ in rows)])):
            raise ValueError("some are of another kind")
        return (
            channel,
            None if seed is None else stored_value(seed),
            [(task_id, stored_value(value)) for task_id, value in rows],
        )
    except (TypeError, ValueError) as error:
        records.damaged(key, f"its fields are not those of a folded history: {error}")


def folded_values(
    reader: Reader, thread: int, namespace: int
) -> Iterator[tuple[list[StoredValue], int]]:
    """The values of each record of folded history in a namespace, and the bytes of its key and
    record."""
    prefix = keys.of_namespace(b"h", thread, namespace)
    for key, record in reader.range(prefix, keys.after(prefix)):
        _, seed, rows = decode(key, record)
        values = [value for _, value in rows]
        yield (values if seed is None else [*values, seed]), len(key) + len(record)


def remove(writer: Writer, thread: int, namespace: int, checkpoint_id: str) -> None:
    """Delete what was folded into a checkpoint."""
    prefix = keys.folded(thread, namespace, checkpoint_id)
    writer.delete_range(prefix, keys.after(prefix))
