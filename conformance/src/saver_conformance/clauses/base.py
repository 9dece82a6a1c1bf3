"""Clauses about the saver as a whole."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from saver_conformance.capability import BASE, Api, Capability
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.exit_check import check_exit
from saver_conformance.session import Ref, Session, at, checkpoint_id
from saver_conformance.violation import FailureKind

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_BASE = "BaseCheckpointSaver"


@clause(
    "spec.opens",
    source="SaverSpec.open",
    severity=Severity.CRITICAL,
    capability=Capability.SPEC,
    load=Load.ONCE,
)
def opens(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """The saver opens an empty store and closes it."""
    s.expect_list(at("thread"))
    s.expect_tuple(at("thread"))


@clause(
    "spec.capabilities",
    source=f"{_BASE}: put, get_tuple, put_writes, list, delete_thread and their async versions",
    severity=Severity.CRITICAL,
    capability=Capability.SPEC,
)
def capabilities(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """An API that can put and get has every base method and every claimed method."""
    s.put(Ref("thread", checkpoint_id(0)), metadata={"source": "loop", "step": 0, "run_id": "run"})
    calls = {
        Capability.PUT_WRITES: (at("thread", id=checkpoint_id(0)), [("channel", 1)], "task"),
        Capability.LIST: (at("thread"),),
        Capability.DELETE_FOR_RUNS: (["run"],),
        Capability.COPY_THREAD: ("thread", "copy"),
        Capability.PRUNE: (["thread"],),
        Capability.DELETE_THREAD: ("thread",),
    }
    for capability, args in calls.items():
        if capability in BASE or capability in s.claimed:
            s.call(capability.value, *args)


@clause(
    "spec.leak",
    source="a long-running service opens many savers, so leaked threads and files accumulate",
    severity=Severity.MINOR,
    capability=Capability.SPEC,
    load=Load.ONCE,
)
def leak(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A closed saver leaves no threads and no open files behind."""
    s.put(Ref("thread", checkpoint_id(0)), changes={"channel": [1]})
    s.close()
    # Resources of the process, for example a shared pool, exist after the first cycle.
    before = _resources()
    for _ in range(3):
        s.open_again()
        if Api.ASYNC in s.apis:
            s.call("get_tuple", at("thread"), api=Api.ASYNC)
        if Api.SYNC in s.apis:
            s.call("get_tuple", at("thread"), api=Api.SYNC)
        s.close()
    # The garbage collector may take a moment to release resources.
    deadline = time.monotonic() + s.executors.seconds
    while left := _left(before):
        if time.monotonic() > deadline:
            s.fail(f"opening and closing the saver three times left {' and '.join(left)} behind")
        time.sleep(0.05)


def _left(before: dict[str, int]) -> list[str]:
    gc.collect()
    more = {kind: amount - before[kind] for kind, amount in _resources().items()}
    return [f"{amount} {kind}" for kind, amount in more.items() if amount >= 3]


def _resources() -> dict[str, int]:
    files = Path("/proc/self/fd")
    return {
        "threads": threading.active_count(),
        "open files": len(os.listdir(files)) if files.is_dir() else 0,  # noqa: PTH208
    }


@clause(
    "spec.exits",
    source="ogx-ai/ogx#4587: a thread of a saver kept the process alive",
    severity=Severity.MAJOR,
    capability=Capability.SPEC,
    load=Load.HEAVY,
)
def exits(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A process exits after it used and closed the saver."""
    s.put(Ref("thread", checkpoint_id(0)))
    s.expect_tuple(at("thread"))
    s.script.line("# the process must exit here")
    problem = check_exit(s.spec, s.path, s.api, s.executors.seconds)
    if problem is not None:
        kind = FailureKind.HUNG if "did not" in problem else FailureKind.RAISED
        s.fail(problem, kind)
