"""Differences: what two steps hold differently, channel by channel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langgraph.checkpoint.lmdb.views.messages import conversation
from langgraph.checkpoint.lmdb.views.plain import Snapshot, Typed, to_json

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.views.steps import StepView

Kind: TypeAlias = Literal["added", "removed", "changed"]
Words: TypeAlias = "tuple[tuple[Literal['same', 'added', 'removed'], str], ...]"

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 4000
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A difference at one place of a value."""

    kind: Kind
    path: str
    """Way from the channel to the place: `messages[id=1].content`."""
    before: Any
    after: Any
    words: Words | None
    """Words of two texts, in order; None for other values."""

    def to_dict(self) -> dict[str, Any]:
        """Return the change as data for JSON."""
        data: dict[str, Any] = {"kind": self.kind, "path": self.path}
        if self.kind != "added":
            data["before"] = to_json(self.before)
        if self.kind != "removed":
            data["after"] = to_json(self.after)
        if self.words is not None:
            data["words"] = [list(word) for word in self.words]
        return data


@dataclass(frozen=True, slots=True)
class ChannelDiff:
    """The differences of one channel."""

    name: str
    kind: Kind
    changes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "changes": [change.to_dict() for change in self.changes],
        }


def diff(before: StepView | None, after: StepView, *, internal: bool = False) -> list[ChannelDiff]:
    """Return the channels that two steps hold differently.

    Args:
        before: The one step; None: a step without channels.
        after: The other step.
        internal: True: also compare the channels that start nodes.
    """
    old = {} if before is None else _values(before, internal)
    new = _values(after, internal)
    found = []
    for name in sorted({*old, *new}):
        changes = tuple(changes_of(name, old.get(name, _MISSING), new.get(name, _MISSING)))
        if changes:
            kind: Kind = "added" if name not in old else "removed" if name not in new else "changed"
            found.append(ChannelDiff(name, kind, changes))
    return found


def changes_of(path: str, before: Any, after: Any) -> Iterator[Change]:
    """Yield the differences of two plain values."""
    if before is _MISSING:
        yield Change("added", path, None, after, None)
    elif after is _MISSING:
        yield Change("removed", path, before, None, None)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from changes_of(
                f"{path}.{key}", before.get(key, _MISSING), after.get(key, _MISSING)
            )
    elif isinstance(before, Typed) and isinstance(after, Typed) and before.type == after.type:
        yield from changes_of(path, before.content, after.content)
    elif isinstance(before, Snapshot) and isinstance(after, Snapshot):
        yield from changes_of(path, before.value, after.value)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(path, before, after)
    elif to_json(before) != to_json(after) or type(before) is not type(after):
        words = None
        if isinstance(before, str) and isinstance(after, str):
            words = word_diff(before, after)
        yield Change("changed", path, before, after, words)


def word_diff(before: str, after: str) -> Words | None:
    """Return the words that two texts share and that only one has; None for very long texts."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if len(old) + len(new) > _MOST_WORDS:
        return None
    words: list[tuple[Literal["same", "added", "removed"], str]] = []
    for operation, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if operation == "equal":
            words.append(("same", "".join(old[i:j])))
            continue
        if i < j:
            words.append(("removed", "".join(old[i:j])))
        if k < m:
            words.append(("added", "".join(new[k:m])))
    return tuple(words)


def _values(step: StepView, internal: bool) -> dict[str, Any]:
    return {
        channel.name: channel.value
        if channel.writes is None
        else {"stored": channel.value, "writes": list(channel.writes)}
        for channel in step.channels
        if internal or not channel.is_internal
    }


def _list_changes(path: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
    old, new = _by_message_id(before), _by_message_id(after)
    if old is not None and new is not None and (old or new):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from changes_of(
                f"{path}[id={key}]", old.get(key, _MISSING), new.get(key, _MISSING)
            )
        return
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    for index in range(start, max(len(before), len(after))):
        yield from changes_of(
            f"{path}[{index}]",
            before[index] if index < len(before) else _MISSING,
            after[index] if index < len(after) else _MISSING,
        )


def _by_message_id(values: list[Any]) -> dict[str, Any] | None:
    """Return messages by id; None if they are not messages with ids that differ."""
    if not values:
        return {}
    messages = conversation(values)
    if messages is None:
        return None
    found = {
        message.id: value
        for message, value in zip(messages, values, strict=True)
        if message.id is not None
    }
    return found if len(found) == len(values) else None
