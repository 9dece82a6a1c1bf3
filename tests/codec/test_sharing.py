"""The bytes that an edit adds to the store depend on the edit, not on the size of the value."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.same import rebuilt, same
from tests.saver.values import checkpoint, words

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


class Thread:
    """A thread to put versions of one value in."""

    def __init__(self, **options: Any) -> None:
        self.kv = MemoryStore()
        self.saver = KvSaver(self.kv, clock=lambda: 1.0, **options)
        self.config = ROOT
        self.number = 0

    def put(self, value: Any) -> tuple[int, int]:
        """Put a version, and return how many chunks and bytes it added."""
        chunks, size = reachability.chunks(self.kv), reachability.stored_bytes(self.kv)
        self.number += 1
        made = checkpoint(f"{self.number:06}", self.number, value)
        self.config = self.saver.put(self.config, made, {}, {"x": self.number})
        return (
            reachability.chunks(self.kv) - chunks,
            reachability.stored_bytes(self.kv) - size,
        )

    def assert_holds(self, value: Any) -> None:
        """Assert that the saver and a new saver read this value from the latest checkpoint."""
        value = rebuilt(value)
        for saver in (self.saver, KvSaver(self.kv)):
            found = saver.get(ROOT)
            assert found is not None
            assert same(found["channel_values"]["x"], value)


def messages(count: int) -> list[Any]:
    """Return messages as `add_messages` returns them."""
    return [(HumanMessage, AIMessage)[n % 2](words(n, 40), id=f"m{n}") for n in range(count)]


def texts(count: int) -> list[str]:
    return [words(n, 40) for n in range(count)]


def edited(found: list[Any], new: Any) -> list[Any]:
    return [*found[: len(found) // 2], new, *found[len(found) // 2 + 1 :]]


EDITS: dict[str, Callable[[list[Any], Any], list[Any]]] = {
    "append": lambda found, new: [*found, new],
    "edit": edited,
    "insert at the beginning": lambda found, new: [new, *found],
    "delete": lambda found, new: found[:7] + found[8:],
    "truncate": lambda found, new: found[: len(found) // 2],
    "rotate": lambda found, new: found[50:] + found[:50],
}


@pytest.mark.parametrize("count", [200, 2000])
@pytest.mark.parametrize("cache_size", [0, 1 << 26])
@pytest.mark.parametrize("edit", [*EDITS])
def test_edit_of_message_list_adds_one_chunk(edit: str, cache_size: int, count: int) -> None:
    thread = Thread(cache_size=cache_size)
    value = messages(count)
    thread.put(value)
    value = EDITS[edit](value, HumanMessage(words(9999, 40), id="new"))
    chunks, size = thread.put(value)
    assert chunks <= 1
    assert size < 2500
    thread.assert_holds(value)


@pytest.mark.parametrize("count", [200, 2000])
@pytest.mark.parametrize("cache_size", [0, 1 << 26])
@pytest.mark.parametrize("edit", [*EDITS])
def test_edit_of_any_list_adds_few_chunks(edit: str, cache_size: int, count: int) -> None:
    thread = Thread(cache_size=cache_size)
    value = texts(count)
    thread.put(value)
    value = EDITS[edit](value, words(9999, 40))
    chunks, size = thread.put(value)
    assert chunks <= 32  # one or two long chunks are split into pieces
    assert size < 30_000
    thread.assert_holds(value)


def test_shuffled_list_shares_its_messages() -> None:
    thread = Thread()
    value = messages(2000)
    _, whole = thread.put(value)
    Random(1).shuffle(value)
    _, size = thread.put(value)
    assert size < whole / 5
    thread.assert_holds(value)


def test_many_edits_of_a_long_list_add_few_bytes_each() -> None:
    """Hundreds of ranges are grouped into nodes, which the versions share."""
    rng = Random(2)
    thread = Thread()
    value = messages(2000)
    thread.put(value)
    sizes = []
    for n in range(200):
        value = [*value]
        value[rng.randrange(len(value))] = HumanMessage(words(10_000 + n, 40), id=f"n{n}")
        sizes.append(thread.put(value)[1])
    assert max(sizes) < 8000
    assert max(sizes[150:]) < 2 * max(sizes[50:100])
    thread.assert_holds(value)
    reachability.check(thread.kv)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (words(1, 500_000), lambda text: text[:2_000_000] + "here" + text[2_000_010:]),
        (Random(3).randbytes(5_000_000), lambda data: data[:9] + b"there" + data[9:]),
        ({f"file{n}": words(n, 300) for n in range(2000)}, lambda d: {**d, "file77": words(5, 9)}),
        (list(range(50_000)), lambda found: [*found[:25_000], "new", *found[25_000:]]),
        (messages(5_000), lambda found: [*found, *messages(1)]),
    ],
    ids=["text", "bytes", "files", "numbers", "messages"],
)
def test_edit_of_a_large_value_adds_few_bytes(value: Any, change: Callable[[Any], Any]) -> None:
    thread = Thread()
    thread.put(value)
    thread.assert_holds(value)
    value = change(value)
    assert thread.put(value)[1] < 60_000
    thread.assert_holds(value)
    reachability.check(thread.kv)


def test_pending_write_and_later_value_share_chunks() -> None:
    thread = Thread()
    value = words(4, 20_000)
    thread.put("nothing")
    thread.saver.put_writes(thread.config, [("x", value)], "task")
    assert thread.put(value)[1] < 1000
    thread.assert_holds(value)
