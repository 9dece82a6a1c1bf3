"""Keys: short ordered bytes for every record of the store. FORMAT.md has the same table.

A key is one letter for the kind of record and its fields. The records of a thread begin with "t"
and the number of the thread, and the letter of their kind follows. Every field but the last shows
where it ends. So the records of one thread, namespace or checkpoint are one contiguous range. The
few records of the whole store begin with a zero byte. The bytes of numbers and texts sort
as the numbers and texts do. Records that are read together are stored next to one another: a short
thread takes a page or two, however large the store is.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple, NoReturn

from langgraph.checkpoint.lmdb.errors import DamagedError

FORMAT = b"\x00format"
"""Key of the record that names the format version."""
NEXT_THREAD = b"\x00next-thread"
"""Key of the counter of thread numbers. A number is never used twice."""
COUNTS = b"\x00counts"
"""Key of the counts of threads, checkpoints, writes and bytes."""
SWEEP_LEASE = b"\x00sweeper"
"""Key of the lease on background sweeping."""

TEXT_LIMIT = 180
"""Bytes of an id that a key holds unchanged. A longer id is truncated to this length and followed
by a digest, so that every key is below LMDB's limit of 511 bytes."""
_TRUNCATED = b"\xff"  # never in UTF-8, so truncated ids sort behind all with the same prefix
_DIGEST_SIZE = 16
HASH_SIZE = 8
_ESCAPED_LIMIT = 240
_NUL = b"\x00\xff"  # the escape of a NUL inside a text
_END = b"\x00\x01"


class Kind:
    """The letters of the kinds of records. A letter begins a key, or follows a thread's key."""

    THREAD_ID = b"T"
    """A thread id; the record names the thread's number."""
    THREAD = b"t"
    """A thread, by its number. The keys of the thread's records begin with this key."""
    NAMESPACE = b"n"
    """A checkpoint namespace of a thread."""
    TIME = b"e"
    """An entry of the time index."""
    TERM = b"r"
    """An index entry that leads from a term to a checkpoint."""
    THREAD_TERM = b"m"
    """An index entry that leads from a term to a thread."""
    TOMBSTONE = b"x"
    """A thread that is deleted and not purged yet."""
    LAYER = b"l"
    """A layer, by its number. Its records have the keys of a thread with this number."""
    LAYER_USER = b"u"
    """A thread that shows the records of a layer."""
    SHARED_REFS = b"p"
    """Chunks of one thread that another thread uses."""
    ORPHANED = b"o"
    """Chunks of a thread that only other threads use."""
    SNAPSHOTS = b"s"
    """A record of the snapshot store, a store of its own. Its key in that store follows."""
    CHECKPOINT = b"c"
    """A checkpoint (of a thread)."""
    CHILD = b"k"
    """An index entry that leads from a checkpoint to a child (of a thread)."""
    WRITES = b"w"
    """The pending writes of a task (of a thread)."""
    COMPACTED = b"h"
    """Compacted channel history of a checkpoint (of a thread)."""
    CHUNK = b"d"
    """A chunk of a segment (of a thread)."""


ROOT = 0
"""Number of the root namespace, which every thread has."""


class Layer(NamedTuple):
    """A layer of a thread: records that threads share, and the part of them that this one shows."""

    number: int
    size: int
    """Bytes of the whole layer, as in the record of a thread."""
    last: str | None = None
    """Greatest id in the root namespace that the thread shows. None: it shows all."""
    before: str | None = None
    """The thread shows ids below this one in other namespaces. None: it shows all."""


class NamespaceRef(NamedTuple):
    """A namespace of a thread, by the numbers that keys hold."""

    thread: int
    number: int
    layers: tuple[Layer, ...] = ()
    """Layers of the thread, the nearest first. See `layers.merged`."""


def number(n: int) -> bytes:
    """Encode 0 <= n < 2**64 in 1 to 9 bytes that sort as the numbers do."""
    if n < 240:
        return bytes((n,))
    size = (n.bit_length() + 7) // 8
    return bytes((239 + size,)) + n.to_bytes(size, "big")


def read_number(key: bytes, at: int) -> tuple[int, int]:
    """Decode the number at an offset of a key; also return the offset behind it.

    Raises:
        DamagedError: The number is malformed.
    """
    first = key[at] if at < len(key) else 255
    if first < 240:
        return first, at + 1
    end = at + 1 + first - 239
    if end > min(len(key), at + 9):
        _damaged(key)
    return int.from_bytes(key[at + 1 : end], "big"), end


def namespace_end(key: bytes) -> int:
    """Return the offset behind the namespace in the key of a record of a namespace.

    Raises:
        DamagedError: The key is malformed.
    """
    _, at = read_number(key, 1)
    return read_number(key, at + 1)[1]


def utf8(text: str) -> bytes:
    """Encode any str, lone surrogates included; the bytes sort as the strs do."""
    return text.encode("utf-8", "surrogatepass")


def text(value: str) -> bytes:
    """Encode the last text of a key, truncated at `TEXT_LIMIT`."""
    raw = utf8(value)
    if len(raw) <= TEXT_LIMIT:
        return raw
    return raw[:TEXT_LIMIT] + _TRUNCATED + blake2b(raw, digest_size=_DIGEST_SIZE).digest()


def escaped_text(value: str) -> bytes:
    """Encode a text that other fields follow; no encoded id is the prefix of another one.

    A text that escapes make too long is replaced by a digest, so these texts do not sort.
    """
    part = text(value).replace(b"\x00", _NUL)
    if len(part) > _ESCAPED_LIMIT:
        digest = blake2b(utf8(value), digest_size=_DIGEST_SIZE).digest()
        part = _TRUNCATED + digest.replace(b"\x00", _NUL)
    return part + _END


def read_escaped_text(key: bytes, at: int) -> tuple[str | None, int]:
    """Return the `escaped_text` at an offset of a key, None if it was too long; also return the
    offset behind it."""
    end = escaped_text_end(key, at)
    part = key[at : end - len(_END)].replace(_NUL, b"\x00")
    is_whole = not part.startswith(_TRUNCATED) and not is_truncated(part)
    return decoded(part, key) if is_whole else None, end


def sortable_text(value: str) -> bytes:
    """Encode a text that other fields follow; the bytes sort as the bytes of `text` do."""
    return text(value).replace(b"\x00", _NUL) + _END


def read_sortable_text(key: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes of `text` at an offset of a key; also return the offset behind them."""
    end = escaped_text_end(key, at) - len(_END)
    return key[at:end].replace(_NUL, b"\x00"), end + len(_END)


def escaped_text_end(key: bytes, at: int) -> int:
    """Return the offset behind the `escaped_text` that begins at an offset."""
    end = key.find(_END, at)
    if end < 0:
        _damaged(key)
    return end + len(_END)


def decoded(part: bytes, key: bytes) -> str:
    """Decode an id that `text` has not truncated.

    Raises:
        DamagedError: The bytes are not UTF-8.
    """
    try:
        return part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        _damaged(key)


def _damaged(key: bytes) -> NoReturn:
    raise DamagedError(f"malformed key {key.hex()}", record=key.hex())


def is_truncated(part: bytes) -> bool:
    """Return True if `text` truncated the id; the record then holds the whole id."""
    return (
        len(part) == TEXT_LIMIT + 1 + _DIGEST_SIZE
        and part[TEXT_LIMIT : TEXT_LIMIT + 1] == _TRUNCATED
    )


def whole_text(key: bytes, part: bytes, full: str | None) -> str:
    """Return an id from the end of a key, or from the record if the key holds it truncated.

    Args:
        key: The key.
        part: The end of the key.
        full: The id in the record. None: the key holds the whole id.

    Raises:
        DamagedError: The key and the record disagree.
    """
    if full is None and not is_truncated(part):
        return decoded(part, key)
    if full is None or text(full) != part:
        raise DamagedError(f"record {key.hex()} has the id of another record", record=key.hex())
    return full


def truncated_prefix(part: bytes) -> bytes:
    """Return the common prefix of truncated ids with the same first bytes."""
    return part[:TEXT_LIMIT] + _TRUNCATED


def sortable_truncated_prefix(part: bytes) -> bytes:
    """Return the result of `truncated_prefix`, encoded as `sortable_text` does."""
    return truncated_prefix(part).replace(b"\x00", _NUL)


def hash64(value: str) -> bytes:
    """Return the 8-byte hash of a text in an index; readers check the record for collisions."""
    return blake2b(utf8(value), digest_size=HASH_SIZE).digest()


def prefix_end(prefix: bytes) -> bytes:
    """Return the least key above all keys with a prefix."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,))


def thread_id(thread_id: str) -> bytes:
    """Return the key of a thread id; its record names the number of the thread."""
    return Kind.THREAD_ID + text(thread_id)


def thread_number(thread: int) -> bytes:
    """Return the key of a thread record."""
    return Kind.THREAD + number(thread)


def namespaces(thread: int) -> bytes:
    """Return the prefix of the keys of a thread's namespaces."""
    return Kind.NAMESPACE + number(thread)


def namespace(thread: int, checkpoint_ns: str) -> bytes:
    """Return the key of a namespace; its record has the number of the namespace."""
    return namespaces(thread) + text(checkpoint_ns)


def of_thread(kind: bytes, thread: int) -> bytes:
    """Return the prefix of the keys of a kind of records of a thread."""
    return Kind.THREAD + number(thread) + kind


def of_namespace(kind: bytes, namespace: NamespaceRef) -> bytes:
    """Return the prefix of the keys of a kind of records of a namespace."""
    return Kind.THREAD + number(namespace.thread) + kind + number(namespace.number)


def checkpoints(namespace: NamespaceRef) -> bytes:
    """Return the prefix of the keys of the checkpoints of a namespace."""
    return of_namespace(Kind.CHECKPOINT, namespace)


def checkpoint(namespace: NamespaceRef, checkpoint_id: str) -> bytes:
    """Return the key of a checkpoint."""
    return of_namespace(Kind.CHECKPOINT, namespace) + text(checkpoint_id)


def children(namespace: NamespaceRef, parent_id: str) -> bytes:
    """Return the prefix of the entries that lead from a checkpoint to its children."""
    return of_namespace(Kind.CHILD, namespace) + hash64(parent_id)


def term(term: bytes) -> bytes:
    """Return the prefix of the entries that lead from a term to checkpoints."""
    return Kind.TERM + term


def with_term(term: bytes, checkpoint_id: str, namespace: NamespaceRef) -> bytes:
    """Return the entry that leads from a term to a checkpoint."""
    last = number(namespace.thread) + number(namespace.number)
    return Kind.TERM + term + sortable_text(checkpoint_id) + last


def thread_term(term: bytes) -> bytes:
    """Return the prefix of the entries that lead from a term to threads."""
    return Kind.THREAD_TERM + term


def thread_with_term(term: bytes, thread: int) -> bytes:
    """Return the entry that leads from a term to a thread."""
    return Kind.THREAD_TERM + term + number(thread)


def time_index(kind: int, time: int) -> bytes:
    """Return the prefix of the entries of the time index of a kind with a time."""
    return Kind.TIME + number(kind) + number(time)


def tombstone(thread: int) -> bytes:
    """Return the key of the tombstone of a deleted thread."""
    return Kind.TOMBSTONE + number(thread)


def layer(number_of_layer: int) -> bytes:
    return Kind.LAYER + number(number_of_layer)


def layer_users(layer: int) -> bytes:
    return Kind.LAYER_USER + number(layer)


def layer_user(layer: int, user: int) -> bytes:
    return Kind.LAYER_USER + number(layer) + number(user)


def writes(namespace: NamespaceRef, checkpoint_id: str) -> bytes:
    """Return the prefix of the keys of the pending writes of a checkpoint."""
    return of_namespace(Kind.WRITES, namespace) + escaped_text(checkpoint_id)


def compacted(namespace: NamespaceRef, checkpoint_id: str) -> bytes:
    """Return the prefix of the keys of the compacted history of a checkpoint."""
    return of_namespace(Kind.COMPACTED, namespace) + escaped_text(checkpoint_id)


def segment(thread: int, segment: int) -> bytes:
    """Return the prefix of the keys of the chunks of a segment."""
    return of_thread(Kind.CHUNK, thread) + number(segment)


def shared_refs(owner: int) -> bytes:
    """Return the prefix of the records that tell which threads use the chunks of a thread."""
    return Kind.SHARED_REFS + number(owner)


def shared_ref(owner: int, user: int) -> bytes:
    """Return the key of the record that tells which chunks of a thread another one uses."""
    return Kind.SHARED_REFS + number(owner) + number(user)


def orphaned_chunks(owner: int) -> bytes:
    """Return the key of the record of the chunks of a thread that only others use."""
    return Kind.ORPHANED + number(owner)
