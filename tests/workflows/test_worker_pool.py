"""Workers that are killed while they run workflows: nothing is lost, and nothing runs twice."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.workflows.steps import at
from tests.workflows.worker_pool import STEPS, Line, Pool, run_pool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_killed_workers_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    pool = run_pool(tmp_path, workers=3, workflows=30, most_kills=20, seed=1)
    assert pool.kills
    check(pool)


@pytest.mark.long
def test_many_killed_workers_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    check(run_pool(tmp_path, workers=6, workflows=200, most_kills=2000, seed=2))


def check(pool: Pool) -> None:
    """Check what the workers of a pool did."""
    assert {line.thread_id for line in pool.lines} == set(pool.thread_ids)
    by_thread = defaultdict(list)
    for line in pool.lines:
        by_thread[line.thread_id].append(line)
    with LmdbSaver(pool.store, readonly=True) as saver:
        for thread_id, lines in by_thread.items():
            check_steps(lines, *tokens(saver, thread_id))
            check_turns(lines, pool.kills)


def tokens(saver: LmdbSaver, thread_id: str) -> tuple[list[str], set[str]]:
    """Return the tokens in the final state of a thread, and all that the store acknowledged."""
    acknowledged: set[str] = set()
    for found in saver.list(at(thread_id)):
        acknowledged.update(found.checkpoint["channel_values"].get("done", ()))
        for _, channel, value in found.pending_writes or ():
            acknowledged.update(value if channel == "done" else ())
    latest = saver.get_tuple(at(thread_id))
    assert latest is not None
    return latest.checkpoint["channel_values"]["done"], acknowledged


def check_steps(lines: list[Line], final: list[str], acknowledged: set[str]) -> None:
    """Check that a thread is complete, and that no step ran again after it was acknowledged."""
    assert sorted(token.partition(":")[0] for token in final) == sorted(STEPS)
    last = {line.step: line.token for line in lines if line.event == "begin"}
    assert set(final) == set(last.values()), "a step ran again after it was acknowledged"
    assert acknowledged == set(final), "the thread has two histories"
    assert set(final) <= {line.token for line in lines if line.event == "end"}


def check_turns(lines: list[Line], kills: dict[int, int]) -> None:
    """Check that a process ran a thread only after the process before it was killed."""
    turns = [list(group) for _, group in groupby(lines, key=lambda line: line.pid)]
    for before, after in pairwise(turns):
        assert kills.get(before[0].pid, after[0].time) < after[0].time, "two processes ran a thread"


def forged(*rows: str) -> list[Line]:
    """Return lines of one thread; the steps of a process that is killed have no end."""
    lines = []
    for time, row in enumerate(rows):
        event, step, pid = row.split()
        lines.append(Line(event, "t", step, f"{step}:{pid}", int(pid), time))
    return lines


DONE = [f"{event} {step} 1" for step in STEPS for event in ("begin", "end")]
FINAL = [f"{step}:1" for step in STEPS]


def test_the_check_accepts_a_step_that_was_not_acknowledged() -> None:
    lines = forged("begin plan 2", *DONE)
    check_steps(lines, FINAL, set(FINAL))
    check_turns(lines, {2: 0})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: check_steps(forged(*DONE[:-2]), FINAL[:-1], set(FINAL[:-1])),
        lambda: check_steps(forged(*DONE[:-1]), FINAL, set(FINAL)),
        lambda: check_steps(forged(*DONE, "begin plan 2", "end plan 2"), FINAL, set(FINAL)),
        lambda: check_steps(forged("begin plan 2", *DONE), FINAL, {*FINAL, "plan:2"}),
        lambda: check_steps(forged(*DONE), [*FINAL, "plan:1"], set(FINAL)),
        lambda: check_turns(forged("begin plan 2", *DONE), {}),
        lambda: check_turns(forged("begin plan 2", *DONE), {2: 7}),
        lambda: check_turns(forged("begin draft 1", "begin check 2", "end draft 1"), {1: 0}),
    ],
)
def test_the_check_finds_each_fault(wrong: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        wrong()
