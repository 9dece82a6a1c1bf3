"""The kinds of problems, as `Problem.kind` names them."""

from __future__ import annotations

from typing import Final

PAGES: Final = "pages"
"""LMDB's own pages are damaged: records may be missing or outdated without a trace."""
DAMAGED: Final = "damaged"
"""A record differs from what was stored under its key."""
UNKNOWN: Final = "unknown"
"""A record has an unknown kind."""
NEWER: Final = "newer"
"""A newer release wrote the record."""
MISSING: Final = "missing"
"""A record that another record refers to is missing."""
ORPHAN: Final = "orphan"
"""A record is stored, but no other record refers to it."""
MISSING_INDEX: Final = "missing_index"
"""An index lacks an entry."""
STALE_INDEX: Final = "stale_index"
"""An index entry leads to a missing or different record."""
WRONG_COUNT: Final = "wrong_count"
"""A count, a size or a time does not match what is stored."""
SHARED_REFS_MISMATCH: Final = "shared_refs_mismatch"
"""The recorded references to shared chunks differ from the chunks that threads use."""

LOST_CHECKPOINT: Final = "lost_checkpoint"
"""A repair removed a checkpoint with its pending writes, or found that one is missing."""
LOST_WRITES: Final = "lost_writes"
"""A repair removed pending writes of a missing checkpoint, or found that writes are missing."""
LOST_HISTORY: Final = "lost_history"
"""The history that a DeltaChannel needs before a checkpoint is lost: reading the history raises
DamagedError."""
LOST_NAME: Final = "lost_name"
"""A thread or a namespace got a new name."""
LOST_THREAD: Final = "lost_thread"
"""A thread lost its own record, which holds its times and its TTL."""
