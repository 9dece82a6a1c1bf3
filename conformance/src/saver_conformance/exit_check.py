"""Check that a process that used a saver in its main thread exits."""

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

from saver_conformance.capability import Api
from saver_conformance.child import locate
from saver_conformance.spec import load_spec
from saver_conformance.timeouts import CallTimeoutError, Worker

if TYPE_CHECKING:
    from saver_conformance.spec import SaverSpec

#: Printed after the saver is closed: only the exit of the process remains.
_CLOSED = "closed"


def check_exit(spec: SaverSpec, path: Path, api: Api, seconds: float) -> str | None:
    """Run the process and wait for its exit.

    Args:
        spec: Declaration of the saver.
        path: Folder of the current store; the process gets a folder beside it.
        api: API to call.
        seconds: Limit for the exit, in seconds.

    Returns:
        Description of the problem, or None.

    Raises:
        UnplayableError: If another process cannot import the spec.
    """
    folder = tempfile.mkdtemp(dir=path.parent)
    command = [
        sys.executable,
        "-m",
        "saver_conformance.exit_check",
        locate(spec),
        folder,
        api.value,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(  # noqa: S603 - our own module
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    worker = Worker("once")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # Importing LangGraph takes seconds, before the process does anything else.
        said = worker.call(process.stdout.readline, seconds + 60)
        process.wait(seconds)
    except CallTimeoutError:
        return f"the process did not finish within {seconds + 60:g} s"
    except subprocess.TimeoutExpired:
        return f"the process did not exit within {seconds:g} s after it closed the saver"
    finally:
        process.kill()
        complained = process.stderr.read()
        process.communicate()
        worker.stop()
    if process.returncode or _CLOSED not in said:
        last = complained.strip().splitlines()[-1:] or ["no error was printed"]
        return f"the process failed: {last[0]}"
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


async def _amain(made: Any, api: Api) -> None:
    async def use(saver: Any) -> None:
        # A saver that is bound to an event loop accepts sync calls only from other threads.
        await (_ause(saver) if api is Api.ASYNC else asyncio.to_thread(_use, saver))

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
    _, origin, where, api_name = sys.argv
    spec = load_spec(origin)
    # A server that the lifespan started is running; `attach` connects to it.
    opener: Any = spec.attach or spec.open
    product = _as_manager(opener(Path(where)))
    on_loop = not hasattr(product, "get_tuple") and not hasattr(product, "__enter__")
    if Api(api_name) is Api.SYNC and not on_loop:
        _main(product)
    else:
        asyncio.run(_amain(product, Api(api_name)))
    print(_CLOSED, flush=True)
