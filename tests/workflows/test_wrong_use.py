"""Wrong arguments, unknown threads, and savers that do not work: one clear error each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    StoreClosedError,
    UsageError,
)
from langgraph.checkpoint.lmdb.workflows import (
    monitor_workflows,
    resume_failed_workflows,
    resume_workflow,
)

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver


def test_wrong_arguments_are_clear_errors(saver: LmdbSaver, path: Path) -> None:
    with pytest.raises(UsageError, match="resume_function must be a function"):
        resume_workflow("t", saver, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="max_workers must be"):
        resume_failed_workflows(saver, str, max_workers=0)
    with pytest.raises(InvalidPathError):
        resume_workflow("t", path / "missing", str)
    saver.close()
    with pytest.raises(StoreClosedError):
        monitor_workflows(saver)
