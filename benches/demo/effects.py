"""The working folder of the agent, with a log of what its tasks did.

The log is independent of the checkpoint store. It proves that a finished task did not run again.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Effect(NamedTuple):
    """A line of the log."""

    pid: int
    event: str
    task: str


class Workspace:
    """A folder with the log and the published reports. Tasks named in `held` never end."""

    def __init__(self, folder: Path, held: Iterable[str] = ()) -> None:
        self.folder = folder
        self.held = frozenset(held)
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, task: str) -> None:
        """Log the beginning of a task. A held task waits forever."""
        self._log("begin", task)
        if task in self.held:
            threading.Event().wait()  # like a network call that never returns

    def end(self, task: str) -> None:
        """Log the end of a task."""
        self._log("end", task)

    def publish(self, name: str, text: str) -> Path:
        """Write a report and return its path."""
        path = self.folder / f"{name}.md"
        path.write_text(text, encoding="utf-8")
        return path

    def effects(self) -> list[Effect]:
        """Return the lines of the log."""
        log = self.folder / "effects.jsonl"
        if not log.exists():
            return []
        return [Effect(*json.loads(line)) for line in log.read_text("utf-8").splitlines()]

    def _log(self, event: str, task: str) -> None:
        line = json.dumps([os.getpid(), event, task]) + "\n"
        with (self.folder / "effects.jsonl").open("a", encoding="utf-8") as log:
            log.write(line)
