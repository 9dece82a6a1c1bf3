from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.contract.faces import Face

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb import LmdbSaver


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest, saver: LmdbSaver) -> Iterator[Face]:
    """One face of a saver on an empty store."""
    if request.param == "sync":
        yield Face(saver)
        return
    loop = asyncio.new_event_loop()
    yield Face(saver, loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
