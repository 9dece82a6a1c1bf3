"""Pruning: how many checkpoints a prune of a thread deletes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.views.stores import place_of

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver


def prunable(saver: KvSaver, thread_id: str, keep_last: int) -> int:
    """Return the number of checkpoints that `prune` with `keep_last` deletes.

    These are the checkpoints before the last ones of each namespace, and the namespaces of
    subgraph calls of deleted root checkpoints.
    """
    namespaces: dict[str, list[CheckpointTuple]] = defaultdict(list)
    for found in saver.list({"configurable": {"thread_id": thread_id}}, values=False):
        namespaces[place_of(found)["checkpoint_ns"]].append(found)
    removed_roots = {found.checkpoint["id"] for found in namespaces[""][keep_last:]}
    total = 0
    for namespace, checkpoints in namespaces.items():
        is_removed = ":" in namespace and _root_of(checkpoints[0]) in removed_roots
        total += len(checkpoints) if is_removed else max(len(checkpoints) - keep_last, 0)
    return total


def _root_of(found: CheckpointTuple) -> str | None:
    """Return the id of the root checkpoint that called the subgraph of a checkpoint."""
    parents = found.metadata.get("parents")
    root = parents.get("") if isinstance(parents, dict) else None
    return root if isinstance(root, str) else None
