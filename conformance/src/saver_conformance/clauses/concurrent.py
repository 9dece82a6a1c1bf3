"""Clauses about concurrent calls: from several threads, or from several tasks of one loop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.concurrency import call_concurrently, call_from_both, record
from saver_conformance.linearizability import linearizable
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_RUNTIME = "the runtime calls put and put_writes concurrently, from a thread pool or as tasks"


def _puts(
    s: Session, refs: list[Ref], after: Ref | None = None
) -> list[tuple[str, tuple[Any, ...]]]:
    versions = s.versions(len(refs), after)
    calls: list[tuple[str, tuple[Any, ...]]] = []
    for number, (ref, version) in enumerate(zip(refs, versions, strict=True)):
        new = {"a": version.value, "b": version.value}
        checkpoint = make_checkpoint(ref.id, {"a": [number], "b": [number]}, new)
        metadata = {"source": "loop", "step": number}
        s.model.put(at(ref.thread), checkpoint, metadata)
        calls.append(("put", (at(ref.thread), checkpoint, metadata, new)))
    return calls


@clause(
    "concurrent.puts",
    cases=[(8,)],
    source=_RUNTIME,
    severity=Severity.CRITICAL,
    capability=Capability.THREADS,
)
def puts(s: Session, data: DataObject) -> None:
    """Concurrent puts to different threads store every checkpoint completely."""
    count = data.draw(st.integers(2, 8))
    refs = [Ref(f"thread-{number}", checkpoint_id(number)) for number in range(count)]
    call_concurrently(s, _puts(s, refs))
    for ref in refs:
        s.expect_list(at(ref.thread), Part.VALUES, Part.METADATA)


@clause(
    "concurrent.writes",
    cases=[(8,)],
    source=_RUNTIME,
    severity=Severity.CRITICAL,
    capability=Capability.THREADS,
    presumes=["writes.order.*"],
)
def writes(s: Session, data: DataObject) -> None:
    """Concurrent writes of parallel tasks are all stored, in the specified order."""
    ref = s.put(Ref("thread", checkpoint_id(0)))
    calls: list[tuple[str, tuple[Any, ...]]] = []
    for number in range(data.draw(st.integers(2, 8))):
        task, path = f"task-{number}", f"path-{9 - number}"
        written = [("a", number), ("b", [number])]
        s.model.put_writes(ref.config, written, task, path)
        calls.append(("put_writes", (ref.config, written, task, path)))
    call_concurrently(s, calls)
    s.expect_tuple(ref, Part.WRITES)


@clause(
    "concurrent.same_write",
    cases=[(6,)],
    source=f"{_RUNTIME}; WRITES_IDX_MAP",
    severity=Severity.MAJOR,
    capability=Capability.THREADS,
)
def same_write(s: Session, data: DataObject) -> None:
    """Concurrent writes to the same slots store each slot exactly once, with one of the values."""
    ref = s.put(Ref("thread", checkpoint_id(0)))
    count = data.draw(st.integers(2, 6))
    call_concurrently(
        s,
        [
            ("put_writes", (ref.config, [("a", [n] * 99), ("b", [n] * 99)], "task", ""))
            for n in range(count)
        ],
    )
    name = s.script.name("got")
    got = s.call("get_tuple", ref.config, bind=name)
    found = [] if got is None else [tuple(w) for w in got.pending_writes or ()]
    expression = f"[(w[0], w[1]) for w in {name}.pending_writes]"
    s.expect(expression, [w[:2] for w in found], [("task", "a"), ("task", "b")])
    values = [[n] * 99 for n in range(count)]
    for position, (_, _, value) in enumerate(found):
        written = f"{name}.pending_writes[{position}][2] in [[n] * 99 for n in range({count})]"
        s.expect(written, value in values, True)


@clause(
    "concurrent.torn",
    cases=[(4,)],
    source=f"{_RUNTIME}, while get_state reads",
    severity=Severity.CRITICAL,
    capability=Capability.THREADS,
)
def torn(s: Session, data: DataObject) -> None:
    """A read during a put returns the complete state before or after the put."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0], "b": [0]})
    count = data.draw(st.integers(1, 4))
    refs = [Ref("thread", checkpoint_id(number + 1)) for number in range(count)]
    entry = s.model.get(first.config)
    calls: list[tuple[str, tuple[Any, ...]]] = []
    for put in _puts(s, refs, first):
        calls += [put, ("get_tuple", (at("thread"),)), ("list", (at("thread"),))]
    known = {e.key.id: e for e in s.model.matching(at("thread"))}
    assert entry is not None
    for position, result in enumerate(call_concurrently(s, calls)):
        if calls[position][0] == "put":
            continue
        for found in result if isinstance(result, list) else [result]:
            identifier = None if found is None else found.checkpoint["id"]
            if identifier not in known:
                s.fail(f"a concurrent {calls[position][0]} returned checkpoint {identifier!r}")
            wanted = known[identifier].checkpoint["channel_values"]
            values = dict(sorted(found.checkpoint["channel_values"].items()))
            if values != wanted:
                s.fail(f"a concurrent {calls[position][0]} returned {values}, expected {wanted}")
    for ref in refs:
        s.expect_tuple(ref, Part.ID, Part.VALUES)


@clause(
    "concurrent.delete",
    cases=[(5,)],
    source=f"{_RUNTIME}; a service deletes one thread while another is in use",
    severity=Severity.CRITICAL,
    capability=Capability.THREADS,
    needs=[Capability.DELETE_THREAD],
)
def delete(s: Session, data: DataObject) -> None:
    """Deleting a thread does not affect concurrent calls on other threads."""
    s.put(Ref("deleted", checkpoint_id(0)), changes={"a": [0]})
    refs = [Ref(f"thread-{n}", checkpoint_id(n)) for n in range(data.draw(st.integers(1, 5)))]
    s.model.delete_thread("deleted")
    call_concurrently(s, [("delete_thread", ("deleted",)), *_puts(s, refs)])
    s.expect_list(at("deleted"))
    for ref in refs:
        s.expect_list(at(ref.thread), Part.VALUES)


_ID = checkpoint_id(0)


def _applied(state: Any, call: tuple[str, tuple[Any, ...]]) -> tuple[Any, Any]:
    """Apply a call to a thread: its checkpoint ids."""
    method, args = call
    if method == "put":
        return state | {args[1]["id"]}, args[1]["id"]
    if method == "delete_thread":
        return frozenset(), None
    wanted = args[0]["configurable"].get("checkpoint_id") or max(state, default=None)
    return state, wanted if wanted in state else None


def _observed(result: Any) -> Any:
    """Return the id of the checkpoint that a call returned."""
    where = result if isinstance(result, dict) or result is None else result.config
    return None if where is None else where["configurable"]["checkpoint_id"]


@clause(
    "concurrent.linearizable",
    source=f"{_RUNTIME}; a call takes effect at one moment between its start and its return",
    severity=Severity.CRITICAL,
    capability=Capability.THREADS,
    needs=[Capability.DELETE_THREAD],
    presumes=["delete_thread.unknown"],
    cases=[([[0, 5, 2, 5], [5, 1, 5, 0], [5, 5, 6, 5]],), ([[3, 5], [2, 5], [1, 5], [0, 5]],)],
)
def linear(s: Session, data: DataObject) -> None:
    """Concurrent puts, gets and deletions of one thread have the results of some order of them."""
    steps = st.lists(st.integers(0, 7), min_size=1, max_size=5)
    drawn = data.draw(st.lists(steps, min_size=2, max_size=4))
    calls = _puts(s, [Ref("thread", checkpoint_id(n)) for n in range(4)])
    # Numbers below 4 put a checkpoint, 4 gets the first one, 5 and 7 the latest, 6 deletes.
    calls += [("get_tuple", (at("thread", "", _ID),)), ("get_tuple", (at("thread"),))]
    calls += [("delete_thread", ("thread",)), ("get_tuple", (at("thread"),))]
    events = [
        replace(event, result=_observed(event.result))
        for event in record(s, [[calls[step] for step in plan] for plan in drawn])
    ]
    if not linearizable(events, frozenset(), _applied):
        ordered = sorted(events, key=lambda event: event.began)
        shown = ", ".join(f"{event.call[0]}: {event.result}" for event in ordered)
        s.fail(f"no order of the calls has these results: {shown}")


@clause(
    "concurrent.both_apis",
    source="a service runs graph.invoke in threads and graph.ainvoke on its event loop",
    severity=Severity.CRITICAL,
    capability=Capability.THREADS,
    needs=[Capability.BOTH_APIS],
    apis=(Api.SYNC,),
    cases=[(8,)],
)
def both(s: Session, data: DataObject) -> None:
    """Calls of the sync API in threads and of the async API on a loop do not block each other."""
    refs = [Ref(f"thread-{n}", checkpoint_id(n)) for n in range(data.draw(st.integers(2, 8)))]
    calls = []
    for number, put in enumerate(_puts(s, refs)):
        ref = refs[number]
        s.model.put_writes(ref.config, [("a", number)], "task")
        calls += [put, put, ("put_writes", (ref.config, [("a", number)], "task"))]
        calls += [("get_tuple", (at(ref.thread),)), ("list", (at(ref.thread),))]
    call_from_both(s, calls)
    for ref in refs:
        s.expect_list(at(ref.thread), Part.VALUES, Part.METADATA, Part.WRITES)
