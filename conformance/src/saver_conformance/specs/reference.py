"""Specs of the reference saver: in memory and on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.reference import ReferenceSaver
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from pathlib import Path


def _in_memory(path: Path, serde: Any = None) -> ReferenceSaver:  # noqa: ARG001
    return ReferenceSaver(serde=serde)


def _on_disk(path: Path, serde: Any = None) -> ReferenceSaver:
    return ReferenceSaver(path, serde=serde)


memory = SaverSpec(
    name="the reference saver, in memory",
    open=_in_memory,
    distribution="langgraph-saver-conformance",
    snippet="""
        from saver_conformance.reference import ReferenceSaver
        saver = ReferenceSaver({serde})
    """,
)

disk = SaverSpec.on_disk(
    "the reference saver, on disk",
    _on_disk,
    distribution="langgraph-saver-conformance",
    snippet="""
        from pathlib import Path
        from saver_conformance.reference import ReferenceSaver
        saver = ReferenceSaver(Path(path){, serde})
    """,
)
