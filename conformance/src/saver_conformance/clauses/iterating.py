"""Clauses about a list that is consumed step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.concurrency import Iteration, call_concurrently
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.timeouts import Worker

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_LOCK = "langchain-ai/langgraph#8558: a paused alist of SQLite holds the write lock"


def _fill(s: Session, count: int) -> list[Ref]:
    refs: list[Ref] = []
    for number in range(count):
        parent = refs[-1] if refs else None
        refs.append(
            s.put(Ref("thread", checkpoint_id(number)), parent=parent, changes={"a": [number]})
        )
    return refs


@clause(
    "list.paused.writable",
    cases=[(True,), (False,)],
    source=_LOCK,
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
)
def writable(s: Session, data: DataObject) -> None:
    """The store can be read and written while a list is paused."""
    refs = _fill(s, 3)
    paused = Iteration(s, at("thread"))
    paused.next()
    if data.draw(st.booleans()):
        s.put_writes(refs[0], [("a", 1)])
    else:
        s.put(Ref("other", checkpoint_id(9)))
    s.expect_tuple(at("thread"), Part.ID)


@clause(
    "list.paused.threads",
    cases=[(True,), (False,)],
    source=_LOCK,
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
    needs=[Capability.THREADS],
    apis=(Api.SYNC,),
)
def other_writer(s: Session, data: DataObject) -> None:
    """Another thread can write and read while a list is paused."""
    refs = _fill(s, 2)
    paused = Iteration(s, at("thread"))
    paused.next()
    calls: list[tuple[str, tuple[Any, ...]]] = [("get_tuple", (at("thread"),))]
    if data.draw(st.booleans()):
        calls.append(("put_writes", (refs[0].config, [("a", 1)], "task")))
    else:
        checkpoint = make_checkpoint(checkpoint_id(9))
        calls.append(("put", (at("other"), checkpoint, {"source": "loop", "step": 0}, {})))
    call_concurrently(s, calls)


@clause(
    "list.paused.both_apis",
    cases=[("get_tuple",), ("put",), ("delete_thread",)],
    source=f"{_LOCK}; a service streams alist and calls graph.invoke in threads",
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
    needs=[Capability.THREADS, Capability.BOTH_APIS, Capability.DELETE_THREAD],
    apis=(Api.ASYNC,),
    presumes=["list.paused.writable"],
)
def both_apis(s: Session, data: DataObject) -> None:
    """The sync API can be used in a thread while a list of the async API is paused."""
    _fill(s, 3)
    paused = Iteration(s, at("thread"))
    paused.next()
    checkpoint = make_checkpoint(checkpoint_id(9))
    calls: dict[str, tuple[Any, ...]] = {
        "get_tuple": (at("thread"),),
        "put": (at("other"), checkpoint, {"source": "loop", "step": 0}, {}),
        "delete_thread": ("other",),
    }
    method = data.draw(st.sampled_from(sorted(calls)))
    s.call(method, *calls[method], api=Api.SYNC)
    paused.next()


@clause(
    "list.paused.whole",
    cases=[(3, True), (3, False)],
    source="BaseCheckpointSaver.list: each item is a checkpoint tuple, complete in itself",
    severity=Severity.MAJOR,
    capability=Capability.LIST,
    needs=[Capability.DELETE_THREAD],
)
def whole(s: Session, data: DataObject) -> None:
    """A list that was paused while the store changed continues with complete checkpoints."""
    _fill(s, data.draw(st.integers(3, 4)))
    expected = {entry.key.id: entry for entry in s.model.matching(at("thread"))}
    paused = Iteration(s, at("thread"))
    paused.next()
    if data.draw(st.booleans()):
        s.delete_thread("thread")
    else:
        s.put(Ref("thread", checkpoint_id(9)))
    expected |= {entry.key.id: entry for entry in s.model.matching(at("thread"))}
    seen: list[str] = []
    for _ in range(9):
        name, item = paused.next()
        if item is None:
            return
        identifier = getattr(item, "checkpoint", {}).get("id")
        if identifier not in expected or identifier in seen:
            shown = f'{name}.checkpoint["id"]'
            known = sorted(expected.keys() - set(seen))
            message = f"{shown} is {identifier!r}, which is unknown or repeated after {seen}"
            s.fail_assertion(f"{shown} in {known}, {shown}", message)
        s.match(name, item, expected[identifier], *ALL)
        seen.append(identifier)
    s.fail("the list does not end")


@clause(
    "list.dropped",
    cases=[(1,), (2,)],
    source=_LOCK,
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
)
def dropped(s: Session, data: DataObject) -> None:
    """A list that is dropped before its end holds no lock."""
    _fill(s, 3)
    half = Iteration(s, at("thread"))
    for _ in range(data.draw(st.integers(1, 2))):
        half.next()
    half.drop()
    s.put(Ref("thread", checkpoint_id(8)))
    s.expect_list(at("thread"))


@clause(
    "list.other_thread",
    cases=[(2,), (3,)],
    source="a web framework may read a streamed response from different threads; "
    "the base class does not specify it",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    apis=(Api.SYNC,),
    unspecified=True,
)
def other_thread(s: Session, data: DataObject) -> None:
    """A list that was started in one thread may be consumed in another."""
    count = data.draw(st.integers(2, 3))
    _fill(s, count)
    entries = s.model.matching(at("thread"))
    handed = Iteration(s, at("thread"))
    handed.next()
    elsewhere = Worker("another")
    try:
        for entry in entries[1:]:
            name, item = handed.next(elsewhere)
            s.match(name, item, entry, Part.ID, Part.VALUES)
    finally:
        elsewhere.stop()
