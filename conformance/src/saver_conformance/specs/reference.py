"""Specs of the reference saver: in memory and on disk."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from saver_conformance.reference import ReferenceSaver
from saver_conformance.spec import SaverSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path


def _in_memory(path: Path, serde: Any = None) -> ReferenceSaver:  # noqa: ARG001
    return ReferenceSaver(serde=serde)


class FailingDisk(ReferenceSaver):
    """A reference saver whose disk can be made to fail.

    Attributes:
        error: The errno with which writes fail, or None.
        succeeding: Number of writes that still succeed.
    """

    error: ClassVar[int | None] = None
    succeeding: ClassVar[int] = 0

    def append(self, journal: FileIO, record: bytes) -> None:
        """Write a record, or raise the error of the disk."""
        if FailingDisk.error is not None:
            if not FailingDisk.succeeding:
                raise OSError(FailingDisk.error, os.strerror(FailingDisk.error))
            FailingDisk.succeeding -= 1
        super().append(journal, record)


@contextmanager
def fail_disk(path: Path, error: int, succeeding: int) -> Iterator[None]:  # noqa: ARG001
    """Make the writes of every `FailingDisk` fail.

    Args:
        path: Folder of the store.
        error: The errno.
        succeeding: Number of writes that still succeed.
    """
    FailingDisk.error, FailingDisk.succeeding = error, succeeding
    try:
        yield
    finally:
        FailingDisk.error = None


def _on_disk(path: Path, serde: Any = None) -> ReferenceSaver:
    return FailingDisk(path, serde=serde)


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
    disk_errors=fail_disk,
    distribution="langgraph-saver-conformance",
    snippet="""
        from pathlib import Path
        from saver_conformance.reference import ReferenceSaver
        saver = ReferenceSaver(Path(path){, serde})
    """,
)
