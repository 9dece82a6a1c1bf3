"""Capabilities of a saver, and the ones that every saver must have."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Capability(str, Enum):
    """A capability: a group of clauses that a saver claims or does not claim."""

    PUT = "put"
    GET_TUPLE = "get_tuple"
    PUT_WRITES = "put_writes"
    LIST = "list"
    DELETE_THREAD = "delete_thread"
    DELETE_FOR_RUNS = "delete_for_runs"
    COPY_THREAD = "copy_thread"
    PRUNE = "prune"
    DELTA_HISTORY = "delta_history"
    ASYNC = "async"
    BOTH_APIS = "both_apis"
    THREADS = "threads"
    LOOPS = "loops"
    SERDE = "serde"
    REOPEN = "reopen"
    PROCESSES = "processes"
    DURABLE = "durable"
    DISK_ERRORS = "disk_errors"
    GRAPH = "graph"
    SPEC = "spec"

    def __str__(self) -> str:
        return self.value


#: Called by the runtime on every saver: a missing method is a failure.
BASE = frozenset(
    {
        Capability.PUT,
        Capability.GET_TUPLE,
        Capability.PUT_WRITES,
        Capability.LIST,
        Capability.DELETE_THREAD,
    }
)

#: Declared by the base class; a saver may leave them unimplemented.
EXTENDED = frozenset({Capability.DELETE_FOR_RUNS, Capability.COPY_THREAD, Capability.PRUNE})

#: Properties of the store that only the spec can claim.
DECLARED = frozenset(
    {Capability.REOPEN, Capability.PROCESSES, Capability.DURABLE, Capability.DISK_ERRORS}
)


#: First release of langgraph-checkpoint with the method; every other method is in 1.0.0.
_RELEASES = {
    Capability.DELETE_THREAD: (2, 0, 25),
    Capability.DELETE_FOR_RUNS: (4, 0, 1),
    Capability.COPY_THREAD: (4, 0, 1),
    Capability.PRUNE: (4, 0, 1),
    Capability.DELTA_HISTORY: (4, 1, 0),
}


def since(needs: Iterable[Capability]) -> str:
    """Return the first release of langgraph-checkpoint with the methods of some capabilities.

    Args:
        needs: Capabilities.

    Returns:
        Version, for example `4.0.1`.
    """
    releases = [_RELEASES.get(capability, (1, 0, 0)) for capability in needs]
    return ".".join(map(str, max(releases, default=(1, 0, 0))))


class Api(str, Enum):
    """An API of a saver: sync or async."""

    SYNC = "sync"
    ASYNC = "async"

    def __str__(self) -> str:
        return self.value

    def method(self, name: str) -> str:
        """Return the name of a method in this API.

        Args:
            name: Sync name, for example `get_tuple`.

        Returns:
            `name` for the sync API, `a` + `name` for the async API.
        """
        return name if self is Api.SYNC else f"a{name}"
