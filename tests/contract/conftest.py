from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.contract.driver import SaverDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb import LmdbSaver


@pytest.fixture(params=["sync", "async", "plain"])
def driver(
    request: pytest.FixtureRequest, open_saver: Callable[..., LmdbSaver]
) -> Iterator[SaverDriver]:
    """A driver of the sync or async methods; "plain" has no compression and no cache."""
    if request.param == "plain":
        yield SaverDriver(open_saver(compression=None, cache_size=0))
    elif request.param == "sync":
        yield SaverDriver(open_saver())
    else:
        loop = asyncio.new_event_loop()
        yield SaverDriver(open_saver(), loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.fixture
def saver(request: pytest.FixtureRequest, open_saver: Callable[..., LmdbSaver]) -> LmdbSaver:
    """The saver of the test's driver, or a saver on an empty store if there is no driver."""
    if "driver" in request.fixturenames:
        driver: SaverDriver = request.getfixturevalue("driver")
        return driver.saver  # type: ignore[return-value]
    return open_saver()
