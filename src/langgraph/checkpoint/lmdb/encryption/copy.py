"""Copying a whole store into another one, to add, change or remove its encryption."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.encryption.key_source import EncryptionKey
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer
from langgraph.checkpoint.lmdb.kv.lmdb.store import new_store

_BATCH_BYTES = 4 << 20
"""Bytes of keys and values per transaction."""
_END = b"\xff" * 512


def copy_to_folder(source: KeyValueStore, path: str, key: EncryptionKey | None) -> None:
    """Copy one snapshot of a store to a new store of its kind, completely or not at all.

    A store without files is copied to an LMDB store.

    Args:
        source: The store with plain keys and values.
        path: The folder, which must not exist.
        key: The key of the copy. None: the copy is not encrypted.
    """
    create = new_store if source.files is None else source.files.new_store
    with create(path) as copy:
        _copy_records(source, open_encrypted(copy, key, new=True))


def _copy_records(source: KeyValueStore, target: KeyValueStore) -> None:
    """Copy one snapshot of a store to an empty store.

    The format record is written last: without it the target cannot be opened, so an unfinished
    copy is never mistaken for a store.
    """
    source.reserve_map()
    with source.read() as reader:
        format_record = reader.get(keys.FORMAT)
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in reader.range(b"", _END):
            if key == keys.FORMAT:
                continue
            batch.append((key, value))
            size += len(key) + len(value)
            if size >= _BATCH_BYTES:
                _write(target, batch)
                batch, size = [], 0
    if format_record is not None:
        batch.append((keys.FORMAT, format_record))
    _write(target, batch)


def _write(target: KeyValueStore, batch: list[tuple[bytes, bytes]]) -> None:
    def apply(writer: Writer) -> None:
        for key, value in batch:
            writer.put(key, value)

    target.write(apply)
