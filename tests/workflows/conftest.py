"""Fixtures of the tests of workflows."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.workflows.steps import Steps

STATES = ("complete", "failed", "waiting", "crashed")


@pytest.fixture
def steps() -> Steps:
    """A graph of three nodes."""
    return Steps()


@pytest.fixture(params=["lmdb", "memory"])
def filled(request: pytest.FixtureRequest, steps: Steps) -> Any:
    """A saver with a run in each state."""
    found = InMemorySaver() if request.param == "memory" else request.getfixturevalue("saver")
    for state in STATES:
        getattr(steps, f"leave_{state}")(found, state)
    return found
