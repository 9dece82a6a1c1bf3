"""A rehearsal reads its own changes, as a write transaction does, and stores nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.kv.rehearsal import Rehearsal

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import Writer

KEYS = st.binary(min_size=1, max_size=2).map(lambda key: bytes(byte % 4 for byte in key))
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=3)),
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("delete_range"), KEYS, KEYS),
    st.tuples(st.just("range"), KEYS, KEYS, st.booleans()),
    st.tuples(st.just("delete_while_listed"), KEYS, KEYS, st.booleans()),
)


def results(writer: Writer, steps: list[tuple[Any, ...]]) -> list[Any]:
    found: list[Any] = []
    for name, *arguments in steps:
        if name == "range":
            start, stop, reverse = arguments
            found.append([*writer.range(start, stop, reverse=reverse)])
        elif name == "delete_while_listed":
            start, stop, reverse = arguments
            for number, key in enumerate(writer.keys(start, stop, reverse=reverse)):
                found.append(key)
                if number % 2 == 0:
                    writer.delete(key)
        else:
            found.append(getattr(writer, name)(*arguments))
    return [*found, *writer.range(b"", b"\xff")]


@given(st.dictionaries(KEYS, st.binary(max_size=3)), st.lists(STEPS, max_size=20))
def test_it_returns_what_a_write_transaction_returns(
    stored: dict[bytes, bytes], steps: list[tuple[Any, ...]]
) -> None:
    store = MemoryStore()
    store.write(lambda writer: [writer.put(key, value) for key, value in stored.items()])
    with store.read() as reader:
        rehearsed = results(Rehearsal(reader), steps)
    with store.read() as reader:
        assert dict(reader.range(b"", b"\xff")) == stored
    assert store.write(lambda writer: results(writer, steps)) == rehearsed
