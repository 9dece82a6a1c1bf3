"""The parts of a checkpoint tuple, compared one by one so that a clause checks only its subject."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from saver_conformance.equality import same, same_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from saver_conformance.model import Entry


class Part(str, Enum):
    """A part of a checkpoint tuple."""

    ID = "id"
    CONFIG = "config"
    FIELDS = "fields"
    VERSIONS = "versions"
    VALUES = "values"
    METADATA = "metadata"
    PARENT = "parent"
    WRITES = "writes"


ALL = tuple(Part)

Mismatch = tuple[str, Any, Any]


def mismatch(
    expression: str, actual: Any, expected: Entry, parts: Iterable[Part]
) -> Mismatch | None:
    """Return the first part of a tuple that differs from the model.

    Args:
        expression: Program expression for the tuple.
        actual: Tuple that the saver returned.
        expected: Entry of the model.
        parts: Parts to compare.

    Returns:
        Expression, actual value and expected value of that part; None if every part is equal.
    """
    for part in parts:
        found = _CHECKS[part](expression, actual, expected)
        if found is not None:
            return found
    return None


def _id(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    found = actual.checkpoint["id"]
    return (
        None
        if found == expected.key.id
        else (f'{expression}.checkpoint["id"]', found, expected.key.id)
    )


def _config(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    where = actual.config["configurable"]
    named = {
        "thread_id": str(where["thread_id"]),
        "checkpoint_ns": where.get("checkpoint_ns"),
        "checkpoint_id": where.get("checkpoint_id"),
    }
    for name, wanted in zip(named, expected.key, strict=True):
        if named[name] != wanted:
            return f'{expression}.config["configurable"].get("{name}")', named[name], wanted
    return None


def _fields(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    for name, wanted in expected.checkpoint.items():
        if name in ("id", "channel_values", "channel_versions"):
            continue
        found = actual.checkpoint.get(name)
        if not same(found, wanted, ordered=False):
            return f'{expression}.checkpoint.get("{name}")', found, wanted
    return None


def _versions(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    found = actual.checkpoint["channel_versions"]
    wanted = expected.checkpoint["channel_versions"]
    if same_items(found, wanted):
        return None
    return f'{expression}.checkpoint["channel_versions"]', found, wanted


def _values(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    found = actual.checkpoint["channel_values"]
    wanted = expected.checkpoint["channel_values"]
    if same_items(found, wanted):
        return None
    return f'{expression}.checkpoint["channel_values"]', found, wanted


def _metadata(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    for name, wanted in expected.metadata.items():
        found = actual.metadata.get(name)
        if name not in actual.metadata or not same(found, wanted, ordered=False):
            return f'{expression}.metadata.get("{name}", "(nothing)")', found, wanted
    return None


def _parent(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    if actual.parent_config is None:
        if expected.parent is None:
            return None
        found_id = f'{expression}.parent_config and {expression}.parent_config["configurable"]'
        return f'({found_id}["checkpoint_id"])', None, expected.parent
    where = actual.parent_config["configurable"]
    found = (str(where["thread_id"]), where.get("checkpoint_ns"), where.get("checkpoint_id"))
    if expected.parent is None:
        return f"{expression}.parent_config", actual.parent_config, None
    wanted = (*expected.key[:2], expected.parent)
    if found == wanted:
        return None
    keys = ("thread_id", "checkpoint_ns", "checkpoint_id")
    parts = ", ".join(f'{expression}.parent_config["configurable"].get("{key}")' for key in keys)
    return f"({parts})", found, wanted


def _writes(expression: str, actual: Any, expected: Entry) -> Mismatch | None:
    found = [tuple(write) for write in actual.pending_writes or ()]
    if same(found, expected.writes):
        return None
    return f"{expression}.pending_writes", found, expected.writes


_CHECKS: dict[Part, Callable[[str, Any, Entry], Mismatch | None]] = {
    Part.ID: _id,
    Part.CONFIG: _config,
    Part.FIELDS: _fields,
    Part.VERSIONS: _versions,
    Part.VALUES: _values,
    Part.METADATA: _metadata,
    Part.PARENT: _parent,
    Part.WRITES: _writes,
}
