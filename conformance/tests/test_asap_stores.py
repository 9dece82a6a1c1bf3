"""The suite on ASAP's own snapshot stores, which fail only what their specs declare.

These tests are collected where ASAP is installed: it needs Python 3.13.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from saver_conformance.snapshots import CHECKS
from saver_conformance.snapshots.specs import SPECS


@pytest.mark.parametrize("name", [name for name in SPECS if name.startswith("asap")])
def test_stores_of_asap_fail_only_as_declared(name: str) -> None:
    """A process of its own: the threads of a call that hangs remain."""
    command = [sys.executable, "-m", "saver_conformance.snapshots", name, "--examples", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    known = SPECS[name].known_failures
    statuses = ["known failure" if check in known else "passed" for check in CHECKS]
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert lines == [f"{status}  {check}" for status, check in zip(statuses, CHECKS, strict=True)]
