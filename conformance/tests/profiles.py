"""Profiles of the tests."""

from __future__ import annotations

from typing import Final

from saver_conformance import Profile

#: A few examples, with short time limits.
FAST: Final = Profile(
    "fast", 3, 1, 2, 5, call_seconds=1, example_seconds=5, clause_seconds=5, shrink_seconds=2
)
