"""The processes of the agent: start, watch and end them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benches.demo.agent import CONFIG
from benches.demo.console import ClaimError

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from benches.demo.effects import Workspace

REPOSITORY = Path(__file__).parents[2]
TIMEOUT = 60.0  # seconds; long enough for a busy machine


def spawn(workspace: Workspace, step: str, *held: str) -> subprocess.Popen[bytes]:
    """Start a step in a new process; tasks named in `held` never end."""
    command = [sys.executable, "-m", "benches.demo.worker", str(workspace.folder), step, *held]
    return subprocess.Popen(command, cwd=REPOSITORY)


def run(workspace: Workspace, step: str) -> int:
    """Run a step in a new process and return its process id."""
    child = spawn(workspace, step)
    try:
        if code := child.wait(TIMEOUT):
            raise ClaimError(f"the process for {step!r} ends well (it exited with {code})")
    finally:
        child.kill()
    return child.pid


def wait_for_writes(
    graph: CompiledStateGraph[Any],
    workspace: Workspace,
    child: subprocess.Popen[bytes],
    count: int,
) -> int:
    """Wait until the store has `count` parallel tasks and the others have begun.

    Returns:
        The number of stored tasks.
    """
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and child.poll() is None:
        tasks = graph.get_state(CONFIG).tasks
        stored = sum(task.result is not None for task in tasks)
        begun = {effect.task for effect in workspace.effects() if effect.event == "begin"}
        if stored >= count and len(begun) > len(tasks):
            return stored
        time.sleep(0.02)
    raise ClaimError(f"{count} tasks of the agent's process reach the store")
