"""Spec of InMemorySaver (langgraph-checkpoint)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.spec import KnownFailure, SaverSpec

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
        "list.paused.whole": KnownFailure(
            "list reads channel values one checkpoint at a time, so a thread that is deleted "
            "during the list loses its values",
            message='checkpoint["channel_values"] is {}',
        ),
    },
    snippet="""
        from langgraph.checkpoint.memory import InMemorySaver
        saver = InMemorySaver({serde})
    """,
)
