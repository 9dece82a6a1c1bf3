"""Values: small ones stand in the record that uses them, others are cut into chunks.

A chunked value names its chunks by runs. Where an edited value would need many runs, these are
grouped into nodes, chunks of runs, so that the next version shares the groups that did not change:
what a version adds to the store depends on what changed, not on how large the value is.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from langgraph.checkpoint.lmdb.errors import SerializationError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import (
    Run,
    decode_runs,
    encode_runs,
    extend,
    singles,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langgraph.checkpoint.lmdb.kv.base import Reader, Writer

MAX_CHUNK = 60_000
"""Bytes of a chunk before compression: with its envelope it stays below 64 KiB."""
MAX_VALUE = (1 << 32) - 1
"""Bytes of a value: as many as msgpack can count."""
MAX_CHUNKS = 1 << 20
"""Chunks of a value, and nodes of a level."""
MAX_RUNS = 48
"""Runs that a value may name directly; beyond that they are grouped into nodes."""
_GROUP_AIM = 16
_MAX_DEPTH = 8


_MAX_ARENAS = 10_000


class Place(NamedTuple):
    """A thread's number and generation: as long as they hold, so does what was read of it."""

    number: int
    generation: int


class Inline(NamedTuple):
    """A value that stands in the record itself."""

    tag: str
    """The serialiser's name for the encoding of the payload."""
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)


class Chunked(NamedTuple):
    """A value whose payload is `head` and then the chunks that it names."""

    tag: str
    shape: int
    """What the cutter promised about the chunks; the engine only keeps it."""
    head: bytes
    size: int
    """Bytes of the whole payload."""
    depth: int
    """0: `root` names the chunks; n: it names nodes, n levels above them."""
    root: bytes
    """Encoded runs."""


StoredValue: TypeAlias = Inline | Chunked


@dataclass(slots=True)
class Part:
    """A piece of a value, to become a chunk unless the thread has the same already."""

    raw: bytes
    digest: bytes
    packed: bytes | None
    """What `records.pack` makes of it; None where the store is expected to have it."""


def digest(data: bytes) -> bytes:
    """Sixteen bytes that stand for a part's content."""
    return blake2b(data, digest_size=16).digest()


class Hints:
    """Where the parts are that threads stored last, and where their arenas end. Different channels,
    namespaces and pending writes of a thread often get the same content.

    Hints need not be true: whoever follows one compares what is there. They end with the
    generation of the thread, so that none leads to chunks which it keeps for others only.

    Args:
        limit: How many to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: dict[tuple[Place, bytes], Run] = {}
        self._ends: dict[tuple[Place, int], int] = {}

    def get(self, place: Place, part: bytes) -> Run | None:
        """Where a thread may have the part of this digest."""
        return self._found.get((place, part))

    def put(self, place: Place, part: bytes, run: Run) -> None:
        """Say where a thread has a part."""
        if len(self._found) >= self._limit:
            self._found.clear()
        if self._limit:
            self._found[place, part] = run

    def next_in(self, place: Place, arena: int) -> int | None:
        """The number that the next chunk of an arena may have."""
        return self._ends.get((place, arena))

    def put_next(self, place: Place, arena: int, number: int) -> None:
        """Say which number is free in an arena."""
        if len(self._ends) >= _MAX_ARENAS:
            self._ends.clear()
        self._ends[place, arena] = number


@dataclass(slots=True)
class NewValue:
    """A value to be stored, as chunks that the store has and such that it has not."""

    tag: str
    shape: int
    head: bytes
    size: int
    items: list[Run | Part]
    """In the order of the payload: chunks that the store has, and parts that it may lack."""
    base: Chunked | None = None
    """The value whose nodes may be shared."""


class Kept(NamedTuple):
    """A value as it was stored."""

    value: StoredValue
    runs: list[Run]
    """Of its chunks; none if it was not new."""


def stored_value(fields: Sequence[Any]) -> StoredValue:
    """A value from the fields of a record.

    Raises:
        ValueError: They are not those of a value.
    """
    kinds = [*map(type, fields)] if type(fields) is list else []
    if kinds == [str, bytes]:
        return Inline(*fields)
    if kinds == [str, int, bytes, int, int, bytes]:
        value = Chunked(*fields)
        if (
            0 <= value.depth <= _MAX_DEPTH
            and 0 <= value.shape <= envelope.MAX_NUMBER
            and len(value.head) <= value.size <= MAX_VALUE
        ):
            return value
    raise ValueError("a value without the fields of one")


class ChunkWriter:
    """Appends chunks to the arenas of one thread, in one write transaction."""

    def __init__(self, writer: Writer, place: Place, hints: Hints, level: int | None) -> None:
        self._writer = writer
        self._place = place
        self._thread = place.number
        self._hints = hints
        self._level = level
        self.written = 0
        """Bytes of the keys and records of chunks."""

    def append(self, arena: int, packed: bytes) -> Run:
        """Store one chunk behind the last one of an arena."""
        prefix = keys.arena(self._thread, arena)
        seq = self._hints.next_in(self._place, arena)
        key = b"" if seq is None else prefix + keys.number(seq)
        if seq is None or self._writer.get(key) is not None:  # another process was here
            seq = 0
            for last in self._writer.keys(prefix, keys.after(prefix), reverse=True):
                seq = keys.read_number(last, len(prefix))[0] + 1
                if seq > envelope.MAX_NUMBER:
                    envelope.damaged(last, "there cannot be so many chunks")
                break
            key = prefix + keys.number(seq)
        sealed = envelope.seal(key, packed)
        self._writer.put(key, sealed)
        self.written += len(key) + len(sealed)
        self._hints.put_next(self._place, arena, seq + 1)
        return Run(self._thread, arena, seq, 1)

    def _settle(self, arena: int, part: Part) -> Run:
        """The chunk of a part: one that the thread has, or else a new one."""
        hint = self._hints.get(self._place, part.digest)
        if hint is not None:
            key = keys.arena(hint.owner, hint.arena) + keys.number(hint.start)
            record = self._writer.get(key)
            if record is not None and envelope.unseal(key, record, MAX_CHUNK) == part.raw:
                return hint
        packed = part.packed
        if packed is None:
            packed = envelope.pack(part.raw, self._level)
        run = self.append(arena, packed)
        self._hints.put(self._place, part.digest, run)
        return run

    def store(self, value: NewValue, arena: int) -> Kept:
        """Store what is new of a value.

        Args:
            value: The value.
            arena: The even number of the arena for its chunks; the odd one above is for nodes.
        """
        count = sum(item.length if isinstance(item, Run) else 1 for item in value.items)
        if value.size > MAX_VALUE or count > MAX_CHUNKS:
            raise SerializationError(
                f"a value of {value.size} bytes in {count} pieces is too large",
                advice=f"At most {MAX_VALUE} bytes and {MAX_CHUNKS} pieces can be stored.",
            )
        runs: list[Run] = []
        for item in value.items:
            extend(runs, (item if isinstance(item, Run) else self._settle(arena, item),))
        chunk_runs = runs
        depth = 0
        while len(runs) > MAX_RUNS:
            known = self._nodes_of(value.base, depth)
            nodes: list[Run] = []
            for group in _groups(runs):
                payload = encode_runs(group)
                node = known.get(payload)
                if node is None:
                    node = self.append(arena + 1, envelope.pack(payload, self._level))
                extend(nodes, (node,))
            if len(nodes) >= len(runs):
                break
            runs = nodes
            depth += 1
        root = encode_runs(runs)
        stored = Chunked(value.tag, value.shape, value.head, value.size, depth, root)
        return Kept(stored, chunk_runs)

    def _nodes_of(self, base: Chunked | None, depth: int) -> dict[bytes, Run]:
        """The nodes of a base by what they hold, those at `depth` levels above its chunks."""
        if base is None or base.depth <= depth:
            return {}
        runs = root_runs(base)
        for _ in range(base.depth - depth - 1):
            runs = _children(self._writer, runs)
        return dict(zip(fetch(self._writer, runs), singles(runs), strict=True))


def _groups(runs: Sequence[Run]) -> Iterable[Sequence[Run]]:
    """Cut a sequence of runs where the runs themselves say so: an edit moves only the cuts near
    it, and the groups further on stay what they were."""
    start = 0
    for index, run in enumerate(runs):
        mark = (run.start + run.length) * 2654435761 + run.arena * 40503
        if (mark >> 12) % _GROUP_AIM == 0 or index - start >= 4 * _GROUP_AIM:
            yield runs[start : index + 1]
            start = index + 1
    if start < len(runs):
        yield runs[start:]


def fetch(reader: Reader, runs: Iterable[Run], limit: int = MAX_VALUE) -> list[bytes]:
    """The payloads of chunks, in order.

    Args:
        runs: The chunks.
        limit: How many bytes they may have, all together.

    Raises:
        DamagedError: A chunk is missing or is not what was stored, or there are more bytes.
    """
    payloads: list[bytes] = []
    unseal = envelope.unseal
    for run in runs:
        prefix = keys.arena(run.owner, run.arena)
        if run.length == 1:
            key = prefix + keys.number(run.start)
            record = reader.get(key)
            if record is None:
                envelope.damaged(key, "the store has lost it")
            payloads.append(unseal(key, record, MAX_CHUNK))
            limit -= len(payloads[-1])
            if limit < 0:
                envelope.damaged(key, "its value is longer than it says")
            continue
        before = len(payloads)
        first = prefix + keys.number(run.start)
        for key, record in reader.range(first, prefix + keys.number(run.start + run.length)):
            payloads.append(unseal(key, record, MAX_CHUNK))
            limit -= len(payloads[-1])
            if limit < 0:
                envelope.damaged(key, "its value is longer than it says")
        if len(payloads) - before != run.length:
            envelope.damaged(first, f"of {run.length} chunks from here, some are lost")
    return payloads


def chunk_runs(reader: Reader, value: Chunked) -> list[Run]:
    """The runs of a value's chunks, its nodes resolved."""
    runs = root_runs(value)
    for _ in range(value.depth):
        runs = _children(reader, runs)
    return runs


def owned_runs(reader: Reader, value: Chunked) -> list[Run]:
    """Every chunk and node that a value keeps alive."""
    runs = root_runs(value)
    owned = list(runs)
    for _ in range(value.depth):
        runs = _children(reader, runs)
        owned += runs
    return owned


def root_runs(value: Chunked) -> list[Run]:
    """The runs of a value's root: of chunks, or of nodes."""
    return _decoded(value.root)


def _children(reader: Reader, nodes: Iterable[Run]) -> list[Run]:
    runs: list[Run] = []
    count = 0
    for node in singles(nodes):  # one by one: hostile ones may multiply
        (payload,) = fetch(reader, (node,))
        below = _decoded(payload)
        count += total(below)
        if not below or count > MAX_CHUNKS:
            envelope.damaged(payload[:64], f"a node without chunks, or one of {count}")
        extend(runs, below)
    return runs


def _decoded(data: bytes) -> list[Run]:
    try:
        return decode_runs(data, MAX_CHUNKS)
    except (ValueError, IndexError) as error:
        envelope.damaged(data[:64], f"its runs can't be read: {error}")


def payload(reader: Reader, value: StoredValue) -> bytes:
    """The whole payload of a value."""
    if isinstance(value, Inline):
        return value.payload
    body = b"".join(fetch(reader, chunk_runs(reader, value), value.size))
    check_size(value, body)
    return value.head + body


def check_size(value: Chunked, body: bytes) -> None:
    """Compare the joined chunks of a value with what the value says of them.

    Raises:
        DamagedError: They are not of the size that was stored.
    """
    size = len(value.head) + len(body)
    if size != value.size:
        envelope.damaged(value.root, f"the value has {size} bytes instead of {value.size}")
