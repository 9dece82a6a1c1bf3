"""The files of a coding agent: one line of one file changes per step."""

from __future__ import annotations

import random
from typing import Annotated, Any

from typing_extensions import TypedDict

from benches.model import Bench, Result, Workload
from benches.text import Writer
from benches.workloads.edits import METRICS, run_edits

_FILES, _FILE_SIZE = 200, 5000
_STEPS, _QUICK_STEPS = 150, 30


def _merge(files: dict[str, str], changed: dict[str, str]) -> dict[str, str]:
    return {**files, **changed}


class _State(TypedDict):
    files: Annotated[dict[str, str], _merge]
    step: int


def _run(bench: Bench) -> Result:
    steps = bench.size(_STEPS, _QUICK_STEPS)
    writer = Writer("files")
    rng = random.Random("files")
    names = [f"src/module_{number:03}.py" for number in range(_FILES)]
    replacements = [writer.lines(60)[0] for _ in range(steps + 1)]

    def edit(state: _State) -> dict[str, Any]:
        name = rng.choice(names)
        lines = state["files"][name].split("\n")
        lines[rng.randrange(len(lines))] = replacements[state["step"]]
        return {"files": {name: "\n".join(lines)}}

    start = {"files": {name: "\n".join(writer.lines(_FILE_SIZE)) for name in names}, "step": 0}
    inputs = ({"step": step} for step in range(1, steps + 1))
    return run_edits(bench, _State, edit, start, inputs, steps)


WORKLOAD = Workload(
    name="files",
    title=f"Files: one line of one of {_FILES} files of 5 KB changed, {_STEPS} steps",
    metrics=METRICS,
    run=_run,
    repeat=3,
)
