"""Decodes a store to plain data, by FORMAT.md alone: it shares nothing with the package but the
dictionary file. Values stay as the serialiser made them, a tag and bytes."""

from __future__ import annotations

import zlib
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import msgpack
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DICTIONARY = Path(__file__).parents[2] / "src/langgraph/checkpoint/lmdb/format/dictionary-1.zstd"
FORMAT = 1
MAX_PAYLOAD = 64 << 20
MAX_CHUNK = 60_000
TEXT_LIMIT = 180
THREAD = (
    "number",
    "id",
    "created",
    "updated",
    "filed",
    "generation",
    "next arena",
    "next namespace",
    "checkpoints",
    "writes",
    "bytes",
    "owners",
    "ttl",
    "settled",
    "grown",
    "oldest",
)
Runs = list[tuple[int, int, int, int]]


class UnreadableError(Exception):
    """The store is not as FORMAT.md says."""


def read(
    folder: Path, decrypt: Callable[[dict[bytes, bytes]], dict[bytes, bytes]] | None = None
) -> dict[str, Any]:
    """All that a store holds.

    Args:
        folder: Where it is.
        decrypt: Makes plain records of encrypted ones.

    Raises:
        UnreadableError: It is not what FORMAT.md says.
    """
    options = {"lib_version": 0} if hasattr(lmdb.Environment, "lib_version") else {}
    env = lmdb.open(str(folder), readonly=True, lock=False, **options)
    try:
        with env.begin() as transaction:
            records = dict(transaction.cursor())
    finally:
        env.close()
    return Reader(records if decrypt is None else decrypt(records)).everything()


def number(data: bytes, at: int) -> tuple[int, int]:
    """A number, and the offset behind it."""
    size = max(0, data[at] - 239)
    if not size:
        return data[at], at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def encoded_number(value: int) -> bytes:
    """A number's bytes."""
    if value < 240:
        return bytes((value,))
    size = (value.bit_length() + 7) // 8
    return bytes((239 + size,)) + value.to_bytes(size, "big")


def utf8(value: str) -> bytes:
    """A text's bytes."""
    return value.encode("utf-8", "surrogatepass")


def text(value: str) -> bytes:
    """A text at the end of a key."""
    raw = utf8(value)
    if len(raw) <= TEXT_LIMIT:
        return raw
    return raw[:TEXT_LIMIT] + b"\xff" + blake2b(raw, digest_size=16).digest()


def escaped_text(value: str) -> bytes:
    """A text within a key."""
    part = text(value).replace(b"\x00", b"\x00\xff")
    if len(part) > 240:
        digest = blake2b(utf8(value), digest_size=16).digest()
        part = b"\xff" + digest.replace(b"\x00", b"\x00\xff")
    return part + b"\x00\x01"


def sortable_text(value: str) -> bytes:
    """A text within a key that sorts."""
    return text(value).replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def hash64(value: str) -> bytes:
    """The hash of a text."""
    return blake2b(utf8(value), digest_size=8).digest()


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def runs(data: bytes) -> Runs:
    """Owner, arena, first and count of each run."""
    found: Runs = []
    at = 0
    while at < len(data):
        owner, at = varint(data, at)
        segment, at = varint(data, at)
        count, at = varint(data, at)
        end = 0
        for _ in range(count):
            zigzag, at = varint(data, at)
            length, at = varint(data, at)
            start = end + (zigzag >> 1 if zigzag % 2 == 0 else -((zigzag + 1) >> 1))
            found.append((owner, segment, start, length))
            end = start + length
    return found


class Reader:
    """Reads the records of a store.

    Args:
        records: Keys and values.
    """

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.records = records
        self.deepest = 0
        dictionary = zstandard.ZstdCompressionDict(
            DICTIONARY.read_bytes(), dict_type=zstandard.DICT_TYPE_FULLDICT
        )
        self._zstd = {
            1: zstandard.ZstdDecompressor(),
            2: zstandard.ZstdDecompressor(dict_data=dictionary),
        }

    def everything(self) -> dict[str, Any]:
        """All that the store holds, by thread."""
        found = msgpack.unpackb(self.payload(b"\x00format"))
        if found != FORMAT:
            raise UnreadableError(f"format {found}, this reader reads {FORMAT}")
        threads: dict[str, Any] = {}
        for key in self.under(b"t"):
            if number(key, 1)[1] == len(key):
                thread = dict(zip(THREAD, self.fields(key), strict=True))
                name = b"T" + text(thread["id"])
                if number(self.payload(name), 0)[0] != thread["number"]:
                    raise UnreadableError(f"{thread['id']!r} leads to another thread")
                threads[thread["id"]] = self.thread(key, thread)
        counts = self.records.get(b"\x00counts")
        payload = b"" if counts is None else self.payload(b"\x00counts")
        return {
            "format": found,
            "threads": threads,
            "deepest value": self.deepest,
            "counts": [
                int.from_bytes(payload[at : at + 8], "big") for at in range(0, len(payload), 8)
            ],
        }

    def under(self, prefix: bytes) -> Iterator[bytes]:
        """The keys with a prefix, in order."""
        return iter(sorted(key for key in self.records if key.startswith(prefix)))

    def payload(self, key: bytes, limit: int = MAX_PAYLOAD) -> bytes:
        """What a record holds."""
        record = self.records[key]
        if zlib.crc32(key + record[4:]) != int.from_bytes(record[:4], "big"):
            raise UnreadableError(f"{key!r} has another checksum")
        codec = record[4]
        if codec == 0:
            payload = record[5:]
        else:
            if codec not in self._zstd:
                raise UnreadableError(f"{key!r} has codec {codec}")
            size, at = varint(record, 5)
            if size > limit:
                raise UnreadableError(f"{key!r} would have {size} bytes")
            payload = self._zstd[codec].decompress(record[at:], max_output_size=size)
            if len(payload) != size:
                raise UnreadableError(f"{key!r} has {len(payload)} bytes, not {size}")
        if len(payload) > limit:
            raise UnreadableError(f"{key!r} has {len(payload)} bytes")
        return payload

    def fields(self, key: bytes) -> Any:
        """The msgpack in a record."""
        return msgpack.unpackb(
            self.payload(key), strict_map_key=False, unicode_errors="surrogatepass"
        )

    def thread(self, at: bytes, record: dict[str, Any]) -> dict[str, Any]:
        """All of a thread."""
        prefix = b"n" + at[1:]
        namespaces = {}
        for key in self.under(prefix):
            index, name = self.fields(key)
            if key != prefix + text(name):
                raise UnreadableError(f"{key!r} holds the name {name!r}")
            namespaces[name] = self.namespace(at, encoded_number(index))
        return {"record": record, "namespaces": namespaces}

    def namespace(self, at: bytes, index: bytes) -> dict[str, Any]:
        """All of a namespace."""
        checkpoints = {}
        prefix = at + b"c" + index
        for key in self.under(prefix):
            checkpoint_id, found = self.checkpoint(key, key[len(prefix) :])
            inner = escaped_text(checkpoint_id)
            found["writes"] = self.writes(at + b"w" + index + inner)
            found["folded"] = self.folded(at + b"h" + index + inner)
            self.check_indexes(at, index, checkpoint_id, found)
            checkpoints[checkpoint_id] = found
        return {"checkpoints": checkpoints, "early writes": self.early(at, index, checkpoints)}

    def check_indexes(
        self, at: bytes, index: bytes, checkpoint_id: str, found: dict[str, Any]
    ) -> None:
        """See whether all entries are there that lead to a checkpoint."""
        part, thread = text(checkpoint_id), at[1:]
        entries = [
            b"r" + bytes.fromhex(label) + sortable_text(checkpoint_id) + thread + index
            for label in found["labels"]
        ]
        entries += [b"m" + bytes.fromhex(label) + thread for label in found["thread labels"]]
        if found["parent"] is not None:
            entries.append(at + b"k" + index + hash64(found["parent"]) + part)
        for entry in entries:
            if self.records.get(entry) != b"":
                raise UnreadableError(f"no entry {entry!r}")

    def checkpoint(self, key: bytes, part: bytes) -> tuple[str, dict[str, Any]]:
        """A checkpoint, and its id."""
        (
            stored,
            parent,
            run,
            root,
            body,
            metadata,
            versions,
            values,
            labels,
            thread_terms,
            full_id,
        ) = self.fields(key)
        checkpoint_id = part.decode("utf-8", "surrogatepass") if full_id is None else full_id
        if text(checkpoint_id) != part:
            raise UnreadableError(f"{key!r} is not the key of {checkpoint_id!r}")
        return checkpoint_id, {
            "stored": stored,
            "parent": parent,
            "run": run,
            "root": root,
            "body": self.value(body),
            "metadata": self.value(metadata),
            "versions": versions,
            "values": {channel: self.value(value) for channel, value in values.items()},
            "labels": _hashes(labels),
            "thread labels": _hashes(thread_terms),
        }

    def writes(self, prefix: bytes) -> list[Any]:
        """Task, path, index, channel and value of pending writes, in the order in which they
        apply."""
        found = []
        for key in self.under(prefix):
            full_id, rows = self.fields(key)
            part = key[len(prefix) :]
            task = part.decode("utf-8", "surrogatepass") if full_id is None else full_id
            if text(task) != part:
                raise UnreadableError(f"{key!r} is not the key of {task!r}")
            found += [
                [path, task, index, channel, self.value(value)]
                for index, channel, path, value in rows
            ]
        return sorted(found, key=lambda row: row[:3])

    def early(self, at: bytes, index: bytes, checkpoints: dict[str, Any]) -> int:
        """How many records of pending writes there are of checkpoints that are not there yet."""
        known = tuple(at + b"w" + index + escaped_text(name) for name in checkpoints)
        found = self.under(at + b"w" + index)
        return sum(1 for key in found if not known or not key.startswith(known))

    def folded(self, prefix: bytes) -> dict[str, Any]:
        """Folded history by channel: the seed, and writes as task and value."""
        channels: dict[str, Any] = {}
        keys = sorted(self.under(prefix), key=lambda key: number(key, len(prefix)))
        for key in keys:
            channel, seed, rows = self.fields(key)
            name = "lost before" if channel is None else f"channel {channel}"
            entry = channels.setdefault(name, {"seed": None, "writes": []})
            if seed is not None:
                entry["seed"] = self.value(seed)
            entry["writes"] += [[task, self.value(value)] for task, value in rows]
        return channels

    def value(self, fields: list[Any]) -> list[str]:
        """Tag and payload of a value, the payload in hexadecimal digits; and "may be None" if the
        serializer read it back as None."""
        if len(fields) in (2, 3):
            tag, payload, *shape = fields
            return [tag, payload.hex(), *(text for one in shape for text in self.shape(one))]
        tag, shape, head, size, depth, root = fields
        self.deepest = max(self.deepest, depth)
        level = runs(root)
        for _ in range(depth):
            level = [run for node in self.chunks(level) for run in runs(node)]
        payload = head + b"".join(self.chunks(level))
        if len(payload) != size:
            raise UnreadableError(f"a value has {len(payload)} bytes, not {size}")
        return [tag, payload.hex(), *self.shape(shape)]

    def shape(self, shape: int) -> list[str]:
        """What a shape says of how a value is read."""
        if shape not in (0, 1, 2):
            raise UnreadableError(f"a value has shape {shape}")
        return ["may be None"] if shape == 2 else []

    def chunks(self, named: Runs) -> list[bytes]:
        """The payloads of chunks."""
        found = []
        for owner, segment, start, count in named:
            prefix = b"t" + encoded_number(owner) + b"d" + encoded_number(segment)
            places = map(encoded_number, range(start, start + count))
            found += [self.payload(prefix + place, MAX_CHUNK) for place in places]
        return found


def _hashes(joined: bytes) -> list[str]:
    return [joined[at : at + 8].hex() for at in range(0, len(joined), 8)]
