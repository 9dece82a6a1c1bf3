"""What the suite has to know about a snapshot store, and the calls that it makes."""

from __future__ import annotations

import asyncio
import inspect
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from saver_conformance.timeouts import CallTimeoutError, Executors, call_on_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime


@dataclass
class GivenSnapshot:
    """A snapshot as the suite saves it, unless a spec names another class."""

    id: str
    task_id: str
    version: int
    data: dict[str, Any]
    checkpoint: bool
    created_at: datetime


@dataclass(frozen=True)
class SnapshotStoreSpec:
    """A snapshot store to check.

    Attributes:
        name: The name in reports.
        open: Function that opens the store in a folder; each call opens the same store again.
        make: Class of the snapshots, called with the fields as keyword arguments.
        is_async: True if the methods are coroutine functions.
        is_durable: True if a closed store has its snapshots when it is opened again.
        known_failures: Checks that the store is known to fail, each with the reason.
        call_seconds: Time limit of a call, in seconds.
    """

    name: str
    open: Callable[[Path], Any]
    make: Callable[..., Any] = GivenSnapshot
    is_async: bool = False
    is_durable: bool = True
    known_failures: Mapping[str, str] = field(default_factory=dict)
    call_seconds: float = 30


FIELDS = ("id", "task_id", "version", "data", "checkpoint", "created_at")


class HangError(AssertionError):
    """A call of a store that does not return within its time limit."""


class OpenStore:
    """An open store: each call is recorded, limited in time, and awaited if it is a coroutine.

    The calls run in one thread; with an async store, on one event loop.

    Attributes:
        store: The store itself.
        script: The calls so far, as text.
    """

    def __init__(self, spec: SnapshotStoreSpec, folder: Path) -> None:
        self.spec = spec
        self.script: list[str] = []
        self._folder = folder
        self._executors = Executors(spec.call_seconds)
        self._hangs = False
        self.store = self._run(spec.open, folder)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a method of the store."""
        self._record(name, arguments)
        return self._run(getattr(self.store, name), *arguments)

    def run_together(self, plans: Sequence[Sequence[tuple[str, Any]]]) -> list[list[Any]]:
        """Make sequences of calls at the same time: each in a thread, or each in a task.

        Returns:
            The results of each sequence.
        """
        for number, plan in enumerate(plans, 1):
            for name, arguments in plan:
                self._record(name, arguments, f"  # in {number}")

        def play(plan: Sequence[tuple[str, Any]]) -> list[Any]:
            return [getattr(self.store, name)(*arguments) for name, arguments in plan]

        async def aplay(plan: Sequence[tuple[str, Any]]) -> list[Any]:
            return [await getattr(self.store, name)(*arguments) for name, arguments in plan]

        async def gather() -> list[list[Any]]:
            return await asyncio.gather(*map(aplay, plans))

        seconds = self.spec.call_seconds
        try:
            if self.spec.is_async:
                return self._executors.loop.run(gather(), seconds)
            return call_on_workers([partial(play, plan) for plan in plans], seconds)
        except CallTimeoutError as error:
            self._raise_hang(error)

    def reopen(self) -> None:
        """Close the store and open it again."""
        self.script.append("# close and open again")
        self._close()
        self.store = self._run(self.spec.open, self._folder)

    def close(self) -> None:
        """Close the store for good, unless one of its calls hangs."""
        try:
            if not self._hangs:
                self._close()
        finally:
            self._executors.close()

    def _close(self) -> None:
        close = getattr(self.store, "close", None)
        if close is not None:
            self._run(close)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        seconds = self.spec.call_seconds
        try:
            if self.spec.is_async:
                return self._executors.loop.run(_awaited(function, *arguments), seconds)
            return self._executors.worker.call(partial(function, *arguments), seconds)
        except CallTimeoutError as error:
            self._raise_hang(error)

    def _record(self, name: str, arguments: Sequence[Any], comment: str = "") -> None:
        self.script.append(f"{name}({', '.join(map(_shown, arguments))}){comment}")

    def _raise_hang(self, error: CallTimeoutError) -> NoReturn:
        self._hangs = True
        calls = "\n  ".join(self.script)
        raise HangError(f"{error}, after\n  {calls}") from error


async def _awaited(function: Callable[..., Any], *arguments: Any) -> Any:
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


@contextmanager
def opened(spec: SnapshotStoreSpec) -> Iterator[OpenStore]:
    """Open an empty store in a new folder, and close it."""
    with tempfile.TemporaryDirectory() as folder:
        store = OpenStore(spec, Path(folder))
        try:
            yield store
        finally:
            store.close()


def fields_of(snapshot: Any) -> dict[str, Any] | None:
    """Return the fields of a snapshot, with its data as JSON; None for None.

    JSON tells 1, 1.0 and True apart, and the order of keys.
    """
    if snapshot is None:
        return None
    found = {name: getattr(snapshot, name) for name in FIELDS}
    return {**found, "data": json.dumps(found["data"])}


def _shown(value: Any) -> str:
    text = repr(fields_of(value)) if hasattr(value, "task_id") else repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."
