"""Many processes and threads on the same threads, with one process killed every second."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.graphs.test_hard_use import hard_use
from tests.reliability.outcome import Outcome

_FULL_SIZE = 60


def run(rounds: int, seed: int) -> Outcome:
    """Kill a process every second, `rounds` times, while the others run."""
    print(f"contention: seed {seed}")
    random.seed(seed)
    size = 8 if rounds >= _FULL_SIZE else 4
    with tempfile.TemporaryDirectory() as folder:
        acknowledged, longest = hard_use(Path(folder) / "store", size, size, rounds)
    return Outcome(
        f"{size} processes with {size} threads on the same conversations, one killed every second",
        rounds,
        (
            "no other process has an error",
            "every checkpoint that is read is complete",
            "every acknowledged checkpoint is stored",
        ),
        {
            "checkpoints acknowledged": acknowledged,
            "milliseconds of the longest call": round(longest * 1000),
        },
        ("One process starts with a map of 1 MiB, which must grow. One process sweeps.",),
    )
