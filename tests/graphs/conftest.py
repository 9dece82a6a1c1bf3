from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.graphs.driving import Drive

if TYPE_CHECKING:
    from pathlib import Path


needs_contexts = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="LangGraph finds a node's config in coroutines only from Python 3.11 on",
)


@pytest.fixture(params=["sync", pytest.param("async", marks=needs_contexts), "reopened"])
def drive(request: pytest.FixtureRequest, path: Path) -> Drive:
    """A way to run a graph: sync, async, or with a new saver for each call."""
    return Drive(request.param, path)
