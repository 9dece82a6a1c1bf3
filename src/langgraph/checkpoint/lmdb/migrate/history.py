"""Deleted ancestors that channels are rebuilt from, as checkpoints of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb.migrate.models import Record
from langgraph.checkpoint.lmdb.models import TaskWrite

_BEFORE_ALL = "00000000-0000-6000-"
"""Beginning of the ids of these ancestors: that of an id of the year 1582."""


def with_ancestors(record: Record, run_id: str | None) -> list[Record]:
    """Return a checkpoint after ancestors that have its history.

    The first ancestor has the values that the history begins with. A task has one run of writes in
    each ancestor.

    Args:
        record: A checkpoint without parent.
        run_id: The run of the ancestors. None: they remain.
    """
    checkpoint: Any = record.checkpoint
    seeds = {ch: found["seed"] for ch, found in record.history.items() if "seed" in found}
    groups = list(_groups(record)) or [[]]
    ancestors: list[Record] = []
    for number, writes in enumerate(groups):
        key = record.key._replace(checkpoint_id=_ancestor_id(record.key.checkpoint_id, number))
        versions = {
            name: _version_before(checkpoint["channel_versions"][name], key.checkpoint_id)
            for name in record.history
        }
        ancestors.append(
            Record(
                key,
                ancestors[-1].key.checkpoint_id if ancestors else None,
                {
                    **empty_checkpoint(),
                    "id": key.checkpoint_id,
                    "ts": checkpoint["ts"],
                    "channel_values": seeds if number == 0 else {},
                    "channel_versions": versions,
                },
                {"source": "update", "step": -1, "parents": {}}
                | ({} if run_id is None else {"run_id": run_id}),
                writes,
            )
        )
    return [*ancestors, replace(record, parent=ancestors[-1].key.checkpoint_id, history={})]


def is_ancestor_id(checkpoint_id: str) -> bool:
    """Return True for the id of such an ancestor."""
    return checkpoint_id.startswith(_BEFORE_ALL)


def _ancestor_id(checkpoint_id: str, number: int) -> str:
    """Return an id below those that LangGraph makes, different for each checkpoint."""
    digest = blake2b(checkpoint_id.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"{_BEFORE_ALL}{number:04x}-{digest}"


def _version_before(version: Any, checkpoint_id: str) -> Any:
    """Return a version below another one, since the value of that one is absent."""
    if isinstance(version, str):
        return f"{int(version.partition('.')[0]) - 1:032}.{int(checkpoint_id[-12:], 16)}"
    return version - 1


def _groups(record: Record) -> Iterator[list[TaskWrite]]:
    """Yield the writes of each ancestor."""
    group: list[TaskWrite] = []
    tasks: set[str] = set()
    for _, history in sorted(record.history.items()):
        for task_id, run in groupby(history["writes"], key=lambda write: write[0]):
            if task_id in tasks:
                yield group
                group, tasks = [], set()
            path = f"{len(tasks):08d}"
            tasks.add(task_id)
            group += [
                TaskWrite(task_id, path, index, channel, value)
                for index, (_, channel, value) in enumerate(run)
            ]
    if group:
        yield group
