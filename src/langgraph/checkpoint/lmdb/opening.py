"""What a store is named by: a folder, or `:memory:` for one that ends with its saver."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import InvalidPathError, NotCopyableError, UsageError
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType
    from typing import SupportsIndex

    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.kv.lmdb.opening import Sync

    class Saver(AbstractContextManager[Any], AbstractAsyncContextManager[Any], Protocol):
        """A saver that closes at the end of a `with` or an `async with` block."""


S = TypeVar("S", bound="Saver")

MEMORY = ":memory:"
_MOST_ADDRESSES = 1 << 62
_URL = re.compile(r"([a-z][a-z0-9+.-]*):/", re.IGNORECASE)
_KEYWORDS = re.compile(r"\s*[a-z_]+\s*=\s*\S*\s+[a-z_]+\s*=", re.IGNORECASE)


def store(path: object, *, sync: Sync, map_size: object, readonly: object) -> KeyValueStore:
    """Open the store that a path names, made if it is not there.

    Raises:
        InvalidPathError: The path names no folder, or one that cannot hold a store.
        UsageError: Another argument is not what it must be.
    """
    validation.choice(sync, "sync", ("full", "normal", "off"))
    size = validation.count(map_size, "map_size", "bytes", 1, _MOST_ADDRESSES)
    only_read = validation.flag(readonly, "readonly")
    if isinstance(path, str) and path == MEMORY:
        if only_read:
            validation.refuse("readonly", f"False for the path {MEMORY!r}", readonly)
        return MemoryStore()
    return LmdbStore.open(folder(path), sync=sync, map_size=size, readonly=only_read)


def folder(path: object, name: str = "path") -> str:
    """Return the folder that a path names; a `~` in front is the user's home.

    A connection string may hold a password, so the error does not show it.

    Args:
        path: A str or an os.PathLike.
        name: The argument.

    Raises:
        InvalidPathError: It is something else, or a connection string.
    """
    given: object = path
    if isinstance(path, os.PathLike):
        given = path.__fspath__()
    if not isinstance(given, str):
        expected = "a str or an os.PathLike of str that names a folder"
        raise InvalidPathError(f"{name} must be {expected}, got {type(path).__name__}")
    url = _URL.match(given)
    if url is not None or _KEYWORDS.match(given) is not None:
        scheme = "" if url is None else f" of the scheme {url[1]!r}"
        raise InvalidPathError(
            f"{name} must be a folder, got a connection string{scheme}",
            advice='LmdbSaver keeps its store in a folder: LmdbSaver("checkpoints").',
        )
    if given == MEMORY and isinstance(path, str):
        raise InvalidPathError(
            f"{name} must be a folder, got {MEMORY!r}",
            advice=f"Open a store in memory with LmdbSaver({MEMORY!r}).",
        )
    try:
        os.fsencode(given)
    except UnicodeEncodeError as error:
        message = f"{name} must be a str that can name a folder, got {validation.shown(given)}"
        raise InvalidPathError(message) from error
    return os.path.expanduser(validation.plain(given))  # noqa: PTH111 - a Path drops "./"


class Open:
    """Something with a store that is open in this process, so that copies have to share it."""

    def __copy__(self) -> Self:
        """Return another saver on the same store; closing one closes both."""
        clone = self.__class__.__new__(self.__class__)
        clone.__dict__.update(self.__dict__)
        return clone

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise NotCopyableError("a saver cannot be deep-copied: its store is open in this process")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise NotCopyableError("a saver cannot be pickled: its store is open in this process")


class Opening(Generic[S]):
    """A saver that is opened by a `with` or an `async with` block, and closed at its end.

    Args:
        open_saver: Opens it.
    """

    def __init__(self, open_saver: Callable[[], S]) -> None:
        self._open_saver = open_saver
        self._saver: S | None = None

    def __enter__(self) -> S:
        if self._saver is not None:
            raise UsageError("the saver of this `with` block is open already")
        self._saver = self._open_saver()
        return self._saver

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        saver, self._saver = self._saver, None
        if saver is not None:
            saver.__exit__(kind, error, trace)

    async def __aenter__(self) -> S:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)


class Ready(Coroutine[Any, Any, None]):
    """A coroutine that has nothing to do, so that it need not be awaited."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield

    def send(self, value: Any) -> NoReturn:  # noqa: ARG002 - the protocol's
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> NoReturn:
        error = kind if value is None else value
        raise error if trace is None else error.with_traceback(trace)

    def close(self) -> None:
        pass
