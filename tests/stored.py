"""Facts about the store of a saver."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver


def thread_ids(saver: LmdbSaver) -> set[str]:
    """Return the ids of the threads that have checkpoints."""
    return {found.config["configurable"]["thread_id"] for found in saver.list(None)}
