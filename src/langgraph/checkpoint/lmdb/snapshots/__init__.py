"""Snapshots of tasks that are not graphs: ASAP's snapshot store, beside the checkpoints.

```python
from langgraph.checkpoint.lmdb.snapshots import LmdbSnapshotStore, StateSnapshot
```
"""

from langgraph.checkpoint.lmdb.snapshots.model import StateSnapshot
from langgraph.checkpoint.lmdb.snapshots.store import AsyncLmdbSnapshotStore, LmdbSnapshotStore

__all__ = ["AsyncLmdbSnapshotStore", "LmdbSnapshotStore", "StateSnapshot"]
