"""One long text that a client passes in and the graph edits in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from benches.model import Bench, Result, Workload
from benches.text import Writer
from benches.workloads.edits import METRICS, run_edits

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE, _REPLACED = 300 * 1024, 100
_STEPS, _QUICK_STEPS = 150, 30


class _State(TypedDict):
    document: str


def _run(bench: Bench) -> Result:
    steps = bench.size(_STEPS, _QUICK_STEPS)
    writer = Writer("document")
    replacements = iter([writer.prose(_REPLACED) for _ in range(steps + 1)])
    middle = (_SIZE - _REPLACED) // 2
    current = {"document": writer.prose(_SIZE)}

    def edit(state: _State) -> _State:
        text = state["document"]
        current["document"] = text[:middle] + next(replacements) + text[middle + _REPLACED :]
        return {"document": current["document"]}

    def inputs() -> Iterator[dict[str, str]]:
        for _ in range(steps):
            yield dict(current)

    return run_edits(bench, _State, edit, dict(current), inputs(), steps)


WORKLOAD = Workload(
    name="document",
    title=f"Document: {_REPLACED} characters in the middle of 300 KB replaced, {_STEPS} steps",
    metrics=METRICS,
    run=_run,
    repeat=3,
)
