"""Steps: what one checkpoint holds, and what its run needs next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.run_state import MAY_RUN, State, run_state
from langgraph.checkpoint.lmdb.running import is_running
from langgraph.checkpoint.lmdb.views.messages import conversation
from langgraph.checkpoint.lmdb.views.plain import TypedInterrupt, json_size, to_json
from langgraph.checkpoint.lmdb.views.stores import config_of, parent_id, place_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver

ERROR, INTERRUPT, RESUME = "__error__", "__interrupt__", "__resume__"
_INTERNAL = ("branch:to:", "join:", "__")


@dataclass(frozen=True)
class ChannelView:
    """A channel of a step."""

    name: str
    value: Any
    """Plain value. Of a `DeltaChannel`: its last stored value, if it has one."""
    version: Any
    changed: bool
    """True if the step changed the channel."""
    writes: tuple[Any, ...] | None = None
    """Writes since the stored value, oldest first, of a `DeltaChannel`; None for others."""

    @property
    def is_internal(self) -> bool:
        """True if LangGraph uses the channel to start nodes."""
        return self.name.startswith(_INTERNAL)

    @cached_property
    def size(self) -> int:
        """Bytes of the value as JSON."""
        return json_size(self.value) + sum(map(json_size, self.writes or ()))

    def to_dict(self) -> dict[str, Any]:
        """Return the channel as data for JSON."""
        data = {
            "name": self.name,
            "version": to_json(self.version),
            "changed": self.changed,
            "size": self.size,
            "value": to_json(self.value),
        }
        messages = conversation(self.value)
        if messages is not None:
            data["messages"] = [message.to_dict() for message in messages]
        if self.writes is not None:
            data["writes"] = to_json(self.writes)
        return data


@dataclass(frozen=True, slots=True)
class WriteView:
    """A pending write."""

    task_id: str
    channel: str
    value: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the write as data for JSON."""
        return {"task_id": self.task_id, "channel": self.channel, "value": to_json(self.value)}


@dataclass(frozen=True, slots=True)
class InterruptView:
    """A question that a task asked."""

    id: str | None
    value: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the interrupt as data for JSON."""
        return {"id": self.id, "value": to_json(self.value)}


@dataclass(frozen=True)
class StepView:
    """A checkpoint, its pending writes and the state of its run."""

    thread_id: str
    namespace: str
    checkpoint_id: str
    parent_id: str | None
    step: int | None
    source: str | None
    created_at: str | None
    """Time of the checkpoint, in ISO 8601."""
    run_id: str | None
    is_latest: bool
    """True if the namespace has no later checkpoint."""
    state: str | None
    """State of the run if the step is the latest one of the root namespace, `running` if a live
    process holds its lock; else None."""
    next: tuple[str, ...]
    """Nodes that run after this step."""
    error: str | None
    """Error of a task that ran after this step."""
    interrupts: tuple[InterruptView, ...]
    """Questions of tasks that ran after this step, with those that were answered."""
    channels: tuple[ChannelView, ...]
    writes: tuple[WriteView, ...]
    metadata: dict[str, Any]

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the channels that the step changed."""
        return tuple(channel.name for channel in self.channels if channel.changed)

    def to_dict(self, *, summary: bool = False) -> dict[str, Any]:
        """Return the step as data for JSON.

        Args:
            summary: True: without values, writes and metadata.
        """
        data: dict[str, Any] = {
            "thread_id": self.thread_id,
            "namespace": self.namespace,
            "checkpoint_id": self.checkpoint_id,
            "parent_id": self.parent_id,
            "step": self.step,
            "source": self.source,
            "created_at": self.created_at,
            "run_id": self.run_id,
            "is_latest": self.is_latest,
            "state": self.state,
            "next": list(self.next),
            "error": self.error,
            "interrupts": [interrupt.to_dict() for interrupt in self.interrupts],
            "changed": list(self.changed),
        }
        if not summary:
            data["channels"] = [channel.to_dict() for channel in self.channels]
            data["writes"] = [write.to_dict() for write in self.writes]
            data["metadata"] = to_json(self.metadata)
        return data


def step_of(saver: KvSaver, found: CheckpointTuple) -> StepView:
    """Return a checkpoint as a step, with the writes of its `DeltaChannel`s."""
    is_latest = found.checkpoint["id"] == _latest_id(saver, found)
    return _step(saver, found, is_latest, _deltas_of(saver, found))


def history_of(saver: KvSaver, start: CheckpointTuple) -> Iterator[StepView]:
    """Yield a checkpoint and its ancestors as steps, without the writes of `DeltaChannel`s."""
    latest_id = _latest_id(saver, start)
    for found in saver.history(start.config, skip_damaged=True, values=False):
        yield _step(saver, found, found.checkpoint["id"] == latest_id, {})


def all_steps(saver: KvSaver, thread_id: str) -> Iterator[StepView]:
    """Yield the checkpoints of a thread as steps, the oldest first. One at a time is in memory.

    Damaged checkpoints are left out, with a warning in the log.
    """
    config: Any = {"configurable": {"thread_id": thread_id}}
    places = [
        (place["checkpoint_ns"], place["checkpoint_id"])
        for place in map(place_of, saver.list(config, skip_damaged=True, values=False))
    ]
    latest = dict(reversed(places))
    for namespace, checkpoint_id in reversed(places):
        at = config_of(thread_id, checkpoint_id, namespace)
        for found in saver.list(at, skip_damaged=True):
            is_latest = latest[namespace] == checkpoint_id
            yield _step(saver, found, is_latest, _deltas_of(saver, found))


def error_of(found: CheckpointTuple) -> str | None:
    """Return the error of a task that ran after a checkpoint."""
    errors = (value for _, channel, value in found.pending_writes or () if channel == ERROR)
    return next((str(value) for value in errors), None)


def interrupts_of(found: CheckpointTuple) -> tuple[InterruptView, ...]:
    """Return the questions of tasks that ran after a checkpoint."""
    views = []
    for _, channel, value in found.pending_writes or ():
        if channel == INTERRUPT:
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, TypedInterrupt):
                    views.append(InterruptView(str(part.id), part.value))
                else:
                    views.append(InterruptView(None, part))
    return tuple(views)


def _latest_id(saver: KvSaver, found: CheckpointTuple) -> str | None:
    """Return the id of the latest checkpoint in the namespace of a checkpoint."""
    at = place_of(found)
    config = config_of(at["thread_id"], namespace=at["checkpoint_ns"])
    latest = saver.list(config, limit=1, skip_damaged=True, values=False)
    return next((one.checkpoint["id"] for one in latest), None)


def _deltas_of(saver: KvSaver, found: CheckpointTuple) -> Mapping[str, Any]:
    names = _delta_channels(found)
    return saver.get_delta_channel_history(config=found.config, channels=names) if names else {}


def _step(
    saver: KvSaver, found: CheckpointTuple, is_latest: bool, deltas: Mapping[str, Any]
) -> StepView:
    at, checkpoint = place_of(found), found.checkpoint
    metadata: dict[str, Any] = {**(found.metadata or {})}
    writes = found.pending_writes or ()
    run = run_state(checkpoint, metadata.get("step"), writes)
    state: State | None = run.state if is_latest and not at["checkpoint_ns"] else None
    if state in MAY_RUN and is_running(saver, at["thread_id"]):
        state = "running"
    run_id = metadata.get("run_id")
    return StepView(
        thread_id=at["thread_id"],
        namespace=at["checkpoint_ns"],
        checkpoint_id=checkpoint["id"],
        parent_id=parent_id(found),
        step=metadata.get("step"),
        source=metadata.get("source"),
        created_at=checkpoint.get("ts"),
        run_id=None if run_id is None else str(run_id),
        is_latest=is_latest,
        state=state,
        next=run.next,
        error=error_of(found),
        interrupts=interrupts_of(found),
        channels=tuple(_channels(checkpoint, deltas)),
        writes=tuple(WriteView(*write) for write in writes),
        metadata=metadata,
    )


def _channels(checkpoint: Any, deltas: Mapping[str, Any]) -> Iterator[ChannelView]:
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    updated = checkpoint.get("updated_channels") or ()
    for name in sorted({*values, *deltas}):
        past = deltas.get(name)
        yield ChannelView(
            name,
            values.get(name, None if past is None else past.get("seed")),
            versions.get(name),
            name in updated,
            None if past is None else tuple(write[-1] for write in past["writes"]),
        )


def _delta_channels(found: CheckpointTuple) -> list[str]:
    """Return the names of the channels that are rebuilt from writes."""
    counters = (found.metadata or {}).get("counters_since_delta_snapshot")
    values = found.checkpoint["channel_values"]
    return [name for name in counters if name not in values] if isinstance(counters, dict) else []
