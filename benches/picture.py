"""The terminal picture of the README: `python -m benches.picture`.

It runs commands on a terminal, on a store that a real graph has written, and rich makes an SVG of
their output.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from rich.console import Console
from rich.text import Text

from langgraph.checkpoint.lmdb import LmdbSaver

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"
COMMANDS = ("threads checkpoints", "tree checkpoints order-7", "diff checkpoints order-7@~1")
_WIDTH = 96
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""Style of a font that a browser would load from elsewhere."""


def main() -> None:
    """Write the picture."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "checkpoints")
        PICTURE.write_text(draw([(command, shown(command, folder)) for command in COMMANDS]))
    print(PICTURE)


def fill(path: Path) -> None:
    """Run graphs: one that is complete, one that waits, and one that failed after a fork."""
    with LmdbSaver(path) as saver:
        run(saver, "order-5", "")
        run(saver, "order-6", "waiting")
        graph = run(saver, "order-7", "")
        config: Any = {"configurable": {"thread_id": "order-7"}}
        asked = next(
            found for found in graph.get_state_history(config) if found.next == ("answer",)
        )
        change = {"messages": [HumanMessage("And to Bergen?", id="question-2")]}
        graph.update_state(asked.config, change)
        run(saver, "order-7", "failed", None)


def run(saver: LmdbSaver, thread_id: str, end: str, question: str | None = "To Oslo?") -> Any:
    """Run an agent that looks up a price and answers; it may wait or fail before the answer."""

    def search(state: MessagesState) -> dict[str, Any]:
        number = len(state["messages"])
        call = {"name": "price", "args": {"to": "Oslo"}, "id": f"call-{number}"}
        return {
            "messages": [
                AIMessage("", id=f"search-{number}", tool_calls=[call]),
                ToolMessage("49", id=f"price-{number}", tool_call_id=call["id"]),
            ]
        }

    def answer(state: MessagesState) -> dict[str, Any]:
        if end == "failed":
            raise ConnectionError("no answer")
        if end == "waiting":
            interrupt("Book it?")
        return {"messages": [AIMessage("It costs 49.", id=f"answer-{len(state['messages'])}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("search", search)
    builder.add_node("answer", answer)
    builder.add_edge(START, "search")
    builder.add_edge("search", "answer")
    graph = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": thread_id}}
    entry: Any = (
        None if question is None else {"messages": [HumanMessage(question, id="question-1")]}
    )
    with suppress(ConnectionError):
        graph.invoke(entry, config)
    return graph


def shown(command: str, folder: str) -> str:
    """Return what a command prints on a terminal, with its control sequences."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(_WIDTH), "TZ": "UTC"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "langgraph.checkpoint.lmdb", *command.split()],
        stdout=terminal,
        stderr=terminal,
        cwd=folder,
        env=environment,
    )
    os.close(terminal)
    output = b""
    try:
        while part := os.read(controller, 65536):
            output += part
    except OSError:  # the process closed the terminal
        pass
    os.close(controller)
    if process.wait() != 0:
        raise SystemExit(output.decode())
    return output.decode().replace("\r\n", "\n").rstrip("\n")


def draw(outputs: list[tuple[str, str]]) -> str:
    """Return an SVG of commands and their output."""
    console = Console(record=True, width=_WIDTH, file=StringIO(), highlight=False)
    for number, (command, output) in enumerate(outputs):
        prompt = Text.assemble(("$ ", "bold green"), (f"langgraph-lmdb {command}", "bold"))
        console.print(*([""] if number else []), prompt, Text.from_ansi(output), sep="\n")
    svg = _FONT.sub("", console.export_svg(title="langgraph-lmdb"))
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")


if __name__ == "__main__":
    main()
