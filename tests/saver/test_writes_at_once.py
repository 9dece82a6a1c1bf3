"""Writes to a checkpoint that is being stored share what they have in common with its parent."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.codec import chunk_maker
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.contract.driver import SaverDriver, config, put
from tests.saver.values import words

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from langgraph.checkpoint.lmdb.kv.base import Writer

T = TypeVar("T")
PATIENCE = 60.0  # seconds until a call counts as hung


class HeldStore(MemoryStore):
    """A store whose write transactions wait until they are let in."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.open = Event(), Event()
        self.open.set()

    def write(self, apply: Callable[[Writer], T]) -> T:
        self.waiting.set()
        assert self.open.wait(PATIENCE)
        return super().write(apply)


def test_writes_share_the_values_of_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangGraph stores a checkpoint and the writes of its tasks at the same time."""
    kv = HeldStore()
    saver = KvSaver(kv)
    driver = SaverDriver(saver)
    text = words(1, 200_000)
    put(driver, "1", {"text": text})
    stored, packed = saver.stats().bytes, 0
    pack = chunk_maker.envelope.pack

    def counting(payload: bytes, level: int | None) -> bytes:
        nonlocal packed
        packed += len(payload)
        return pack(payload, level)

    monkeypatch.setattr(chunk_maker.envelope, "pack", counting)
    lane: Any = saver._session._commit._lane_of("t")
    edited = text[:100_000] + " an edit " + text[100_000:]
    with ThreadPoolExecutor(2) as pool:
        kv.waiting.clear()
        kv.open.clear()
        begun = pool.submit(put, driver, "2", {"text": text}, parent="1")
        assert kv.waiting.wait(PATIENCE)
        written = pool.submit(driver.put_writes, config(id="2"), [("text", edited)], "task")
        while len(lane._callers) < 2 and not written.done():
            time.sleep(0.001)
        kv.open.set()
        begun.result(PATIENCE)
        written.result(PATIENCE)
    assert packed < 20_000
    assert saver.stats().bytes - stored < 20_000
    latest = driver.get_tuple(config())
    assert latest is not None
    assert latest.pending_writes == [("task", "text", edited)]
