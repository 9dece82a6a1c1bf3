"""Comparison of a checkpoint in two savers, by value."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.migrate.models import Record
from langgraph.checkpoint.lmdb.models import TaskWrite

_SERIALIZER = JsonPlusSerializer()


def differing_parts(
    expected: Record, found: Record | None, *, inherited: Iterable[str] = ()
) -> list[str]:
    """Return the parts of a checkpoint, without its writes, that differ in the target.

    Args:
        expected: The checkpoint of the source.
        found: The checkpoint of the target.
        inherited: Channels that the target may have although the source does not: it finds the
            parent's value by the version.
    """
    if expected.checkpoint is None:
        return []
    if found is None or found.checkpoint is None:
        return ["checkpoint"]
    parts = []
    if expected.parent != found.parent:
        parts.append("parent")
    if not _same_metadata(expected.metadata, found.metadata):
        parts.append("metadata")
    for name in expected.checkpoint.keys() | found.checkpoint.keys():
        one, other = expected.checkpoint.get(name), found.checkpoint.get(name)
        if name != "channel_values" and one != other:
            parts.append(f"checkpoint[{name!r}]")
    values, others = expected.checkpoint["channel_values"], found.checkpoint["channel_values"]
    parts += [
        f"channel {channel!r}"
        for channel in values.keys() | (others.keys() - set(inherited))
        if channel not in values
        or channel not in others
        or not same(values[channel], others[channel])
    ]
    if not _same_history(expected, found):
        parts.append("history of deleted ancestors")
    return sorted(parts)


def as_continued(
    expected: list[TaskWrite], found: list[TaskWrite], *, is_continued: bool
) -> list[TaskWrite]:
    """Return the writes that the target has to hold for a checkpoint.

    They are those of the source. But if the target has continued the run, it may have replaced
    special writes: errors, interrupts, answers. These remain as they are.

    Args:
        expected: Writes of the source.
        found: Writes of the target.
        is_continued: True: the thread has a later checkpoint in the target. The target has also
            continued if it has other writes than the source.
    """
    if not is_continued and {*map(_place, found)} <= {*map(_place, expected)}:
        return expected
    replaced = {_place(write): write for write in found if write.index < 0}
    return [replaced.get(_place(write), write) for write in expected]


def differing_tasks(
    expected: list[TaskWrite], found: list[TaskWrite], *, with_paths: bool
) -> list[str]:
    """Return the ids of tasks whose writes the target lacks, or has with other values.

    Args:
        expected: Writes that the target has to hold, in order.
        found: Writes of the target, in order. Those that only the target has are ignored.
        with_paths: True: task paths must be equal.
    """
    ours, theirs = _by_task(expected), _by_task(found)
    return [
        task_id
        for task_id, rows in ours.items()
        if not _has_writes(theirs.get(task_id, []), rows, with_paths)
    ]


def same(one: Any, other: Any) -> bool:
    """Return True for equal values of equal types. NaN equals itself."""
    if type(one) is not type(other):
        return False
    with suppress(Exception):  # an object of another serializer
        if _SERIALIZER.dumps_typed(one) == _SERIALIZER.dumps_typed(other):
            return True
    return _same_parts(one, other)


def _same_parts(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same_parts(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same_parts, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    equal = one == other
    return bool(equal.all() if hasattr(equal, "all") else equal)


def _same_metadata(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare metadata. SqliteSaver and PostgresSaver store JSON, PostgresSaver without `writes`,
    and most savers remove NUL characters."""
    if _same_parts(one, other):
        return True
    kept = {key: value for key, value in one.items() if key != "writes" or key in other}
    try:
        plain = json.loads(json.dumps(kept, ensure_ascii=False).replace("\\u0000", ""))
    except (TypeError, ValueError):
        return False
    return _same_parts(plain, other)


def _same_history(expected: Record, found: Record) -> bool:
    if expected.history.keys() != found.history.keys():
        return False
    for channel, history in expected.history.items():
        other = found.history[channel]
        if ("seed" in history) != ("seed" in other):
            return False
        if not same(history.get("seed"), other.get("seed")):
            return False
        if not same(list(history["writes"]), list(other["writes"])):
            return False
    return True


def _by_task(writes: list[TaskWrite]) -> dict[str, list[TaskWrite]]:
    tasks: dict[str, list[TaskWrite]] = defaultdict(list)
    for write in writes:
        tasks[write.task_id].append(write)
    return tasks


def _place(write: TaskWrite) -> tuple[str, str]:
    return write.task_id, write.channel


def _has_writes(found: list[TaskWrite], wanted: list[TaskWrite], with_paths: bool) -> bool:
    """Return True if a task has writes: the special ones anywhere, the others as its first."""
    groups = _by_kind(found)
    return all(
        len(rows) <= len(groups[kind])
        and all(
            one.channel == other.channel
            and (not with_paths or one.task_path == other.task_path)
            and same(one.value, other.value)
            for one, other in zip(rows, groups[kind], strict=False)
        )
        for kind, rows in _by_kind(wanted).items()
    )


def _by_kind(writes: list[TaskWrite]) -> dict[str | None, list[TaskWrite]]:
    """Return the special writes of a task by channel, and the others for None."""
    groups: dict[str | None, list[TaskWrite]] = defaultdict(list)
    for write in writes:
        groups[write.channel if write.index < 0 else None].append(write)
    return groups
