from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.graphs.driving import Drive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sync", "async", "reopened"])
def drive(request: pytest.FixtureRequest, path: Path) -> Drive:
    """One way to run a graph: sync, async, or with the store reopened before every call."""
    return Drive(request.param, path)
