"""What a listing asks for: metadata, and how many checkpoints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Matches: TypeAlias = Callable[[Mapping[str, Any]], bool]


def metadata(wanted: object) -> Matches | None:
    """Whether metadata has all that is wanted, as equal values; None if nothing is.

    Raises:
        UsageError: It is not a dict, or (later) a value that compares with nothing.
    """
    items = list((validation.optional_mapping(wanted, "filter") or {}).items())
    if not items:
        return None

    def matches(metadata: Mapping[str, Any]) -> bool:
        key = value = None
        try:
            for key, value in items:
                if metadata.get(key) != value:
                    return False
        except Exception as error:
            what = f"filter[{key!r}] must be comparable with metadata"
            raise UsageError(f"{what}, got {validation.shown(value)}") from error
        return True

    return matches


def at_most(limit: object) -> int | None:
    """How many checkpoints to list; None: all. Less than none is none."""
    if limit is None:
        return None
    return min(max(validation.count(limit, "limit", "checkpoints (or None)", None), 0), sys.maxsize)
