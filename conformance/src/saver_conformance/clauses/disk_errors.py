"""Clauses about a disk that is full or broken."""

from __future__ import annotations

import copy
import errno
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hypothesis.strategies import DataObject

_PARTS = (Part.VALUES, Part.WRITES, Part.METADATA)
_METHODS = ["put", "put_writes", "delete_thread", "delete_for_runs", "copy_thread", "prune"]
_ERRORS = ["ENOSPC", "EIO"]

_disk = partial(
    clause,
    source="SaverSpec.disk_errors: writes to a full or broken disk fail",
    capability=Capability.DISK_ERRORS,
    needs=[Capability.REOPEN],
    presumes=["list.everything", "reopen.state"],
)


def _stored(s: Session) -> list[Ref]:
    """Put three checkpoints with writes."""
    refs: list[Ref] = []
    for number in range(3):
        metadata = {"source": "loop", "step": number, "run_id": f"run-{number % 2}"}
        ref = Ref("thread", checkpoint_id(number))
        parent = refs[-1] if refs else None
        refs.append(s.put(ref, parent=parent, changes={"a": [number]}, metadata=metadata))
        s.put_writes(refs[-1], [("a", number)])
    return refs


def _call(s: Session, method: str, refs: list[Ref]) -> tuple[Any, ...]:
    """Return the arguments of a call that changes the store."""
    if method == "put":
        [version] = s.versions(1, refs[-1])
        new = {"a": version.value, "b": version.value}
        checkpoint = make_checkpoint(checkpoint_id(9), {"a": [9], "b": [9] * 99}, new)
        return refs[-1].config, checkpoint, {"source": "loop", "step": 9}, new
    writes = [(channel, [channel]) for channel in "bcdefgh"]
    arguments: dict[str, tuple[Any, ...]] = {
        "put_writes": (refs[-1].config, writes, "other"),
        "delete_thread": ("thread",),
        "delete_for_runs": (["run-0"],),
        "copy_thread": ("thread", "copy"),
        "prune": (["thread"],),
    }
    return arguments[method]


def _failing(s: Session, name: str, succeeding: int) -> AbstractContextManager[Any]:
    assert s.spec.disk_errors is not None
    s.script.line(f"# from here writes to the disk fail with {name}, after {succeeding} writes")
    return s.spec.disk_errors(s.path, getattr(errno, name), succeeding)


def _applied(s: Session, method: str, args: tuple[Any, ...]) -> Any:
    """Return a model of the store with the call."""
    state = copy.deepcopy(s.model)
    getattr(state, method)(*(args[:3] if method == "put" else args))
    return state


@_disk(
    "disk.errors",
    severity=Severity.CRITICAL,
    cases=[(method, name, 0) for method in _METHODS for name in _ERRORS]
    + [(method, "EIO", n) for method in _METHODS for n in (1, 2)],
)
def errors(s: Session, data: DataObject) -> None:
    """A call that the disk fails raises and is complete or had no effect; others are stored."""
    method = data.draw(st.sampled_from(_METHODS))
    name = data.draw(st.sampled_from(_ERRORS))
    succeeding = data.draw(st.integers(0, 8))
    if Capability(method) not in s.claimed:
        return
    args = _call(s, method, _stored(s))
    after = _applied(s, method, args)
    with _failing(s, name, succeeding):
        answer = s.call(method, *args, bind=s.script.name("answer"), expected_errors=(Exception,))
    s.script.line("# from here writes to the disk succeed")
    found = s.call("list", None, bind=s.script.name("listed"))
    if not isinstance(answer, Exception) or s.has_content(found, after, *_PARTS):
        s.model = after
    elif not s.has_content(found, s.model, *_PARTS):
        s.fail(f"after {name} in {method} the store has the call in part")
    # What was read before closing is what the disk has.
    s.reopen()
    s.expect_everything(*_PARTS)


@_disk(
    "disk.recovers",
    severity=Severity.MAJOR,
    cases=[(method, name) for method in ("put", "put_writes") for name in _ERRORS],
)
def recovers(s: Session, data: DataObject) -> None:
    """A saver works again when the disk does, without being opened again."""
    method = data.draw(st.sampled_from(_METHODS))
    name = data.draw(st.sampled_from(_ERRORS))
    if Capability(method) not in s.claimed:
        return
    args = _call(s, method, _stored(s))
    with _failing(s, name, 0):
        s.call(method, *args, bind=s.script.name("answer"), expected_errors=(Exception,))
    s.script.line("# from here writes to the disk succeed")
    s.model = _applied(s, method, args)
    s.call(method, *args)
    s.expect_everything(*_PARTS)
    s.put(Ref("thread", checkpoint_id(20)))
    s.expect_tuple(at("thread"), Part.ID)


@_disk(
    "disk.reads",
    severity=Severity.MAJOR,
    cases=[(name,) for name in _ERRORS],
)
def reads(s: Session, data: DataObject) -> None:
    """Stored checkpoints can be read while writes to the disk fail."""
    name = data.draw(st.sampled_from(_ERRORS))
    refs = _stored(s)
    args = _call(s, "put", refs)
    with _failing(s, name, 0):
        s.call("put", *args, bind=s.script.name("answer"), expected_errors=(Exception,))
        for ref in refs:
            s.expect_tuple(ref, *_PARTS)
