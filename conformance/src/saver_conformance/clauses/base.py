"""Clauses about the saver as a whole."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from saver_conformance.capability import BASE, Capability, Face
from saver_conformance.clause import Load, Severity, clause
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
    source="#ogx-ai/ogx#4587: a thread that is left behind keeps the process from ending",
    capability=Capability.SPEC,
    load=Load.ONCE,
)
def leak(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A saver that was closed leaves no thread that blocks the exit, and no open file behind."""
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
    gc.collect()
    after = _resources()
    for kind, amount in before.items():
        if after[kind] >= amount + 3:
            s.fail(f"three times open, get_tuple and close left {after[kind] - amount} {kind}")


def _resources() -> dict[str, int]:
    blocking = [t for t in threading.enumerate() if not t.daemon]
    files = Path("/proc/self/fd")
    return {
        "threads that block the exit": len(blocking),
        "open files": len(os.listdir(files)) if files.is_dir() else 0,  # noqa: PTH208
    }
