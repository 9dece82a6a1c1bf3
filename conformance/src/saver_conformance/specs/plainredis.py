"""Specs of RedisSaver and AsyncRedisSaver (langgraph-checkpoint-plainredis), on a local Redis."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from saver_conformance.servers import exported, first_opening, redis
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: Environment variable with the address, for second processes.
_VARIABLE = "SAVER_CONFORMANCE_REDIS"


@contextmanager
def _server() -> Iterator[None]:
    with redis() as url, exported(_VARIABLE, url):
        yield


@contextmanager
def _attach(path: Path, serde: Any = None) -> Iterator[Any]:  # noqa: ARG001
    from langgraph_checkpoint_plainredis import RedisSaver  # noqa: PLC0415

    saver = RedisSaver(url=os.environ[_VARIABLE], serde=serde)
    try:
        yield saver
    finally:
        saver.close()


@contextmanager
def _open(path: Path, serde: Any = None) -> Iterator[Any]:
    with _attach(path, serde) as saver:
        with first_opening(path) as is_first:
            if is_first:
                saver.client.flushdb()
        yield saver


@asynccontextmanager
async def _aattach(path: Path, serde: Any = None) -> AsyncIterator[Any]:  # noqa: ARG001
    from langgraph_checkpoint_plainredis import AsyncRedisSaver  # noqa: PLC0415

    saver = AsyncRedisSaver(url=os.environ[_VARIABLE], serde=serde)
    try:
        yield saver
    finally:
        await saver.aclose()


@asynccontextmanager
async def _aopen(path: Path, serde: Any = None) -> AsyncIterator[Any]:
    async with _aattach(path, serde) as saver:
        with first_opening(path) as is_first:
            if is_first:
                await saver.client.flushdb()
        yield saver


_spec = partial(
    SaverSpec, durable=True, lifespan=_server, distribution="langgraph-checkpoint-plainredis"
)

sync = _spec(
    name="RedisSaver (plainredis)",
    open=_open,
    reopen=_attach,
    attach=_attach,
    snippet="""
        from langgraph_checkpoint_plainredis import RedisSaver
        saver = RedisSaver(url="redis://127.0.0.1:6379/0"{, serde})
        saver.client.flushdb()  # deletes everything: use an empty Redis
    """,
)

aio = _spec(
    name="AsyncRedisSaver (plainredis)",
    open=_aopen,
    reopen=_aattach,
    attach=_aattach,
    snippet="""
        from langgraph_checkpoint_plainredis import AsyncRedisSaver
        async with contextlib.AsyncExitStack():
            saver = AsyncRedisSaver(url="redis://127.0.0.1:6379/0"{, serde})
            await saver.client.flushdb()  # deletes everything: use an empty Redis
    """,
)
