"""A process that uses a saver once, in its main thread, and then should end."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saver_conformance.capability import Face
from saver_conformance.child import locate
from saver_conformance.limits import CallTimeoutError, Worker
from saver_conformance.spec import load_spec

if TYPE_CHECKING:
    from saver_conformance.spec import SaverSpec

#: What the process prints once the saver is closed, so that only the exit is left.
_CLOSED = "closed"


def run_once(spec: SaverSpec, path: Path, face: Face, seconds: float) -> str | None:
    """Start the process, and wait for it to end.

    Args:
        spec: The saver's declaration.
        path: A folder; the store is made beside it.
        face: The face to use.
        seconds: How long the process may take to end.

    Returns:
        What is wrong, or None if nothing is.

    Raises:
        UnplayableError: If another process cannot find the spec.
    """
    folder = tempfile.mkdtemp(dir=path.parent)
    command = [sys.executable, "-m", "saver_conformance.once", locate(spec), folder, face.value]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(  # noqa: S603 - our own module
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    worker = Worker("once")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # A process imports LangGraph before it does anything, which may take a while.
        said = worker.call(process.stdout.readline, seconds + 60)
        process.wait(seconds)
    except CallTimeoutError:
        return f"a process that uses the saver has not ended {seconds + 60:g} s later"
    except subprocess.TimeoutExpired:
        return f"the process has not ended {seconds:g} s after the saver was closed"
    finally:
        process.kill()
        complained = process.stderr.read()
        process.communicate()
        worker.stop()
    if process.returncode or _CLOSED not in said:
        last = complained.strip().splitlines()[-1:] or ["no error was printed"]
        return f"a process that uses the saver failed: {last[0]}"
    return None


def _use(saver: Any) -> None:
    saver.get_tuple({"configurable": {"thread_id": "thread", "checkpoint_ns": ""}})


async def _ause(saver: Any) -> None:
    await saver.aget_tuple({"configurable": {"thread_id": "thread", "checkpoint_ns": ""}})


def _main(made: Any) -> None:
    if hasattr(made, "__enter__"):
        with made as saver:
            _use(saver)
        return
    _use(made)
    if callable(close := getattr(made, "close", None)):
        close()


async def _amain(made: Any, face: Face) -> None:
    async def use(saver: Any) -> None:
        # A saver that belongs to a loop is called synchronously from other threads alone.
        await (_ause(saver) if face is Face.ASYNC else asyncio.to_thread(_use, saver))

    if inspect.isawaitable(made):
        made = await made
    if hasattr(made, "__aenter__"):
        async with made as saver:
            await use(saver)
    elif hasattr(made, "__enter__"):
        with made as saver:
            await use(saver)
    else:
        await use(made)


def _as_manager(made: Any) -> Any:
    if inspect.isgenerator(made):
        return contextmanager(lambda: made)()
    return asynccontextmanager(lambda: made)() if inspect.isasyncgen(made) else made


if __name__ == "__main__":
    _, origin, where, spoken = sys.argv
    spec = load_spec(origin)
    # A server that the spec's lifespan starts is there already, and found by `attach`.
    opener: Any = spec.attach or spec.open
    product = _as_manager(opener(Path(where)))
    on_loop = not hasattr(product, "get_tuple") and not hasattr(product, "__enter__")
    if Face(spoken) is Face.SYNC and not on_loop:
        _main(product)
    else:
        asyncio.run(_amain(product, Face(spoken)))
    print(_CLOSED, flush=True)
