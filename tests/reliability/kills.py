"""SIGKILL at a random moment, again and again, on one store."""

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
from tests.reliability.checking import assert_whole, content, first_that_fits, of_worker
from tests.reliability.oracle import FOR_ALL_THREADS, KINDS, State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import assert_ended_well, fork_and_run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_NAMES = ("a", "b", "c", "d")
_CALL = struct.Struct("=HI")
"""Which worker, and how many of its calls of this round have returned."""


def run(rounds: int, seed: int) -> Outcome:
    """Kill a process with four writing threads `rounds` times, and look after each time."""
    print(f"kill -9: seed {seed}")
    seen: Counter[str] = Counter()
    others = [kind for kind in KINDS if kind not in FOR_ALL_THREADS]
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
            "every acknowledged call is there with its exact values",
            "what was not acknowledged is whole or absent",
            "no garbage, no dangling reference, all counts and indexes right",
            "the next process writes at once, on the same store",
        ),
        dict(seen),
        (
            """\
A commit that was cut off between LMDB's root and its lock file is not shown, at first, by a process
that had the store open all along; the next write of any process brings it to light, whole.""",
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
    had_it_open = random.random() < 0.5
    ours, theirs = Pipe()
    checker = fork_and_run(lambda: (ours.close(), _check(path, workers, had_it_open, theirs)))
    theirs.close()
    if had_it_open:
        ours.recv()
    done = _kill_while_writing(path, workers, options, random)
    states = []
    for worker, calls in zip(workers, done, strict=True):
        for _ in range(calls):
            worker.state = worker.next().after(worker.state)
        states.append(list(worker.next().cut_off(worker.state)))
    ours.send(states)
    answer = ours.recv()
    assert_ended_well(checker)
    ours.close()
    if isinstance(answer, str):
        raise AssertionError(answer)
    chosen_of_each, came_late = answer
    for worker, calls, possible, chosen in zip(workers, done, states, chosen_of_each, strict=True):
        worker.state = possible[chosen]
        seen["calls acknowledged, all of them there"] += calls
        seen["calls cut off, " + ("wholly or partly there" if chosen else "absent")] += 1
    seen["processes killed " + ("while writing" if any(done) else "before they wrote")] += 1
    if came_late:
        assert had_it_open
        seen["checks in which a call cut off was shown only after the next write"] += 1
    seen["checked by a process that " + ("had it open" if had_it_open else "opened it anew")] += 1


def _kill_while_writing(
    path: Path, workers: list[Worker], options: dict[str, Any], random: Random
) -> list[int]:
    """Have a process write, and kill it; how many calls of each worker it acknowledged."""
    heard, told = os.pipe()
    victim = fork_and_run(lambda: _write(path, workers, options, told))
    os.close(told)
    done = [0] * len(workers)
    wanted = random.choice([0, *range(40)])
    with os.fdopen(heard, "rb", buffering=0) as pipe:
        try:
            while sum(done) < wanted:
                _count(pipe.read(_CALL.size), done)
            # No wait for anything: the moment is to be a random one.
            time.sleep(random.random() * (0.003 if wanted else 0.03))
        finally:
            os.kill(victim, signal.SIGKILL)
        while said := pipe.read(_CALL.size):
            _count(said, done)
    assert os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL
    return done


def _count(said: bytes, done: list[int]) -> None:
    assert said, "the writing process ended by itself"
    index, calls = _CALL.unpack(said)
    assert calls == done[index] + 1
    done[index] = calls


def _write(path: Path, workers: list[Worker], options: dict[str, Any], told: int) -> None:
    """In the victim: write until the end comes."""
    saver = LmdbSaver(path, **options)

    def work(index: int, worker: Worker) -> None:
        try:
            for number in range(1, 1_000_000):
                operation = worker.next()
                operation.call(saver)
                worker.state = operation.after(worker.state)
                os.write(told, _CALL.pack(index, number))
        finally:
            traceback.print_exc()
            os._exit(1)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _chosen(found: State, workers: list[Worker], states: list[list[State]]) -> list[int]:
    """Which of its possible states each worker's threads are in; there must be no others."""
    mine = [of_worker(found, worker.name) for worker in workers]
    assert sum(map(len, mine)) == len(found), "threads that nobody made"
    return [
        possible.index(first_that_fits(one, possible))
        for one, possible in zip(mine, states, strict=True)
    ]


def _check(path: Path, workers: list[Worker], early: bool, pipe: Connection) -> None:
    """In another process: find out in which of its possible states each worker's threads are.

    The next write takes over the lock of the one that died, and with it a root that was written
    but not yet announced to other processes. So what is read after it counts.
    """
    try:
        if early:  # a writer dies beside it, and it has to take over the lock
            saver = LmdbSaver(path)
            pipe.send("open")
        states: list[list[State]] = pipe.recv()
        if not early:
            saver = LmdbSaver(path)
        read_first = content(saver)
        _chosen(read_first, workers, states)
        assert_whole(saver)
        probe = Worker("probe")
        probe.next("put").call(saver)
        saver.delete_thread(probe.new_thread())
        found = content(saver)
        answer = _chosen(found, workers, states), found != read_first
        assert_whole(saver)
        saver.close()
        pipe.send(answer)
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        pipe.send(traceback.format_exc())
