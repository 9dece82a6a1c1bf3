"""SIGKILL at random moments, on one store."""

from __future__ import annotations

import os
import signal
import struct
import tempfile
import threading
import time
import traceback
from collections import Counter
from multiprocessing import Pipe
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.reliability.checking import assert_sound, content, first_equal, of_worker
from tests.reliability.oracle import KINDS, STORE_WIDE_KINDS, State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import assert_ended_well, fork_and_run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_NAMES = ("a", "b", "c", "d")
_CALL = struct.Struct("=HI")
"""Index of a worker, and the number of its calls in this round that have returned."""


def run(rounds: int, seed: int) -> Outcome:
    """Kill a process with four writing threads `rounds` times, and check the store each time."""
    print(f"kill -9: seed {seed}")
    seen: Counter[str] = Counter()
    others = [kind for kind in KINDS if kind not in STORE_WIDE_KINDS]
    workers = [Worker(name, None if name == "a" else others) for name in _NAMES]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            try:
                _round(Path(folder) / "store", workers, f"{seed}", number, seen)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, round {number}: {error}") from error
    return Outcome(
        "kill -9 of a process with four writing threads",
        rounds,
        (
            "every acknowledged call is stored with its exact values",
            "every other call is stored completely or not at all",
            "the store has no garbage, no dangling references, and correct counts and indexes",
            "the next process can write to the store immediately",
        ),
        dict(seen),
        (
            """\
If the process dies between writing LMDB's meta page and updating the lock file, a process that
has the store open sees the commit only after the next write of any process. Then the commit is
complete.""",
        ),
    )


def _round(path: Path, workers: list[Worker], seed: str, number: int, seen: Counter[str]) -> None:
    random = Random(f"{seed}/{number}")
    for worker in workers:
        worker.begin(seed, number)
    options = {
        "sync": random.choice(["full", "full", "normal", "off"]),
        "map_size": random.choice([64 << 30, 64 << 10]),
    }
    had_store_open = random.random() < 0.5
    ours, theirs = Pipe()
    checker = fork_and_run(lambda: (ours.close(), _check(path, workers, had_store_open, theirs)))
    theirs.close()
    if had_store_open:
        ours.recv()
    done = _kill_while_writing(path, workers, options, random)
    states = []
    for worker, calls in zip(workers, done, strict=True):
        for _ in range(calls):
            worker.state = worker.next().after(worker.state)
        states.append(list(worker.next().partial_states(worker.state)))
    ours.send(states)
    answer = ours.recv()
    assert_ended_well(checker)
    ours.close()
    if isinstance(answer, str):
        raise AssertionError(answer)
    chosen_of_each, is_late = answer
    for worker, calls, possible, chosen in zip(workers, done, states, chosen_of_each, strict=True):
        worker.state = possible[chosen]
        seen["calls acknowledged, all stored"] += calls
        seen[
            "calls interrupted, " + ("completely or partly stored" if chosen else "not stored")
        ] += 1
    seen["processes killed " + ("while writing" if any(done) else "before they wrote")] += 1
    if is_late:
        assert had_store_open
        seen["checks in which an interrupted call was visible only after the next write"] += 1
    seen[
        "checked by a process that " + ("had the store open" if had_store_open else "opened it")
    ] += 1


def _kill_while_writing(
    path: Path, workers: list[Worker], options: dict[str, Any], random: Random
) -> list[int]:
    """Kill a process that writes; return the number of acknowledged calls of each worker."""
    reading, acknowledging = os.pipe()
    victim = fork_and_run(lambda: _write(path, workers, options, acknowledging))
    os.close(acknowledging)
    done = [0] * len(workers)
    wanted = random.choice([0, *range(40)])
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        try:
            while sum(done) < wanted:
                _count(pipe.read(_CALL.size), done)
            # Not a wait: the process is killed at a random moment.
            time.sleep(random.random() * (0.003 if wanted else 0.03))
        finally:
            os.kill(victim, signal.SIGKILL)
        while message := pipe.read(_CALL.size):
            _count(message, done)
    assert os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL
    return done


def _count(message: bytes, done: list[int]) -> None:
    assert message, "the writing process ended by itself"
    index, calls = _CALL.unpack(message)
    assert calls == done[index] + 1
    done[index] = calls


def _write(path: Path, workers: list[Worker], options: dict[str, Any], acknowledging: int) -> None:
    """Write until SIGKILL, in the process that is killed."""
    saver = LmdbSaver(path, **options)

    def work(index: int, worker: Worker) -> None:
        try:
            for number in range(1, 1_000_000):
                operation = worker.next()
                operation.call(saver)
                worker.state = operation.after(worker.state)
                os.write(acknowledging, _CALL.pack(index, number))
        finally:
            traceback.print_exc()
            os._exit(1)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _chosen(found: State, workers: list[Worker], states: list[list[State]]) -> list[int]:
    """Return the index of each worker's state among its possible states."""
    mine = [of_worker(found, worker.name) for worker in workers]
    assert sum(map(len, mine)) == len(found), "threads that no worker created"
    return [
        possible.index(first_equal(one, possible))
        for one, possible in zip(mine, states, strict=True)
    ]


def _check(path: Path, workers: list[Worker], open_first: bool, pipe: Connection) -> None:
    """Send the index of each worker's state to the parent process.

    The next write takes over the lock of the dead process. It also makes a meta page visible that
    was written but not yet announced in the lock file. So the state after that write counts.
    """
    try:
        if open_first:  # the other process dies while this one has the store open
            saver = LmdbSaver(path)
            pipe.send("open")
        states: list[list[State]] = pipe.recv()
        if not open_first:
            saver = LmdbSaver(path)
        read_first = content(saver)
        _chosen(read_first, workers, states)
        assert_sound(saver)
        probe = Worker("probe")
        probe.next("put").call(saver)
        saver.delete_thread(probe.new_thread())
        found = content(saver)
        answer = _chosen(found, workers, states), found != read_first
        assert_sound(saver)
        saver.close()
        pipe.send(answer)
    except Exception:  # noqa: BLE001 - the parent raises it
        pipe.send(traceback.format_exc())
