"""The parts of the model of the protocol: the base, the log, processes, and a state of all."""

from __future__ import annotations

from typing import NamedTuple

SLOTS = 3
"""Records that the log has room for."""

Payload = tuple[int, int, int]
"""What a record stores: the process, the count of its operations, and the generation."""
History = tuple[Payload, ...]


class Base(NamedTuple):
    """The base store: its transactions are atomic and durable."""

    applied: int = 0
    """Number of the last record that the base holds."""
    epoch: int = 0
    uses_log: bool = False
    history: History = ()


class Record(NamedTuple):
    """A record of the log."""

    epoch: int
    number: int
    payload: Payload
    previous: Payload | None
    """The last payload of the history that the record was written after."""


TORN = Record(-1, -1, (-1, -1, -1), None)
Log = tuple["Record | None", ...]


class Process(NamedTuple):
    """A process, with what it has in memory."""

    kind: str
    """W: it writes. M: it merges. R: it reads. V: it reads without a lock. C: it closes."""
    left: int
    """Operations that it still begins."""
    step: str = "idle"
    base: Base = Base()
    records: History = ()
    """The records of its epoch that it has adopted."""
    payload: Payload | None = None
    wanted: int = 0
    """A reader looks up to this record. -1: it found no log."""
    needed: int = 0
    """Number of acknowledged records when a reader began."""


class State(NamedTuple):
    """All that a step may depend on."""

    processes: tuple[Process, ...]
    base: Base = Base()
    doubtful: Base | None = None
    """What the disk may hold instead of the base, after a merge that failed."""
    cached: Log = (None,) * SLOTS
    """The log as processes see it."""
    flushed: Log = (None,) * SLOTS
    """The log as the disk has it."""
    lost: frozenset[int] = frozenset()
    """Slots that a failed flush has marked clean, so that no later flush writes them."""
    exists: bool = False
    """True if the file of the log is there."""
    durable: int = 0
    """Shared counter: the last record that readers may see."""
    unfinished: bool = False
    """Shared flag: a change of the log or of the base has begun and not succeeded."""
    barred: tuple[int, int] = (0, 0)
    """Epoch and number of a record that no process adopts: its writer has reported an error."""
    turn: int | None = None
    acknowledged: History = ()
    excluded: History = ()
    """Payloads whose writers reported that nothing was stored."""
    read: int = 0
    """Length of the longest history that a reader got."""
    generation: int = 1
