"""Two processes write, a third one contends for the write lock and is killed, again and again.

LMDB lets writers wait in a robust mutex. A waiter that is killed after it was woken and before it
has the mutex takes the wake-up with it, and another waiter sleeps until a third process comes. With
two writers none may come: then a write of an innocent process never ends.

    python -m tests.reliability.lost_wakeup --kills 200
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import struct
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from langgraph.checkpoint.lmdb.kv import LmdbStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 10.0  # seconds without a write, in which
_OTHERS = 1000  # the other writer makes so many, before a write counts as one that never ends
_CONTENDER = 2


class Trial(NamedTuple):
    """The result of a run.

    Attributes:
        kills: Contenders that were killed.
        writes: Of the two writers.
        contended: Writes of the contenders.
        hung: Whether a writer slept while the other one wrote.
    """

    kills: int
    writes: int
    contended: int
    hung: bool


class _Counts:
    """Counters that all processes see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def __getitem__(self, index: int) -> int:
        return int(struct.unpack_from("=Q", self._memory, 8 * index)[0])

    def add(self, index: int) -> None:
        struct.pack_into("=Q", self._memory, 8 * index, self[index] + 1)


def run(kills: int, busy: int, seed: int) -> Trial:
    """Kill a contender `kills` times, or until a writer hangs.

    Args:
        kills: How often.
        busy: Processes that only use the processor: a process that was woken then runs late.
        seed: Of the times between kills.
    """
    rng = random.Random(seed)
    counts = _Counts()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        LmdbStore.open(path, sync="off").close()
        with (
            _processes([_spin] * busy),
            _processes([_write(path, counts, index) for index in range(2)]),
        ):
            hung = _is_stuck(counts)
            done = 0
            while done < kills and not hung:
                with _processes([_write(path, counts, _CONTENDER)]):
                    time.sleep(rng.uniform(0, 0.05))
                done += 1
                hung = _is_stuck(counts)
            return Trial(done, counts[0] + counts[1], counts[_CONTENDER], hung)


def _write(path: Path, counts: _Counts, index: int) -> Callable[[], None]:
    def loop() -> None:
        store = LmdbStore.open(path, sync="off")
        while True:
            store.write(lambda writer: writer.put(b"%d" % index, b"v" * 100))
            counts.add(index)

    return loop


def _spin() -> None:
    while True:
        pass


def _is_stuck(counts: _Counts) -> bool:
    """Return True if a writer makes no progress while the other one makes much."""
    first = [counts[0], counts[1]]
    end = time.monotonic() + _PATIENCE
    while min(counts[0] - first[0], counts[1] - first[1]) == 0:
        if time.monotonic() > end and max(counts[0] - first[0], counts[1] - first[1]) > _OTHERS:
            return True
        time.sleep(0.001)
    return False


@contextmanager
def _processes(bodies: list[Callable[[], None]]) -> Iterator[list[int]]:
    """Run each body in a process of its own, and kill all of them at the end."""
    started = []
    try:
        for body in bodies:
            pid = os.fork()
            if pid == 0:
                try:
                    body()
                finally:
                    os._exit(1)
            started.append(pid)
        yield started
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--busy", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    done = run(arguments.kills, arguments.busy, arguments.seed)
    print(done)
    raise SystemExit(done.hung)


if __name__ == "__main__":
    main()
