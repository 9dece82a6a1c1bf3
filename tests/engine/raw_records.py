"""Raw records of a store, decoded with code of its own, so that a bug of the engine is noticed.

Only envelopes are opened by the code of the package.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import msgpack

from langgraph.checkpoint.lmdb.format.envelope import reseal, unseal

Chunk = tuple[int, int, int]
"""Owner, segment and seq of a chunk."""
COUNTS = b"\x00counts"
_TEXT_LIMIT = 180


class Thread(NamedTuple):
    """The fields of a thread's record."""

    number: int
    id: str
    created: int
    updated: int
    indexed_at: int
    generation: int
    next_segment: int
    next_namespace: int
    checkpoints: int
    writes: int
    size: int
    shared_owners: list[int]
    ttl: int | None
    ttl_applied: bool
    needs_trim: bool
    oldest: int | None
    state: int
    layers: list[tuple[int, int, str | None, str | None]]
    line: str | None
    early: int


class Content(NamedTuple):
    """The records of a store."""

    keys: dict[str, dict[bytes, bytes]]
    """Records by the letter of their kind."""
    threads: dict[int, Thread]
    layers: dict[int, Thread]
    """Records of the layers, by number."""
    namespaces: dict[int, dict[int, bytes]]
    """Key of each namespace, by thread and number."""
    needed: dict[int, set[Chunk]]
    """Chunks and nodes that the records of a thread use, by thread."""


def by_letter(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return a record with the letter of its kind moved to the front of its key."""
    end = read_number(key, 1)[1] if key[:1] == b"t" else len(key)
    if end == len(key):
        return key, value
    short = key[end : end + 1] + key[1:end] + key[end + 1 :]
    return short, reseal(key, short, value) if value else value


def without_deleted(
    records: dict[bytes, bytes],
) -> tuple[dict[bytes, bytes], set[int], set[Chunk]]:
    """Leave out the records of deleted threads.

    Returns:
        The other records, the numbers of the deleted threads, and the chunks that only the shared
        references of deleted threads name.
    """
    deleted = {read_number(key, 1)[0] for key in records if key[:1] == b"x"}
    if not deleted:
        return records, deleted, set()
    kept, shared, needed = {}, set(), set()
    for key, value in records.items():
        letter = key[:1]
        at = {b"m": 9, b"r": key.find(b"\x00\x01", 9) + 2}.get(letter, 1)
        number = read_number(key, at)[0] if letter in b"tnckwhpomrdlu" else 0
        if letter == b"p":
            user, _ = read_number(key, read_number(key, 1)[1])
            (shared if user in deleted else needed).update(read_ranges(unseal(key, value)))
            number = user
        if letter != b"x" and (number not in deleted or letter == b"d"):
            kept[key] = value
    used = {chunk_key(chunk) for chunk in needed}
    for key in [key for key in kept if key[:1] == b"d"]:
        if read_number(key, 1)[0] in deleted and key not in used:
            del kept[key]
    return kept, deleted, shared - needed


def read_content(records: dict[bytes, bytes]) -> Content:
    """Decode the records of a store."""
    keys: dict[str, dict[bytes, bytes]] = defaultdict(dict)
    for key, value in records.items():
        keys[key[:1].decode("latin-1")][key] = value
    assert set(keys) <= set("\x00Ttncwhkrdpomelu"), set(keys)
    assert set(keys["\x00"]) <= {COUNTS, b"\x00format", b"\x00next-thread", b"\x00sweeper"}
    threads = {}
    for key, value in keys["t"].items():
        thread = Thread(*read_fields(key, value))
        assert read_number(key, 1) == (thread.number, len(key))
        threads[thread.number] = thread
    layers = {}
    for key, value in keys["l"].items():
        thread = Thread(*read_fields(key, value))
        assert read_number(key, 1) == (thread.number, len(key))
        assert [thread.checkpoints, thread.writes, thread.layers] == [0, 0, []]
        layers[thread.number] = thread
    namespaces: dict[int, dict[int, bytes]] = defaultdict(dict)
    for key, value in keys["n"].items():
        thread, at = read_number(key, 1)
        number, name = read_fields(key, value)
        assert encode_text(name) == key[at:]
        assert number not in namespaces[thread], "a namespace number was given twice"
        namespaces[thread][number] = key
    content = Content(keys, threads, layers, namespaces, defaultdict(set))
    for key, value in keys["c"].items():
        fields = read_fields(key, value)
        _need(content, key, [fields[4], fields[5], *fields[7].values()])
    for key, value in keys["w"].items():
        _need(content, key, [row[3] for row in read_fields(key, value)[1]])
    for key, value in keys["h"].items():
        _, seed, rows = read_fields(key, value)
        _need(content, key, [value for _, value in rows] + ([] if seed is None else [seed]))
    return content


def _need(content: Content, key: bytes, values: list[Any]) -> None:
    thread, _ = read_number(key, 1)
    for value in values:
        if len(value) < 6:
            continue
        _, _, _, size, depth, root = value
        assert size > 0
        chunks = list(read_ranges(root))
        content.needed[thread].update(chunks)
        for _ in range(depth):
            chunks = [named for node in chunks for named in read_ranges(payload_of(content, node))]
            content.needed[thread].update(chunks)


def read_fields(key: bytes, record: bytes) -> Any:
    """Return the fields of a record."""
    return msgpack.unpackb(
        unseal(key, record), strict_map_key=False, unicode_errors="surrogatepass"
    )


def read_ranges(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks that encoded ranges name."""

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    at = 0
    while at < len(data):
        owner, segment, count = varint(), varint(), varint()
        end = 0
        for _ in range(count):
            signed, length = varint(), varint()
            start = end + (-((signed + 1) // 2) if signed % 2 else signed // 2)
            end = start + length
            yield from ((owner, segment, seq) for seq in range(start, end))


def read_number(key: bytes, at: int) -> tuple[int, int]:
    """Decode a number; also return the offset behind it."""
    size = max(0, key[at] - 239)
    if not size:
        return key[at], at + 1
    return int.from_bytes(key[at + 1 : at + 1 + size], "big"), at + 1 + size


def encode_text(value: str) -> bytes:
    """Return an id as a key has it."""
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) <= _TEXT_LIMIT:
        return raw
    return raw[:_TEXT_LIMIT] + b"\xff" + blake2b(raw, digest_size=16).digest()


def hash_of(value: str) -> bytes:
    """Return the hash of a text."""
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def split_hashes(joined: bytes) -> list[bytes]:
    """Return the hashes that a field has one after another."""
    return [joined[at : at + 8] for at in range(0, len(joined), 8)]


def chunk_key(chunk: tuple[int, ...]) -> bytes:
    """Return the key of a chunk, with the letter of its kind in front."""
    out = b"d"
    for n in chunk:
        size = (n.bit_length() + 7) // 8
        out += bytes((n,)) if n < 240 else bytes((239 + size,)) + n.to_bytes(size, "big")
    return out


def payload_of(content: Content, chunk: Chunk) -> bytes:
    """Return the payload of a chunk."""
    key = chunk_key(chunk)
    assert key in content.keys["d"], f"chunk {chunk} is used but not stored"
    return unseal(key, content.keys["d"][key])


def namespace_of(key: bytes) -> tuple[int, int, bytes]:
    """Return the thread and the namespace in a key, and the rest of the key."""
    thread, at = read_number(key, 1)
    namespace, at = read_number(key, at)
    return thread, namespace, key[at:]
