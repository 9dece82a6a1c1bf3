"""Spec of ObjectStorageSaver (langgraph-checkpoint-objectstorage), on a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from pathlib import Path


def _open(path: Path) -> Any:
    from langgraph_checkpoint_objectstorage import ObjectStorageSaver  # noqa: PLC0415

    return ObjectStorageSaver.from_conn_string(f"file://{path}/store")


spec = SaverSpec.on_disk(
    "ObjectStorageSaver (local folder)",
    _open,
    distribution="langgraph-checkpoint-objectstorage",
    snippet="""
        from langgraph_checkpoint_objectstorage import ObjectStorageSaver
        saver = ObjectStorageSaver.from_conn_string(f"file://{path}/store")
    """,
)
