"""Faults of every kind lose no data: the runs that `tests/RELIABILITY.md` reports."""

from __future__ import annotations

import os
from random import SystemRandom

import pytest

from tests.reliability.outcome import UnavailableError
from tests.reliability.report import KINDS, Kind

pytestmark = pytest.mark.faults

EACH = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
PATIENCE = 1200
"""Seconds after which a run counts as hung. On an idle machine, no run takes 90."""


def run(kind: Kind, seed: int, *, long: bool) -> None:
    try:
        outcome = kind.run(seed, long=long)
    except UnavailableError as error:
        pytest.skip(f"{kind.name}: {error}")
    assert outcome.tried > 0
    assert sum(outcome.seen.values()) > 0


@EACH
@pytest.mark.timeout(PATIENCE)
def test_no_data_is_lost(kind: Kind) -> None:
    run(kind, int(os.environ.get("RELIABILITY_SEED", "1")), long=False)


@EACH
@pytest.mark.long
@pytest.mark.timeout(0)
def test_no_data_is_lost_in_a_long_run(kind: Kind) -> None:
    run(kind, SystemRandom().randrange(1 << 32), long=True)
