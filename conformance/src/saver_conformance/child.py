"""A second process with the same store, which makes calls on request."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from saver_conformance.capability import Api
from saver_conformance.lifecycle import OpenSaver
from saver_conformance.recorder import acall
from saver_conformance.spec import load_spec
from saver_conformance.stopping import CalledFunctions
from saver_conformance.timeouts import CallTimeoutError, Executors, Worker
from saver_conformance.violation import UnplayableError

if TYPE_CHECKING:
    from saver_conformance.spec import SaverSpec

_LENGTH = 8

#: A process that sleeps in this many samples waits for something.
_SAMPLES = 10
_SAMPLE_SECONDS = 0.02

#: Time for which an opening may pause, in seconds.
_PAUSE_SECONDS = 120


class RemoteError(Exception):
    """An error in the second process."""


class EndedError(RemoteError):
    """The end of the second process in place of an answer."""


def locate(spec: SaverSpec) -> str:
    """Return the reference with which another process imports a spec.

    Args:
        spec: Spec to import.

    Returns:
        Reference for `load_spec`.

    Raises:
        UnplayableError: If no module has the spec.
    """
    if spec.origin is not None:
        return spec.origin
    module = sys.modules.get(getattr(spec.open, "__module__", ""))
    for name, value in vars(module).items() if module else ():
        found = name if value is spec else None
        if isinstance(value, type) and vars(value).get("spec") is spec:
            found = f"{name}.spec"
        if found and module:
            file = getattr(module, "__file__", None)
            return f"{file if module.__name__ == '__main__' else module.__name__}:{found}"
    raise UnplayableError(
        f"a second process cannot import {spec.name}: assign the spec to a name in the module "
        "that defines its open function, or run `saver-conformance check MODULE:SPEC`"
    )


class Child:
    """A handle for the second process.

    Args:
        origin: Reference of the spec.
        path: Folder of the store.
        api: API to call.
        seconds: Time limit of one call, in seconds.
        first: True to open the store with `open` instead of `attach`.
        paused: True to open the store only when `open` or `open_until` is called.
        counted: True to count the functions that each call runs, for `kill_within_call`.
        opening: True to count the steps of each opening, for `open_until`.

    Raises:
        CallTimeoutError: If the process does not start in time.
        RemoteError: If the process cannot open the store.
    """

    def __init__(
        self,
        origin: str,
        path: Path,
        api: Api,
        seconds: float,
        *,
        first: bool = False,
        paused: bool = False,
        counted: bool = False,
        opening: bool = False,
    ) -> None:
        self._seconds = seconds
        self._path = path
        # Importing LangGraph takes seconds, before the process does anything else.
        self._starting = seconds + 60
        command = [sys.executable, "-m", "saver_conformance.child", origin, api.value]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        counts = "functions" if counted else "steps" if opening else "nothing"
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, "open" if first else "attach", str(seconds), counts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._worker = Worker("child")
        try:
            self._worker.call(self._receive, self._starting)
            if not paused:
                self.open()
        except BaseException:
            self.kill()
            raise

    def open(self, path: Path | None = None) -> int:
        """Open a store, and close the store that was open.

        Args:
            path: Folder of the store; None opens the store of the process.

        Returns:
            Number of steps, if they are counted.

        Raises:
            CallTimeoutError: If no answer arrives in time.
            RemoteError: If opening raised.
        """
        self.send_open(path)
        steps: int = self.receive()
        return steps

    def send_open(self, path: Path | None = None, until: int = 0) -> None:
        """Begin to open a store, and close the store that was open.

        Args:
            path: Folder of the store; None opens the store of the process.
            until: Step before which the process pauses until `proceed`; 0 never pauses.
        """
        self.send("open", str(path or self._path), until)

    def proceed(self) -> None:
        """Let the opening that pauses continue."""
        self.send("proceed")

    def send(self, method: str, *args: Any) -> None:
        """Send a call without waiting for the answer.

        Args:
            method: Sync name of the method; `each` makes a list of calls and answers after every
                call.
            *args: Positional arguments.
        """
        assert self._process.stdin is not None
        _send(self._process.stdin, (method, args))

    def receive(self) -> Any:
        """Return the next answer.

        Returns:
            Result of the call.

        Raises:
            CallTimeoutError: If no answer arrives in time.
            RemoteError: If the call raised.
        """
        try:
            return self._worker.call(self._receive, self._seconds + 5)
        except CallTimeoutError:
            self.kill()
            raise

    def answers_or_waits(self) -> bool:
        """Return True if an answer arrives, and False if the process waits for something else.

        Time in which the process computes, or is ready to, does not count as waiting.
        """
        assert self._process.stdout is not None
        asleep = 0
        while asleep < _SAMPLES:
            if select.select([self._process.stdout], [], [], _SAMPLE_SECONDS)[0]:
                return True
            asleep += _sleeps(self._process.pid)
        return False

    def call(self, method: str, *args: Any) -> Any:
        """Make a call and return its answer.

        Args:
            method: Sync name of the method.
            *args: Positional arguments.

        Returns:
            Result of the call.

        Raises:
            CallTimeoutError: If no answer arrives in time.
            RemoteError: If the call raised.
        """
        self.send(method, *args)
        return self.receive()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        answer = _read(self._process.stdout)
        if answer is None:
            raise EndedError("the second process ended")
        kind, value = answer
        if kind == "error":
            raise RemoteError(value)
        return value

    def kill_within_call(
        self, calls: list[tuple[str, tuple[Any, ...]]], answers: int, percent: int
    ) -> list[Any]:
        """Make calls, and kill the process with SIGKILL within one of them.

        The process counts the functions that the call before runs, and ends at a share of that
        number, so that neither the speed of the saver nor the load of the machine matters.

        Args:
            calls: Calls of one method with arguments of the same size.
            answers: Number of calls that return; at least 1.
            percent: Moment of the kill within the next call, in percent of its functions.

        Returns:
            The answers.

        Raises:
            CallTimeoutError: If an answer does not arrive in time.
            RemoteError: If a call raised.
        """
        self.send("each", calls[: answers + 1], percent)
        received = [self.receive() for _ in range(answers)]
        with contextlib.suppress(EndedError):
            received.append(self.receive())
        self.kill()
        return received

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._worker.stop()

    def stop(self) -> None:
        """Let the process close the store and exit."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._seconds + 5)
        self.kill()


def _send(pipe: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message)
    pipe.write(len(data).to_bytes(_LENGTH, "big") + data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> Any:
    head = pipe.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    return pickle.loads(pipe.read(int.from_bytes(head, "big")))  # noqa: S301 - our own child


def _sleeps(process: int) -> bool:
    """Return True if every thread of a process sleeps, or if that is unknown."""
    try:
        stats = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/stat")]
    except OSError:
        return True
    # The state follows the name, which stands in parentheses.
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def _serve(origin: str, api: Api, how: str, seconds: float, counts: str) -> None:
    # Only answers may enter the pipe: redirect the output of the saver.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    calls = CalledFunctions(outside_only=counts == "steps") if counts != "nothing" else None
    executors = Executors(seconds)
    opened: OpenSaver | None = None
    try:
        spec = load_spec(origin)
        opener = (spec.attach if how == "attach" else spec.open) or spec.open
    # The first process reports every error.
    except BaseException as error:  # noqa: BLE001
        _send(answers, ("error", f"{type(error).__name__}: {error}"))
        return
    _send(answers, ("value", None))

    def pause() -> None:
        _send(answers, ("value", "paused"))
        _read(sys.stdin.buffer)

    while (message := _read(sys.stdin.buffer)) is not None:
        method, args = message
        try:
            value = None
            if method == "open":
                if opened is not None:
                    opened.close()
                    opened = None
                if calls is not None:
                    calls.stop_at(args[1], pause)
                # The time in which one process pauses is not the time of the saver.
                executors.seconds = seconds + (_PAUSE_SECONDS if counts == "steps" else 0)
                try:
                    opened = OpenSaver(lambda: opener(Path(args[0])), executors)  # noqa: B023
                finally:
                    executors.seconds = seconds
                value = calls.count if calls is not None else 0
            elif opened is None:
                raise RuntimeError("no store is open")
            elif method == "each":
                for position, call in enumerate(args[0]):
                    if calls is not None:
                        is_last = position == len(args[0]) - 1
                        moment = max(1, calls.count * args[1] // 100) if is_last else 0
                        calls.stop_at(moment, lambda: os.kill(os.getpid(), signal.SIGKILL))
                    _call(opened.saver, api, executors, *call)
                    _send(answers, ("value", position))
            else:
                value = _call(opened.saver, api, executors, method, args)
            _send(answers, ("value", value))
        # The first process reports every error.
        except BaseException as error:  # noqa: BLE001
            _send(answers, ("error", f"{type(error).__name__}: {error}"))
    if opened is not None:
        opened.close()


def _call(saver: Any, api: Api, executors: Executors, method: str, args: tuple[Any, ...]) -> Any:
    if api is Api.ASYNC:
        return executors.loop.run(acall(saver, method, args, {}), executors.seconds)
    function = getattr(saver, method)
    if method == "list":
        return executors.worker.call(lambda: [*function(*args)], executors.seconds)
    return executors.worker.call(lambda: function(*args), executors.seconds)


if __name__ == "__main__":
    _, where, api_name, how, limit, counts = sys.argv
    _serve(where, Api(api_name), how, float(limit), counts)
    # A thread of the saver must not keep this process alive.
    sys.stderr.flush()
    os._exit(0 if threading.active_count() else 1)
