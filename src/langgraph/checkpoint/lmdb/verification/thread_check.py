"""One thread in one snapshot: what it holds, and what of that is not as it was stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from langgraph.checkpoint.lmdb.engine import channel_history, checkpoints, chunks, threads, writes
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue
from langgraph.checkpoint.lmdb.errors import FormatVersionError, IntegrityError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import ChunkSet
from langgraph.checkpoint.lmdb.models import Problem
from langgraph.checkpoint.lmdb.verification import index_check, kinds
from langgraph.checkpoint.lmdb.verification.chunk_map import ChunkMap, MissingChunkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb.engine.chunks import StoredValue
    from langgraph.checkpoint.lmdb.engine.threads import Thread
    from langgraph.checkpoint.lmdb.kv.base import Reader

T = TypeVar("T")


@dataclass(slots=True)
class CheckpointEntry:
    """A checkpoint that was looked at."""

    id: str | None
    """None: it was cut in the key, and the record that has it whole cannot be read."""
    parent: str | None
    stored: int
    readable: bool = True
    """Whether the record itself can be read."""


class ThreadCheck:
    """Goes through all records of a thread.

    Args:
        reader: The snapshot.
        number: The thread's.

    Attributes:
        problems: What was found.
        thread: Its record; None if there is none that can be read.
        live: Whether it is a thread that readers see, and not one that is deleted.
        names: Its namespaces, by number.
        nameless: Keys of the records of namespaces that cannot be read.
        checkpoints: By namespace and by what the key has of the id.
        broken: Checkpoints of which something is missing or damaged, likewise.
        gone: Checkpoints that an index knows, and that are not there, likewise.
        unreadable: Keys of other records that cannot be read, or need what cannot.
        needed: Chunks that its records need.
        used: Numbers of the namespaces that hold something.
        labels: That lead to the thread.
        writes: How many pending writes it has.
        size: Of keys and records, chunks not included.
        lost_history: Checkpoints whose folded history cannot be read.
    """

    def __init__(self, reader: Reader, number: int) -> None:
        self.reader = reader
        self.number = number
        self.problems: list[Problem] = []
        self.thread: Thread | None = None
        self.live = reader.raw(keys.thread_number(number)) is not None
        self.names: dict[int, str] = {}
        self.unnamed_namespaces: list[bytes] = []
        self.checkpoints: dict[tuple[int, bytes], CheckpointEntry] = {}
        self.broken: set[tuple[int, bytes]] = set()
        self.gone: set[tuple[int, bytes]] = set()
        self.unreadable: list[bytes] = []
        self.lost_history: set[tuple[int, bytes]] = set()
        self.needed = ChunkSet()
        self.used: set[int] = set()
        self.terms: set[bytes] = set()
        self.writes = self.size = self.entries = 0
        self.chunks = ChunkMap(reader)
        self._sound: dict[tuple[int, bytes, int], tuple[str, str, bytes | None] | None] = {}

    def run(self) -> None:
        """Look at the thread, its namespaces, checkpoints, pending writes and chunks."""
        if self.live:
            key = keys.thread_number(self.number)
            self.thread = self._read(key, partial(self._thread, key))
        self._namespaces()
        for key, namespace, at in self._records(b"c"):
            self._checkpoint(key, namespace, key[at:])
        inner = {self._inner(checkpoint_key): checkpoint_key for checkpoint_key in self.checkpoints}
        for key, namespace, at in self._records(b"w"):
            self._writes(key, namespace, at, inner)
        for key, namespace, at in self._records(b"h"):
            self._folded(key, namespace, at, inner)
        for key, error in self.chunks.damaged(self.number):
            self.note(error, "a chunk cannot be read", key)
        for key in self.chunks.misnamed:
            self.problem(kinds.UNKNOWN, "a record among the chunks that is none", key)
            self.unreadable.append(key)

    @property
    def has_unreadable(self) -> bool:
        """Whether something cannot be read, so that what follows from it is not known."""
        return bool(
            self.broken
            or self.unreadable
            or self.unnamed_namespaces
            or self.lost_history
            or (self.live and self.thread is None)
        )

    def problem(
        self,
        kind: str,
        message: str,
        key: bytes | None = None,
        *,
        checkpoint_key: tuple[int, bytes] | None = None,
        channel: str | None = None,
    ) -> None:
        """Note a problem, and where it is."""
        seen = None if checkpoint_key is None else self.checkpoints.get(checkpoint_key)
        self.problems.append(
            Problem(
                kind,
                message,
                thread_id=None if self.thread is None else self.thread.id,
                checkpoint_ns=None if checkpoint_key is None else self.names.get(checkpoint_key[0]),
                checkpoint_id=None if seen is None else seen.id,
                channel=channel,
                record=None if key is None else key.hex(),
            )
        )

    def note(
        self,
        error: IntegrityError,
        what: str,
        key: bytes | None,
        checkpoint_key: tuple[int, bytes] | None = None,
    ) -> None:
        """Note that a record cannot be read."""
        if key is not None and getattr(error, "record", None) == "data.mdb":
            raise error  # LMDB itself fails
        kind = kinds.NEWER if isinstance(error, FormatVersionError) else kinds.DAMAGED
        self.problem(kind, f"{what}: {error.message}", key, checkpoint_key=checkpoint_key)

    def _read(self, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        try:
            return decode(self.reader.get(key) or b"")
        except IntegrityError as error:
            self.note(error, "a record cannot be read", key)
            return None

    def _thread(self, key: bytes, record: bytes) -> Thread:
        thread = threads.decode(key, record)
        if thread.number != self.number:
            envelope.raise_damaged(key, "it is another thread's")
        return thread

    def _records(self, letter: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Keys of a kind, each with its namespace and the offset behind that."""
        prefix = keys.of_thread(letter, self.number)
        for key in self.reader.keys(prefix, keys.prefix_end(prefix)):
            try:
                namespace, at = keys.read_number(key, len(prefix))
            except IntegrityError as error:
                self.note(error, "a key cannot be read", key)
                self.unreadable.append(key)
                continue
            if letter != b"h":
                self.used.add(namespace)
            yield key, namespace, at

    def _namespaces(self) -> None:
        prefix = keys.namespaces(self.number)
        for key in self.reader.keys(prefix, keys.prefix_end(prefix)):
            found = self._read(key, partial(threads.decode_namespace, key))
            if found is None:
                self.unnamed_namespaces.append(key)
                continue
            name, number = found
            own = keys.namespace(self.number, name) == key
            if not own or number in self.names or (name == "") != (number == threads.ROOT):
                self.problem(kinds.DAMAGED, "a namespace has the wrong name or number", key)
                self.unnamed_namespaces.append(key)
                continue
            self.names[number] = name

    def _inner(self, checkpoint_key: tuple[int, bytes]) -> tuple[int, bytes]:
        namespace, part = checkpoint_key
        seen = self.checkpoints[checkpoint_key]
        if seen.id is not None:
            return namespace, keys.escaped_text(seen.id)
        return namespace, part.replace(b"\x00", b"\x00\xff") + b"\x00\x01"

    def _checkpoint(self, key: bytes, namespace: int, part: bytes) -> None:
        checkpoint_key = namespace, part
        try:
            record = self.reader.get(key) or b""
            found = checkpoints.decode(key, record, self.number, namespace)
        except IntegrityError as error:
            name = None if keys.is_truncated(part) else part.decode("utf-8", "replace")
            self.checkpoints[checkpoint_key] = CheckpointEntry(name, None, 0, readable=False)
            self.broken.add(checkpoint_key)
            self.note(error, "a checkpoint cannot be read", key, checkpoint_key)
            return
        seen = CheckpointEntry(found.id, found.parent, found.stored)
        self.checkpoints[checkpoint_key] = seen
        self.size += len(key) + len(record)
        self.terms.update(found.thread_terms)
        parts = {"": found.body, "metadata": found.metadata}
        for channel, value in [*parts.items(), *found.values.items()]:
            self._need(value, checkpoint_key, None if parts.get(channel) is value else channel, key)
        for entry in index_check.of_checkpoint(self.number, namespace, found):
            self.entry(entry, checkpoint_key)

    def entry(self, key: bytes, checkpoint_key: tuple[int, bytes] | None = None) -> None:
        """Check that an entry of an index is there."""
        if not self.live:  # entries of a thread that is being deleted go bit by bit
            return
        self.entries += 1
        if self.reader.raw(key) is None:
            self.problem(
                kinds.MISSING_INDEX, "an index lacks an entry", key, checkpoint_key=checkpoint_key
            )

    def _need(
        self,
        value: StoredValue,
        checkpoint_key: tuple[int, bytes] | None,
        channel: str | None,
        key: bytes,
    ) -> bool:
        """Check a value that something needs; whether it is whole."""
        value_problem = self.value_problem(value)
        if value_problem is None:
            return True
        kind, message, chunk = value_problem
        self.problem(kind, message, chunk or key, checkpoint_key=checkpoint_key, channel=channel)
        if checkpoint_key is not None:
            self.broken.add(checkpoint_key)
        return False

    def value_problem(self, value: StoredValue) -> tuple[str, str, bytes | None] | None:
        """What is wrong with a value: the kind of the problem, its text, and the record."""
        if not isinstance(value, ChunkedValue):
            return None
        mark = (value.depth, value.root, value.size - len(value.head))
        if mark not in self._sound:
            self._sound[mark] = self._fault(value)
        return self._sound[mark]

    def _fault(self, value: ChunkedValue) -> tuple[str, str, bytes | None] | None:
        try:
            self.chunks.length(chunks.root_ranges(value))
            owned = chunks.owned_ranges(self.reader, value)
            self.chunks.length(owned)
            size = len(value.head) + self.chunks.length(chunks.chunk_ranges(self.reader, value))
        except MissingChunkError as missing:
            return kinds.MISSING, "a chunk of a value is not there", missing.key
        except FormatVersionError as error:
            return kinds.NEWER, error.message, None
        except IntegrityError as error:
            return kinds.DAMAGED, f"a value cannot be read: {error.message}", None
        if size != value.size:
            return kinds.DAMAGED, f"a value has {size} bytes instead of {value.size}", None
        self.needed.add(owned)
        return None

    def _writes(
        self,
        key: bytes,
        namespace: int,
        at: int,
        inner: dict[tuple[int, bytes], tuple[int, bytes]],
    ) -> None:
        checkpoint_key = None
        try:
            end = keys.escaped_text_end(key, at)
            checkpoint_key = inner.get((namespace, key[at:end]))
            task = writes.decode(key, key[:end], self.reader.get(key) or b"")
        except IntegrityError as error:
            self.note(error, "pending writes cannot be read", key, checkpoint_key)
            self._give_up(key, checkpoint_key)
            return
        self.writes += len(task.writes)
        self.size += task.size
        for write in task.writes.values():
            if not self._need(write.value, checkpoint_key, write.channel, key):
                self._give_up(key, checkpoint_key)

    def _give_up(self, key: bytes, checkpoint_key: tuple[int, bytes] | None) -> None:
        if checkpoint_key is None:
            self.unreadable.append(key)
        else:
            self.broken.add(checkpoint_key)

    def _folded(
        self,
        key: bytes,
        namespace: int,
        at: int,
        inner: dict[tuple[int, bytes], tuple[int, bytes]],
    ) -> None:
        checkpoint_key = None
        try:
            end = keys.escaped_text_end(key, at)
            checkpoint_key = inner.get((namespace, key[at:end]))
            record = self.reader.get(key) or b""
            channel, seed, rows = channel_history.decode(key, record)
        except IntegrityError as error:
            self.note(error, "folded history cannot be read", key, checkpoint_key)
            self._lose_history(key, checkpoint_key)
            return
        seen = None if checkpoint_key is None else self.checkpoints[checkpoint_key]
        if seen is None or seen.parent is not None:
            self.problem(kinds.ORPHAN, "folded history of no checkpoint, or not a first one", key)
            self.unreadable.append(key)
            return
        self.size += len(key) + len(record)
        for value in [value for _, value in rows] + ([] if seed is None else [seed]):
            value_problem = self.value_problem(value)
            if value_problem is not None:
                self.problem(
                    value_problem[0],
                    value_problem[1],
                    value_problem[2] or key,
                    checkpoint_key=checkpoint_key,
                    channel=channel,
                )
                self._lose_history(key, checkpoint_key)

    def _lose_history(self, key: bytes, checkpoint_key: tuple[int, bytes] | None) -> None:
        if checkpoint_key is None:
            self.unreadable.append(key)
        else:
            self.lost_history.add(checkpoint_key)

    def total_size(self) -> int:
        """Bytes of all that the thread needs of its own."""
        return self.size + self.chunks.weight(self.needed.ranges(self.number))

    def latest(self) -> dict[int, tuple[int, bytes]]:
        """The place of the checkpoint of the greatest id in each namespace."""
        found: dict[int, tuple[int, bytes]] = {}
        for checkpoint_key, seen in self.checkpoints.items():
            best = found.get(checkpoint_key[0])
            if best is None or keys.utf8(seen.id or "") > keys.utf8(
                self.checkpoints[best].id or ""
            ):
                found[checkpoint_key[0]] = checkpoint_key
        return found

    def oldest(self) -> int | None:
        """When the oldest checkpoint was stored that is not the latest of its namespace."""
        latest = set(self.latest().values())
        return min(
            (
                seen.stored
                for checkpoint_key, seen in self.checkpoints.items()
                if checkpoint_key not in latest
            ),
            default=None,
        )
