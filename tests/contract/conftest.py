from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.driver import SaverDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb import LmdbSaver


@pytest.fixture
def open_saver(
    request: pytest.FixtureRequest, open_saver: Callable[..., LmdbSaver]
) -> Callable[..., Any]:
    """A function that opens a saver on the store of the test's driver."""
    call = getattr(request.node, "callspec", None)
    if call is not None and call.params.get("driver") == "postgres":
        return request.getfixturevalue("open_postgres")  # type: ignore[no-any-return]
    return open_saver


@pytest.fixture(params=["sync", "async", "plain", "postgres"])
def driver(
    request: pytest.FixtureRequest, open_saver: Callable[..., LmdbSaver]
) -> Iterator[SaverDriver]:
    """A driver of the sync or async methods, on LMDB or on PostgreSQL.

    "plain" has no compression and no cache.
    """
    if request.param == "plain":
        yield SaverDriver(open_saver(compression=None, cache_size=0))
    elif request.param in ("sync", "postgres"):
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
