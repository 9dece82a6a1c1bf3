"""Conversations: messages as text, with tool calls folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.cli import output
from langgraph.checkpoint.lmdb.views import formats

if TYPE_CHECKING:
    from rich.text import Text

    from langgraph.checkpoint.lmdb.views.messages import MessageView

_ROLES = {"human": "cyan", "ai": "green", "tool": "magenta", "system": "yellow"}
_INDENT = "    "


def conversation_lines(messages: Sequence[MessageView], width: int | None) -> Iterator[Text]:
    """Yield the lines of a conversation.

    Args:
        messages: The messages.
        width: Characters of a message before it is folded; None: never.
    """
    for message in messages:
        role = message.role if message.name is None else f"{message.role} ({message.name})"
        label = (f"{_INDENT}{role}: ", _ROLES.get(message.role, ""))
        text = formats.folded(message.text, width)
        if text or not message.tool_calls:
            yield output.block(label, text.replace("\n", f"\n{_INDENT}  "))
        for call in message.tool_calls:
            arguments = formats.folded(formats.value(call.arguments), width)
            yield output.line(
                (f"{_INDENT}{role} calls ", _ROLES.get(message.role, "")),
                f"{call.name} {arguments}",
            )
