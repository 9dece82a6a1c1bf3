"""Walks the raw keys of a store and counts again what its indexes claim.

It has its own idea of keys and runs, so that a mistake of the engine cannot hide in it; only the
envelope of a record is opened by the engine's code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import blake2b
from itertools import starmap
from struct import unpack
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from langgraph.checkpoint.lmdb.format.envelope import reseal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

Chunk = tuple[int, int, int]
"""Owner, arena and place of a chunk."""
_TEXT_LIMIT = 180


_COUNTS = b"\x00counts"


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
    owners: list[int]
    ttl: int | None
    ttl_applied: bool
    needs_trim: bool
    oldest: int | None


class _Walk(NamedTuple):
    """What the keys of a store are, by the letter that they begin with."""

    keys: dict[str, dict[bytes, bytes]]
    threads: dict[int, Thread]
    namespaces: dict[int, dict[int, bytes]]
    needed: dict[int, set[Chunk]]
    """By thread: the chunks and nodes that its records name."""


def check(kv: KeyValueStore) -> None:
    """Assert that all that is stored is reachable, and that all that is named is stored. What is
    left of threads that are deleted bit by bit is left out."""
    with kv.read() as reader:
        everything = dict(starmap(_by_letter, reader.range(b"", b"\xff" * 512)))
    live, gone, pinned = _without_detached(everything)
    walk = _read(live)
    _check_indexes(walk)
    _check_chunks(walk, gone, pinned)


def threads(kv: KeyValueStore) -> dict[str, Thread]:
    """The records of all threads, by id."""
    with kv.read() as reader:
        records = starmap(_by_letter, reader.range(b"t", b"u"))
        found = [Thread(*_fields(key, value)) for key, value in records if key[:1] == b"t"]
    return {thread.id: thread for thread in found}


def _by_letter(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A record, with the letter in front that tells what a thread has it for."""
    end = _number(key, 1)[1] if key[:1] == b"t" else len(key)
    if end == len(key):
        return key, value
    short = key[end : end + 1] + key[1:end] + key[end + 1 :]
    return short, reseal(key, short, value) if value else value


def detached(kv: KeyValueStore) -> int:
    """How many deleted threads there are that something is left of."""
    with kv.read() as reader:
        return sum(1 for _ in reader.keys(b"x", b"y"))


def _without_detached(
    everything: dict[bytes, bytes],
) -> tuple[dict[bytes, bytes], set[int], set[Chunk]]:
    """What does not belong to such threads; their numbers; and the chunks that they still pin."""
    gone = {_number(key, 1)[0] for key in everything if key[:1] == b"x"}
    if not gone:
        return everything, gone, set()
    kept, pinned, needed = {}, set(), set()
    for key, value in everything.items():
        letter = key[:1]
        at = {b"m": 9, b"r": key.find(b"\x00\x01", 9) + 2}.get(letter, 1)
        number = _number(key, at)[0] if letter in b"tnckwhpomrd" else 0
        if letter == b"p":
            user, _ = _number(key, _number(key, 1)[1])
            (pinned if user in gone else needed).update(_runs(unseal(key, value)))
            number = user
        if letter != b"x" and (number not in gone or letter == b"d"):
            kept[key] = value
    own = {_key(name) for name in needed}
    for key in [key for key in kept if key[:1] == b"d"]:
        if _number(key, 1)[0] in gone and key not in own:
            del kept[key]
    return kept, gone, pinned - needed


def chunks(kv: KeyValueStore) -> int:
    """How many chunks and nodes the store holds."""
    with kv.read() as reader:
        found = (_by_letter(key, b"")[0] for key in reader.keys(b"t", b"u"))
        return sum(1 for key in found if key[:1] == b"d")


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
        owner, segment, count = varint(), varint(), varint()
        end = 0
        for _ in range(count):
            signed, length = varint(), varint()
            start = end + (-((signed + 1) // 2) if signed % 2 else signed // 2)
            end = start + length
            yield from ((owner, segment, place) for place in range(start, end))


def _read(everything: dict[bytes, bytes]) -> _Walk:
    keys: dict[str, dict[bytes, bytes]] = defaultdict(dict)
    for key, value in everything.items():
        keys[key[:1].decode("latin-1")][key] = value
    assert set(keys) <= set("\x00Ttncwhkrdpome"), set(keys)
    assert set(keys["\x00"]) <= {_COUNTS, b"\x00format", b"\x00next-thread", b"\x00sweeper"}
    threads = {}
    for key, value in keys["t"].items():
        thread = Thread(*_fields(key, value))
        assert _number(key, 1) == (thread.number, len(key))
        threads[thread.number] = thread
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
        if len(value) < 6:
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
    names = {key: _number(unseal(key, value), 0)[0] for key, value in walk.keys["T"].items()}
    assert names == {b"T" + _text(thread.id): number for number, thread in walk.threads.items()}
    assert set(walk.namespaces) == set(walk.threads), "a thread has no namespace, or the reverse"
    used: set[tuple[int, int]] = set()
    counts: Counter[int] = Counter()
    children: set[bytes] = set()
    labels: set[bytes] = set()
    thread_terms: set[bytes] = set()
    for key, value in walk.keys["c"].items():
        thread, namespace, part = _owner_of(key)
        used.add((thread, namespace))
        counts[thread] += 1
        fields = _fields(key, value)
        parent = fields[1]
        place = key[1 : len(key) - len(part)]
        if parent is not None:
            children.add(b"k" + place + _hash(parent) + part)
        ordered = part.replace(b"\x00", b"\x00\xff") + b"\x00\x01"
        labels.update(b"r" + term + ordered + place for term in _hashes(fields[8]))
        thread_terms.update(
            b"m" + term + place[: _number(place, 0)[1]] for term in _hashes(fields[9])
        )
    assert set(walk.keys["k"]) == children, "the index of children"
    assert set(walk.keys["r"]) == labels, "the index of labels"
    assert set(walk.keys["m"]) == thread_terms, "the index of the labels of threads"
    for key in walk.keys["w"]:
        used.add(_owner_of(key)[:2])
    named = {(thread, number) for thread, of in walk.namespaces.items() for number in of}
    assert used <= named, "records have no namespace"
    assert {thread for thread, _ in used} == {thread for thread, _ in named}, "an empty thread"
    assert all(number == 0 for _, number in named - used), "an empty namespace"
    for number, thread in walk.threads.items():
        assert thread.checkpoints == counts[number], "the count of checkpoints"
        assert all(namespace < thread.next_namespace for namespace in walk.namespaces[number])
    _check_folded(walk)
    _check_agenda(walk)
    _check_counts(walk)


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[at : at + 8] for at in range(0, len(joined), 8)]


def _check_agenda(walk: _Walk) -> None:
    expected: set[tuple[int, int, int]] = set()
    for number, thread in walk.threads.items():
        assert 0 <= thread.updated - thread.indexed_at < 20
        expected.add((int(thread.ttl is not None or thread.ttl_applied), thread.indexed_at, number))
        if thread.ttl and not thread.ttl_applied:
            expected.add((2, thread.indexed_at + thread.ttl, number))
        oldest = _oldest(walk, number)
        assert thread.oldest == oldest, "the time of the oldest checkpoint in the history"
        if oldest is not None:
            expected.add((3, oldest, number))
        if thread.needs_trim:
            expected.add((4, 0, number))
    found = set()
    for key in walk.keys["e"]:
        kind, at = _number(key, 1)
        time, at = _number(key, at)
        number, at = _number(key, at)
        assert at == len(key)
        found.add((kind, time, number))
    assert found == expected, "the agenda"


def _oldest(walk: _Walk, number: int) -> int | None:
    stored: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
    for key, value in walk.keys["c"].items():
        thread, namespace, part = _owner_of(key)
        if thread == number:
            fields = _fields(key, value)
            name = part if fields[10] is None else fields[10].encode("utf-8", "surrogatepass")
            stored[namespace].append((name, fields[0]))
    return min((time for rows in stored.values() for _, time in sorted(rows)[:-1]), default=None)


def _check_counts(walk: _Walk) -> None:
    sizes: Counter[int] = Counter()
    writes: Counter[int] = Counter()
    for letter in "cwh":
        for key, value in walk.keys[letter].items():
            thread, _ = _number(key, 1)
            sizes[thread] += len(key) + 1 + len(value)  # the letter of a thread's records
            writes[thread] += len(_fields(key, value)[1]) if letter == "w" else 0
    for number, names in walk.needed.items():
        for name in names:
            if name[0] == number:
                key = _key(name)
                sizes[number] += len(key) + 1 + len(walk.keys["d"][key])
    for number, thread in walk.threads.items():
        assert thread.writes == writes[number], "the count of pending writes"
        assert thread.size == sizes[number], "the size of a thread"
    rows = [(t.checkpoints, t.writes, t.size) for t in walk.threads.values()]
    totals = [sum(1 for row in rows if row[0]), *map(sum, zip(*rows, strict=True))]
    counted = walk.keys["\x00"].get(_COUNTS)
    found = [0] * 4 if counted is None else [*unpack(">4Q", unseal(_COUNTS, counted))]
    assert found == (totals if rows else [0] * 4), "the counts of the store"


def _check_folded(walk: _Walk) -> None:
    for key in walk.keys["h"]:
        _, _, rest = _owner_of(key)
        part = rest[: rest.index(b"\x00\x01")].replace(b"\x00\xff", b"\x00")
        checkpoint = b"c" + key[1 : len(key) - len(rest)] + part
        assert checkpoint in walk.keys["c"], "a folded history of no checkpoint"
        assert _fields(checkpoint, walk.keys["c"][checkpoint])[1] is None


def _check_chunks(walk: _Walk, gone: set[int], pinned: set[Chunk]) -> None:
    stored: set[Chunk] = set()
    for key, value in walk.keys["d"].items():
        owner, at = _number(key, 1)
        segment, at = _number(key, at)
        place, at = _number(key, at)
        assert at == len(key)
        unseal(key, value)
        stored.add((owner, segment, place))
    needed = set().union(*walk.needed.values()) if walk.needed else set()
    assert not needed - stored, f"named but not stored: {sorted(needed - stored)[:5]}"
    stored -= pinned - needed
    assert not stored - needed, f"stored but not named: {sorted(stored - needed)[:5]}"
    pins: set[tuple[int, int]] = set()
    for user, names in walk.needed.items():
        owners = {owner for owner, _, _ in names} - {user}
        assert walk.threads[user].owners == sorted(owners), "the owners that a thread names"
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
    for owner in ({owner for owner, _, _ in stored} | set(left)) - gone:
        own = {name for name in stored if name[0] == owner}
        assert left.get(owner, set()) - (pinned - needed) == own - walk.needed.get(owner, set()), (
            "left behind"
        )
