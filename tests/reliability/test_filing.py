"""Methods that have to do with files, on a system that refuses one call after another."""

from __future__ import annotations

import pytest

from tests.reliability import shim
from tests.reliability.filing import METHODS
from tests.reliability.outcome import UnavailableError
from tests.reliability.processes import folder_in_memory

pytestmark = pytest.mark.faults

EACH = pytest.mark.parametrize("method", METHODS)


def run(method: str, *, every_error: bool) -> None:
    with folder_in_memory() as folder:
        try:
            seen = shim.in_process(
                "tests.reliability.filing:trials",
                folder=folder,
                method=method,
                every_error=every_error,
            )
        except UnavailableError as error:
            pytest.skip(str(error))
    assert sum(seen.values()) > 1


@EACH
def test_each_system_call_fails_in_turn(method: str) -> None:
    run(method, every_error=False)


@EACH
@pytest.mark.long
def test_each_system_call_fails_in_turn_in_every_way(method: str) -> None:
    run(method, every_error=True)
