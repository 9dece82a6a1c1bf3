"""Messages in the snapshot of a `DeltaChannel` are stored one by one, as in any list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot as Snapshot

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.codec import message_values, serializer
from langgraph.checkpoint.lmdb.codec.message_values import SnapshotFormat
from langgraph.checkpoint.lmdb.engine import checkpoints, chunks
from langgraph.checkpoint.lmdb.engine.chunks import ChunkedValue
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.same import rebuilt, same
from tests.saver.values import checkpoint, config, message, words

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

SERDE = JsonPlusSerializer()


def put(saver: LmdbSaver, number: int, value: Any) -> None:
    """Put a child of the checkpoint before. A value of None: the channel has no value."""
    new = checkpoint(f"{number}", number, value)
    if value is None:
        del new["channel_values"]["x"]
    parent = config("a", "", f"{number - 1}") if number > 1 else config("a", "")
    saver.put(parent, new, {}, {"x": number})


def got(saver: LmdbSaver, number: int) -> Any:
    found = saver.get_tuple(config("a", "", f"{number}"))
    assert found is not None
    return found.checkpoint["channel_values"]["x"]


def stored(saver: LmdbSaver, number: int) -> tuple[ChunkedValue, bytes]:
    """Return the stored value of a checkpoint, and its payload."""
    with saver._session.store.snapshot() as snapshot:
        record = checkpoints.read(snapshot.reader, NamespaceRef(1, 0), f"{number}")
        assert record is not None
        value = record.values["x"]
        assert isinstance(value, ChunkedValue)
        return value, chunks.payload(snapshot.reader, value)


@pytest.mark.parametrize("cache_size", [1 << 26, 0])
@pytest.mark.parametrize("size", [1, 5, 15, 16, 40, 300])
def test_stored_snapshot_has_the_payload_of_the_serializer(size: int, cache_size: int) -> None:
    kv = MemoryStore()
    value = Snapshot([message(n) for n in range(size)])
    saver = KvSaver(kv, cache_size=cache_size)
    put(saver, 1, value)
    value_record, payload = stored(saver, 1)
    assert value_record.encoding == serializer.MESSAGES
    assert payload == SERDE.dumps_typed(value)[1]
    for reader in (saver, KvSaver(kv)):
        for _ in range(3):
            found = got(reader, 1)
            assert type(found) is Snapshot
            assert same(found.value, rebuilt(value.value))
            found.value[0].content = "changed by the caller"
            found.value.clear()


def bytes_of(kv: KeyValueStore) -> int:
    with kv.read() as reader:
        return sum(len(record) for _, record in reader.range(b"", b"\xff" * 500))


def test_next_snapshot_stores_only_what_is_new() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    messages = [HumanMessage(words(n, 100), id=f"{n}") for n in range(400)]
    put(saver, 1, Snapshot(messages))
    put(saver, 2, None)
    before = bytes_of(kv)
    messages = [*messages, HumanMessage("new", id="new")]
    put(saver, 3, Snapshot(messages))
    assert bytes_of(kv) - before < 2000
    messages[7].additional_kwargs["changed"] = True
    put(saver, 4, Snapshot(messages))
    assert bytes_of(kv) - before < 6000
    assert got(saver, 4).value[7].additional_kwargs == {"changed": True}
    assert got(saver, 3).value[7].additional_kwargs == {}
    assert saver.verify().ok


@pytest.mark.parametrize("value", [[], "text", [1, 2], {"a": [message(1)]}, message(1), None])
def test_snapshot_of_other_values_is_read_back(value: Any) -> None:
    saver = KvSaver(MemoryStore())
    put(saver, 1, Snapshot(value))
    found = got(saver, 1)
    assert type(found) is Snapshot
    assert same(found.value, rebuilt(value))


@pytest.mark.parametrize("wrote", [True, False])
def test_snapshot_is_read_by_another_release_of_langgraph(
    wrote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One release has the wrapper and the other has not."""
    kv, value = MemoryStore(), Snapshot([message(n) for n in range(20)])
    saver = KvSaver(kv)
    unknown = KvSaver(kv)
    monkeypatch.setattr(unknown._session.codec._message_values, "snapshot_format", None)
    put(saver if wrote else unknown, 1, value)
    for reader in (saver, unknown):
        assert same(got(reader, 1).value, rebuilt(value.value))


def test_unknown_wrapper_has_no_format(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SnapshotFormat.of(SERDE) is not None
    monkeypatch.setattr(message_values.types, "_DeltaSnapshot", tuple)
    assert SnapshotFormat.of(SERDE) is None
    monkeypatch.delattr(message_values.types, "_DeltaSnapshot")
    assert SnapshotFormat.of(SERDE) is None


@given(st.integers(1, 70_000) | st.sampled_from([2**16 - 1, 2**16, 2**32 - 1]))
def test_head_of_wrapper_is_the_head_of_msgpack(size: int) -> None:
    wrapper = SnapshotFormat(Snapshot, 7)
    head = wrapper.head(size)
    if size < 2**17:
        content = bytes(size)
        assert ormsgpack.packb(ormsgpack.Ext(7, content)) == head + content
    assert message_values.inner_head(head + b"\x91") == b"\x91"
    assert wrapper.is_around(head + b"\x91", len(head) + size)
    assert not wrapper.is_around(head + b"\x91", len(head) + size + 1)
    assert not SnapshotFormat(Snapshot, 8).is_around(head + b"\x91", len(head) + size)
