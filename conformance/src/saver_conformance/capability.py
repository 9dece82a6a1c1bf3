"""What a saver can be asked to do, and which of it every saver must do."""

from __future__ import annotations

from enum import Enum


class Capability(str, Enum):
    """A group of clauses that stand or fall together."""

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
    BOTH_FACES = "both_faces"
    THREADS = "threads"
    LOOPS = "loops"
    SERDE = "serde"
    REOPEN = "reopen"
    PROCESSES = "processes"
    DURABLE = "durable"
    GRAPH = "graph"
    SPEC = "spec"

    def __str__(self) -> str:
        return self.value


#: What the runtime calls on every saver; one that is missing is a failure, not a gap.
BASE = frozenset(
    {
        Capability.PUT,
        Capability.GET_TUPLE,
        Capability.PUT_WRITES,
        Capability.LIST,
        Capability.DELETE_THREAD,
    }
)

#: Methods that the base class declares and leaves to the saver.
EXTENDED = frozenset({Capability.DELETE_FOR_RUNS, Capability.COPY_THREAD, Capability.PRUNE})

#: Properties of the store that only its author can claim.
DECLARED = frozenset({Capability.REOPEN, Capability.PROCESSES, Capability.DURABLE})


class Face(str, Enum):
    """One of the two interfaces that a saver may offer."""

    SYNC = "sync"
    ASYNC = "async"

    def __str__(self) -> str:
        return self.value

    def method(self, name: str) -> str:
        """Return the name that this face gives a method of the protocol.

        Args:
            name: The synchronous name, such as `get_tuple`.

        Returns:
            `name` itself, or `a` + `name` on the asynchronous face.
        """
        return name if self is Face.SYNC else f"a{name}"
