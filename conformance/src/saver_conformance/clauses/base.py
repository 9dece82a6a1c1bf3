"""Clauses about the saver as a whole."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from saver_conformance.capability import BASE, Capability, Face
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.once import run_once
from saver_conformance.session import Ref, Session, at, checkpoint_id

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
    """The saver opens as an empty store, and closes."""
    s.expect_list(at("thread"))
    s.expect_tuple(at("thread"))


@clause(
    "spec.capabilities",
    source=f"{_BASE}: put, get_tuple, put_writes, list and delete_thread, and their async twins",
    severity=Severity.CRITICAL,
    capability=Capability.SPEC,
)
def capabilities(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A face that can put and get can do all that the runtime needs, and what the saver claims."""
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
    source="a service opens savers as it goes on; what each leaves behind adds up",
    severity=Severity.MINOR,
    capability=Capability.SPEC,
    load=Load.ONCE,
)
def leak(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A saver that was closed leaves no thread and no open file behind."""
    s.put(Ref("thread", checkpoint_id(0)), changes={"channel": [1]})
    s.close()
    # What belongs to the process and not to this saver, such as a pool, is there after one cycle.
    before = _resources()
    for _ in range(3):
        s.open_again()
        if Face.ASYNC in s.faces:
            s.call("get_tuple", at("thread"), face=Face.ASYNC)
        if Face.SYNC in s.faces:
            s.call("get_tuple", at("thread"), face=Face.SYNC)
        s.close()
    # What a saver leaves to the garbage collector may take a moment to end.
    deadline = time.monotonic() + s.lanes.seconds
    while left := _left(before):
        if time.monotonic() > deadline:
            s.fail(f"three times open, get_tuple and close left {' and '.join(left)}")
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
    source="ogx-ai/ogx#4587: a thread of a saver kept the process from ending",
    severity=Severity.MAJOR,
    capability=Capability.SPEC,
    load=Load.HEAVY,
)
def exits(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A process that used the saver and closed it ends by itself."""
    s.put(Ref("thread", checkpoint_id(0)))
    s.expect_tuple(at("thread"))
    s.script.line("# here the program has to end")
    said = run_once(s.spec, s.path, s.face, s.lanes.seconds)
    if said is not None:
        s.fail(said, hung="not ended" in said)
