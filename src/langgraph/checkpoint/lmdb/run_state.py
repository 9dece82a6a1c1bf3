"""The state of a run, computed from the latest checkpoint of its thread, without its graph.

The rules are those by which LangGraph prepares the tasks of the next superstep. They read the
channels that start nodes (`branch:to:NODE`, `join:A+B:NODE`, `__start__` and `__pregel_tasks`), the
versions that nodes have seen, and the pending writes. They cover checkpoints of format 4 of graphs
built with `StateGraph` or with the functional API.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args
from uuid import UUID, uuid5

from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, TASKS, SendProtocol
from xxhash import xxh3_128_hexdigest

if TYPE_CHECKING:
    from langgraph.checkpoint.base import Checkpoint, PendingWrite

State: TypeAlias = Literal["unknown", "complete", "running", "failed", "waiting", "stalled"]
STATES: tuple[State, ...] = get_args(State)
MAY_RUN: frozenset[State] = frozenset(("failed", "stalled", "waiting"))
"""The states of runs that are running if a live process holds their lock."""

_COVERED_FORMAT = 4
_START = "__start__"
_BRANCH, _JOIN = "branch:to:", "join:"
_TRIGGERS = (_BRANCH, _JOIN, _START)
"""Beginnings of the channels that may start a node."""
_USUAL_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ERROR_SOURCE_NODE = "__error_source_node__"
"""Channel of a write that marks an error as handled by the node's error handler."""
_CONTROL = frozenset((ERROR, _ERROR_SOURCE_NODE, INTERRUPT, RESUME))
"""Channels that say what happened to a task. A write to any other channel is output of the task."""
_RETURN = "__return__"
"""Channel of the result of a call within a task."""
_NOT_NODES = frozenset(("__input__", INTERRUPT, "__snapshot_bumps__"))
_NULL_TASK_ID = "00000000-0000-0000-0000-000000000000"
"""Task id of writes that come with the input: answers, updates and gotos of a `Command`."""


class Task(NamedTuple):
    """A task of the superstep that follows a checkpoint."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run and the reason for it."""

    state: State
    """Never `running`: only the locks of live processes tell that."""
    next: tuple[str, ...] = ()
    """Nodes of pending tasks without output: of each Send in order, then by name."""
    error: str | None = None
    interrupts: tuple[Any, ...] = ()
    """Interrupts without an answer."""


UNKNOWN = RunState("unknown")
_NO_ANSWER = object()


class _Due(NamedTuple):
    """The parts of the id of a pending task, beside the checkpoint and the step."""

    name: str
    id_parts: tuple[str, ...]


@dataclass(slots=True)
class _Record:
    """The state of one task, by its pending writes."""

    has_output: bool = False
    is_finished_node: bool = False
    """The output is of a node, not of a call within a node."""
    error: Any = None
    is_handled: bool = False
    interrupts: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    """Answers that the task has used, in the order of its interrupts."""


def is_pending(checkpoint: Checkpoint) -> bool | None:
    """Return whether a checkpoint has tasks to run; None if the rules do not cover it.

    The checkpoint is taken by itself: its pending writes do not count.
    """
    try:
        return bool([*_due(checkpoint)]) if _is_covered(checkpoint) else None
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def run_state(
    checkpoint: Checkpoint,
    step: object,
    writes: Iterable[PendingWrite],
    tasks: Sequence[Task] | None = None,
) -> RunState:
    """Return the state of a run whose latest root checkpoint is the given one.

    Args:
        checkpoint: The checkpoint.
        step: The superstep of the checkpoint, from its metadata.
        writes: The pending writes of the checkpoint.
        tasks: The tasks that follow the checkpoint, if the graph named them. Otherwise the rules
            compute them.
    """
    records, null = _read_writes(writes)
    if tasks is None:
        try:
            if not _is_covered(checkpoint):
                return UNKNOWN
            tasks = _identified(list(pending_tasks(checkpoint, step)), checkpoint, step, records)
        except (AttributeError, LookupError, TypeError, ValueError):
            return UNKNOWN
    if not tasks and not any(_starts_tasks(channel) for channel, _ in null):
        return RunState("complete")
    return _stop_reason(tasks, records, null)


def needs_value(channel: str) -> bool:
    """Return True if the state of a run depends on the value of a channel.

    Of other channels the state needs to know at most that there is a value.
    """
    return channel == TASKS or channel.startswith((_BRANCH, _JOIN))


def is_trigger(channel: str) -> bool:
    """Return True if a value of the channel can start tasks."""
    return channel == _START or needs_value(channel)


def is_news(task_id: str, channel: str) -> bool:
    """Return True if a write may change the state of a run that no such write was stored for."""
    return channel in _CONTROL or (task_id == _NULL_TASK_ID and _starts_tasks(channel))


def _is_covered(checkpoint: Checkpoint) -> bool:
    if not _USUAL_ID.fullmatch(checkpoint["id"]):  # matching takes less time than UUID
        UUID(checkpoint["id"])  # raises ValueError for an id that no graph can continue from
    versions = checkpoint["channel_versions"]
    return checkpoint["v"] >= _COVERED_FORMAT and (
        _START in versions or any(channel.startswith(_BRANCH) for channel in versions)
    )


def _due(checkpoint: Checkpoint) -> Iterator[_Due]:
    """Yield the pending tasks: tasks of Sends in order, then tasks of triggered nodes by name."""
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    for index, packet in enumerate(_sends(values.get(TASKS))):
        if isinstance(packet, SendProtocol):
            yield _Due(packet.node, ("__pregel_push", str(index)))
    triggered = {
        node
        for channel in values
        if channel.startswith(_TRIGGERS)
        and (node := _triggered_node(channel, checkpoint)) is not None
        and channel in versions
        and _is_unseen(checkpoint, node, channel)
    }
    for node in sorted(triggered):
        known = {channel for channel in versions if _triggered_node(channel, checkpoint) == node}
        if _START not in known:
            known.add(_BRANCH + node)
        yield _Due(node, ("__pregel_pull", *sorted(known)))


def _sends(value: Any) -> Sequence[Any]:
    if isinstance(value, tuple):  # the form of older releases
        value = value[1]
    return value or ()


def _triggered_node(channel: str, checkpoint: Checkpoint) -> str | None:
    if channel.startswith(_BRANCH):
        return channel[len(_BRANCH) :]
    if channel.startswith(_JOIN):
        return channel.rpartition(":")[2]
    if channel == _START:
        return _entrypoint(checkpoint)
    return None


def _entrypoint(checkpoint: Checkpoint) -> str:
    """Return the node that `__start__` starts: the one that saw its latest version so far."""
    seen = {
        node: versions[_START]
        for node, versions in checkpoint["versions_seen"].items()
        if _START in versions and node not in _NOT_NODES
    }
    return max(seen, key=seen.__getitem__) if seen else _START


def _is_unseen(checkpoint: Checkpoint, node: str, channel: str) -> bool:
    """Return whether a channel has a value that starts a node, and the node has not seen it."""
    if not _is_available(channel, checkpoint["channel_values"][channel]):
        return False
    seen = checkpoint["versions_seen"].get(node)
    if seen is None:
        return True
    version: Any = checkpoint["channel_versions"][channel]
    return bool(version > seen.get(channel, type(version)()))


def _is_available(channel: str, value: Any) -> bool:
    if channel.startswith(_BRANCH):
        # The channel of a deferred node holds its value and whether all other tasks have finished.
        return value[1] is True if isinstance(value, (list, tuple)) else True
    if channel.startswith(_JOIN):
        if isinstance(value, (list, tuple)):
            value, finished = value
            if not finished:
                return False
        return _is_joined(channel[len(_JOIN) :].rpartition(":")[0], {*value})
    return True


def _is_joined(names: str, arrived: set[str]) -> bool:
    """Return whether all nodes of a join have arrived; `names` are separated by plus signs."""
    if {*names.split("+")} == arrived:
        return True
    return len(names) == sum(map(len, arrived)) + len(arrived) - 1  # a name may have plus signs


def pending_tasks(checkpoint: Checkpoint, step: object) -> Iterator[Task]:
    """Yield the tasks that follow a checkpoint that the rules cover."""
    start = bytes.fromhex(checkpoint["id"].replace("-", ""))
    following = _following(step)
    for name, parts in _due(checkpoint):
        text = "".join((name, str(following), name, *parts))
        digest = xxh3_128_hexdigest(start + text.encode())
        groups = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])
        yield Task(name, "-".join(groups))


def _following(step: object) -> int:
    return (step if isinstance(step, int) else -1) + 1


def _identified(
    tasks: list[Task], checkpoint: Checkpoint, step: object, records: Mapping[str, _Record]
) -> list[Task]:
    """Return the tasks, those without a record with the ids of finished tasks that are left over.

    The id of a task cannot be computed for an entrypoint that has never finished, whose name is not
    stored, and for a node with a join that nothing was written to yet. Other ids
    are of writes of `update_state`, and of writes to a `DeltaChannel` at the begin or end of a run.
    """
    known = {task.id for task in tasks}
    missing = [task.id for task in tasks if task.id not in records]
    left_over = [
        task_id
        for task_id, record in records.items()
        if record.is_finished_node and task_id not in known
    ]
    if left_over:
        of_input = (str(uuid5(UUID(checkpoint["id"]), name)) for name in ("__input__", INTERRUPT))
        not_tasks = (*of_input, f"{_following(step):08d}-", "ffffffff-")
        left_over = [task_id for task_id in left_over if not task_id.startswith(not_tasks)]
    if len(left_over) != len(missing) or any(record.is_handled for record in records.values()):
        return tasks
    ids = dict(zip(missing, left_over, strict=True))
    return [Task(task.name, ids.get(task.id, task.id)) for task in tasks]


def _read_writes(
    writes: Iterable[PendingWrite],
) -> tuple[dict[str, _Record], list[tuple[str, Any]]]:
    """Return what is known of each task, and the writes that came with the input."""
    records: dict[str, _Record] = {}
    null: list[tuple[str, Any]] = []
    for task_id, channel, value in writes:
        if task_id == _NULL_TASK_ID:
            null.append((channel, value))
            continue
        record = records.setdefault(task_id, _Record())
        if channel == ERROR:
            record.error = value
        elif channel == _ERROR_SOURCE_NODE:
            record.is_handled = True
        elif channel == INTERRUPT:
            record.interrupts.extend(_items(value))
        elif channel == RESUME:
            record.answers.extend(_items(value))
        else:
            record.has_output = True
            record.is_finished_node |= channel != _RETURN
    return records, null


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _starts_tasks(channel: str) -> bool:
    return channel == TASKS or channel.startswith(_BRANCH)


def _stop_reason(
    tasks: Sequence[Task], records: Mapping[str, _Record], null: Sequence[tuple[str, Any]]
) -> RunState:
    """Return the state of a run with something to do."""
    names = {task.id: task.name for task in tasks}
    known = {task_id: records[task_id] for task_id in names if task_id in records}
    # Other records are of calls within tasks, or of tasks whose id depends on joins that nothing
    # was written to yet. They count only while the record of a pending task is missing.
    considered = known if len(known) == len(names) and known else records
    answer = _unused_answer(records, null)
    error: str | None = None
    interrupts: dict[Any, Any] = {}
    for task_id, record in considered.items():
        open_interrupts = _without_answer(record, names.get(task_id), task_id, answer)
        for interrupt in open_interrupts:
            interrupts.setdefault(getattr(interrupt, "id", id(interrupt)), interrupt)
        has_failed = record.error is not None and not record.is_handled and not open_interrupts
        if has_failed and error is None:
            error = _error_text(record.error)
    following = tuple(
        task.name for task in tasks if task.id not in known or not known[task.id].has_output
    )
    state: State = "failed" if error is not None else "waiting" if interrupts else "stalled"
    return RunState(state, following, error, tuple(interrupts.values()))


def _unused_answer(records: Mapping[str, _Record], null: Sequence[tuple[str, Any]]) -> Any:
    """Return the answer that came with the input, unless a task has used it.

    The write of a used answer is kept, so an answer that equals a used one counts as used.
    """
    for channel, value in null:
        if channel == RESUME:
            used = any(
                record.answers and _is_equal(record.answers[-1], value)
                for record in records.values()
            )
            return _NO_ANSWER if used else value
    return _NO_ANSWER


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - a value that does not compare, such as an array
        return True


def _without_answer(record: _Record, name: str | None, task_id: str, answer: Any) -> Sequence[Any]:
    """Return the interrupts of a task that wait for an answer.

    How many answers an interrupt needs is known for one of the task itself. An interrupt of a call
    or a subgraph within the task counts as answered only if the task failed after it.
    """
    if record.has_output:
        return ()
    if name is None or len(record.interrupts) != 1:
        number = None
    else:
        number = _number(record.interrupts[0], f"{name}:{task_id}", len(record.answers))
    if number is None:
        return () if record.error is not None else record.interrupts
    answered = answer is not _NO_ANSWER or (
        record.error is not None and number < len(record.answers)
    )
    return () if answered else record.interrupts


def _number(interrupt: Any, namespace: str, most: int) -> int | None:
    """Return how many interrupts of a task came before one; None if it is not of the task."""
    found = getattr(interrupt, "id", None)
    for number in range(most + 1):
        text = f"{namespace}|{number}" if number else namespace
        if found == xxh3_128_hexdigest(text.encode()):
            return number
    return None


def _error_text(error: Any) -> str:
    return repr(error) if isinstance(error, BaseException) else str(error)
