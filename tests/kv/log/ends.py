"""The end of a process that has a store with a log open."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.log.store import LogStore


def end_process(store: LogStore) -> None:
    """Close what the system closes when a process is killed: nothing is merged."""
    store._closed = True
    store._log.users.discard(store)
    store._log.close()
    store._base.close()
