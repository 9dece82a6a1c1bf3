"""Each checkpoint returns its values as they were put, however they change between puts."""

from __future__ import annotations

import copy
import shutil
import tempfile
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import SerializationError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.codec.mutations import KINDS, mutate, value
from tests.engine import reachability
from tests.saver.same import rebuilt, same

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore

STEPS = ("put", "put", "put", "put", "got", "fork", "prune", "reopen", "writes")
steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 1), st.integers(0, 2**32)), max_size=20
)


def is_kept(found: Any, serialized: Any, put: Any) -> bool:
    """Return True if a value that was read is the value that was put, after serialization.

    The serializer changes some unusual messages each time. Such a message may be returned
    unchanged if it was read and put again.
    """
    if same(found, serialized):
        return True
    if isinstance(put, BaseMessage):
        return same(found, put)
    return (
        isinstance(put, list)
        and len(found) == len(put)
        and all(
            same(one, other) or (isinstance(original, BaseMessage) and same(one, original))
            for one, other, original in zip(found, serialized, put, strict=True)
        )
    )


class Scene:
    """Two savers on a store, and the values of the channels, which are changed and put."""

    def __init__(self, on_lmdb: bool, cache_size: int, kinds: list[str], rng: Random) -> None:
        self.folder = tempfile.mkdtemp() if on_lmdb else None
        self.memory = MemoryStore()
        self.cache_size = cache_size
        self.savers: list[LmdbSaver] = []
        self.open()
        self.expected: dict[int, dict[str, Any]] = {}
        self.parents: dict[int, int | None] = {}
        self.writes: dict[int, list[Any]] = {}
        self.state: dict[str, Any] = {kind: value(rng, kind) for kind in kinds}
        self.head: int | None = None
        self.number = 0

    def open(self) -> None:
        """Open the savers; close them first if they are open."""
        self.close()
        self.savers = [
            LmdbSaver(self.folder, sync="off", cache_size=self.cache_size)
            if self.folder
            else KvSaver(self.memory, cache_size=self.cache_size)
            for _ in range(2)
        ]

    @property
    def kv(self) -> KeyValueStore:
        return self.savers[0]._kv

    def close(self) -> None:
        if self.folder:
            for saver in self.savers:
                saver.close()

    def config(self, number: int | None) -> Any:
        """Return the config of a checkpoint."""
        found = {"thread_id": "t", "checkpoint_ns": ""}
        return {
            "configurable": found if number is None else {**found, "checkpoint_id": f"{number:06}"}
        }

    def put(self, w: int, rng: Random, *, writes: bool = False) -> None:
        """Change the state and put it as a child of the head."""
        before = copy.deepcopy(self.state)
        for _ in range(rng.randrange(4)):
            channel = rng.choice([*self.state])
            self.state[channel] = mutate(rng, self.state[channel])
        try:
            put = copy.deepcopy(self.state)
            expected = {channel: (rebuilt(found), found) for channel, found in put.items()}
        except TypeError:
            with pytest.raises(SerializationError):
                self._put(w, self.number + 1)
            self.state = before
            return
        self.number += 1
        if writes and self.head is not None:
            rows = [*self.state.items()]
            self.savers[w].put_writes(self.config(self.head), rows, f"task{self.number:06}")
            self.writes[self.head] = [*self.writes.get(self.head, []), *expected.items()]
        self._put(w, self.number)
        self.expected[self.number] = expected
        self.parents[self.number] = self.head
        self.head = self.number

    def _put(self, w: int, number: int) -> None:
        versions = dict.fromkeys(self.state, number)
        self.savers[w].put(
            self.config(self.head),
            {
                "v": 4,
                "ts": "",
                "id": f"{number:06}",
                "channel_values": self.state,
                "channel_versions": versions,
                "versions_seen": {},
            },
            {},
            versions,
        )

    def read(self, w: int, number: int) -> dict[str, Any]:
        """Read a checkpoint, check its values and writes, and return its values."""
        found = self.savers[w].get_tuple(self.config(number))
        assert found is not None
        values = found.checkpoint["channel_values"]
        expected = self.expected[number]
        assert {*values} == {*expected}
        for channel, (one, put) in expected.items():
            assert is_kept(values[channel], one, put), channel
        written = self.writes.get(number, [])
        for (_, channel, one), row in zip(found.pending_writes or [], written, strict=True):
            assert channel == row[0]
            assert is_kept(one, *row[1]), channel
        return values

    def go(self, how: str, w: int, rng: Random) -> None:
        """Run one step."""
        if how == "put":
            self.put(w, rng)
        elif how == "writes":
            self.put(w, rng, writes=True)
        elif how == "reopen":
            self.open()
        elif self.expected and how == "prune":
            keep = rng.randrange(1, 4)
            self.savers[w].prune(["t"], keep_last=keep)
            self.expected = dict(sorted(self.expected.items())[-keep:])
            self.head = max(self.expected)
        elif self.expected and how == "fork":
            self.head = rng.choice([*self.expected])
            self.state = self.read(w, self.head)
        elif self.expected and self.head in self.expected:
            got = self.read(w, self.head)
            for channel in got:  # a caller may change the values that it reads
                got[channel] = mutate(rng, mutate(rng, got[channel]))
            if rng.random() < 0.5:
                self.put(w, rng)
                self.state = got


@pytest.mark.parametrize("cache_size", [0, 20_000, 1 << 26])
@pytest.mark.parametrize("on_lmdb", [False, True])
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 2**32),
    steps=steps,
)
def test_every_checkpoint_keeps_its_values(
    on_lmdb: bool, cache_size: int, kinds: list[str], seed: int, steps: list[Any]
) -> None:
    """Types, order and nested parts are the same, for both savers and after each step."""
    scene = Scene(on_lmdb, cache_size, kinds, Random(seed))
    try:
        for how, w, seed in steps:
            rng = Random(seed)
            scene.go(how, w, rng)
            if scene.expected:
                scene.read(w, rng.choice([*scene.expected]))
        reachability.check(scene.kv)
        scene.open()
        for number in scene.expected:
            scene.read(number % 2, number)
    finally:
        scene.close()
        if scene.folder:
            shutil.rmtree(scene.folder)
