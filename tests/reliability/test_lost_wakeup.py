"""Killing a process that contends for the write lock leaves no other writer asleep."""

from __future__ import annotations

import pytest

from tests.reliability import lost_wakeup

pytestmark = pytest.mark.faults


def test_kills_of_a_contender_leave_no_writer_asleep() -> None:
    done = lost_wakeup.run(kills=5, busy=1, seed=1)
    assert not done.hung
    assert done.kills == 5


@pytest.mark.long
@pytest.mark.timeout(0)
def test_many_kills_of_a_contender_leave_no_writer_asleep() -> None:
    done = lost_wakeup.run(kills=500, busy=4, seed=1)
    assert not done.hung
    assert done.contended > 0
