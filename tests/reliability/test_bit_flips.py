"""The test of bit flips detects wrong values."""

from __future__ import annotations

import pytest

from langgraph.checkpoint.lmdb.format import envelope
from tests.reliability import bit_flips

pytestmark = pytest.mark.faults


def test_wrong_values_of_records_without_checksums_are_detected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envelope, "check", lambda key, record: None)
    with pytest.raises(AssertionError, match="wrong"):
        bit_flips.run(300, 1)
