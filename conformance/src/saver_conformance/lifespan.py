"""The lifespan of a spec: a context manager around a whole run."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from saver_conformance.servers import ServerMissingError
from saver_conformance.timeouts import Worker, described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saver_conformance.spec import SaverSpec
    from saver_conformance.timeouts import Executors

#: Time limit of entering a lifespan and of exiting it, in seconds; it may start a server.
SECONDS = 120


class LifespanError(Exception):
    """An error in the lifespan of a spec: it could not be entered or exited."""


@contextmanager
def entered(spec: SaverSpec, executors: Executors) -> Iterator[None]:
    """Enter the lifespan of a spec, and exit it after the block.

    A sync lifespan runs in its own thread, an async lifespan on the loop of the saver.

    Args:
        spec: Spec with the lifespan.
        executors: Executors; an async lifespan runs on their loop.

    Raises:
        LifespanError: If entering or exiting fails or hangs.
        ServerMissingError: If the lifespan needs a server that is not installed.
    """
    worker = Worker("lifespan")
    try:
        with _blamed("entering"):
            context = worker.call(spec.lifespan, SECONDS)
            leave = _enter(context, worker, executors)
        try:
            yield
        except BaseException:
            with suppress(Exception):
                leave()
            raise
        with _blamed("exiting"):
            leave()
    finally:
        worker.stop()


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    try:
        yield
    except ServerMissingError:
        raise
    except Exception as error:
        raise LifespanError(f"{what} the spec's lifespan failed: {described(error)}") from error


def _enter(context: Any, worker: Worker, executors: Executors) -> Callable[[], None]:
    """Enter a sync or async context manager and return the function that exits it."""
    if isinstance(context, AbstractContextManager):
        worker.call(context.__enter__, SECONDS)
        return lambda: worker.call(lambda: context.__exit__(None, None, None), SECONDS)
    if not isinstance(context, AbstractAsyncContextManager):
        raise TypeError(f"lifespan must return a context manager, got {type(context).__name__}")

    # Async libraries require that one task enters and exits the context.
    async def hold(entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with context:
            entered.set()
            await leave.wait()

    async def begin() -> tuple[asyncio.Task[None], asyncio.Event]:
        entered, leave = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(hold(entered, leave))
        waiting = asyncio.ensure_future(entered.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiting.cancel()
            await task
        return task, leave

    async def end() -> None:
        leave.set()
        await task

    loop = executors.loop
    task, leave = loop.run(begin(), SECONDS)
    return lambda: None if loop.abandoned else loop.run(end(), SECONDS)
