"""The thread, namespace and checkpoint of a record, from its key: for errors and reports."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.engine import threads
from langgraph.checkpoint.lmdb.errors import IntegrityError
from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import Reader


def describe_key(reader: Reader, key: bytes) -> dict[str, str]:
    """Return the ids of the thread, namespace and checkpoint that a record belongs to, if known."""
    found: dict[str, str] = {}
    if key[:1] != keys.Kind.THREAD:
        return found
    with suppress(IntegrityError):
        _, at = keys.read_number(key, 1)
        kind = key[at : at + 1]
        record = reader.get(key[:at])
        thread = None if record is None else threads.decode(key[:at], record)
        if thread is not None:
            found["thread_id"] = thread.id
        if kind in (keys.Kind.CHECKPOINT, keys.Kind.WRITES, keys.Kind.COMPACTED):
            number, at = keys.read_number(key, at + 1)
            part = key[at:] if kind == keys.Kind.CHECKPOINT else keys.read_sortable_text(key, at)[0]
            if not keys.is_truncated(part) and part[:1] != b"\xff":
                found["checkpoint_id"] = keys.decoded(part, key)
            for name, namespace in () if thread is None else threads.namespaces(reader, thread):
                if namespace.number == number:
                    found["checkpoint_ns"] = name
    return found
