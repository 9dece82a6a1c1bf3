"""Keys sort as their numbers and texts do, are short, and differ for different ids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import checkpoints
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.base import MAX_KEY_SIZE
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import checkpoint

FORMAT_PAGE = Path(__file__).parents[2] / "docs" / "design" / "FORMAT.md"
numbers = st.integers(0, 2**64 - 1) | st.integers(0, 600)
characters = st.sampled_from("ab\x00\x01\uffffé€𝄞\ud800\udcff\x7f:|/")
texts = st.text(characters, max_size=6)
heads = st.sampled_from(["", "l" * 179, "l" * 180, "é" * 90, "l" * 178 + "€" * 9, "\x00" * 180])
ids = st.builds(lambda head, tail: head + tail, heads, texts) | st.text(max_size=250)


@given(numbers, numbers, st.binary(max_size=3))
@example(239, 240, b"")
def test_encoded_numbers_sort_and_decode(a: int, b: int, tail: bytes) -> None:
    assert (a < b) == (keys.number(a) < keys.number(b))
    assert keys.read_number(b"x" + keys.number(a) + tail, 1) == (a, 1 + len(keys.number(a)))
    assert len(keys.number(a)) <= 9


@given(ids, ids)
def test_texts_sort_up_to_the_limit_of_keys(a: str, b: str) -> None:
    one, other = keys.text(a), keys.text(b)
    assert (a == b) == (one == other)
    if not (keys.is_truncated(one) and keys.is_truncated(other)):
        assert (a < b) == (one < other)
    elif keys.truncated_prefix(one) != keys.truncated_prefix(other):
        assert (keys.truncated_prefix(one) < keys.truncated_prefix(other)) == (a < b)
    assert keys.is_truncated(one) == (len(keys.utf8(a)) > keys.TEXT_LIMIT)


@given(ids, ids, st.binary(max_size=4))
def test_escaped_text_is_not_prefix_of_another(a: str, b: str, tail: bytes) -> None:
    one, other = keys.escaped_text(a), keys.escaped_text(b)
    assert keys.escaped_text_end(b"xy" + one + tail, 2) == 2 + len(one)
    assert (a == b) == one.startswith(other)


@given(ids, ids, st.binary(max_size=4))
@example("\x00" * 180, "\x00" * 179, b"")
def test_sortable_texts_sort_as_texts_do(a: str, b: str, tail: bytes) -> None:
    one, other = keys.sortable_text(a), keys.sortable_text(b)
    assert (one < other) == (keys.text(a) < keys.text(b))
    assert keys.read_sortable_text(b"xy" + one + tail, 2) == (keys.text(a), 2 + len(one))
    if keys.is_truncated(keys.text(a)):
        assert one.startswith(keys.sortable_truncated_prefix(keys.text(a)))


@given(ids, ids)
@example("\x00" * 180, "l" * 181)
@example("\x00" * 500, "\x00" * 500)
def test_every_key_is_below_size_limit(one: str, other: str) -> None:
    most = 2**64 - 1
    for key in (
        keys.thread_id(one),
        keys.namespace(most, one),
        keys.checkpoint(keys.NamespaceRef(most, most), one),
        keys.children(keys.NamespaceRef(most, most), one) + keys.text(other),
        keys.with_term(b"l" * keys.HASH_SIZE, one, keys.NamespaceRef(most, most)),
        keys.thread_with_term(b"l" * keys.HASH_SIZE, most),
        keys.time_index(4, most) + keys.number(most),
        keys.tombstone(most),
        keys.writes(keys.NamespaceRef(most, most), one) + keys.text(other),
        keys.compacted(keys.NamespaceRef(most, most), one) + keys.number(most),
        keys.segment(most, most) + keys.number(most),
        keys.shared_ref(most, most),
    ):
        assert 0 < len(key) <= MAX_KEY_SIZE


@given(st.binary(min_size=1, max_size=5).filter(lambda raw: raw.strip(b"\xff")), st.binary())
def test_prefix_end_is_least_key_above_prefix(prefix: bytes, tail: bytes) -> None:
    assert prefix + tail < keys.prefix_end(prefix)
    assert keys.prefix_end(prefix)[:-1] == prefix[: len(keys.prefix_end(prefix)) - 1]


@pytest.fixture(scope="module")
def saver() -> LmdbSaver:
    return KvSaver(MemoryStore(), cache_size=0)


_threads = iter(range(10**6))


@given(st.sets(ids.filter(bool), max_size=12), ids.filter(bool))
def test_latest_before_returns_greatest_id_below(
    saver: LmdbSaver, stored: set[str], before: str
) -> None:
    """The ids include long ids with a common prefix. A plain sorted list is the model."""
    thread_id = f"t{next(_threads)}"
    for checkpoint_id in stored:
        config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        saver.put(config, checkpoint(checkpoint_id, 1, 0), {}, {"x": 1})
    with Snapshot(saver._kv.read(), lambda _: False) as snapshot:
        thread = snapshot.thread(thread_id)
        if thread is None:
            assert not stored
            return
        for bound in (None, before, *stored):
            below = [one for one in stored if bound is None or one < bound]
            found = checkpoints.latest_before(snapshot.reader, thread.root, bound)
            assert found == max(below, default=None)


def test_format_page_shows_the_keys_of_a_store(tmp_path: Path) -> None:
    rows = re.search(r"    key +bytes\n((?:    .+\n)+)", FORMAT_PAGE.read_text(encoding="utf-8"))
    assert rows is not None
    shown = [bytes.fromhex(row[22:]) for row in rows[1].splitlines()]
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        config = saver.put(
            {"configurable": {"thread_id": "ada", "checkpoint_ns": ""}},
            {
                **empty_checkpoint(),
                "id": "1f",
                "channel_values": {"text": "long enough to be a chunk " * 1000},
                "channel_versions": {"text": 1},
            },
            {},
            {"text": 1},
        )
        saver.put_writes(config, [("text", "short")], "task-1")
        with saver._session.kv.read() as reader:
            stored = [*reader.keys(b"", b"\xff")]
    assert len(shown) == 6
    assert [key for key in shown if key not in stored] == []
