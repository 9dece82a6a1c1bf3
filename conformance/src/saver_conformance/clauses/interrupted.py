"""Clauses about operations that SIGKILL interrupts."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.child import Child, locate
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, checkpoint_id

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_THREADS = 6
_CHECKPOINTS = 4
_PARTS = (Part.VALUES, Part.WRITES, Part.METADATA)

Calls = list[tuple[str, tuple[Any, ...]]]


def _calls(method: str) -> Calls:
    """Return calls of one method, one for each thread."""
    writes = [(channel, [channel]) for channel in "bcdefghijk"]
    return [
        (
            method,
            {
                "put_writes": (Ref(f"thread-{n}", checkpoint_id(0)).config, writes, "other"),
                "delete_thread": (f"thread-{n}",),
                "delete_for_runs": ([f"run-{n}"],),
                "copy_thread": (f"thread-{n}", f"copy-{n}"),
                "prune": ([f"thread-{n}"],),
            }[method],
        )
        for n in range(_THREADS)
    ]


_METHODS = ["put_writes", "delete_thread", "delete_for_runs", "copy_thread", "prune"]


@clause(
    "durable.operations",
    source="SaverSpec.durable: acknowledged data survives SIGKILL; one call is one change",
    severity=Severity.CRITICAL,
    capability=Capability.DURABLE,
    needs=[Capability.REOPEN],
    load=Load.HEAVY,
    presumes=["list.everything", "durable.acknowledged"],
    cases=[(method, 2, percent) for method in _METHODS for percent in (30, 70)],
)
def operations(s: Session, data: DataObject) -> None:
    """Writes, deletions, copies and prunes interrupted by SIGKILL are complete or had no effect."""
    method = data.draw(st.sampled_from(_METHODS))
    acknowledged = data.draw(st.integers(1, 4))
    percent = data.draw(st.integers(0, 99))
    if Capability(method) not in s.claimed:
        return
    for n in range(_THREADS):
        last: Ref | None = None
        for number in range(_CHECKPOINTS):
            metadata = {"source": "loop", "step": number, "run_id": f"run-{n}"}
            ref = Ref(f"thread-{n}", checkpoint_id(number))
            last = s.put(ref, parent=last, changes={"a": [number]}, metadata=metadata)
            s.put_writes(ref, [("a", number)])
    s.close()
    calls = _calls(method)
    states = [s.model]
    for _, args in calls:
        states.append(copy.deepcopy(states[-1]))
        getattr(states[-1], method)(*args)
    s.script.line(f"# a second process makes these calls and is killed after {acknowledged}:")
    for called in calls:
        s.script.line(f"# {s.script.call(s.api, *called, {})}")
    with s.guard(f"calling {method} in a second process"):
        victim = Child(locate(s.spec), s.path, s.api, s.executors.seconds, counted=True)
        try:
            victim.kill_within_call(calls, acknowledged, percent)
        finally:
            victim.kill()
    s.open_again()
    found = s.call("list", None, bind=s.script.name("listed"))
    matching = [state for state in states[acknowledged:] if s.has_content(found, state, *_PARTS)]
    if not matching:
        keys = sorted((t.config["configurable"]["thread_id"], t.checkpoint["id"]) for t in found)
        s.fail(f"after {method} was killed, the store is in no state between two calls: {keys}")
    # Nothing of a deleted checkpoint is left.
    s.model = matching[0]
    for n in range(_THREADS):
        ref = Ref(f"thread-{n}", checkpoint_id(0))
        if s.model.get(ref.config) is None:
            s.put(ref)
            s.expect_tuple(ref, Part.VALUES, Part.WRITES)
