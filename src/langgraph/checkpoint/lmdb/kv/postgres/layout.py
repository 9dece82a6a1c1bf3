"""How a store's keys are laid out in tables. The layers above know the kinds of keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

STORE = 0
"""Number of the unit of the keys that belong to no thread."""


class Table(NamedTuple):
    """A table of key-value rows.

    Attributes:
        name: Its name.
        by_thread: True: its primary key is thread and key, and a row holds only the end of its key.
            False: a row holds its whole key.
        is_large: True: its values are large, so that a list of keys does not read them.
        is_updated: True: its rows are replaced again and again, so that its pages keep room for
            their next versions.
    """

    name: str
    by_thread: bool
    is_large: bool = False
    is_updated: bool = False


class Place(NamedTuple):
    """The place of a key: its table, its thread, and the part of the key that the row holds."""

    table: Table
    thread: int | None
    key: bytes


Bound: TypeAlias = "tuple[int, bytes]"
"""Thread and key: a bound of a table's rows. In a table without threads, the thread is 0."""


class TableRange(NamedTuple):
    """The rows of a table from a bound up to but excluding another one. None: to its end."""

    table: Table
    low: Bound | None
    high: Bound | None


class Tail(NamedTuple):
    """The last rows of a thread in a part of a table. They are read together with its name."""

    table: Table
    low: bytes
    high: bytes | None
    limit: int


class Layout(ABC):
    """The tables of a store, and the way from a key to its row and back.

    A unit is the set of keys that one thread owns. Each change of a unit has a version of its own.
    """

    tables: tuple[Table, ...]
    names: Table
    """The table of thread names. The names belong to the units that they lead to."""
    anchors: tuple[Table, ...]
    """The tables of which at least one has a row of a unit that exists."""

    @abstractmethod
    def tails(self, rows: int = 1, before: str | None = None) -> Sequence[Tail]:
        """Return the tails of a thread.

        Args:
            rows: Rows of its history that they have at least.
            before: Id of the row behind them. None: they end with the last row.
        """

    @abstractmethod
    def place(self, key: bytes) -> Place:
        """Return the place of a key."""

    @abstractmethod
    def whole_key(self, table: Table, thread: int, key: bytes) -> bytes:
        """Return the key of a row."""

    @abstractmethod
    def end_of_tail(self, tail: Tail, thread: int) -> bytes:
        """Return the first key after the tail of a thread."""

    @abstractmethod
    def split(self, start: bytes, stop: bytes) -> list[TableRange]:
        """Return the parts of tables that hold a range of keys."""

    @abstractmethod
    def ranges_of_unit(self, unit: int) -> list[tuple[bytes, bytes]]:
        """Return the ranges of the keys in tables by thread that belong to a unit."""

    @abstractmethod
    def unit(self, key: bytes) -> int | None:
        """Return the unit of a key; None for a name."""

    @abstractmethod
    def unit_of_range(self, start: bytes, stop: bytes) -> int | None:
        """Return the unit of all keys in a range; None if there may be several units."""

    @abstractmethod
    def named(self, key: bytes, value: bytes) -> int | None:
        """Return the unit that a name leads to, or None if the value does not tell."""
