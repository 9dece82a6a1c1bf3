"""Graphs whose records the compression dictionary is made from and judged by."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import operator
import random
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MODULES = [
    "argparse", "asyncio", "collections", "concurrent.futures",
    "configparser", "contextlib", "csv", "datetime", "difflib",
    "email.message", "enum", "functools", "gzip", "heapq", "html.parser",
    "http.client", "inspect", "ipaddress", "json", "logging", "mailbox",
    "optparse", "os", "pathlib", "pickle", "queue", "random", "sched",
    "shutil", "socket", "sqlite3",
]  # fmt: skip
_HELD_OUT_MODULES = [
    "statistics", "string", "subprocess", "tarfile", "tempfile",
    "textwrap", "threading", "tokenize", "turtle", "typing",
    "unittest.mock", "urllib.request", "weakref", "xml.dom.minidom", "zipfile",
]  # fmt: skip
_TOOLS = [
    "search", "read_file", "write_file", "calculator", "get_weather",
    "run_python", "query_database",
]  # fmt: skip


@functools.cache
def _paragraphs(held_out: bool) -> list[str]:
    found: list[str] = []
    for name in _HELD_OUT_MODULES if held_out else _MODULES:
        module = importlib.import_module(name)
        for owner in [module, *(v for _, v in sorted(vars(module).items()) if inspect.isclass(v))]:
            members = [owner, *(v for _, v in sorted(vars(owner).items()))]
            found += [
                doc.strip() for m in members if isinstance(doc := getattr(m, "__doc__", None), str)
            ]
        source = inspect.getsource(module)
        found += [f"```python\n{source[at : at + 500]}\n```" for at in range(4000, 12000, 2000)]
    known = set(_paragraphs(False)) if held_out else set()
    return [
        text
        for text in dict.fromkeys(found)
        if len(text) > 60 and " at 0x" not in text and text not in known
    ]


class Prose:
    """Text of the standard library, ids and numbers from a seed.

    Args:
        seed: Says which.
        held_out: Use texts that the dictionary is not made from.
    """

    def __init__(self, seed: str, held_out: bool) -> None:
        self.random = random.Random(seed)
        self._paragraphs = _paragraphs(held_out)

    def text(self, size: int) -> str:
        """Paragraphs, cut at about this many characters."""
        text = ""
        while len(text) < size:
            text += ("\n\n" if text else "") + self.random.choice(self._paragraphs)
        return text[:size]

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def token(self, prefix: str, size: int = 24) -> str:
        alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return prefix + "".join(self.random.choices(alphabet, k=size))

    def arguments(self) -> dict[str, Any]:
        return self.random.choice(
            [
                {"query": self.text(40)},
                {"path": f"/src/{self.token('', 6)}.py", "content": self.text(200)},
                {"location": "Berlin", "unit": "celsius"},
                {"code": self.text(120), "timeout": 30},
                {"sql": "SELECT id, name FROM users WHERE id = 1", "limit": 10},
            ]
        )

    def human(self) -> HumanMessage:
        size = self.random.choice([60, 120, 300])
        return HumanMessage(self.text(size), id=self.uuid())

    def ai(self, size: int = 0, call: bool = False) -> AIMessage:
        shape = self.random.choice([_plain, _openai, _anthropic, _google])
        return shape(self, self.text(size) if size else "", call)

    def tool(self, call: dict[str, Any]) -> ToolMessage:
        text = self.text(self.random.choice([100, 600, 1500]))
        return ToolMessage(text, name=call["name"], tool_call_id=call["id"], id=self.uuid())


def _calls(prose: Prose, prefix: str, call: bool) -> list[Any]:
    if not call:
        return []
    name = prose.random.choice(_TOOLS)
    return [{"name": name, "args": prose.arguments(), "id": prose.token(prefix)}]


def _usage(prose: Prose) -> dict[str, Any]:
    asked, answered = prose.random.randrange(4000), prose.random.randrange(900)
    return {"input_tokens": asked, "output_tokens": answered, "total_tokens": asked + answered}


def _plain(prose: Prose, text: str, call: bool) -> AIMessage:
    return AIMessage(text, tool_calls=_calls(prose, "call_", call), id=f"run--{prose.uuid()}")


def _openai(prose: Prose, text: str, call: bool) -> AIMessage:
    usage = _usage(prose)
    tokens = {
        "completion_tokens": usage["output_tokens"],
        "prompt_tokens": usage["input_tokens"],
        "total_tokens": usage["total_tokens"],
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
    }
    metadata = {
        "token_usage": tokens,
        "model_provider": "openai",
        "model_name": prose.random.choice(["gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14"]),
        "system_fingerprint": prose.token("fp_", 10),
        "id": prose.token("chatcmpl-", 29),
        "service_tier": "default",
        "finish_reason": "tool_calls" if call else "stop",
        "logprobs": None,
    }
    details: Any = {
        "input_token_details": {"audio": 0, "cache_read": 0},
        "output_token_details": {"audio": 0, "reasoning": 0},
    }
    return AIMessage(
        text,
        additional_kwargs={"refusal": None},
        response_metadata=metadata,
        tool_calls=_calls(prose, "call_", call),
        usage_metadata={**usage, **details},
        id=f"lc_run--{prose.uuid()}-0",
    )


def _anthropic(prose: Prose, text: str, call: bool) -> AIMessage:
    usage: Any = _usage(prose)
    model = prose.random.choice(["claude-sonnet-4-20250514", "claude-3-5-haiku-20241022"])
    cached = {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0}
    metadata = {
        "id": prose.token("msg_01", 22),
        "model": model,
        "stop_reason": "tool_use" if call else "end_turn",
        "stop_sequence": None,
        "usage": {
            "cache_creation": cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "input_tokens": usage["input_tokens"],
            "output_tokens": usage["output_tokens"],
            "server_tool_use": None,
            "service_tier": "standard",
        },
        "model_name": model,
        "model_provider": "anthropic",
    }
    calls = _calls(prose, "toolu_01", call)
    blocks: list[Any] = [{"text": text or "Let me look that up.", "type": "text"}]
    blocks += [
        {"id": c["id"], "input": c["args"], "name": c["name"], "type": "tool_use"} for c in calls
    ]
    usage["input_token_details"] = {"cache_creation": 0, "cache_read": 0, **cached}
    return AIMessage(
        blocks if call else text,
        response_metadata=metadata,
        tool_calls=calls,
        usage_metadata=usage,
        id=f"lc_run--{prose.uuid()}-0",
    )


def _google(prose: Prose, text: str, call: bool) -> AIMessage:
    calls = _calls(prose, "", call)
    metadata = {
        "prompt_feedback": {"block_reason": 0, "safety_ratings": []},
        "finish_reason": "STOP",
        "model_name": "gemini-2.5-flash",
        "safety_ratings": [],
        "grounding_metadata": {},
        "model_provider": "google_genai",
    }
    usage: Any = {**_usage(prose), "input_token_details": {"cache_read": 0}}
    made = [{"name": c["name"], "arguments": json.dumps(c["args"])} for c in calls]
    return AIMessage(
        text,
        additional_kwargs={"function_call": made[0]} if made else {},
        response_metadata=metadata,
        tool_calls=calls,
        usage_metadata=usage,
        id=f"lc_run--{prose.uuid()}-0",
    )


def _at(prose: Prose) -> Any:
    thread_id = prose.random.choice([prose.uuid(), "1", "user-42", prose.token("thread_", 12)])
    return {"configurable": {"thread_id": thread_id}, "max_concurrency": 1}


def _agent(prose: Prose, names: tuple[str, str], saver: Any = None, ask: bool = False) -> Any:
    model, tools = names

    def think(state: Any) -> Any:
        asked = isinstance(state["messages"][-1], HumanMessage)
        return {"messages": [prose.ai(0 if asked else prose.random.choice([80, 600]), call=asked)]}

    def act(state: Any) -> Any:
        if ask:
            interrupt({"action": "approve", "args": state["messages"][-1].tool_calls[0]["args"]})
        return {"messages": [prose.tool(call) for call in state["messages"][-1].tool_calls]}

    builder: Any = StateGraph(MessagesState)
    builder.add_node(model, think)
    builder.add_node(tools, act)
    builder.add_edge(START, model)
    builder.add_conditional_edges(
        model, lambda s: tools if s["messages"][-1].tool_calls else END, [tools, END]
    )
    builder.add_edge(tools, model)
    return builder.compile(checkpointer=saver)


def chat(saver: Any, prose: Prose) -> None:
    """A tool-calling agent, and a fork of its thread."""
    names = prose.random.choice([("agent", "tools"), ("model", "tools"), ("llm", "tool_node")])
    graph, config = _agent(prose, names, saver), _at(prose)
    first: list[Any] = [SystemMessage(prose.text(300), id=prose.uuid())]
    for _ in range(6):
        graph.invoke({"messages": [*first, prose.human()]}, config, durability="sync")
        first = []
    graph.update_state(config, {"messages": [prose.human()]}, as_node=START)
    past = list(graph.get_state_history(config, limit=6))[-1].config
    fork = graph.update_state(past, {"messages": [prose.human()]}, as_node=START)
    graph.invoke(None, fork, durability="sync")


def review(saver: Any, prose: Prose) -> None:
    """An agent whose tool calls a human approves."""
    graph, config = _agent(prose, ("assistant", "action"), saver, ask=True), _at(prose)
    for _ in range(4):
        graph.invoke({"messages": [prose.human()]}, config, durability="sync")
        graph.invoke(Command(resume={"type": "accept"}), config, durability="sync")


def team(saver: Any, prose: Prose) -> None:
    """A supervisor that hands over to agents, each a graph of its own."""
    builder: Any = StateGraph(MessagesState)
    workers = ("researcher", "writer")

    def supervisor(state: Any) -> Any:
        done = sum(isinstance(m, ToolMessage) for m in state["messages"])
        goto = workers[done % 2] if len(state["messages"]) % 5 else END
        return Command(goto=goto, update={"messages": [prose.ai(80)]})

    builder.add_node("supervisor", supervisor, destinations=(*workers, END))
    for worker in workers:
        agent = _agent(prose, ("agent", "tools"))
        builder.add_node(worker, agent)
        builder.add_edge(worker, END)
    builder.add_edge(START, "supervisor")
    graph, config = builder.compile(checkpointer=saver), _at(prose)
    for _ in range(3):
        graph.invoke({"messages": [prose.human()]}, config, durability="sync")


class Plan(TypedDict, total=False):
    topic: str
    subjects: list[str]
    results: Annotated[list[str], operator.add]
    summary: str
    count: int


def fan(saver: Any, prose: Prose) -> None:
    """A plan, its parts in parallel, and a summary."""
    builder: Any = StateGraph(Plan)
    builder.add_node("plan", lambda _: {"subjects": [prose.text(30) for _ in range(4)]})
    builder.add_node("work", lambda s: {"results": [s["topic"][:20] + prose.text(200)]})
    builder.add_node("summarize", lambda s: {"summary": prose.text(400), "count": 4})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda s: [Send("work", {"topic": t}) for t in s["subjects"]], ["work"]
    )
    builder.add_edge("work", "summarize")
    graph, config = builder.compile(checkpointer=saver), _at(prose)
    for _ in range(3):
        graph.invoke({"topic": prose.text(50)}, config, durability="sync")


class Ticket(BaseModel):
    title: str = ""
    status: str = "open"
    priority: int = 1
    tags: list[str] = []


@dataclass
class Document:
    title: str = ""
    content: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    score: float = 0.0


def _steps(state: Any, steps: list[tuple[str, Callable[[Any], Any]]], saver: Any) -> Any:
    builder: Any = StateGraph(state)
    before = START
    for name, step in steps:
        builder.add_node(name, step)
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=saver)


def tickets(saver: Any, prose: Prose) -> None:
    """A state that is a pydantic model, with models and dataclasses in channels of another."""
    steps: list[Any] = [
        ("classify", lambda s: {"status": "in_progress", "priority": 2, "tags": ["bug", "docs"]}),
        ("resolve", lambda s: {"status": "done", "title": prose.text(30)}),
    ]
    graph, config = _steps(Ticket, steps, saver), _at(prose)
    for _ in range(3):
        graph.invoke({"title": prose.text(30)}, config, durability="sync")


def fields(saver: Any, prose: Prose) -> None:
    """A dataclass as the state."""
    steps: list[Any] = [
        ("retrieve", lambda s: {"content": prose.text(600), "score": 0.75}),
        ("grade", lambda s: {"metadata": {"source": "https://example.com", "page": 3}}),
        ("generate", lambda s: {"title": prose.text(40)}),
    ]
    graph, config = _steps(Document, steps, saver), _at(prose)
    for _ in range(3):
        graph.invoke({"title": prose.text(30)}, config, durability="sync")


def essay(saver: Any, prose: Prose) -> None:
    """The functional API."""

    @task
    def write(topic: str) -> str:
        return topic + prose.text(200)

    @entrypoint(checkpointer=saver)
    def run(topics: list[str], *, previous: Any = None) -> Any:
        done = [write(topic).result() for topic in topics]
        answer = interrupt({"question": "Is this good?", "drafts": done})
        return entrypoint.final(value=[*done, answer], save=answer)

    config: Any = {**_at(prose), "max_concurrency": None}  # the entrypoint waits for its tasks
    for _ in range(2):
        run.invoke([prose.text(20) for _ in range(2)], config)
        run.invoke(Command(resume="yes"), config)


def _extend(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *(entry for write in writes for entry in write)]


def log(saver: Any, prose: Prose) -> None:
    """Channels that store what was added to them."""
    channel: Any = DeltaChannel(_extend, snapshot_frequency=5)
    hints = {"log": Annotated[list[str], channel], "turns": int}
    state: Any = TypedDict("state", hints)  # type: ignore[misc]
    steps: list[Any] = [
        ("observe", lambda s: {"log": [prose.text(100)], "turns": s.get("turns", 0) + 1}),
        ("reflect", lambda s: {"log": [prose.text(60)]}),
    ]
    graph, config = _steps(state, steps, saver), _at(prose)
    for _ in range(4):
        graph.invoke({"log": [prose.text(80)]}, config, durability="sync")


GRAPHS: dict[str, Callable[[Any, Prose], None]] = {
    graph.__name__: graph for graph in (chat, review, team, fan, tickets, fields, essay, log)
}
"""By name; each stores one thread."""
