"""Copied threads share chunks. A chunk is freed with its last user, in any order of deletion."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.saver.values import checkpoint, words


def root(thread: str) -> Any:
    """Return the config of a thread."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def value(thread: str, n: int) -> list[str]:
    """Return a value that extends value n - 1 and has a part that only this thread has."""
    return [words(i, 120) for i in range(n * 3)] + [thread * 200]


def grow(saver: LmdbSaver, thread: str, start: int, stop: int) -> None:
    """Put checkpoints after the latest."""
    found = saver.get_tuple(root(thread))
    parent = root(thread) if found is None else found.config
    for n in range(start, stop):
        parent = saver.put(parent, checkpoint(str(n), n, value(thread, n)), {}, {"x": n})


def test_copy_stores_no_new_chunks() -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    grow(saver, "a", 1, 5)
    before = reachability.chunks(kv)
    for n in range(5):
        saver.copy_thread("a", f"copy {n}")
    assert reachability.chunks(kv) == before
    reachability.check(kv)


@pytest.mark.parametrize("order", [*permutations("abcd")])
def test_chain_of_copies_is_deleted_in_any_order(order: tuple[str, ...]) -> None:
    """b is a copy of a, c of b, and d of c. Each copy has checkpoints of its own."""
    kv = MemoryStore()
    saver = KvSaver(kv)
    grow(saver, "a", 1, 3)
    for n, (source, target) in enumerate(zip("abc", "bcd", strict=True), 3):
        saver.copy_thread(source, target)
        grow(saver, target, n, n + 1)
    for index, thread in enumerate(order):
        saver.prune([thread])
        reachability.check(kv)
        saver.delete_thread(thread)
        reachability.check(kv)
        for other in order[index + 1 :]:
            n = max(2, "abcd".index(other) + 2)
            found = saver.get(root(other))
            assert found is not None
            assert found["channel_values"]["x"] == value(other, n)
    assert reachability.chunks(kv) == 0
    with kv.read() as reader:
        assert [*reader.keys(b"\x01", b"\xff")] == []


moves = st.lists(
    st.tuples(
        st.sampled_from(["grow", "copy", "copy", "delete", "prune"]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=16,
)


@given(moves)
def test_random_copies_and_deletions_keep_latest_values(moves: list[tuple[str, int, int]]) -> None:
    kv = MemoryStore()
    saver = KvSaver(kv)
    numbers = dict.fromkeys("abcd", 0)
    latest: dict[str, Any] = {}
    for how, one, other in moves:
        thread, target = "abcd"[one], "abcd"[other]
        if how == "grow":
            numbers[thread] += 1
            grow(saver, thread, numbers[thread], numbers[thread] + 1)
            latest[thread] = value(thread, numbers[thread])
        elif how == "copy" and thread in latest and target not in latest:
            saver.copy_thread(thread, target)
            latest[target], numbers[target] = latest[thread], numbers[thread]
        elif how == "delete":
            saver.delete_thread(thread)
            latest.pop(thread, None)
            numbers[thread] = 0
        elif how == "prune":
            saver.prune([thread])
        reachability.check(kv)
        for known in "abcd":
            found = saver.get(root(known))
            assert (found["channel_values"]["x"] if found else None) == latest.get(known)
