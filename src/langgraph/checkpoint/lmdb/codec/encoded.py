"""What encoding a value takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from langgraph.checkpoint.lmdb.codec.value_cache import CachedValue
    from langgraph.checkpoint.lmdb.engine.chunks import (
        ChunkedValue,
        NewValue,
        StoredValue,
        ThreadVersion,
    )
    from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
    from langgraph.checkpoint.lmdb.format.ranges import ChunkRange

MakeCached: TypeAlias = "Callable[[ThreadVersion, ChunkedValue, list[ChunkRange]], CachedValue]"
"""Makes what to remember of a value that was stored, of where, as what, and its chunks."""


@dataclass(slots=True)
class ParentValue:
    """The version of a value that a new one is compared with: the parent's."""

    thread_version: ThreadVersion
    stored: StoredValue | None
    snapshot: Callable[[], AbstractContextManager[Snapshot]]
    """Opens the store, to read what is not remembered of the value."""


@dataclass(slots=True)
class Encoded:
    """A value ready to be stored."""

    new: NewValue | StoredValue
    """The stored value of the base where it is the same."""
    cached: MakeCached | None
    """What to remember once it is stored; None if nothing is worth it."""
    again: Callable[[ParentValue | None], Encoded]
    """Encodes the same content against another base, whatever became of the value meanwhile."""
