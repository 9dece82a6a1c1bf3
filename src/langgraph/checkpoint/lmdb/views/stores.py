"""A store for looking: opened with the plain serializer, so that nothing it names is imported."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb.errors import (
    CheckpointNotFoundError,
    InvalidPathError,
    ThreadNotFoundError,
)
from langgraph.checkpoint.lmdb.models import ThreadSort
from langgraph.checkpoint.lmdb.opening import is_conninfo, open_existing, open_saver
from langgraph.checkpoint.lmdb.run_state import State
from langgraph.checkpoint.lmdb.views.plain import PlainSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import KvSaver, ThreadInfo

LATEST = "latest"
_SHORTEST = 4
_FIRST_PAGE, _LAST_PAGE = 50, 500
"""Threads of the first page, which is often all that is wanted, and of later pages."""


def open_store(name: str, *, readonly: bool = True) -> KvSaver:
    """Open an existing store with the plain serializer. A store is never created.

    Args:
        name: Folder or connection string of the store.
        readonly: True: never write.

    Raises:
        InvalidPathError: There is no store.
    """
    _check_on_disk(name)
    try:
        return open_existing(name, readonly=readonly, serde=PlainSerializer())
    except InvalidPathError as error:
        if not is_conninfo(name):
            error.advice = "Check the path."
        raise


def create_store(name: str, **options: Any) -> KvSaver:
    """Open a store with the plain serializer, to write to it. It is created if it does not exist.

    Args:
        name: Folder or connection string of the store.
        options: Other arguments of its saver.
    """
    _check_on_disk(name)
    return open_saver(name, serde=PlainSerializer(), **options)


def _check_on_disk(name: str) -> None:
    if name == ":memory:":
        raise InvalidPathError("a store in memory ends with its process", path=name)


def config_of(
    thread_id: str, checkpoint_id: str | None = None, namespace: str = ""
) -> RunnableConfig:
    """Return the config of a checkpoint, by default the latest of the namespace."""
    at = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return {"configurable": at if checkpoint_id is None else {**at, "checkpoint_id": checkpoint_id}}


def place_of(found: CheckpointTuple) -> dict[str, Any]:
    """Return the place of a checkpoint: `thread_id`, `checkpoint_ns` and `checkpoint_id`."""
    place: dict[str, Any] = found.config["configurable"]
    return place


def parent_id(found: CheckpointTuple) -> str | None:
    """Return the id of the parent; None if the checkpoint has none."""
    parent = found.parent_config
    return None if parent is None else str(parent["configurable"]["checkpoint_id"])


def find_address(
    saver: KvSaver, address: str, checkpoint: str | None = None, namespace: str = ""
) -> CheckpointTuple:
    """Return the checkpoint that `THREAD` or `THREAD@CHECKPOINT` names.

    Args:
        saver: The saver.
        address: The id of a thread, with or without a checkpoint. A thread whose id is the whole
            text is preferred.
        checkpoint: The checkpoint, as for `find_step`, if the address has none.
        namespace: The namespace.

    Raises:
        ThreadNotFoundError: The thread has no checkpoints in the namespace.
        CheckpointNotFoundError: The checkpoint does not exist, or several match.
    """
    thread_id, sign, spec = address.rpartition("@")
    if (
        checkpoint is None
        and sign
        and thread_id
        and saver.get_tuple(config_of(address, namespace=namespace)) is None
    ):
        return find_step(saver, thread_id, spec, namespace)
    return find_step(saver, address, checkpoint, namespace)


def find_step(
    saver: KvSaver, thread_id: str, spec: str | None = None, namespace: str = ""
) -> CheckpointTuple:
    """Return a checkpoint of a thread.

    Args:
        saver: The saver.
        thread_id: The thread.
        spec: The id of the checkpoint, or its beginning or its end; or the number of its
            step; or `~N`, the Nth ancestor of the latest; or `latest`, as None.
        namespace: The namespace.

    Raises:
        ThreadNotFoundError: The thread has no checkpoints in the namespace.
        CheckpointNotFoundError: The checkpoint does not exist, or several match.
    """
    latest = saver.get_tuple(config_of(thread_id, namespace=namespace))
    if latest is None:
        where = f" in namespace {namespace!r}" if namespace else ""
        raise ThreadNotFoundError(
            f"the thread has no checkpoints{where}",
            thread_id=thread_id,
            advice="List the threads with: langgraph-lmdb threads",
        )
    if not spec or spec == LATEST:
        return latest
    found = list(islice(_matches(saver, latest, spec), 2))
    if len(found) == 1:
        return found[0]
    raise CheckpointNotFoundError(
        f"{'several checkpoints match' if found else 'no checkpoint matches'} {spec!r}",
        thread_id=thread_id,
        advice="List the checkpoints with: langgraph-lmdb history",
    )


def all_threads(
    saver: KvSaver,
    prefix: str | None = None,
    states: Collection[State] | None = None,
    after: ThreadInfo | str | None = None,
    *,
    sort: ThreadSort = "updated",
    reverse: bool = False,
    details: bool = True,
) -> Iterator[ThreadInfo]:
    """Yield the threads of a store, reading them by pages.

    Args:
        saver: The saver.
        prefix: Beginning of the thread ids.
        states: States of the latest runs; None: all.
        after: Thread to continue after.
        sort: Order of the threads, as for `threads` of the saver.
        reverse: True: turn the order around.
        details: False: leave out what takes a read of each thread's latest checkpoint.
    """
    reads_all = bool(prefix) or sort != "updated" or reverse
    size = _FIRST_PAGE
    while page := saver.threads(
        prefix,
        limit=size,
        after=after,
        state=states,
        sort=sort,
        reverse=reverse,
        details=details,
    ):
        yield from page
        after = page[-1]
        size *= 2
        if not reads_all:  # a page that reads the records of all threads has to be worth it
            size = min(size, _LAST_PAGE)


def thread_info(saver: KvSaver, thread_id: str) -> ThreadInfo:
    """Return the description of a thread.

    Raises:
        ThreadNotFoundError: The thread has no checkpoints.
    """
    find_step(saver, thread_id)  # raises the error for a missing thread
    (info,) = saver.threads(thread_id, sort="thread_id", limit=1)
    return info


def _matches(saver: KvSaver, latest: CheckpointTuple, spec: str) -> Iterator[CheckpointTuple]:
    at = place_of(latest)
    exact = saver.get_tuple(config_of(at["thread_id"], spec, at["checkpoint_ns"]))
    if exact is not None:
        yield exact
        return
    for found in _named(saver, latest, spec):
        whole = saver.get_tuple(found.config)
        if whole is not None:
            yield whole


def _named(saver: KvSaver, latest: CheckpointTuple, spec: str) -> Iterator[CheckpointTuple]:
    """Yield the checkpoints that a text other than an id names, without their values."""
    line = saver.history(latest.config, values=False)
    if spec.startswith("~") and spec[1:].isdecimal():
        yield from islice(line, int(spec[1:]), int(spec[1:]) + 1)
        return
    if spec.removeprefix("-").isdecimal():
        step = next((one for one in line if one.metadata.get("step") == int(spec)), None)
        if step is not None:
            yield step
            return
    if len(spec) >= _SHORTEST:
        at = place_of(latest)
        config = config_of(at["thread_id"], namespace=at["checkpoint_ns"])
        for found in saver.list(config, values=False):
            if found.checkpoint["id"].startswith(spec) or found.checkpoint["id"].endswith(spec):
                yield found
