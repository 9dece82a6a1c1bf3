"""Texts, and messages in the formats of model providers, to train the compression dictionary."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import random
import uuid
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

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
    """A generator of texts from the standard library, ids and numbers.

    Args:
        seed: The seed.
        held_out: True for texts that the dictionary is not trained on.
    """

    def __init__(self, seed: str, held_out: bool) -> None:
        self.random = random.Random(seed)
        self._paragraphs = _paragraphs(held_out)

    def text(self, size: int) -> str:
        """Return paragraphs, truncated to `size` characters."""
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
