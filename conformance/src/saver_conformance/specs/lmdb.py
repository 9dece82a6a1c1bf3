"""Spec of LmdbSaver (langgraph-lmdb)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from pathlib import Path


def _open(path: Path, serde: Any = None) -> Any:
    from langgraph.checkpoint.lmdb import LmdbSaver  # noqa: PLC0415

    return LmdbSaver(path / "store", serde=serde)


spec = SaverSpec.on_disk(
    "LmdbSaver",
    _open,
    distribution="langgraph-lmdb",
    snippet="""
        from langgraph.checkpoint.lmdb import LmdbSaver
        saver = LmdbSaver(path + "/store"{, serde})
    """,
)
