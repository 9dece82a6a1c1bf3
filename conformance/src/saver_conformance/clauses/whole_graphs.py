"""Clauses about whole LangGraph graphs: a run on the saver equals a run on the model."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance import graphs
from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.equality import same
from saver_conformance.reference import ReferenceSaver

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DataObject

    from saver_conformance.session import Session

_ITEMS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=4, unique=True)

Step = tuple[Any, ...]

_graph = partial(clause, severity=Severity.CRITICAL, capability=Capability.GRAPH, load=Load.HEAVY)


def _compare(
    s: Session,
    data: DataObject,
    builder: Callable[..., Any],
    steps: list[Step],
    *,
    longer: bool = False,
    **parameters: Any,
) -> None:
    """Play a graph on the saver and on the reference saver, and compare the traces.

    Args:
        s: Session of the example.
        data: Source of the durability mode.
        builder: Function of `graphs` that builds the graph.
        steps: Steps to play.
        longer: True if the history may have older checkpoints than the reference saver keeps.
        **parameters: Arguments of the builder.

    Raises:
        Violation: If the traces differ.
    """
    durability = data.draw(st.sampled_from(["sync", "async", "exit"]))
    player: Any = graphs.play if s.api is Api.SYNC else graphs.aplay
    for function in (builder, graphs.outcome, graphs.moment, player):
        s.script.line(inspect.getsource(function).replace(" -> Any", ""))
    made = ", ".join(f"{k}={v!r}" for k, v in parameters.items())
    call = f"{player.__name__}(saver, {builder.__name__}({made}), {steps!r}, {durability!r})"
    if s.api is Api.ASYNC:
        s.script.use_async()
        call = f"await {call}"
    s.script.line(f"trace = {call}")
    # Compare the same API: LangGraph itself differs, for example interrupts before Python 3.11.
    expected = _played(s, player, ReferenceSaver(), builder(**parameters), steps, durability)
    with s.guard(f"running the graph {builder.__name__}"):
        actual = _played(s, player, s.saver, builder(**parameters), steps, durability)
    if longer:
        s.script.line(f"trace = trace[:{len(expected)}]")
        actual = actual[: len(expected)]
    s.expect("len(trace)", len(actual), len(expected))
    for position, (found, wanted) in enumerate(zip(actual, expected, strict=True)):
        if not same(found, wanted, ordered=False):
            s.differ(f"trace[{position}]", found, wanted)


def _played(s: Session, player: Any, *arguments: Any) -> list[Any]:
    # A graph makes many calls; give the run several time limits.
    seconds = s.executors.seconds * 4
    trace: list[Any]
    if s.api is Api.ASYNC:
        trace = s.executors.loop.run(player(*arguments), seconds)
    else:
        trace = s.executors.worker.call(lambda: player(*arguments), seconds)
    return trace


@_graph(
    "graph.chain",
    source="StateGraph.invoke twice, and get_state_history",
)
def chain(s: Session, data: DataObject) -> None:
    """A graph keeps its state between invocations, and its history has every step."""
    inputs = data.draw(st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=3))
    _compare(s, data, graphs.chain, [("invoke", {"log": [text]}) for text in inputs])


@_graph(
    "graph.durability",
    source='durability="sync", "async" or "exit": before the next step, in the background, or once',
    presumes=["writes.order.*", "graph.chain"],
    cases=[("async",), ("exit",)],
)
def durable(s: Session, data: DataObject) -> None:
    """A graph resumes after an interrupt in every durability mode."""
    steps: list[Step] = [("invoke", {"items": ["a", "b"], "log": []}), ("answer", 1), ("answer", 2)]
    _compare(s, data, graphs.tools, steps)


@_graph(
    "graph.fan_out",
    source="Send: results of parallel tasks are applied in the order of their paths",
    presumes=["writes.order.*", "graph.chain"],
)
def fan_out(s: Session, data: DataObject) -> None:
    """The results of parallel tasks are all applied, in the specified order."""
    items = data.draw(st.permutations(list(range(data.draw(st.integers(2, 12))))))
    _compare(s, data, graphs.fan_out, [("invoke", {"items": list(items), "log": []})])


@_graph(
    "graph.interrupts",
    source="interrupt: several tools wait at the same time and are answered in turn",
    presumes=["writes.order.*", "graph.chain"],
)
def interrupts(s: Session, data: DataObject) -> None:
    """Tools that were interrupted together resume, each with its own answer."""
    items = data.draw(_ITEMS)
    first = data.draw(st.integers(1, len(items) - 1))
    steps: list[Step] = [("invoke", {"items": items, "log": []})]
    steps += [("answer", first), ("answer", len(items))]
    _compare(s, data, graphs.tools, steps)


@_graph(
    "graph.subgraphs",
    source="nested subgraphs: one namespace segment for each level",
    presumes=["identity.namespace*", "graph.chain"],
)
def subgraphs(s: Session, data: DataObject) -> None:
    """An interrupt in a subgraph, nested up to ten levels deep, resumes where it was raised."""
    depth = data.draw(st.integers(1, 10))
    steps: list[Step] = [("invoke", {"log": []}), ("resume", "continue")]
    _compare(s, data, graphs.nested, steps, depth=depth)


@_graph(
    "graph.subgraph.persistent",
    source="compile(checkpointer=True): a subgraph with its own memory",
    presumes=["identity.namespace*", "graph.chain"],
)
def persistent(s: Session, data: DataObject) -> None:
    """A subgraph with its own memory keeps it between invocations."""
    steps: list[Step] = []
    for number in range(data.draw(st.integers(1, 2))):
        steps += [("invoke", {"log": [f"turn {number}"]}), ("resume", "continue")]
    _compare(s, data, graphs.nested, steps, depth=2, persistent=True)


@_graph(
    "graph.failure",
    source="pending writes: a finished task does not run again when another task failed",
    presumes=["graph.chain"],
)
def failure(s: Session, data: DataObject) -> None:
    """A finished task does not run again when a parallel task resumes or a later task fails."""
    steps: list[Step] = [("invoke", {"log": []}), ("resume", "yes")]
    steps += [("invoke", None)] * data.draw(st.integers(0, 2))
    _compare(s, data, graphs.failing, steps)


@_graph(
    "graph.delta",
    source="DeltaChannel: rebuilt from the writes since its last snapshot",
    needs=[Capability.DELTA_HISTORY],
    presumes=["history.*", "writes.order.*", "graph.chain"],
)
def delta(s: Session, data: DataObject) -> None:
    """A DeltaChannel has its value at every step, at every snapshot frequency."""
    turns = data.draw(st.integers(1, 3))
    frequency = data.draw(st.sampled_from([1, 2, 3, 100]))
    steps: list[Step] = [("invoke", {"log": [f"turn {n}"]}) for n in range(turns)]
    if back := data.draw(st.integers(0, 3)):
        steps += [("replay", back), ("invoke", {"log": ["on the branch"]})]
    _compare(s, data, graphs.delta, steps, frequency=frequency)


@_graph(
    "graph.time_travel",
    source="update_state, and invoke from an earlier checkpoint",
    presumes=["graph.chain"],
)
def time_travel(s: Session, data: DataObject) -> None:
    """A graph continues from any earlier checkpoint and from an updated state."""
    steps: list[Step] = [("invoke", {"log": ["x"]})]
    for _ in range(data.draw(st.integers(1, 2))):
        if data.draw(st.booleans()):
            steps.append(("update", {"log": ["edited"]}, data.draw(st.sampled_from(["a", "b"]))))
            steps.append(("invoke", None))
        else:
            steps.append(("replay", data.draw(st.integers(1, 4))))
    _compare(s, data, graphs.chain, steps)


def _answered_after(s: Session, data: DataObject, step: Step, *, longer: bool = False) -> None:
    items = data.draw(_ITEMS)
    asked: Step = ("invoke", {"items": items, "log": []})
    _compare(s, data, graphs.tools, [asked, step, ("answer", len(items))], longer=longer)


@_graph(
    "graph.prune",
    source="redis-developer/langgraph-redis#159: pruned threads with several interrupts",
    needs=[Capability.PRUNE],
    presumes=["graph.interrupts"],
)
def prune(s: Session, data: DataObject) -> None:
    """Tools that were interrupted together resume unchanged after the thread was pruned."""
    # prune may keep ancestors of the latest checkpoint, as the base class advises for DeltaChannel.
    _answered_after(s, data, ("prune",), longer=True)


@_graph(
    "graph.copy",
    source="BaseCheckpointSaver.copy_thread: copy all checkpoints and writes",
    needs=[Capability.COPY_THREAD],
    presumes=["graph.interrupts"],
)
def copy(s: Session, data: DataObject) -> None:
    """A copied thread resumes like the original thread."""
    _answered_after(s, data, ("copy",))
