"""FORMAT.md says enough: a reader written from it alone sees what the saver sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import FormatVersionError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from tests.engine import stores
from tests.format import golden, reader
from tests.format.decryption import decrypted

if TYPE_CHECKING:
    from pathlib import Path


def filled(path: Path) -> Path:
    kv = LmdbStore.open(path, sync="off")
    stores.fill(kv)
    kv.close()
    return path


def loaded(saver: LmdbSaver, value: list[str]) -> Any:
    tag, payload, *encoding = value
    found = saver.serde.loads_typed((tag, bytes.fromhex(payload)))
    assert found is not None or encoding == ["may be None"]
    return found


def assert_same(found: dict[str, Any], saver: LmdbSaver) -> None:
    """Assert that the reader has seen what the saver shows, and no more."""
    seen = 0
    for checkpoint in saver.list(None):
        where = checkpoint.config["configurable"]
        thread = found["threads"][where["thread_id"]]
        namespace = thread["namespaces"][where["checkpoint_ns"]]
        read = namespace["checkpoints"][where["checkpoint_id"]]
        parent = (checkpoint.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        assert read["parent"] == parent
        assert loaded(saver, read["metadata"]) == checkpoint.metadata
        body = loaded(saver, read["body"])
        body["id"] = where["checkpoint_id"]
        body["channel_versions"] = read["versions"]
        body["channel_values"] = {c: loaded(saver, value) for c, value in read["values"].items()}
        assert body == checkpoint.checkpoint
        assert [*body] == [*checkpoint.checkpoint]
        writes = [(task, c, loaded(saver, value)) for _, task, _, c, value in read["writes"]]
        assert writes == checkpoint.pending_writes
        for name, entry in read["folded"].items():
            assert_folded(saver, checkpoint.config, name, entry)
        seen += 1
    stats = saver.stats()
    assert found["counts"] == [stats.threads, stats.checkpoints, stats.writes, stats.bytes]
    assert seen == stats.checkpoints


def assert_folded(saver: LmdbSaver, config: Any, name: str, entry: dict[str, Any]) -> None:
    channel = name.removeprefix("channel ")
    history = saver.get_delta_channel_history(config=config, channels=[channel])[channel]
    expected = [(task, channel, loaded(saver, value)) for task, value in entry["writes"]]
    assert history["writes"] == expected
    assert ("seed" in history) == (entry["seed"] is not None)


def test_the_reader_sees_what_the_saver_sees(tmp_path: Path) -> None:
    found = reader.read(filled(tmp_path / "store"))
    threads = found["threads"]
    assert threads["pruned"]["namespaces"][""]["checkpoints"]["0006"]["folded"]
    assert found["deepest value"] == 1
    assert threads["early"]["namespaces"][""]["early writes"] == 1
    with LmdbSaver(tmp_path / "store", clock=stores.Clock()) as saver:
        assert_same(found, saver)


def test_without_compression_and_with_what_a_repair_left(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", compression=None, clock=stores.Clock()) as saver:
        stores.grow(saver, "a", 1, 5)
        saver._kv.write(lambda writer: writer.put(keys.checkpoint(1, 0, "0002"), b"damaged"))
        assert saver.verify(repair=True).ok
    found = reader.read(tmp_path / "store")
    third = found["threads"]["a"]["namespaces"][""]["checkpoints"]["0003"]
    assert [*third["folded"]] == ["lost before"]


def test_a_newer_format_is_refused_and_both_versions_are_named(tmp_path: Path) -> None:
    path = filled(tmp_path / "store")
    kv = LmdbStore.open(path, sync="off")
    newer = envelope.seal(keys.FORMAT, envelope.pack(envelope.encode(2), None))
    kv.write(lambda writer: writer.put(keys.FORMAT, newer))
    kv.close()
    for options in ({}, {"readonly": True}):
        with pytest.raises(FormatVersionError, match=r"version 2, this release reads 1") as caught:
            LmdbSaver(path, **options)
        assert (caught.value.found, caught.value.supported) == (2, (1,))
    with pytest.raises(reader.UnreadableError, match="format 2, this reader reads 1"):
        reader.read(path)


def test_an_encrypted_store_needs_its_key(tmp_path: Path) -> None:
    path = golden.unpack("0.1.0-encrypted", tmp_path / "store")
    with pytest.raises(reader.UnreadableError, match="the key is another one"):
        reader.read(path, lambda records: decrypted(records, bytes(32)))
    with pytest.raises(reader.UnreadableError, match="another checksum"):
        reader.read(path)
