"""FORMAT.md is complete: a reader written from it alone reads what the saver reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import FormatVersionError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.engine import stores
from tests.format import golden, reader
from tests.format.decryption import decrypted
from tests.kv.log.ends import end_process

if TYPE_CHECKING:
    from pathlib import Path


def filled_store(path: Path) -> Path:
    kv = LmdbStore.open(path, sync="off")
    stores.fill(kv)
    kv.close()
    return path


def deserialize(saver: LmdbSaver, value: list[str]) -> Any:
    tag, payload, *encoding = value
    found = saver.serde.loads_typed((tag, bytes.fromhex(payload)))
    assert found is not None or encoding == ["may be None"]
    return found


def assert_same(found: dict[str, Any], saver: LmdbSaver) -> None:
    """Assert that the independent reader and the saver return the same content."""
    seen = 0
    for checkpoint in saver.list(None):
        ref = checkpoint.config["configurable"]
        thread = found["threads"][ref["thread_id"]]
        namespace = thread["namespaces"][ref["checkpoint_ns"]]
        read = namespace["checkpoints"][ref["checkpoint_id"]]
        parent = (checkpoint.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        assert read["parent"] == parent
        assert deserialize(saver, read["metadata"]) == checkpoint.metadata
        body = deserialize(saver, read["body"])
        body["id"] = ref["checkpoint_id"]
        body["channel_versions"] = read["versions"]
        body["channel_values"] = {
            c: deserialize(saver, value) for c, value in read["values"].items()
        }
        assert body == checkpoint.checkpoint
        assert [*body] == [*checkpoint.checkpoint]
        writes = [(task, c, deserialize(saver, value)) for _, task, _, c, value in read["writes"]]
        assert writes == checkpoint.pending_writes
        for name, entry in read["compacted"].items():
            assert_same_history(saver, checkpoint.config, name, entry)
        seen += 1
    stats = saver.stats()
    assert found["counts"] == [stats.threads, stats.checkpoints, stats.writes, stats.bytes]
    assert seen == stats.checkpoints


def assert_same_history(saver: LmdbSaver, config: Any, name: str, entry: dict[str, Any]) -> None:
    channel = name.removeprefix("channel ")
    history = saver.get_delta_channel_history(config=config, channels=[channel])[channel]
    expected = [(task, channel, deserialize(saver, value)) for task, value in entry["writes"]]
    assert history["writes"] == expected
    assert ("seed" in history) == (entry["seed"] is not None)


def test_independent_reader_reads_the_log(tmp_path: Path) -> None:
    path = tmp_path / "open"
    kv = LogStore.open(path, sync="off")
    stores.fill(kv)
    end_process(kv)
    log = (path / "log.mdb").read_bytes()
    assert any(log)
    found = reader.read(path)
    assert found == reader.read(filled_store(tmp_path / "closed"))
    end = len(log.rstrip(b"\x00"))
    torn = log[: end - 1] + bytes((log[end - 1] ^ 1,)) + log[end:]
    (path / "log.mdb").write_bytes(torn)
    shorter = reader.read(path)
    assert shorter != found
    with LmdbSaver(path, clock=stores.Clock()) as saver:
        assert_same(shorter, saver)


def test_independent_reader_and_saver_return_same_content(tmp_path: Path) -> None:
    found = reader.read(filled_store(tmp_path / "store"))
    threads = found["threads"]
    assert threads["pruned"]["namespaces"][""]["checkpoints"]["0006"]["compacted"]
    assert found["deepest value"] == 1
    assert threads["early"]["namespaces"][""]["early writes"] == 1
    with LmdbSaver(tmp_path / "store", clock=stores.Clock()) as saver:
        assert_same(found, saver)


def test_independent_reader_reads_repaired_store_without_compression(tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", compression=None, clock=stores.Clock()) as saver:
        stores.grow(saver, "a", 1, 5)
        saver._kv.write(
            lambda writer: writer.put(keys.checkpoint(keys.NamespaceRef(1, 0), "0002"), b"damaged")
        )
        assert saver.verify(repair=True).ok
    found = reader.read(tmp_path / "store")
    third = found["threads"]["a"]["namespaces"][""]["checkpoints"]["0003"]
    assert [*third["compacted"]] == ["earlier history is lost"]


def test_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = filled_store(tmp_path / "store")
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


def test_encrypted_store_needs_its_key(tmp_path: Path) -> None:
    path = golden.unpack("0.1.0-encrypted", tmp_path / "store")
    with pytest.raises(reader.UnreadableError, match="the store has another key"):
        reader.read(path, lambda records: decrypted(records, bytes(32)))
    with pytest.raises(reader.UnreadableError, match="checksum"):
        reader.read(path)
