"""A check of values: which cannot be read, and which chunks the others need."""

from __future__ import annotations

from typing import NamedTuple

from langgraph.checkpoint.lmdb.engine import chunks
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue, StoredValue
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError
from langgraph.checkpoint.lmdb.format.ranges import ChunkSet
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.verification.chunk_map import ChunkMap, MissingChunkError


class ValueProblem(NamedTuple):
    """A reason why a value cannot be read."""

    kind: str
    message: str
    record: bytes | None
    """Key of the missing chunk, or None if another record is the cause."""


class ValueCheck:
    """A check of the values of one thread.

    Args:
        reader: The snapshot.
        chunk_map: Map of the stored chunks.

    Attributes:
        needed: Chunks that the checked and readable values need.
    """

    def __init__(self, reader: Reader, chunk_map: ChunkMap) -> None:
        self.needed = ChunkSet()
        self._reader = reader
        self._chunks = chunk_map
        self._known: dict[tuple[int, bytes, int], ValueProblem | None] = {}

    def problem(self, value: StoredValue) -> ValueProblem | None:
        """Return the problem of a value, or None if the value is readable."""
        if not isinstance(value, ChunkedValue):
            return None
        cache_key = (value.depth, value.root, value.size - len(value.head))
        if cache_key not in self._known:
            self._known[cache_key] = self._check_chunks_of(value)
        return self._known[cache_key]

    def _check_chunks_of(self, value: ChunkedValue) -> ValueProblem | None:
        """Look up a value's chunks, and add them to the needed ones if the value is readable."""
        try:
            self._chunks.payload_size(chunks.root_ranges(value))
            owned = chunks.owned_ranges(self._reader, value)
            self._chunks.payload_size(owned)
            ranges = chunks.chunk_ranges(self._reader, value)
            size = len(value.head) + self._chunks.payload_size(ranges)
        except MissingChunkError as missing:
            return ValueProblem(kinds.MISSING, "a chunk of a value is missing", missing.key)
        except FormatVersionError as error:
            return ValueProblem(kinds.NEWER, error.message, None)
        except IntegrityError as error:
            return ValueProblem(kinds.DAMAGED, f"a value is unreadable: {error.message}", None)
        if size != value.size:
            text = f"a value must have {value.size} bytes, but its chunks have {size}"
            return ValueProblem(kinds.DAMAGED, text, None)
        self.needed.add(owned)
        return None
