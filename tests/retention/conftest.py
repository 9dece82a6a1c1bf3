from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from tests.contract.driver import SaverDriver
from tests.retention.stores import CountingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Clock:
    """A clock that stands still until `wait` advances it. Returns seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, minutes: float) -> None:
        self.now += minutes * 60


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kv() -> CountingStore:
    return CountingStore()


class RetentionDriver(SaverDriver):
    """A driver of the sync or async API, with the methods that are not part of the protocol."""

    def __getattr__(self, name: str) -> Any:
        if name in ("fork", "children", "branches", "threads", "stats", "set_ttl", "sweep"):
            return lambda *args, **options: self._call(name, *args, **options)
        if name != "history":
            raise AttributeError(name)

        async def collect(config: Any) -> list[Any]:
            return [one async for one in self.saver.ahistory(config)]  # type: ignore[attr-defined]

        def history(config: Any) -> list[Any]:
            if self.loop is None:
                return [*self.saver.history(config)]  # type: ignore[attr-defined]
            return self.loop.run_until_complete(collect(config))

        return history


@pytest.fixture(params=["sync", "async"])
def make(
    request: pytest.FixtureRequest, clock: Clock, kv: CountingStore
) -> Iterator[Callable[..., RetentionDriver]]:
    """Return a function that creates drivers of savers with the store and clock of the test."""
    loop = asyncio.new_event_loop() if request.param == "async" else None

    def driver(**options: Any) -> RetentionDriver:
        return RetentionDriver(KvSaver(kv, clock=clock, **options), loop)

    yield driver
    if loop is not None:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
