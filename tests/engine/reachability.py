"""Walks the raw keys of a store and counts again what its indexes claim.

It has its own idea of keys and runs, so that a mistake of the engine cannot hide in it; only the
envelope of a record is opened by the engine's code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from langgraph.checkpoint.lmdb.engine.records import unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

Chunk = tuple[int, int, int]
"""Owner, arena and place of a chunk."""
_TEXT_LIMIT = 180


class _Walk(NamedTuple):
    """What the keys of a store are, by the letter that they begin with."""

    keys: dict[str, dict[bytes, bytes]]
    threads: dict[int, list[Any]]
    namespaces: dict[int, dict[int, bytes]]
    needed: dict[int, set[Chunk]]
    """By thread: the chunks and nodes that its records name."""


def check(kv: KeyValueStore) -> None:
    """Assert that all that is stored is reachable, and that all that is named is stored."""
    with kv.read() as reader:
        everything = dict(reader.range(b"", b"\xff" * 512))
    walk = _read(everything)
    _check_indexes(walk)
    _check_chunks(walk)


def chunks(kv: KeyValueStore) -> int:
    """How many chunks and nodes the store holds."""
    with kv.read() as reader:
        return sum(1 for _ in reader.keys(b"d", b"e"))


def stored_bytes(kv: KeyValueStore) -> int:
    """Bytes of all keys and values."""
    with kv.read() as reader:
        return sum(len(key) + len(value) for key, value in reader.range(b"", b"\xff" * 512))


def _number(key: bytes, at: int) -> tuple[int, int]:
    size = max(0, key[at] - 239)
    if not size:
        return key[at], at + 1
    return int.from_bytes(key[at + 1 : at + 1 + size], "big"), at + 1 + size


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) <= _TEXT_LIMIT:
        return raw
    return raw[:_TEXT_LIMIT] + b"\xff" + blake2b(raw, digest_size=16).digest()


def _hash(value: str) -> bytes:
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _fields(key: bytes, record: bytes) -> Any:
    return msgpack.unpackb(
        unseal(key, record), strict_map_key=False, unicode_errors="surrogatepass"
    )


def _runs(data: bytes) -> Iterator[Chunk]:
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
        owner, arena, count = varint(), varint(), varint()
        end = 0
        for _ in range(count):
            signed, length = varint(), varint()
            start = end + (-((signed + 1) // 2) if signed % 2 else signed // 2)
            end = start + length
            yield from ((owner, arena, place) for place in range(start, end))


def _read(everything: dict[bytes, bytes]) -> _Walk:
    keys: dict[str, dict[bytes, bytes]] = defaultdict(dict)
    for key, value in everything.items():
        keys[key[:1].decode("latin-1")][key] = value
    assert set(keys) <= set("\x00Ttncwhkrdpo"), set(keys)
    assert set(keys["\x00"]) <= {b"\x00format", b"\x00next-thread"}
    threads = {}
    for key, value in keys["T"].items():
        number, *fields = _fields(key, value)
        assert _text(fields[0]) == key[1:]
        threads[number] = fields
    namespaces: dict[int, dict[int, bytes]] = defaultdict(dict)
    for key, value in keys["n"].items():
        thread, at = _number(key, 1)
        number, name = _fields(key, value)
        assert _text(name) == key[at:]
        assert number not in namespaces[thread], "a namespace number was given twice"
        namespaces[thread][number] = key
    walk = _Walk(keys, threads, namespaces, defaultdict(set))
    for key, value in keys["c"].items():
        fields = _fields(key, value)
        _need(walk, key, [fields[4], fields[5], *fields[7].values()])
    for key, value in keys["w"].items():
        _need(walk, key, [row[3] for row in _fields(key, value)[1]])
    for key, value in keys["h"].items():
        _, seed, rows = _fields(key, value)
        _need(walk, key, [value for _, value in rows] + ([] if seed is None else [seed]))
    return walk


def _need(walk: _Walk, key: bytes, values: list[Any]) -> None:
    thread, _ = _number(key, 1)
    for value in values:
        if len(value) == 2:
            continue
        _, _, _, size, depth, root = value
        assert size > 0
        names = list(_runs(root))
        walk.needed[thread].update(names)
        for _ in range(depth):
            names = [name for chunk in names for name in _runs(_payload(walk, chunk))]
            walk.needed[thread].update(names)


def _key(chunk: Chunk) -> bytes:
    out = b"d"
    for n in chunk:
        size = (n.bit_length() + 7) // 8
        out += bytes((n,)) if n < 240 else bytes((239 + size,)) + n.to_bytes(size, "big")
    return out


def _payload(walk: _Walk, chunk: Chunk) -> bytes:
    key = _key(chunk)
    assert key in walk.keys["d"], f"chunk {chunk} is named but not stored"
    return unseal(key, walk.keys["d"][key])


def _owner_of(key: bytes) -> tuple[int, int, bytes]:
    thread, at = _number(key, 1)
    namespace, at = _number(key, at)
    return thread, namespace, key[at:]


def _check_indexes(walk: _Walk) -> None:
    names = {_number(key, 1)[0]: unseal(key, value) for key, value in walk.keys["t"].items()}
    assert names == {number: b"T" + _text(fields[0]) for number, fields in walk.threads.items()}
    assert set(walk.namespaces) == set(walk.threads), "a thread has no namespace, or the reverse"
    used: set[tuple[int, int]] = set()
    counts: Counter[int] = Counter()
    children: set[bytes] = set()
    runs: set[bytes] = set()
    for key, value in walk.keys["c"].items():
        thread, namespace, part = _owner_of(key)
        used.add((thread, namespace))
        counts[thread] += 1
        fields = _fields(key, value)
        parent, run_id = fields[1], fields[2]
        place = key[1 : len(key) - len(part)]
        if parent is not None:
            children.add(b"k" + place + _hash(parent) + part)
        if run_id is not None:
            runs.add(b"r" + _hash(run_id) + place + part)
    assert set(walk.keys["k"]) == children, "the index of children"
    assert set(walk.keys["r"]) == runs, "the index of runs"
    for key in walk.keys["w"]:
        used.add(_owner_of(key)[:2])
    named = {(thread, number) for thread, of in walk.namespaces.items() for number in of}
    assert used <= named, "records have no namespace"
    assert {thread for thread, _ in used} == {thread for thread, _ in named}, "an empty thread"
    assert all(number == 0 for _, number in named - used), "an empty namespace"
    for number, fields in walk.threads.items():
        assert fields[6] == counts[number], "the count of checkpoints"
        assert all(namespace < fields[5] for namespace in walk.namespaces[number])
    _check_folded(walk)


def _check_folded(walk: _Walk) -> None:
    for key in walk.keys["h"]:
        _, _, rest = _owner_of(key)
        part = rest[: rest.index(b"\x00\x01")].replace(b"\x00\xff", b"\x00")
        checkpoint = b"c" + key[1 : len(key) - len(rest)] + part
        assert checkpoint in walk.keys["c"], "a folded history of no checkpoint"
        assert _fields(checkpoint, walk.keys["c"][checkpoint])[1] is None


def _check_chunks(walk: _Walk) -> None:
    stored: set[Chunk] = set()
    for key, value in walk.keys["d"].items():
        owner, at = _number(key, 1)
        arena, at = _number(key, at)
        place, at = _number(key, at)
        assert at == len(key)
        unseal(key, value)
        stored.add((owner, arena, place))
    needed = set().union(*walk.needed.values()) if walk.needed else set()
    assert not needed - stored, f"named but not stored: {sorted(needed - stored)[:5]}"
    assert not stored - needed, f"stored but not named: {sorted(stored - needed)[:5]}"
    pins: set[tuple[int, int]] = set()
    for user, names in walk.needed.items():
        owners = {owner for owner, _, _ in names} - {user}
        assert walk.threads[user][7] == sorted(owners), "the owners that a thread names"
        for owner in owners:
            pins.add((owner, user))
    found: dict[tuple[int, int], set[Chunk]] = {}
    for key, value in walk.keys["p"].items():
        owner, at = _number(key, 1)
        user, at = _number(key, at)
        found[owner, user] = set(_runs(unseal(key, value)))
    assert set(found) == pins, "pins"
    for (owner, user), names in found.items():
        assert names == {name for name in walk.needed[user] if name[0] == owner}
    left = {_number(key, 1)[0]: set(_runs(unseal(key, v))) for key, v in walk.keys["o"].items()}
    for owner in {owner for owner, _, _ in stored} | set(left):
        own = {name for name in stored if name[0] == owner}
        assert left.get(owner, set()) == own - walk.needed.get(owner, set()), "left behind"
