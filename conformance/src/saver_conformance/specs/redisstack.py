"""Specs of RedisSaver and AsyncRedisSaver (langgraph-checkpoint-redis), on a local Redis Stack."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from saver_conformance.servers import exported, first_opening, redis_stack
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: Environment variable with the address, for second processes.
_VARIABLE = "SAVER_CONFORMANCE_REDIS_STACK"


@contextmanager
def _server() -> Iterator[None]:
    with redis_stack() as url, exported(_VARIABLE, url):
        yield


@contextmanager
def _attach(path: Path) -> Iterator[Any]:  # noqa: ARG001
    from langgraph.checkpoint.redis import RedisSaver  # noqa: PLC0415

    with RedisSaver.from_conn_string(os.environ[_VARIABLE]) as saver:
        saver.setup()
        yield saver


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    from redis import Redis  # noqa: PLC0415

    with first_opening(path) as is_first, Redis.from_url(os.environ[_VARIABLE]) as client:
        if is_first:
            client.flushdb()
    with _attach(path) as saver:
        yield saver


@asynccontextmanager
async def _aattach(path: Path) -> AsyncIterator[Any]:  # noqa: ARG001
    from langgraph.checkpoint.redis.aio import AsyncRedisSaver  # noqa: PLC0415

    async with AsyncRedisSaver.from_conn_string(os.environ[_VARIABLE]) as saver:
        await saver.asetup()
        yield saver


@asynccontextmanager
async def _aopen(path: Path) -> AsyncIterator[Any]:
    from redis.asyncio import Redis  # noqa: PLC0415

    with first_opening(path) as is_first:
        if is_first:
            async with Redis.from_url(os.environ[_VARIABLE]) as client:
                await client.flushdb()
    async with _aattach(path) as saver:
        yield saver


_spec = partial(
    SaverSpec, durable=True, lifespan=_server, distribution="langgraph-checkpoint-redis"
)

sync = _spec(
    name="RedisSaver",
    open=_open,
    reopen=_attach,
    attach=_attach,
    snippet="""
        from langgraph.checkpoint.redis import RedisSaver
        # An empty Redis with the modules RedisJSON and RediSearch
        with RedisSaver.from_conn_string("redis://127.0.0.1:6379") as saver:
            saver.setup()
    """,
)

aio = _spec(
    name="AsyncRedisSaver",
    open=_aopen,
    reopen=_aattach,
    attach=_aattach,
    snippet="""
        from langgraph.checkpoint.redis.aio import AsyncRedisSaver
        # An empty Redis with the modules RedisJSON and RediSearch
        async with AsyncRedisSaver.from_conn_string("redis://127.0.0.1:6379") as saver:
            await saver.asetup()
    """,
)
