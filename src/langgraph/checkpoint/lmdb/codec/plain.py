"""Values as bytes: cutting a payload against the version before it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.codec import cutting
from langgraph.checkpoint.lmdb.codec.layouts import digest, ends_of
from langgraph.checkpoint.lmdb.engine import records, runs

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.codec.layouts import PlainLayout
    from langgraph.checkpoint.lmdb.engine.runs import Run


def parts_or_runs(
    parts: list[bytes], known: dict[bytes, Run], level: int | None
) -> list[Run | bytes]:
    """Parts as items of a new value: where they are stored, or packed to be stored."""
    found = ((known.get(digest(part)) if known else None, part) for part in parts)
    return [records.pack(part, level) if run is None else run for run, part in found]


def cut_new(
    body: bytes, size: int, known: dict[bytes, Run], level: int | None
) -> tuple[list[Run | bytes], list[int]]:
    """Cut a payload's body; returns its items and where each ends."""
    parts = cutting.cut(body, size)
    return parts_or_runs(parts, known, level), ends_of(parts)


def cut_against(
    layout: PlainLayout, body: bytes, size: int, known: dict[bytes, Run], level: int | None
) -> tuple[list[Run | bytes], list[int]]:
    """Cut a payload's body so that it shares what it can with an older one.

    The parts in front of the first byte that differs and behind the last are taken over as they
    are; what lies between is cut anew, and its parts are looked for among those that it replaces.

    Args:
        layout: The older body.
        size: Bytes of the whole payload.
        known: Other stored parts, by digest.
    """
    old, ends = layout.body, layout.ends
    first = bisect_right(ends, cutting.common_prefix(old, body))
    start = _start(ends, first)
    same_tail = cutting.common_suffix(old, body, min(len(old), len(body)) - start)
    last = len(ends)
    while last > first and len(old) - _start(ends, last - 1) <= same_tail:
        last -= 1
    stop = len(body) - (len(old) - _start(ends, last))
    if start < stop:
        # Small parts do not pay: those beside the change are cut anew with it.
        while first and stop - start < cutting.SMALL_PART > start - _start(ends, first - 1):
            first -= 1
            start = _start(ends, first)
    replaced = {
        digest(old[_start(ends, index) : ends[index]]): run
        for index, run in zip(
            range(first, last), runs.singles(runs.cut(layout.runs, first, last)), strict=True
        )
    }
    middle, middle_ends = cut_new(body[start:stop], size, replaced | known, level)
    shift = len(body) - len(old)
    items = [
        *runs.cut(layout.runs, 0, first),
        *middle,
        *runs.cut(layout.runs, last, len(ends)),
    ]
    return items, [
        *ends[:first],
        *(start + end for end in middle_ends),
        *(end + shift for end in ends[last:]),
    ]


def _start(ends: list[int], index: int) -> int:
    return ends[index - 1] if index else 0
