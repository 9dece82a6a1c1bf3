"""Each system call of commit, merge, rotation and recovery may fail, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.kv.log import faults
from tests.reliability import shim
from tests.reliability.outcome import UnavailableError
from tests.reliability.processes import folder_in_memory

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.parametrize("step", faults.STEPS)
def test_nothing_is_lost_when_a_system_call_fails(step: str) -> None:
    try:
        shim.library()
    except UnavailableError as error:
        pytest.skip(str(error))
    for error in faults.ERRORS:
        with folder_in_memory() as folder:
            seen = shim.in_process("tests.kv.log.faults:run", folder=folder, step=step, error=error)
        assert sum(seen.values()) > 0
