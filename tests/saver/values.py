"""Typical values of agents, and changes to them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.types import _DeltaSnapshot as Snapshot

KINDS = ("messages", "snapshot", "data", "text", "number")
CHANGES = ("append", "prepend", "remove", "edit", "reorder", "special", "same", "replace")
changes = st.tuples(st.sampled_from(CHANGES), st.integers(0, 9))
"""A kind of change, its position and its content."""

_SPECIAL: tuple[Any, ...] = (None, b"", [], 0, False, float("nan"), {}, (1, [2.0]), b"b" * 200)


def words(salt: int, count: int = 25) -> str:
    """Return a distinct text that compresses badly."""
    return " ".join(f"w{salt * 7919 + i * i % 97}" for i in range(count))


def message(salt: int) -> BaseMessage:
    """Return a message of one of several kinds, short or long."""
    kind, text = salt % 4, words(salt)
    if kind == 0:
        return HumanMessage(text, id=f"h{salt}")
    if kind == 1:
        calls = [{"name": "look", "args": {"at": [salt, text]}, "id": f"c{salt}"}]
        return AIMessage("", id=f"a{salt}", tool_calls=calls)
    if kind == 2:
        return ToolMessage(text, tool_call_id=f"c{salt - 1}", artifact={"rows": [salt]})
    return AIMessage([{"type": "text", "text": words(salt, 2500)}], additional_kwargs={"n": salt})


def fresh(kind: str, salt: int) -> Any:
    """Return a value of a kind."""
    if kind == "messages":
        return [message(salt + i) for i in range(salt % 5 + 1)]
    if kind == "snapshot":
        return Snapshot(fresh("messages", salt))
    if kind == "data":
        return {f"file{i}": words(salt + i, 40 * i + 5) for i in range(salt % 5 + 1)}
    if kind == "text":
        return words(salt, 900)
    return salt


def changed(kind: str, value: Any, change: tuple[str, int], salt: int) -> Any:
    """Return a changed copy of a value."""
    how, at = change
    if how == "same":
        return copy.deepcopy(value)
    if how == "special":
        return _SPECIAL[at % len(_SPECIAL)]
    if how == "replace" or not value:
        return fresh(kind, salt)
    if isinstance(value, Snapshot):
        return Snapshot(changed("messages", value.value, change, salt))
    value = copy.deepcopy(value)
    if isinstance(value, list):
        return _changed_list(kind, value, how, at, salt)
    if isinstance(value, dict):
        keys = [*value]
        if how in ("append", "prepend"):
            new = {f"file{salt}": words(salt, 60)}
            return {**new, **value} if how == "prepend" else {**value, **new}
        if how == "remove":
            del value[keys[at % len(keys)]]
        elif how == "edit":
            value[keys[at % len(keys)]] = words(salt, 60)
        else:
            value = dict(reversed(value.items()))
        return value
    if isinstance(value, str):
        place = len(value) * at // 9
        if how in ("append", "prepend"):
            return value + words(salt) if how == "append" else words(salt) + value
        if how == "remove":
            return value[:place] + value[place + 50 :]
        return value[:place] + words(salt, 3) + value[place + 10 :]
    return salt


def _changed_list(kind: str, value: list[Any], how: str, at: int, salt: int) -> list[Any]:
    at %= len(value)
    new = message(salt) if kind == "messages" else salt
    if how == "append":
        value.append(new)
    elif how == "prepend":
        value.insert(0, new)
    elif how == "remove":
        del value[at]
    elif how == "reorder":
        value.reverse()
    elif isinstance(value[at], BaseMessage):
        value[at].additional_kwargs["edited"] = [salt, words(salt, 3)]
    else:
        value[at] = new
    return value


def checkpoint(checkpoint_id: str, version: int, value: Any) -> Any:
    """Return a checkpoint with one channel."""
    return {
        "v": 4,
        "ts": "",
        "id": checkpoint_id,
        "channel_values": {"x": value},
        "channel_versions": {"x": version},
        "versions_seen": {},
    }


def config(thread: str, namespace: str | None = None, checkpoint_id: str | None = None) -> Any:
    """Return a config with these ids."""
    given = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}
    return {"configurable": {k: v for k, v in given.items() if v is not None}}
