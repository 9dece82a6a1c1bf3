"""Fixtures of the tests of workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.workflows import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of a PostgreSQL server that runs for all tests."""
    with servers.server() as conninfo:
        yield conninfo
