"""The decoders of stored bytes, each as a function of a payload with a valid checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import (
    channel_history,
    checkpoints,
    garbage,
    namespaces,
    thread_record,
    writes,
)
from langgraph.checkpoint.lmdb.engine import chunks as stored_values
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.fuzz.stores import ENTRIES, NUMBER, TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    Decoder = Callable[[bytes], object]

CHECKPOINT = keys.checkpoint(keys.NamespaceRef(NUMBER, 0), "2")
NAMESPACE = keys.namespace(NUMBER, "sub:1")
THREAD = keys.thread_number(NUMBER)
WRITES = keys.writes(keys.NamespaceRef(NUMBER, 0), "2")
COMPACTED = keys.compacted(keys.NamespaceRef(NUMBER, 0), "2")
ORPHANED = keys.orphaned_chunks(NUMBER)


def sealed(key: bytes, payload: bytes) -> bytes:
    return envelope.seal(key, envelope.pack(payload, None))


def _tree(root: bytes) -> object:
    """Read a value whose root are these bytes, from a store where they are also a chunk."""
    store = MemoryStore()
    key = keys.segment(NUMBER, 0) + keys.number(0)
    store.write(lambda writer: writer.put(key, sealed(key, root[:60_000])))
    with store.read() as reader:
        return [
            stored_values.payload(reader, ChunkedValue("msgpack", 0, b"", 1000, depth, root))
            for depth in (0, 1, 8)
        ]


DECODERS: dict[str, Decoder] = {
    "unseal": lambda data: envelope.unseal(b"k", envelope.seal(b"k", data)) if data else None,
    "compressed": lambda data: envelope.unseal(b"k", envelope.seal(b"k", b"\x02" + data)),
    "fields": lambda data: envelope.decode(b"k", data),
    "ranges": lambda data: garbage.load_ranges(ORPHANED, sealed(ORPHANED, data)),
    "tree": _tree,
    "number": lambda data: keys.read_number(data, 0),
    "sortable text": lambda data: keys.read_sortable_text(data, 0),
    "escaped text": lambda data: keys.escaped_text_end(data, 0),
    "id": lambda data: keys.decoded(data, data),
    "thread": lambda data: thread_record.decode(THREAD, sealed(THREAD, data)),
    "namespace": lambda data: namespaces.decode(NAMESPACE, sealed(NAMESPACE, data)),
    "checkpoint": lambda data: checkpoints.decode(CHECKPOINT, sealed(CHECKPOINT, data)),
    "writes": lambda data: writes.decode(WRITES + b"task", WRITES, sealed(WRITES + b"task", data)),
    "compacted": lambda data: channel_history.decode(COMPACTED, sealed(COMPACTED, data)),
}


def _payloads() -> dict[str, tuple[bytes, Decoder]]:
    of_kind = {"t": "thread", "n": "namespace", "c": "checkpoint", "w": "writes", "h": "compacted"}
    found = {}
    for key, kind in TARGETS.items():
        if kind in of_kind:
            name = of_kind[kind]
            found[name] = (envelope.unseal(key, ENTRIES[key]), DECODERS[name])
    return found


RECORDS = _payloads()
