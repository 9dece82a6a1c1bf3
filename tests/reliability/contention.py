"""Many processes and threads on the same conversations, one killed every second."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.graphs.test_hard_use import hard_use
from tests.reliability.outcome import Outcome

_FULL_SIZE = 60


def run(rounds: int, seed: int) -> Outcome:
    """Kill a process a second, `rounds` times, while the others go on."""
    print(f"crowds: seed {seed}")
    random.seed(seed)
    size = 8 if rounds >= _FULL_SIZE else 4
    with tempfile.TemporaryDirectory() as folder:
        acknowledged, longest = hard_use(Path(folder) / "store", size, size, rounds)
    return Outcome(
        f"{size} processes of {size} threads on the same conversations, one killed every second",
        rounds,
        (
            "no process that was not killed met an error",
            "whatever was read was whole",
            "every acknowledged checkpoint is there",
        ),
        {
            "checkpoints acknowledged": acknowledged,
            "milliseconds that the longest call took": round(longest * 1000),
        },
        ("One of the processes begins with a map of 1 MiB that has to grow, one sweeps.",),
    )
