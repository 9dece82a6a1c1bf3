from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.contract.driver import Face

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.lmdb import LmdbSaver


@pytest.fixture(params=["sync", "async", "plain"])
def face(request: pytest.FixtureRequest, open_saver: Callable[..., LmdbSaver]) -> Iterator[Face]:
    """One face of a saver on an empty store; plain: one that neither compresses nor remembers."""
    if request.param == "plain":
        yield Face(open_saver(compression=None, cache_size=0))
    elif request.param == "sync":
        yield Face(open_saver())
    else:
        loop = asyncio.new_event_loop()
        yield Face(open_saver(), loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.fixture
def saver(request: pytest.FixtureRequest, open_saver: Callable[..., LmdbSaver]) -> LmdbSaver:
    """The saver behind the test's face, or one on an empty store if the test has none."""
    if "face" in request.fixturenames:
        face: Face = request.getfixturevalue("face")
        return face.saver  # type: ignore[return-value]
    return open_saver()
