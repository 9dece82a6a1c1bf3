"""An independent reader of a store, written from docs/design/FORMAT.md alone.

It uses nothing of the package except the dictionary file. It does not deserialize values: a value
is a tag and bytes. Its names are the names of FORMAT.md.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmdb
import msgpack
import zstandard

from tests.format.encodings import (
    Ranges,
    UnreadableError,
    encode_number,
    escaped_text,
    hash_of,
    read_number,
    read_ranges,
    read_varint,
    sortable_text,
    text,
    utf8,
)
from tests.format.log import replay_log
from tests.format.tasks import read_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DICTIONARY = Path(__file__).parents[2] / "src/langgraph/checkpoint/lmdb/format/dictionary-1.zstd"
FORMAT = 1
MAX_PAYLOAD = 64 << 20
MAX_CHUNK = 60_000
THREAD_FIELDS = (
    "number",
    "id",
    "created",
    "updated",
    "indexed at",
    "generation",
    "next segment",
    "next namespace",
    "checkpoints",
    "writes",
    "bytes",
    "shared owners",
    "ttl",
    "ttl applied",
    "needs trim",
    "oldest",
    "state",
    "layers",
    "line",
    "early",
)


def read(
    folder: Path, decrypt: Callable[[dict[bytes, bytes]], dict[bytes, bytes]] | None = None
) -> dict[str, Any]:
    """Return the content of a store as plain data.

    Args:
        folder: The folder of the store.
        decrypt: Function that returns decrypted records. None: the store is not encrypted.

    Raises:
        UnreadableError: The store differs from FORMAT.md.
    """
    options = {"lib_version": 0} if hasattr(lmdb.Environment, "lib_version") else {}
    env = lmdb.open(str(folder), readonly=True, lock=False, **options)
    try:
        with env.begin() as transaction:
            records = dict(transaction.cursor())
    finally:
        env.close()
    replay_log(folder, records)
    found = records if decrypt is None else decrypt(records)
    of_tasks = {key[1:]: value for key, value in found.items() if key[:1] == b"s"}
    of_threads = {key: value for key, value in found.items() if key[:1] != b"s"}
    read = Reader(of_threads).read_store()
    if of_tasks:
        read["tasks"] = read_snapshots(Reader(of_tasks).read_store())
    return read


def is_shown(checkpoint_id: str, namespace: int, last: Any, before: Any) -> bool:
    """Return True if a thread shows a checkpoint of a layer with this last and this before."""
    if namespace == 0:
        return last is None or utf8(checkpoint_id) <= utf8(last)
    return before is None or utf8(checkpoint_id) < utf8(before)


class Reader:
    """A reader of the records of a store.

    Args:
        records: Keys and values of the database.
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

    def read_store(self) -> dict[str, Any]:
        """Return the content of the store, by thread."""
        found = msgpack.unpackb(self.payload(b"\x00format"))
        if found != FORMAT:
            raise UnreadableError(f"format {found}, this reader reads {FORMAT}")
        threads: dict[str, Any] = {}
        layers = self.read_layers()
        for key in self.under(b"t"):
            if read_number(key, 1)[1] == len(key):
                thread = dict(zip(THREAD_FIELDS, self.fields(key), strict=True))
                self.check_layers(thread, layers)
                name = b"T" + text(thread["id"])
                if read_number(self.payload(name), 0)[0] != thread["number"]:
                    raise UnreadableError(f"{thread['id']!r} leads to another thread")
                threads[thread["id"]] = self.read_thread(key, thread)
        counts = self.records.get(b"\x00counts")
        payload = b"" if counts is None else self.payload(b"\x00counts")
        return {
            "format": found,
            "threads": threads,
            "layers": {str(number): layer for number, layer in layers.items()},
            "deepest value": self.deepest,
            "counts": [
                int.from_bytes(payload[at : at + 8], "big") for at in range(0, len(payload), 8)
            ],
        }

    def read_layers(self) -> dict[int, Any]:
        """Return the record of each layer, and the positions and parts that its users show."""
        layers: dict[int, Any] = {}
        for key in self.under(b"l"):
            record = dict(zip(THREAD_FIELDS, self.fields(key), strict=True))
            if [record[name] for name in ("checkpoints", "writes", "layers")] != [0, 0, []]:
                raise UnreadableError(f"{key!r} is not the record of a layer")
            layers[record["number"]] = {"record": record, "users": {}}
        for key in self.under(b"u"):
            layer, at = read_number(key, 1)
            layers[layer]["users"][str(read_number(key, at)[0])] = self.fields(key)
        for number, layer in layers.items():
            if not layer["users"]:
                raise UnreadableError(f"no thread shows layer {number}")
        return layers

    def check_layers(self, thread: dict[str, Any], layers: dict[int, Any]) -> None:
        """Raise UnreadableError if the layers of a thread differ from their own records."""
        for position, (number, size, last, before) in enumerate(thread["layers"]):
            layer = layers[number]
            if layer["record"]["bytes"] != size:
                raise UnreadableError(f"layer {number} has another size")
            if layer["users"][str(thread["number"])] != [position, last, before]:
                raise UnreadableError(f"layer {number} is kept for another part")

    def under(self, prefix: bytes) -> Iterator[bytes]:
        """List the keys with a prefix, in order."""
        return iter(sorted(key for key in self.records if key.startswith(prefix)))

    def payload(self, key: bytes, limit: int = MAX_PAYLOAD) -> bytes:
        """Return the payload of a record."""
        record = self.records[key]
        if zlib.crc32(key + record[4:]) != int.from_bytes(record[:4], "big"):
            raise UnreadableError(f"the checksum of {key!r} does not match")
        codec = record[4]
        if codec == 0:
            payload = record[5:]
        else:
            if codec not in self._zstd:
                raise UnreadableError(f"{key!r} has codec {codec}")
            size, at = read_varint(record, 5)
            if size > limit:
                raise UnreadableError(f"{key!r} would have {size} bytes")
            payload = self._zstd[codec].decompress(record[at:], max_output_size=size)
            if len(payload) != size:
                raise UnreadableError(f"{key!r} has {len(payload)} bytes, not {size}")
        if len(payload) > limit:
            raise UnreadableError(f"{key!r} has {len(payload)} bytes")
        return payload

    def fields(self, key: bytes) -> Any:
        """Return the fields of a record."""
        return msgpack.unpackb(
            self.payload(key), strict_map_key=False, unicode_errors="surrogatepass"
        )

    def read_thread(self, thread_key: bytes, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record and the namespaces of a thread."""
        sources = [(thread_key, None, None)]
        sources += [
            (b"t" + encode_number(n), last, before) for n, _, last, before in record["layers"]
        ]
        namespaces: dict[str, int] = {}
        for source, _, _ in sources:
            prefix = b"n" + source[1:]
            for key in self.under(prefix):
                namespace, name = self.fields(key)
                if key != prefix + text(name):
                    raise UnreadableError(f"{key!r} holds the name {name!r}")
                if namespaces.setdefault(name, namespace) != namespace:
                    raise UnreadableError(f"namespace {name!r} has two numbers")
        found = {
            name: self.read_namespace(sources, namespace) for name, namespace in namespaces.items()
        }
        return {
            "record": record,
            "namespaces": {
                name: content
                for name, content in found.items()
                if not name or content["checkpoints"] or content["early writes"]
            },
        }

    def read_namespace(
        self, sources: list[tuple[bytes, Any, Any]], namespace: int
    ) -> dict[str, Any]:
        """Return the checkpoints of a namespace, and the number of records of early writes.

        Args:
            sources: Key, last and before of the thread and of each of its layers.
            namespace: The number of the namespace.
        """
        number_key = encode_number(namespace)
        checkpoints: dict[str, Any] = {}
        for source, last, before in sources:
            prefix = source + b"c" + number_key
            for key in self.under(prefix):
                checkpoint_id, found = self.read_checkpoint(key, key[len(prefix) :])
                if not is_shown(checkpoint_id, namespace, last, before):
                    continue
                if checkpoint_id not in checkpoints:
                    self.check_indexes(source, number_key, checkpoint_id, found)
                    checkpoints[checkpoint_id] = found
        early_writes = 0
        tasks: dict[tuple[str, bytes], bytes] = {}
        for source, last, before in sources:
            for checkpoint_id in checkpoints:
                if is_shown(checkpoint_id, namespace, last, before):
                    prefix = source + b"w" + number_key + escaped_text(checkpoint_id)
                    for key in self.under(prefix):
                        tasks.setdefault((checkpoint_id, key[len(prefix) :]), key)
            if last is None and before is None:
                early_writes += self.count_early_writes(source + b"w" + number_key, checkpoints)
        for checkpoint_id, found in checkpoints.items():
            rows = {part: key for (of, part), key in tasks.items() if of == checkpoint_id}
            found["writes"] = self.read_writes(rows)
            found["compacted"] = {}
            for source, last, before in sources:
                if is_shown(checkpoint_id, namespace, last, before):
                    prefix = source + b"h" + number_key + escaped_text(checkpoint_id)
                    found["compacted"] = found["compacted"] or self.read_compacted(prefix)
        in_order = sorted(checkpoints, key=text)
        return {
            "checkpoints": {name: checkpoints[name] for name in in_order},
            "early writes": early_writes,
        }

    def check_indexes(
        self, thread_key: bytes, namespace: bytes, checkpoint_id: str, found: dict[str, Any]
    ) -> None:
        """Raise UnreadableError if an index lacks an entry for a checkpoint."""
        thread = thread_key[1:]
        entries = [
            b"r" + bytes.fromhex(term) + sortable_text(checkpoint_id) + thread + namespace
            for term in found["terms"]
        ]
        entries += [b"m" + bytes.fromhex(term) + thread for term in found["thread terms"]]
        if found["parent"] is not None:
            children = thread_key + b"k" + namespace + hash_of(found["parent"])
            entries.append(children + text(checkpoint_id))
        for entry in entries:
            if self.records.get(entry) != b"":
                raise UnreadableError(f"no entry {entry!r}")

    def read_checkpoint(self, key: bytes, part: bytes) -> tuple[str, dict[str, Any]]:
        """Return the id and the record of a checkpoint."""
        (
            stored,
            parent,
            run,
            root,
            body,
            metadata,
            versions,
            values,
            terms,
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
            "terms": _hashes(terms),
            "thread terms": _hashes(thread_terms),
        }

    def read_writes(self, tasks: dict[bytes, bytes]) -> list[Any]:
        """Return the pending writes of a checkpoint, in the order in which they apply.

        A row is path, task id, index, channel and value.

        Args:
            tasks: The key of each task's record, by the task id at its end.
        """
        found = []
        for part, key in tasks.items():
            full_id, rows = self.fields(key)
            task = part.decode("utf-8", "surrogatepass") if full_id is None else full_id
            if text(task) != part:
                raise UnreadableError(f"{key!r} is not the key of {task!r}")
            found += [
                [path, task, index, channel, self.value(value)]
                for index, channel, path, value in rows
            ]
        return sorted(found, key=lambda row: row[:3])

    def count_early_writes(self, prefix: bytes, checkpoints: dict[str, Any]) -> int:
        """Return the number of records of pending writes whose checkpoint is not stored yet."""
        known = tuple(prefix + escaped_text(checkpoint_id) for checkpoint_id in checkpoints)
        found = self.under(prefix)
        return sum(1 for key in found if not known or not key.startswith(known))

    def read_compacted(self, prefix: bytes) -> dict[str, Any]:
        """Return the compacted history of a checkpoint by channel: seed, and task id and value of
        each write."""
        channels: dict[str, Any] = {}
        keys = sorted(self.under(prefix), key=lambda key: read_number(key, len(prefix)))
        for key in keys:
            channel, seed, rows = self.fields(key)
            name = "earlier history is lost" if channel is None else f"channel {channel}"
            entry = channels.setdefault(name, {"seed": None, "writes": []})
            if seed is not None:
                entry["seed"] = self.value(seed)
            entry["writes"] += [[task, self.value(value)] for task, value in rows]
        return channels

    def value(self, fields: list[Any]) -> list[str]:
        """Return the tag of a value, and its payload as hexadecimal digits.

        "may be None" follows if the serializer read the value back as None when it was put.
        """
        if len(fields) == 3:
            tag, encoding, payload = fields
            return [tag, payload.hex(), *self.describe(encoding)]
        tag, encoding, head, size, depth, root = fields
        self.deepest = max(self.deepest, depth)
        ranges = read_ranges(root)
        for _ in range(depth):
            ranges = [named for node in self.chunks(ranges) for named in read_ranges(node)]
        payload = head + b"".join(self.chunks(ranges))
        if len(payload) != size:
            raise UnreadableError(f"a value has {len(payload)} bytes, not {size}")
        return [tag, payload.hex(), *self.describe(encoding)]

    def describe(self, encoding: int) -> list[str]:
        """Return what an encoding says about reading a value."""
        if encoding not in (0, 1, 2):
            raise UnreadableError(f"a value has the encoding {encoding}")
        return ["may be None"] if encoding == 2 else []

    def chunks(self, ranges: Ranges) -> list[bytes]:
        """Return the payloads of chunks."""
        found = []
        for owner, segment, start, count in ranges:
            prefix = b"t" + encode_number(owner) + b"d" + encode_number(segment)
            seqs = map(encode_number, range(start, start + count))
            found += [self.payload(prefix + seq, MAX_CHUNK) for seq in seqs]
        return found


def _hashes(joined: bytes) -> list[str]:
    return [joined[at : at + 8].hex() for at in range(0, len(joined), 8)]
