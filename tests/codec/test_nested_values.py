"""A large element has the same chunks inside any value."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.codec import chunking
from langgraph.checkpoint.lmdb.engine.chunks import MAX_CHUNK
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.codec import mutations
from tests.engine import reachability
from tests.saver.same import rebuilt, same
from tests.saver.values import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@dataclass
class Job:
    """An argument of a task."""

    number: int
    content: Any


def noise(rng: Random, size: int) -> str:
    """Return a text that hardly compresses."""
    return base64.b64encode(rng.randbytes(size * 3 // 4)).decode()


def image(rng: Random, size: int) -> HumanMessage:
    """Return a message with a picture."""
    url = {"url": f"data:image/png;base64,{noise(rng, size)}"}
    look = {"type": "text", "text": noise(rng, 30)}
    return HumanMessage([look, {"type": "image_url", "image_url": url}], id=noise(rng, 12))


def conversation(rng: Random, count: int) -> list[Any]:
    """Return short and long messages."""
    size = rng.choice((100, 100, 1000, 5000, 20_000))
    kinds: list[Callable[[], Any]] = [
        lambda: HumanMessage(noise(rng, size), id=noise(rng, 12)),
        lambda: AIMessage(noise(rng, size), id=noise(rng, 12)),
        lambda: ToolMessage(noise(rng, size), tool_call_id=noise(rng, 12)),
        lambda: image(rng, size),
    ]
    return [rng.choice(kinds)() for _ in range(count)]


INNER: dict[str, Callable[[Random], Any]] = {
    "messages": lambda rng: conversation(rng, 40),
    "pictures": lambda rng: [image(rng, 60_000) for _ in range(3)],
    "text": lambda rng: noise(rng, 50_000),
    "bytes": lambda rng: rng.randbytes(50_000),
    "files": lambda rng: {f"file{n}": noise(rng, rng.randrange(50, 8000)) for n in range(20)},
    "documents": lambda rng: [{"text": noise(rng, 1500), "page": n} for n in range(50)],
    "state": lambda rng: {
        "step": 1,
        "messages": conversation(rng, 30),
        "plan": [{"done": False, "notes": noise(rng, 6000)} for _ in range(5)],
        "files": {f"file{n}": noise(rng, 3000) for n in range(10)},
    },
}
AROUND: dict[str, Callable[[Any], Any]] = {
    "dict": lambda value: {"item": 3, "content": value, "rest": "x" * 40},
    "dict in a dict": lambda value: {"a": {"b": {"c": value}, "d": 1}},
    "list": lambda value: [1, "two", value, {"three": 3}],
    "tuple": lambda value: ("first", value),
    "Send": lambda value: Send("work", {"item": 1, "content": value}),
    "Sends": lambda value: [Send("work", {"item": n, "content": value}) for n in range(5)],
    "Send in a Send": lambda value: Send("work", {"next": Send("work", {"content": value})}),
    "dataclass": lambda value: Job(1, value),
}


class Thread:
    """A thread with a value in one channel, to which values that contain it are added."""

    def __init__(self, value: Any, **options: Any) -> None:
        self.kv = MemoryStore()
        self.options = options
        self.saver = self.open()
        self.at = self.saver.put(ROOT, checkpoint("1", 1, value), {}, {"x": 1})

    def open(self) -> LmdbSaver:
        return KvSaver(self.kv, clock=lambda: 1.0, **self.options)

    @property
    def size(self) -> int:
        return reachability.stored_bytes(self.kv)

    def added_bytes(self, value: Any) -> int:
        """Return the bytes that a pending write of a value adds to the store."""
        before = self.size
        self.saver.put_writes(self.at, [("tasks", value)], f"task {before}")
        for saver in (self.saver, KvSaver(self.kv, clock=lambda: 1.0)):
            found = saver.get_tuple(self.at)
            assert found is not None
            assert found.pending_writes is not None
            assert any(same(write[2], rebuilt(value)) for write in found.pending_writes)
        reachability.check(self.kv)
        return self.size - before


@pytest.mark.parametrize("inner", [*INNER])
@given(around=st.sampled_from([*AROUND]), seed=st.integers(0, 2**32))
def test_value_adds_few_bytes_inside_another_value(inner: str, around: str, seed: int) -> None:
    value = INNER[inner](Random(seed))
    thread = Thread(value)
    whole = thread.size
    assert thread.added_bytes(AROUND[around](value)) < 2000 + whole // 20


@pytest.mark.parametrize("count", [5, 40])
def test_sending_the_messages_to_a_task_adds_few_bytes(count: int) -> None:
    """For any number of messages, also beyond 4 MiB."""
    rng = Random(count)
    messages = [image(rng, 120_000) for _ in range(count)]
    thread = Thread(messages)
    for item in range(3):
        assert thread.added_bytes(Send("work", {"messages": messages, "item": item})) < 1500


def test_channel_shares_chunks_of_earlier_pending_writes() -> None:
    rng = Random(1)
    messages = conversation(rng, 50)
    thread = Thread(None)
    before = thread.size
    thread.added_bytes(Send("work", {"messages": messages}))
    whole = thread.size - before
    thread.saver.put(thread.at, checkpoint("2", 2, messages), {}, {"x": 2})
    assert thread.size - before < whole * 1.1


@pytest.mark.parametrize("inner", [*INNER])
def test_chunks_of_read_values_are_shared_after_reopening(inner: str) -> None:
    value = INNER[inner](Random(3))
    thread = Thread(value)
    whole = thread.size
    thread.saver = thread.open()
    assert thread.saver.get_tuple(ROOT) is not None
    assert thread.added_bytes(Send("work", {"content": value})) < 2000 + whole // 20


@pytest.mark.parametrize("inner", ["pictures", "text"])
def test_chunks_of_cached_values_are_shared_after_dedup_cache_was_cleared(inner: str) -> None:
    """The dedup cache is small, and the chunks of other threads fill it."""
    value = INNER[inner](Random(4))
    thread = Thread(value, cache_size=2048 * 1000)
    whole = thread.size
    for n in range(14):
        other: Any = {"configurable": {"thread_id": f"other {n}", "checkpoint_ns": ""}}
        text = Random(n).randbytes(100_000)
        thread.saver.put(other, checkpoint("1", 1, text), {}, {"x": 1})
    before = thread.size
    sent = Send("work", {"content": value})
    thread.saver.put_writes(thread.at, [("tasks", sent)], "task")
    assert thread.size - before < 2000 + whole // 20


@given(seed=st.integers(0, 2**32), depth=st.integers(0, 20))
def test_pieces_of_any_value_join(seed: int, depth: int) -> None:
    """For any value, between any offsets, and for bytes that are not msgpack."""
    rng = Random(seed)
    value: Any = [mutations.thing(rng, 3) for _ in range(rng.randrange(9))]
    value.append(rng.choice([*INNER.values()])(rng))
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"in": value}
    tag, payload = JsonPlusSerializer().dumps_typed(value)
    if rng.random() < 0.3:
        payload = payload[: rng.randrange(len(payload))] + rng.randbytes(rng.randrange(9000))
    head, body = chunking.split_header(tag, payload)
    start = rng.choice((0, rng.randrange(len(body) + 1)))
    stop = rng.choice((len(body), rng.randint(start, len(body))))
    pieces = chunking.split_pieces(head, body, start, stop, is_element=rng.random() < 0.3)
    assert b"".join(pieces) == body[start:stop]
    assert all(0 < len(piece) <= MAX_CHUNK for piece in pieces)


def test_long_list_of_small_elements_is_not_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    skipped = 0
    unpacker = chunking.msgpack.Unpacker

    class Counting(unpacker):  # type: ignore[misc, valid-type]
        def skip(self) -> None:
            nonlocal skipped
            skipped += 1
            super().skip()

    monkeypatch.setattr(chunking.msgpack, "Unpacker", Counting)
    _, payload = JsonPlusSerializer().dumps_typed([[*range(100_000)], [0.5] * 100_000])
    head, body = chunking.split_header("msgpack", payload)
    assert b"".join(chunking.split_pieces(head, body)) == body
    assert skipped < 300
