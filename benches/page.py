"""The pictures of the page: `python -m benches.page [STORE]`.

It runs graphs on a new store, serves it, and takes pictures with Chromium. With a path, it only
fills a store there, to look at with `langgraph-lmdb serve`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from playwright.sync_api import sync_playwright

from langgraph.checkpoint.lmdb import LmdbSaver

PICTURES = Path(__file__).parents[1] / "docs" / "images"
SHOWN = "support-1042"
"""Thread of the picture of a thread."""
_NAMES = [
    "ada",
    "alan",
    "barbara",
    "dennis",
    "donald",
    "edsger",
    "frances",
    "grace",
    "john",
    "ken",
    "leslie",
    "tony",
]
_SIZE: Any = {"width": 1280, "height": 760}


class State(MessagesState, total=False):
    """A conversation about an order."""

    plan: str
    order: dict[str, Any]


def main(arguments: list[str]) -> None:
    """Fill the store of the first argument, or take the pictures."""
    if arguments:
        fill(Path(arguments[0]))
        return
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "checkpoints")
        for picture in take(folder):
            print(picture)


def fill(path: Path) -> None:
    """Run a support agent in many threads of the last days, each to another end."""
    ends = random.Random(7)
    now = [time.time() - 40 * 3600]
    with LmdbSaver(path, sync="off", clock=lambda: now[0]) as saver:
        graph = builder().compile(checkpointer=saver)
        for number in range(1000, 1042):
            now[0] += ends.uniform(600, 6000)
            run(graph, f"{ends.choice(_NAMES)}-{number}", ends.choice(["", "", "", "wait", "fail"]))
        now[0] = time.time()
        run(graph, SHOWN, "")
        fork(graph, SHOWN)


def take(folder: str) -> list[Path]:
    """Return the pictures of the page of the store in a folder."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is not installed")
    PICTURES.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "langgraph.checkpoint.lmdb", "serve", "checkpoints"]
    with (
        subprocess.Popen(
            [*command, "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
        ) as server,
        sync_playwright() as playwright,
    ):
        try:
            assert server.stdout is not None
            link = server.stdout.readline().strip()
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport=_SIZE, color_scheme="light")
            page.goto(link)
            page.screenshot(path=PICTURES / "threads.png")
            page.get_by_text(SHOWN).click()
            page.wait_for_selector("#step")
            page.screenshot(path=PICTURES / "page.png")
            browser.close()
        finally:
            server.terminate()
    return [PICTURES / "threads.png", PICTURES / "page.png"]


def builder() -> StateGraph[Any, Any, Any, Any]:
    """Return the graph of a support agent, which asks before it pays."""
    graph: Any = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("find_order", find_order)
    graph.add_node("approve", approve)
    graph.add_node("refund", refund)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", after_model)
    graph.add_edge("find_order", "model")
    graph.add_edge("approve", "refund")
    return graph  # type: ignore[no-any-return]


def model(state: State) -> dict[str, Any]:
    """Ask for the order, and then suggest a refund."""
    if isinstance(state["messages"][-1], HumanMessage):
        call = {"name": "find_order", "args": {"number": "A-1042"}, "id": "call-1"}
        return {
            "messages": [AIMessage("Let me look up the order.", tool_calls=[call])],
            "plan": "Look up the order, then offer a refund of the whole amount.",
        }
    text = "The parcel was four days late. I suggest to refund the shipping fee. Shall I?"
    return {
        "messages": [AIMessage(text)],
        "plan": "Look up the order, then offer a refund of the shipping fee only.",
    }


def after_model(state: State) -> str:
    """Return the node that follows the model."""
    last = state["messages"][-1]
    return "find_order" if isinstance(last, AIMessage) and last.tool_calls else "approve"


def find_order(_: State) -> dict[str, Any]:
    """Return the order."""
    order = {"number": "A-1042", "status": "delivered", "days_late": 4}
    return {
        "messages": [ToolMessage("A-1042: delivered, 4 days late", tool_call_id="call-1")],
        "order": order,
    }


def approve(_: State) -> dict[str, Any]:
    """Ask a person."""
    interrupt({"question": "Refund 4.90 EUR for order A-1042?", "amount": 4.9})
    return {"messages": [AIMessage("The refund is on its way.")]}


def refund(state: State) -> dict[str, Any]:
    """Pay, if the payment service answers."""
    if "urgent" in str(state["messages"][0].content):
        raise ConnectionError("the payment service did not answer within 30 s")
    return {"order": {**state["order"], "refunded": 4.9}}


def run(graph: Any, thread_id: str, end: str) -> None:
    """Run the agent until it waits for a person, fails, or ends."""
    config = {"configurable": {"thread_id": thread_id}}
    urgent = "It is urgent. " if end == "fail" else ""
    question = f"{urgent}My parcel came late. Can I have my money back?"
    graph.invoke({"messages": [HumanMessage(question)]}, config)
    if end == "wait":
        return
    try:
        graph.invoke(Command(resume=True), config)
    except ConnectionError:
        return


def fork(graph: Any, thread_id: str) -> None:
    """Run the thread again from a step before, with another plan, until it waits."""
    config = {"configurable": {"thread_id": thread_id}}
    history = [found for found in graph.get_state_history(config) if found.next == ("model",)]
    first, second = history[-1], history[0]
    graph.invoke(None, second.config)
    changed = graph.update_state(first.config, {"plan": "Be brief."})
    graph.invoke(None, changed)


if __name__ == "__main__":
    main(sys.argv[1:])
