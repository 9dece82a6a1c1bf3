"""Specs of LMDBSaver and AsyncLMDBSaver (langgraph-checkpoint-lmdb)."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: Options of its README, with a larger map.
_OPTIONS: dict[str, Any] = {"map_size": 2**28, "max_dbs": 2}


@contextmanager
def _open(path: Path, serde: Any = None) -> Iterator[Any]:
    import lmdb  # noqa: PLC0415
    from langgraph_checkpoint_lmdb import LMDBSaver  # noqa: PLC0415

    environment = lmdb.open(str(path), **_OPTIONS)
    try:
        yield LMDBSaver(environment, serde=serde)
    finally:
        environment.close()


@asynccontextmanager
async def _aopen(path: Path, serde: Any = None) -> AsyncIterator[Any]:
    import lmdb  # noqa: PLC0415
    from langgraph_checkpoint_lmdb import AsyncLMDBSaver  # noqa: PLC0415

    environment = lmdb.open(str(path), **_OPTIONS)
    saver = AsyncLMDBSaver(environment, serde=serde)
    try:
        yield saver
    finally:
        saver.executor.shutdown()
        environment.close()


sync = SaverSpec.on_disk(
    "LMDBSaver (langgraph-checkpoint-lmdb)",
    _open,
    distribution="langgraph-checkpoint-lmdb",
    snippet="""
        import lmdb
        from langgraph_checkpoint_lmdb import LMDBSaver
        saver = LMDBSaver(lmdb.open(path, map_size=2**28, max_dbs=2){, serde})
    """,
)

aio = SaverSpec.on_disk(
    "AsyncLMDBSaver (langgraph-checkpoint-lmdb)",
    _aopen,
    distribution="langgraph-checkpoint-lmdb",
    # The saver is bound to the event loop that runs during its creation.
    lacks=["loops"],
    snippet="""
        import lmdb
        from langgraph_checkpoint_lmdb import AsyncLMDBSaver
        async with contextlib.AsyncExitStack():
            saver = AsyncLMDBSaver(lmdb.open(path, map_size=2**28, max_dbs=2){, serde})
    """,
)
