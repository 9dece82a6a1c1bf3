"""InMemorySaver of langgraph-checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from pathlib import Path


def _open(path: Path, serde: Any = None) -> Any:  # noqa: ARG001
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415

    return InMemorySaver(serde=serde)


spec = SaverSpec(
    name="InMemorySaver",
    open=_open,
    distribution="langgraph-checkpoint",
    known_failures={
        "list.paused.whole": "list looks up channel values while it is drawn from, so those of a "
        "thread that was deleted meanwhile are gone",
    },
    snippet="""
        from langgraph.checkpoint.memory import InMemorySaver
        saver = InMemorySaver({serde})
    """,
)
