"""A process that runs one step: `python -m benches.demo.worker FOLDER STEP [HELD...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from benches.demo import agent
from benches.demo.effects import Workspace
from langgraph.checkpoint.lmdb import LmdbSaver

STEPS = {"start": agent.start, "resume": agent.resume, "answer": agent.answer}


def main(folder: Path, step: str, held: list[str]) -> None:
    """Run one step on the store in `folder`; tasks named in `held` never end."""
    with LmdbSaver(folder / "store") as saver:
        STEPS[step](agent.build(saver, Workspace(folder, held)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
