"""The agent's working folder, with a log of what its tasks really did.

The log is outside the checkpoint store on purpose: it is how the demo knows that a finished task
was not run again, whatever the store says.
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
    """One line of the log."""

    pid: int
    event: str
    task: str


class Workspace:
    """A folder with the log and the published reports; tasks named in `held` hang in mid-work."""

    def __init__(self, folder: Path, held: Iterable[str] = ()) -> None:
        self.folder = folder
        self.held = frozenset(held)
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, task: str) -> None:
        self._log("begin", task)
        if task in self.held:
            threading.Event().wait()  # as on a network call that never answers

    def end(self, task: str) -> None:
        self._log("end", task)

    def publish(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.md"
        path.write_text(text, encoding="utf-8")
        return path

    def effects(self) -> list[Effect]:
        log = self.folder / "effects.jsonl"
        if not log.exists():
            return []
        return [Effect(*json.loads(line)) for line in log.read_text("utf-8").splitlines()]

    def _log(self, event: str, task: str) -> None:
        line = json.dumps([os.getpid(), event, task]) + "\n"
        with (self.folder / "effects.jsonl").open("a", encoding="utf-8") as log:
            log.write(line)
