"""Reading for many items, a page of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from langgraph.checkpoint.lmdb.kv.base import Reader

S = TypeVar("S")
T = TypeVar("T")

_PAGE = 64


def read_each(
    reader: Reader, read: Callable[[S], T], items: Iterator[S], most: int | None = None
) -> Iterator[tuple[S, T]]:
    """Yield each item with what `read` returns for it.

    Args:
        reader: A snapshot.
        read: Function that reads from the snapshot, as `Reader.gather` calls it.
        items: The items. Up to a page of them is taken before the first is yielded.
        most: Items of a page at most. None: the size of a page.
    """
    size = _PAGE if most is None else min(most, _PAGE)
    while page := [*islice(items, size)]:
        yield from zip(page, reader.gather(partial(read, item) for item in page), strict=True)
