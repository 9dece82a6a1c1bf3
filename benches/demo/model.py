"""A chat model that follows a script: no network, no key, equal answers in each run.

It decides from the conversation alone: the last task and the tool results so far.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.callbacks import CallbackManagerForLLMRun

PACKAGES = 10
PARALLEL_READS = 4


class ScriptedModel(BaseChatModel):
    """A model that surveys the packages in parallel, then reads what the task is about."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=next_message(messages))])


def next_message(messages: Sequence[BaseMessage]) -> AIMessage:
    """Return the next tool calls, or a message that says that the work is done."""
    if not (listed := results(messages, "list_packages")):
        return _call("I need to know what there is.", [("list_packages", {"count": PACKAGES})])
    surveys = results(messages, "survey")
    if not surveys:
        calls = [("survey", {"package": name}) for name in listed[0]]
        return _call("I survey all of them at the same time.", calls)
    if "import" in task(messages):
        if results(messages, "find_importers"):
            return AIMessage("I know who imports what; the editor can write it up.")
        calls = [
            ("find_importers", {"module": module, "inside": listed[0]})
            for module, _ in import_counts(surveys).most_common(3)
        ]
        return _call("I look for every file that imports the most popular modules.", calls)
    done = {found["file"] for found in results(messages, "read_function")}
    longest = [found["functions"][0] for found in surveys]
    unread = [function for function in longest if function["file"] not in done]
    if not unread:
        return AIMessage("I have read the longest functions; the editor can write it up.")
    calls = [
        ("read_function", {key: function[key] for key in ("file", "line", "lines")})
        for function in unread[:PARALLEL_READS]
    ]
    return _call(f"{len(unread)} of the longest functions are still to be read.", calls)


def task(messages: Sequence[BaseMessage]) -> str:
    """Return the last task."""
    return next(str(m.content) for m in reversed(messages) if isinstance(m, HumanMessage))


def results(messages: Sequence[BaseMessage], tool: str) -> list[Any]:
    """Return the results of a tool so far."""
    return [
        json.loads(str(message.content))
        for message in messages
        if isinstance(message, ToolMessage) and message.name == tool
    ]


def import_counts(surveys: list[Any]) -> Counter[str]:
    """Count the files that import each module."""
    counts: Counter[str] = Counter()
    for found in surveys:
        counts.update(found["imports"])
    return counts


def _call(text: str, calls: list[tuple[str, dict[str, Any]]]) -> AIMessage:
    return AIMessage(
        text,
        tool_calls=[
            {"name": name, "args": args, "id": f"{name}-{number}"}
            for number, (name, args) in enumerate(calls)
        ],
    )
