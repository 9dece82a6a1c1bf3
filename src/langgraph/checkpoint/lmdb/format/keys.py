"""Keys: short ordered bytes for every record of the store. FORMAT.md has the same table.

A key is one letter for the kind of record, then fields that each say where they end, so that
the records of one thread, namespace or checkpoint are one contiguous range. Numbers and texts
sort as bytes in the order of what they stand for. What is read and written together stands
together: a short thread is on a page or two, however large the store.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NoReturn

from langgraph.checkpoint.lmdb.errors import DamagedError

FORMAT = b"\x00format"
"""Where the store names its format version."""
NEXT_THREAD = b"\x00next-thread"
"""The counter that thread numbers come from; a number is never given out twice."""

COUNTS = b"\x00counts"
"""How many threads, checkpoints, writes and bytes there are."""
SWEEP_LEASE = b"\x00sweeper"
"""Who sweeps in the background, and when that was done last."""
TOMBSTONE = b"x"

TEXT_LIMIT = 180
"""Bytes of an id that a key holds as they are. A longer id is cut there and told apart by a
digest, so that every key stays below LMDB's 511 bytes."""
_LONG = b"\xff"  # never part of UTF-8: it sorts a cut id behind all ids that share its head
_DIGEST_SIZE = 16
HASH_SIZE = 8
_ESCAPED_LIMIT = 240
_NUL = b"\x00\xff"  # stands for a NUL inside of a text
_END = b"\x00\x01"


def number(n: int) -> bytes:
    """Encode 0 <= n < 2**64 in 1 to 9 bytes that sort as the numbers do."""
    if n < 240:
        return bytes((n,))
    size = (n.bit_length() + 7) // 8
    return bytes((239 + size,)) + n.to_bytes(size, "big")


def read_number(key: bytes, at: int) -> tuple[int, int]:
    """Decode the number at an offset of a key; also returns the offset behind it.

    Raises:
        DamagedError: There is none.
    """
    first = key[at] if at < len(key) else 255
    if first < 240:
        return first, at + 1
    end = at + 1 + first - 239
    if end > min(len(key), at + 9):
        _damaged(key)
    return int.from_bytes(key[at + 1 : end], "big"), end


def utf8(text: str) -> bytes:
    """The bytes of any str, lone surrogates included; they sort as the strs do."""
    return text.encode("utf-8", "surrogatepass")


def text(value: str) -> bytes:
    """The last text of a key: its bytes, cut at `TEXT_LIMIT`."""
    raw = utf8(value)
    if len(raw) <= TEXT_LIMIT:
        return raw
    return raw[:TEXT_LIMIT] + _LONG + blake2b(raw, digest_size=_DIGEST_SIZE).digest()


def escaped_text(value: str) -> bytes:
    """A text that other fields follow: escaped and ended, so that no id is another's prefix.

    A digest stands for one that escapes make too long; these texts need not sort.
    """
    part = text(value).replace(b"\x00", _NUL)
    if len(part) > _ESCAPED_LIMIT:
        digest = blake2b(utf8(value), digest_size=_DIGEST_SIZE).digest()
        part = _LONG + digest.replace(b"\x00", _NUL)
    return part + _END


def sortable_text(value: str) -> bytes:
    """A text that other fields follow, and that sorts as `text` does."""
    return text(value).replace(b"\x00", _NUL) + _END


def read_sortable_text(key: bytes, at: int) -> tuple[bytes, int]:
    """What `text` made of the id at an offset of a key; also returns the offset behind it."""
    end = escaped_text_end(key, at) - len(_END)
    return key[at:end].replace(_NUL, b"\x00"), end + len(_END)


def escaped_text_end(key: bytes, at: int) -> int:
    """The offset behind the `escaped_text` that begins at an offset."""
    end = key.find(_END, at)
    if end < 0:
        _damaged(key)
    return end + len(_END)


def decoded(part: bytes, key: bytes) -> str:
    """The id that `text` has put into a key and has not cut.

    Raises:
        DamagedError: It is none.
    """
    try:
        return part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        _damaged(key)


def _damaged(key: bytes) -> NoReturn:
    raise DamagedError(f"key {key.hex()} of the store is none that was stored", record=key.hex())


def is_truncated(part: bytes) -> bool:
    """Whether `text` had to cut the id, which then stands in full in the record."""
    return len(part) == TEXT_LIMIT + 1 + _DIGEST_SIZE and part[TEXT_LIMIT : TEXT_LIMIT + 1] == _LONG


def truncated_prefix(part: bytes) -> bytes:
    """What all cut ids with the same first `TEXT_LIMIT` bytes begin with."""
    return part[:TEXT_LIMIT] + _LONG


def sortable_truncated_prefix(part: bytes) -> bytes:
    """What the `sortable_text` of all cut ids with the same head begins with."""
    return truncated_prefix(part).replace(b"\x00", _NUL)


def hash64(value: str) -> bytes:
    """Eight bytes that stand for a text in an index; the record itself settles a collision."""
    return blake2b(utf8(value), digest_size=HASH_SIZE).digest()


def after(prefix: bytes) -> bytes:
    """The least key above all keys with this prefix."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,))


def thread(thread_id: str) -> bytes:
    return b"T" + text(thread_id)


def thread_number(thread: int) -> bytes:
    return b"t" + number(thread)


def namespaces(thread: int) -> bytes:
    return b"n" + number(thread)


def namespace(thread: int, checkpoint_ns: str) -> bytes:
    return namespaces(thread) + text(checkpoint_ns)


def of_thread(kind: bytes, thread: int) -> bytes:
    return b"t" + number(thread) + kind


def of_namespace(kind: bytes, thread: int, namespace: int) -> bytes:
    return b"t" + number(thread) + kind + number(namespace)


def checkpoints(thread: int, namespace: int) -> bytes:
    return of_namespace(b"c", thread, namespace)


def checkpoint(thread: int, namespace: int, checkpoint_id: str) -> bytes:
    return of_namespace(b"c", thread, namespace) + text(checkpoint_id)


def children(thread: int, namespace: int, parent_id: str) -> bytes:
    return of_namespace(b"k", thread, namespace) + hash64(parent_id)


def term(term: bytes) -> bytes:
    return b"r" + term


def with_term(term: bytes, checkpoint_id: str, thread: int, namespace: int) -> bytes:
    return b"r" + term + sortable_text(checkpoint_id) + number(thread) + number(namespace)


def thread_term(term: bytes) -> bytes:
    return b"m" + term


def thread_with_term(term: bytes, thread: int) -> bytes:
    return b"m" + term + number(thread)


def time_index(kind: int, time: int) -> bytes:
    return b"e" + number(kind) + number(time)


def tombstone(thread: int) -> bytes:
    return TOMBSTONE + number(thread)


def writes(thread: int, namespace: int, checkpoint_id: str) -> bytes:
    return of_namespace(b"w", thread, namespace) + escaped_text(checkpoint_id)


def compacted(thread: int, namespace: int, checkpoint_id: str) -> bytes:
    return of_namespace(b"h", thread, namespace) + escaped_text(checkpoint_id)


def segment(thread: int, segment: int) -> bytes:
    return of_thread(b"d", thread) + number(segment)


def shared_refs(owner: int) -> bytes:
    return b"p" + number(owner)


def shared_ref(owner: int, user: int) -> bytes:
    return b"p" + number(owner) + number(user)


def orphaned_chunks(owner: int) -> bytes:
    return b"o" + number(owner)
