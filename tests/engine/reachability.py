"""A check of a whole store: indexes, counts and references against all raw keys.

It decodes them with `raw_records`, which uses no code of the engine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise, starmap
from struct import unpack
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.format.envelope import reseal, unseal
from tests.engine.raw_records import (
    COUNTS,
    Chunk,
    Content,
    Thread,
    by_letter,
    chunk_key,
    encode_text,
    hash_of,
    namespace_of,
    read_content,
    read_fields,
    read_number,
    read_ranges,
    split_hashes,
    without_deleted,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore


def check(kv: KeyValueStore) -> None:
    """Assert that indexes, counts and references of a store are complete and exact.

    Records of deleted threads that are not purged yet are not checked.
    """
    with kv.read() as reader:
        records = dict(starmap(by_letter, reader.range(b"", b"\xff" * 512)))
    live, deleted, shared = without_deleted(records)
    content = read_content(live)
    shown = {number: _shown(content, thread) for number, thread in content.threads.items()}
    _check_layers(content)
    _check_indexes(content, shown)
    _check_chunks(content, deleted, shared)


def threads(kv: KeyValueStore) -> dict[str, Thread]:
    """Return the records of all threads, by id."""
    with kv.read() as reader:
        records = starmap(by_letter, reader.range(b"t", b"u"))
        found = [Thread(*read_fields(key, value)) for key, value in records if key[:1] == b"t"]
    return {thread.id: thread for thread in found}


def tombstones(kv: KeyValueStore) -> int:
    """Return the number of deleted threads that are not purged yet."""
    with kv.read() as reader:
        return sum(1 for _ in reader.keys(b"x", b"y"))


def chunks(kv: KeyValueStore) -> int:
    """Return the number of chunks and nodes in a store."""
    with kv.read() as reader:
        found = (by_letter(key, b"")[0] for key in reader.keys(b"t", b"u"))
        return sum(1 for key in found if key[:1] == b"d")


def stored_bytes(kv: KeyValueStore) -> int:
    """Return the bytes of all keys and values."""
    with kv.read() as reader:
        return sum(len(key) + len(value) for key, value in reader.range(b"", b"\xff" * 512))


def _shown(content: Content, thread: Thread) -> dict[bytes, bytes]:
    """Return the checkpoints and writes that a thread shows, by the keys that are its own."""
    found: dict[bytes, bytes] = {}
    for number, last, before in [
        (thread.number, None, None),
        *((layer[0], layer[2], layer[3]) for layer in thread.layers),
    ]:
        for letter in "cw":
            prefix = letter.encode() + chunk_key((number,))[1:]
            for key, value in content.keys[letter].items():
                if not key.startswith(prefix):
                    continue
                _, namespace, rest = namespace_of(key)
                part = rest if letter == "c" else rest[: rest.index(b"\x00\x01")]
                name = part.replace(b"\x00\xff", b"\x00")
                if namespace == 0 and last is not None and name > encode_text(last):
                    continue
                if namespace and before is not None and name >= encode_text(before):
                    continue
                own = key[:1] + chunk_key((thread.number, namespace))[1:] + rest
                found.setdefault(own, reseal(key, own, value))
    return found


def _check_layers(content: Content) -> None:
    """Check that each layer has users, and that each user has a record."""
    expected = {}
    for number, thread in content.threads.items():
        for position, (layer, size, last, before) in enumerate(thread.layers):
            assert content.layers[layer].size == size, "the bytes of a layer"
            expected[chunk_key((layer, number))[1:]] = [position, last, before]
    found = {key[1:]: read_fields(key, value) for key, value in content.keys["u"].items()}
    assert found == expected, "the users of layers"
    used = {layer[0] for thread in content.threads.values() for layer in thread.layers}
    assert used == set(content.layers), "a layer without users"
    assert not used & set(content.threads)


def _check_indexes(content: Content, shown: dict[int, dict[bytes, bytes]]) -> None:
    names = {key: read_number(unseal(key, value), 0)[0] for key, value in content.keys["T"].items()}
    assert names == {
        b"T" + encode_text(thread.id): number for number, thread in content.threads.items()
    }
    assert set(content.namespaces) == {*content.threads, *content.layers}, (
        "a thread has no namespace, or the reverse"
    )
    used: set[tuple[int, int]] = set()
    children: set[bytes] = set()
    terms: set[bytes] = set()
    thread_terms: set[bytes] = set()
    for key, value in content.keys["c"].items():
        thread, namespace, part = namespace_of(key)
        used.add((thread, namespace))
        fields = read_fields(key, value)
        parent = fields[1]
        numbers = key[1 : len(key) - len(part)]
        if parent is not None:
            children.add(b"k" + numbers + hash_of(parent) + part)
        sortable = part.replace(b"\x00", b"\x00\xff") + b"\x00\x01"
        terms.update(b"r" + term + sortable + numbers for term in split_hashes(fields[8]))
        thread_terms.update(
            b"m" + term + numbers[: read_number(numbers, 0)[1]] for term in split_hashes(fields[9])
        )
    assert set(content.keys["k"]) == children, "the index of children"
    assert set(content.keys["r"]) == terms, "the index of checkpoints by term"
    assert set(content.keys["m"]) == thread_terms, "the index of threads by term"
    for key in content.keys["w"]:
        used.add(namespace_of(key)[:2])
    named = {(thread, n) for thread, numbers in content.namespaces.items() for n in numbers}
    assert used <= named, "records have no namespace"
    layered = {number for number, thread in content.threads.items() if thread.layers}
    layered |= set(content.layers)
    assert {t for t, _ in used} | layered == {t for t, _ in named}, "an empty thread"
    assert all(n == 0 or t in layered for t, n in named - used), "an empty namespace"
    for number, thread in content.threads.items():
        count = sum(1 for key in shown[number] if key[:1] == b"c")
        assert thread.checkpoints == count, "the count of checkpoints"
        assert all(namespace < thread.next_namespace for namespace in content.namespaces[number])
    for number, layer in content.layers.items():
        assert all(namespace < layer.next_namespace for namespace in content.namespaces[number])
    _check_compacted(content)
    _check_time_index(content, shown)
    _check_counts(content, shown)


def _check_time_index(content: Content, shown: dict[int, dict[bytes, bytes]]) -> None:
    expected: set[tuple[int, int, int]] = set()
    for number, thread in content.threads.items():
        assert 0 <= thread.updated - thread.indexed_at < 20
        expected.add((int(thread.ttl is not None or thread.ttl_applied), thread.indexed_at, number))
        if thread.ttl and not thread.ttl_applied:
            expected.add((2, thread.indexed_at + thread.ttl, number))
        oldest = _oldest(shown[number])
        if any(layer[2] is not None for layer in thread.layers):
            assert thread.oldest is not None
            assert oldest is not None
            assert thread.oldest <= oldest
        else:
            assert thread.oldest == oldest, "the time of the oldest checkpoint in the history"
        if thread.oldest is not None:
            expected.add((3, thread.oldest, number))
        if thread.needs_trim:
            expected.add((4, 0, number))
        if thread.state >= 2:
            expected.add((8 + thread.state, thread.updated - thread.updated % 60_000, number))
    found = set()
    for key in content.keys["e"]:
        kind, at = read_number(key, 1)
        time, at = read_number(key, at)
        number, at = read_number(key, at)
        assert at == len(key)
        found.add((kind, time, number))
    assert found == expected, "the time index"


def _oldest(shown: dict[bytes, bytes]) -> int | None:
    stored: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
    for key, value in shown.items():
        if key[:1] == b"c":
            _, namespace, part = namespace_of(key)
            fields = read_fields(key, value)
            name = part if fields[10] is None else fields[10].encode("utf-8", "surrogatepass")
            stored[namespace].append((name, fields[0]))
    return min((time for rows in stored.values() for _, time in sorted(rows)[:-1]), default=None)


def _check_line(thread: Thread, shown: dict[bytes, bytes]) -> None:
    """Check that ids alone tell what belongs to each root checkpoint of a line."""
    if thread.line is None:
        return
    roots: list[tuple[str, str | None]] = []
    others: list[tuple[str, str | None]] = []
    for key, value in shown.items():
        if key[:1] == b"c":
            _, namespace, part = namespace_of(key)
            fields = read_fields(key, value)
            rows = others if namespace else roots
            rows.append(
                (part.decode("utf-8", "surrogatepass"), fields[3] if namespace else fields[1])
            )
    roots.sort()
    for (before, _), (_, parent) in pairwise(roots):
        assert parent == before, "the thread is not a line"
    ids = [name for name, _ in roots]
    assert not roots or roots[0][1] not in ids
    for name, root in others:
        assert root == max(one for one in ids if one < name), "the subgraph is not in the line"
    assert thread.line == max((name for name, _ in others), default="")


def _check_counts(content: Content, shown: dict[int, dict[bytes, bytes]]) -> None:
    sizes: Counter[int] = Counter()
    for letter in "cwh":
        for key, value in content.keys[letter].items():
            thread, _ = read_number(key, 1)
            sizes[thread] += len(key) + 1 + len(value)  # 1: `by_letter` dropped the letter "t"
    for number, chunks in content.needed.items():
        for chunk in chunks:
            if chunk[0] == number:
                key = chunk_key(chunk)
                sizes[number] += len(key) + 1 + len(content.keys["d"][key])
    for number, thread in content.threads.items():
        writes = early = 0
        for key, value in shown[number].items():
            if key[:1] == b"w":
                count = len(read_fields(key, value)[1])
                writes += count
                at = read_number(key, read_number(key, 1)[1])[1]
                name = key[at : key.index(b"\x00\x01", at)].replace(b"\x00\xff", b"\x00")
                checkpoint = b"c" + key[1:at] + name
                early += 0 if checkpoint in shown[number] else count
        assert thread.writes == writes, "the count of pending writes"
        if not any(len(key) > 180 for key in shown[number]):
            assert thread.early == early, "the count of early writes"
        _check_line(thread, shown[number])
    for number, thread in [*content.threads.items(), *content.layers.items()]:
        assert thread.size == sizes[number], "the size of a thread"
    rows = [(t.checkpoints, t.writes, t.size) for t in content.threads.values()]
    rows += [(0, 0, layer.size) for layer in content.layers.values()]
    totals = [sum(1 for row in rows if row[0]), *map(sum, zip(*rows, strict=True))]
    counted = content.keys["\x00"].get(COUNTS)
    found = [0] * 4 if counted is None else [*unpack(">4Q", unseal(COUNTS, counted))]
    assert found == (totals if rows else [0] * 4), "the counts of the store"


def _check_compacted(content: Content) -> None:
    for key in content.keys["h"]:
        _, _, rest = namespace_of(key)
        part = rest[: rest.index(b"\x00\x01")].replace(b"\x00\xff", b"\x00")
        checkpoint = b"c" + key[1 : len(key) - len(rest)] + part
        assert checkpoint in content.keys["c"], "compacted history without a checkpoint"
        assert read_fields(checkpoint, content.keys["c"][checkpoint])[1] is None


def _check_chunks(content: Content, deleted: set[int], shared: set[Chunk]) -> None:
    stored: set[Chunk] = set()
    for key, value in content.keys["d"].items():
        owner, at = read_number(key, 1)
        segment, at = read_number(key, at)
        seq, at = read_number(key, at)
        assert at == len(key)
        unseal(key, value)
        stored.add((owner, segment, seq))
    needed = set().union(*content.needed.values()) if content.needed else set()
    assert not needed - stored, f"used but not stored: {sorted(needed - stored)[:5]}"
    stored -= shared - needed
    assert not stored - needed, f"stored but not used: {sorted(stored - needed)[:5]}"
    expected: set[tuple[int, int]] = set()
    for user, chunks in content.needed.items():
        owners = {owner for owner, _, _ in chunks} - {user}
        thread = content.threads.get(user) or content.layers[user]
        kept = owners & set(thread.shared_owners)
        if thread.layers:
            assert owners <= {layer[0] for layer in thread.layers} | {
                owner for layer in thread.layers for owner in content.layers[layer[0]].shared_owners
            }
            assert not thread.shared_owners
        elif user in content.threads:
            assert thread.shared_owners == sorted(owners), "the shared owners"
        else:
            assert set(thread.shared_owners) <= owners
        for owner in kept:
            expected.add((owner, user))
    found: dict[tuple[int, int], set[Chunk]] = {}
    for key, value in content.keys["p"].items():
        owner, at = read_number(key, 1)
        user, at = read_number(key, at)
        found[owner, user] = set(read_ranges(unseal(key, value)))
    assert set(found) == expected, "the shared references"
    for (owner, user), chunks in found.items():
        assert chunks == {chunk for chunk in content.needed[user] if chunk[0] == owner}
    orphaned = {
        read_number(key, 1)[0]: set(read_ranges(unseal(key, value)))
        for key, value in content.keys["o"].items()
    }
    for owner in ({owner for owner, _, _ in stored} | set(orphaned)) - deleted:
        owned = {chunk for chunk in stored if chunk[0] == owner}
        found_orphaned = orphaned.get(owner, set()) - (shared - needed)
        assert found_orphaned == owned - content.needed.get(owner, set()), "the orphaned chunks"
