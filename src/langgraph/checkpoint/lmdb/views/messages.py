"""Messages: a list of messages of LangChain as a conversation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from langgraph.checkpoint.lmdb.views.plain import Snapshot, Typed, to_json

_PACKAGE = "langchain_core.messages."


@dataclass(frozen=True, slots=True)
class ToolCallView:
    """A tool call that a model asked for."""

    id: str | None
    name: str
    arguments: Any
    """Arguments as data for JSON."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message of a conversation."""

    id: str | None
    role: str
    """`human`, `ai`, `tool`, `system` or another type of message."""
    name: str | None
    text: str
    """Text of the message; parts of other kinds are named in brackets."""
    tool_calls: tuple[ToolCallView, ...]
    tool_call_id: str | None
    """Id of the tool call that the message answers."""

    def to_dict(self) -> dict[str, Any]:
        """Return the message as data for JSON."""
        return asdict(self)


def conversation(value: Any) -> list[MessageView] | None:
    """Return the messages of a list of messages; None if the value is anything else."""
    if isinstance(value, Snapshot):
        value = value.value
    if not isinstance(value, list) or not value:
        return None
    found = [message(part) for part in value]
    return None if None in found else [part for part in found if part is not None]


def message(value: Any) -> MessageView | None:
    """Return a message; None if the value is anything else."""
    if not isinstance(value, Typed) or not value.type.startswith(_PACKAGE):
        return None
    if not isinstance(value.content, dict):
        return None
    calls = value.get("tool_calls")
    return MessageView(
        id=_text(value.get("id")),
        role=str(value.get("type") or value.type.rpartition(".")[2]),
        name=_text(value.get("name")),
        text=_content(value.get("content")),
        tool_calls=tuple(_call(call) for call in calls if isinstance(call, dict))
        if isinstance(calls, list)
        else (),
        tool_call_id=_text(value.get("tool_call_id")),
    )


def _call(call: dict[str, Any]) -> ToolCallView:
    return ToolCallView(_text(call.get("id")), str(call.get("name")), to_json(call.get("args")))


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return "" if content is None else str(content)


def _part(part: Any) -> str:
    if isinstance(part, dict):
        text = part.get("text")
        return text if isinstance(text, str) else f"[{part.get('type', 'data')}]"
    return str(part)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
