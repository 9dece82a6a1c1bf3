"""What the suite has to know about a snapshot store, and the calls that it makes."""

from __future__ import annotations

import asyncio
import inspect
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
        is_isolated: True if changes of `data` after `save` or `get` do not change the store.
    """

    name: str
    open: Callable[[Path], Any]
    make: Callable[..., Any] = GivenSnapshot
    is_async: bool = False
    is_durable: bool = True
    is_isolated: bool = True


FIELDS = ("id", "task_id", "version", "data", "checkpoint", "created_at")


class OpenStore:
    """An open store: each call is recorded, and awaited if it is a coroutine.

    Attributes:
        store: The store itself.
        script: The calls so far, as text.
    """

    def __init__(self, spec: SnapshotStoreSpec, folder: Path) -> None:
        self.spec = spec
        self.script: list[str] = []
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self.store = self._open()

    def _open(self) -> Any:
        async def open_it() -> Any:  # a store may need the running loop
            return self.spec.open(self._folder)

        return self.wait(open_it()) if self.spec.is_async else self.spec.open(self._folder)

    def wait(self, result: Any) -> Any:
        """Return what a call returned, once it is finished."""
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a method of the store."""
        self.script.append(f"{name}({', '.join(map(_shown, arguments))})")
        return self.wait(getattr(self.store, name)(*arguments))

    def together(self, calls: list[tuple[str, Any]]) -> list[Any]:
        """Await calls at the same time."""

        async def gather() -> list[Any]:
            return await asyncio.gather(*(getattr(self.store, name)(*a) for name, a in calls))

        return self._loop.run_until_complete(gather())

    def reopen(self) -> None:
        """Close the store and open it again."""
        self.script.append("# close and open again")
        self._close()
        self.store = self._open()

    def _close(self) -> None:
        close = getattr(self.store, "close", None)
        if close is not None:
            self.wait(close())

    def close(self) -> None:
        """Close the store for good."""
        self._close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


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
