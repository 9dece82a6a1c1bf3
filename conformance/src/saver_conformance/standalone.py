"""Functions that open a spec's saver in the programs of reports."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saver_conformance.lifecycle import OpenSaver
from saver_conformance.timeouts import Executors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from saver_conformance.spec import SaverSpec


@contextmanager
def opened(spec: SaverSpec, path: str | Path) -> Iterator[Any]:
    """Open the saver of a spec.

    Args:
        spec: Spec to open.
        path: Empty folder.

    Yields:
        The saver.

    Raises:
        NotASaverError: If the spec opens something that is not a saver.
        Exception: If opening raises.
    """
    executors = Executors(seconds=60)
    saver = OpenSaver(lambda: spec.open(Path(path)), executors)
    try:
        yield saver.saver
    finally:
        saver.close()
        executors.close()


@asynccontextmanager
async def aopened(spec: SaverSpec, path: str | Path) -> AsyncIterator[Any]:
    """Open the saver of a spec on the running event loop.

    Args:
        spec: Spec to open.
        path: Empty folder.

    Yields:
        The saver.

    Raises:
        Exception: If opening raises.
    """
    made = spec.open(Path(path))
    if inspect.isasyncgen(made):
        made = asynccontextmanager(lambda: made)()
    if inspect.isawaitable(made):
        made = await made
    if hasattr(made, "__aenter__"):
        async with made as saver:
            yield saver
    else:
        yield made
