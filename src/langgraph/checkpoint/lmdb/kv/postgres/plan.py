"""Reads of several calls that share their trips to the server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from langgraph.checkpoint.lmdb.kv.postgres.known import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langgraph.checkpoint.lmdb.kv.postgres.link import Rows, Statement

T = TypeVar("T")


class Request(NamedTuple):
    """Queries, and the function that adds their rows to what is known.

    In front of the columns of a row is the place of its query in the trip.
    """

    batch: list[Statement]
    learn: Callable[[Sequence[Rows]], None]


class NotReadError(Exception):
    """A call of `gather` has to wait for the next trip."""


class Plan:
    """A list of what the next trip reads."""

    def __init__(self) -> None:
        self.keys: dict[bytes, None] = {}
        self.ranges = Known()
        """Ranges that are read in full: the known ones."""
        self.other: list[Request] = []


def outcome(call: Callable[[], T]) -> Callable[[], T]:
    """Call a function; return one that returns the result, or raises the error."""
    try:
        return partial(_same, call())
    except NotReadError:
        raise
    except Exception as error:  # noqa: BLE001 - it is raised in its place
        return partial(_raise, error)


def _same(value: T) -> T:
    return value


def _raise(error: Exception) -> NoReturn:
    raise error
