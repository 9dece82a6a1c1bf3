"""All that a store holds, put into another one: from plain to encrypted, or back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.format import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

_BATCH = 4 << 20  # bytes in a transaction
_END = b"\xff" * 512


def copy_store(source: KeyValueStore, target: KeyValueStore) -> None:
    """Copy one snapshot of a store to an empty one.

    The record without which nothing is a store comes last: an unfinished copy is none.
    """
    source.reserve_map()
    with source.read() as reader:
        last = reader.get(keys.FORMAT)
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in reader.range(b"", _END):
            if key == keys.FORMAT:
                continue
            batch.append((key, value))
            size += len(key) + len(value)
            if size >= _BATCH:
                target.write(_putting(batch))
                batch, size = [], 0
    if last is not None:
        batch.append((keys.FORMAT, last))
    target.write(_putting(batch))


def _putting(batch: list[tuple[bytes, bytes]]) -> Callable[[Writer], None]:
    def apply(writer: Writer) -> None:
        for key, value in batch:
            writer.put(key, value)

    return apply
