"""Spec of LmdbSaver (langgraph-lmdb)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.failing_writes import failing_writes, is_available
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def _open(path: Path, serde: Any = None) -> Any:
    from langgraph.checkpoint.lmdb import LmdbSaver  # noqa: PLC0415

    return LmdbSaver(path / "store", serde=serde)


def _disk_errors(path: Path, error: int, succeeding: int) -> AbstractContextManager[None]:
    import lmdb.cpython  # noqa: PLC0415

    return failing_writes(lmdb.cpython.__file__, path, error, succeeding)


spec = SaverSpec.on_disk(
    "LmdbSaver",
    _open,
    disk_errors=_disk_errors if is_available() else None,
    distribution="langgraph-lmdb",
    snippet="""
        from langgraph.checkpoint.lmdb import LmdbSaver
        saver = LmdbSaver(path + "/store"{, serde})
    """,
)
