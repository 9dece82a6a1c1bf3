"""The states of runs as the store keeps them: numbers that the engine does not interpret.

`put` and `put_writes` say what they mean for the state. Where that is not enough, `state_of`
computes it within the transaction from the records of the latest root checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.engine import states
from langgraph.checkpoint.lmdb.engine.checkpoints import CheckpointRecord
from langgraph.checkpoint.lmdb.engine.options import StateOf
from langgraph.checkpoint.lmdb.engine.writes import Write
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.run_state import (
    STATES,
    RunState,
    State,
    is_news,
    is_pending,
    needs_value,
    run_state,
)

_PENDING = 4
"""Stalled, and no write tells more than the output of a task."""
_STALLED = 5
"""Stalled, though writes tell of errors, interrupts or answers."""
_NAMES: dict[int, State] = {
    states.COMPLETE: "complete",
    states.UNKNOWN: "unknown",
    _PENDING: "stalled",
    _STALLED: "stalled",
    6: "failed",
    7: "waiting",
}
_NUMBERS = {name: number for number, name in _NAMES.items()}
_LISTED = tuple(state for state in STATES if state != "running")

_KEPT_BY_NEWS = frozenset((states.NO_CHECKPOINT, states.UNKNOWN, states.UNSETTLED))
_KEPT_BY_OUTPUT = _KEPT_BY_NEWS | {states.COMPLETE, _PENDING}


def of_new(checkpoint: Any) -> int:
    """Return the state of a checkpoint without pending writes."""
    is_due = is_pending(checkpoint)
    if is_due is None:
        return states.UNKNOWN
    return _PENDING if is_due else states.COMPLETE


def kept_by(task_id: str, channels: Iterable[str]) -> frozenset[int]:
    """Return the states that writes of a task to channels cannot change."""
    has_news = any(is_news(task_id, channel) for channel in channels)
    return _KEPT_BY_NEWS if has_news else _KEPT_BY_OUTPUT


def reader_of_states(codec: ValueCodec) -> StateOf:
    """Return the function that computes the state of a checkpoint with its pending writes."""

    def state_of(
        reader: Reader,
        record: CheckpointRecord,
        writes: Sequence[tuple[str, Write]],
        budget: int | None,
    ) -> int | None:
        if budget is not None and _bytes_to_decode(record, writes) > budget:
            return states.UNSETTLED
        found = read(codec, reader, record, writes)
        if found is None:
            return None
        if found.state == "stalled" and not any(is_news(task, w.channel) for task, w in writes):
            return _PENDING
        return _NUMBERS[found.state]

    return state_of


def _bytes_to_decode(record: CheckpointRecord, writes: Sequence[tuple[str, Write]]) -> int:
    values = [value for channel, value in record.values.items() if needs_value(channel)]
    values += [write.value for task_id, write in writes if is_news(task_id, write.channel)]
    return sum(value.size for value in values)


def read(
    codec: ValueCodec,
    reader: Reader,
    record: CheckpointRecord,
    writes: Sequence[tuple[str, Write]],
) -> RunState | None:
    """Return the state of a run from the records of its latest root checkpoint and the writes.

    Returns:
        The state; None if the serializer of the codec does not read what was stored.
    """
    try:
        checkpoint = codec.load_map(record.body, reader, "checkpoint")
        checkpoint["id"] = record.id
        checkpoint["channel_versions"] = record.versions
        checkpoint["channel_values"] = {
            channel: codec.load(value, reader) if needs_value(channel) else None
            for channel, value in record.values.items()
        }
        step = codec.load_map(record.metadata, reader, "metadata").get("step")
        pending = [
            (
                task_id,
                write.channel,
                codec.load(write.value, reader) if is_news(task_id, write.channel) else None,
            )
            for task_id, write in writes
        ]
        return run_state(checkpoint, step, pending)
    except Exception:  # noqa: BLE001 - of a serializer, or of the methods of any value
        return None


def name(number: int, found: RunState | None) -> State | None:
    """Return the state that a number means. None: the thread has no root checkpoint.

    Args:
        number: The number.
        found: The state as `read` computes it.
    """
    if number == states.UNSETTLED:
        return "unknown" if found is None else found.state
    return _NAMES.get(number)


def parse(wanted: object) -> frozenset[State] | None:
    """Return the states that an argument names. None: all.

    Raises:
        UsageError: The argument is another value.
    """
    if wanted is None:
        return None
    several = [wanted] if isinstance(wanted, str) else validation.sequence(wanted, "state")
    chosen = [validation.choice(each, "state", _LISTED) for each in several]
    return frozenset(state for state in _LISTED if state in chosen)


def numbers(wanted: frozenset[State] | None) -> frozenset[int] | None:
    """Return the numbers that threads in one of these states may have. None: all."""
    if wanted is None:
        return None
    found = {number for number, state in _NAMES.items() if state in wanted}
    return frozenset(found | {states.UNSETTLED})
