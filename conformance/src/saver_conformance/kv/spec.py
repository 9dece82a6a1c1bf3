"""What the suite has to know about a key-value store."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager


@dataclass(frozen=True)
class KeyValueSpec:
    """A key-value store to check.

    Attributes:
        name: The name in reports.
        open: Function that opens the store in a folder; each call opens the same store again.
        is_durable: True if a closed store has its content when it is opened again.
        longest_key: Bytes of the longest key that the store accepts.
        lifespan: Context manager around a whole run, for example a server.
        known_failures: Reasons of the checks that are known to fail, by the name of the check.
    """

    name: str
    open: Callable[[Path], Any]
    is_durable: bool = True
    longest_key: int = 511
    lifespan: Callable[[], AbstractContextManager[Any]] = nullcontext
    known_failures: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def opened(spec: KeyValueSpec) -> Iterator[tuple[Any, Path]]:
    """Open an empty store in a new folder, and close it. Yield the store and the folder."""
    with tempfile.TemporaryDirectory() as folder:
        store = spec.open(Path(folder))
        try:
            yield store, Path(folder)
        finally:
            store.close()
