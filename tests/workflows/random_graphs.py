"""Random graphs and random runs of them, with every point at which a process could have died."""

from __future__ import annotations

import operator
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict

from hypothesis import strategies as st
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

from tests.workflows.graphs import at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.pregel import Pregel

    Saver = BaseCheckpointSaver[Any]
    Graph = Pregel[Any, Any, Any, Any]

_MOST_VISITS = 3
"""Visits of a node in one thread, after which its edges back are not taken."""
_MOST_VISITS_IN_ALL = 12
"""Visits of all nodes, after which no routes are taken."""


def _append(state: list[Any], writes: list[Any]) -> list[Any]:
    return [*state, *(item for write in writes for item in write)]


class DeltaState(TypedDict, total=False):
    """A state with a list, and a list that is stored as writes."""

    log: Annotated[list[Any], operator.add]
    delta: Annotated[list[Any], DeltaChannel(_append)]


class Node(NamedTuple):
    """What a node does, one thing after another, when it is visited first."""

    acts: tuple[str, ...]
    """`ask`, `fail` and `call`; `call` asks in a call of a task."""
    place: str
    """`root`, or `sub` for a node of a subgraph."""
    leave: str
    """How it names the nodes that follow: `edge`, `route`, `send` or `goto`."""
    targets: tuple[int, ...]
    retries: bool
    is_deferred: bool


class Plan(NamedTuple):
    """A graph and what is done with it."""

    nodes: tuple[Node, ...]
    starts: tuple[int, ...]
    joins: tuple[tuple[int, int, int], ...]
    static: dict[str, Any]
    durability: str
    actions: tuple[str, ...]
    """What to do while the run is not complete: `go on`, `by id`, `input` or `update`."""
    is_functional: bool


class FailedError(Exception):
    """The error of a node that fails."""


def name(number: int) -> str:
    return f"n{number}"


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a graph and a run of it."""
    size = draw(st.integers(1, 4))
    numbers = range(size)

    def some(least: int, first: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
        pool = [*numbers[first:]]
        if not pool:
            return st.just(())
        return st.lists(st.sampled_from(pool), min_size=least, max_size=3, unique=True).map(tuple)

    nodes = []
    for number in numbers:
        leave = draw(st.sampled_from(("edge", "edge", "route", "send", "goto")))
        first = number + 1 if leave == "edge" else 0  # only what counts visits may lead back
        nodes.append(
            Node(
                draw(st.lists(st.sampled_from(("ask", "fail", "call")), max_size=2).map(tuple)),
                draw(st.sampled_from(("root", "root", "sub"))),
                leave,
                draw(some(0, first)),
                draw(st.booleans()),
                draw(st.integers(0, 4)) == 0,
            )
        )
    pairs = st.tuples(*[st.sampled_from(numbers)] * 3)
    joins = [] if size < 3 else draw(st.lists(pairs, max_size=2, unique=True))
    names = st.one_of(st.just("*"), st.lists(st.sampled_from([*map(name, numbers)]), min_size=1))
    keys = st.sampled_from(("interrupt_before", "interrupt_after"))
    return Plan(
        tuple(nodes),
        draw(some(1)),
        tuple((a, b, c) for a, b, c in joins if a < b < c),
        draw(st.one_of(st.just({}), st.dictionaries(keys, names, max_size=1))),
        draw(st.sampled_from(("sync", "async", "exit"))),
        draw(
            st.lists(
                st.sampled_from(("go on", "go on", "by id", "input", "update")),
                min_size=2,
                max_size=7,
            ).map(tuple)
        ),
        draw(st.integers(0, 5)) == 0,
    )


class World:
    """The graph of a plan, with what its nodes have done so far outside of any checkpoint."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._failed: set[tuple[int, int]] = set()
        self._visits = [0] * len(plan.nodes)

    def build(self, saver: Saver) -> Graph:
        if self._plan.is_functional:
            return self._entrypoint(saver)
        builder = StateGraph(DeltaState)
        for number, node in enumerate(self._plan.nodes):
            act: Any = self._node(number, node)
            if node.place == "sub":
                inner = StateGraph(DeltaState).add_node("inner", act).add_edge(START, "inner")
                act = inner.compile()
            options: dict[str, Any] = {}
            if node.retries:
                retry = RetryPolicy(initial_interval=0, jitter=False, max_attempts=2)
                options["retry_policy"] = retry
            builder.add_node(name(number), act, defer=node.is_deferred, **options)
            self._add_edges(builder, number, node)
        for number in self._plan.starts:
            builder.add_edge(START, name(number))
        for one, other, end in self._plan.joins:
            builder.add_edge([name(one), name(other)], name(end))
        return builder.compile(checkpointer=saver, **self._plan.static)

    def _entrypoint(self, saver: Saver) -> Graph:
        @task
        def work(number: int) -> list[Any]:
            return self._act(number, self._plan.nodes[number])

        @entrypoint(checkpointer=saver)
        def flow(_: Any) -> list[Any]:
            futures = [work(number) for number in range(len(self._plan.nodes))]
            return [item for future in futures for item in future.result()]

        return flow

    def _node(self, number: int, node: Node) -> Callable[[Any], Any]:
        def run(_: Any) -> Any:
            update = {"log": self._act(number, node), "delta": [number]}
            self._visits[number] += 1
            if node.leave == "goto" and node.place == "root":
                return Command(update=update, goto=self._targets(number, node))
            return update

        return run

    def _act(self, number: int, node: Node) -> list[Any]:
        if self._visits[number]:
            return [number]
        done: list[Any] = [number]
        for index, act in enumerate(node.acts):
            if act == "ask":
                done.append(interrupt(f"{number}.{index}"))
            elif act == "call":
                done.append(_ask(f"{number}.{index}").result())
            elif (number, index) not in self._failed:
                self._failed.add((number, index))
                raise FailedError
        return done

    def _add_edges(self, builder: StateGraph[Any], number: int, node: Node) -> None:
        if node.leave == "edge":
            for target in node.targets:
                builder.add_edge(name(number), name(target))
        elif node.leave == "send":
            builder.add_conditional_edges(
                name(number),
                lambda _: [Send(target, {"log": []}) for target in self._targets(number, node)],
            )
        elif node.leave == "route" or node.place == "sub":
            builder.add_conditional_edges(name(number), lambda _: self._targets(number, node))

    def _targets(self, number: int, node: Node) -> list[str]:
        if sum(self._visits) > _MOST_VISITS_IN_ALL:  # each Send may lead to more of them
            return []
        return [
            name(target)
            for target in node.targets
            if target > number or self._visits[target] < _MOST_VISITS
        ]


@task
def _ask(question: str) -> Any:
    return interrupt(question)


def run(plan: Plan, graph: Graph) -> Iterator[None]:
    """Run a graph as planned; stop after each action."""
    given: Any = "go" if plan.is_functional else {"log": []}
    options: Any = {"durability": plan.durability}
    next_input: Any = given
    for action in plan.actions:
        with suppress(FailedError, RuntimeError):
            graph.invoke(next_input, {**at(), "recursion_limit": 12}, **options)
        yield
        state = graph.get_state(at())
        if action == "input" or not state.next:
            next_input = given
        elif action == "update" and not plan.is_functional:
            graph.update_state(at(), {"log": ["update"]}, as_node=name(plan.starts[0]))
            yield
            next_input = None
        elif state.interrupts and (action == "by id" or len(state.interrupts) > 1):
            next_input = Command(resume={each.id: f"id {each.value}" for each in state.interrupts})
        elif state.interrupts:
            next_input = Command(resume=f"answer to {state.interrupts[0].value}")
        else:
            next_input = None


class Recorder:
    """Records what a saver stores of the root graph, in the order in which it stores it."""

    def __init__(self, saver: Saver) -> None:
        self._lock = threading.Lock()
        self._serde = saver.serde
        self._events: list[tuple[str, bytes]] = []
        put, put_writes = saver.put, saver.put_writes

        def record_put(config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
            self._add(config, "put", (checkpoint, metadata, versions))
            return put(config, checkpoint, metadata, versions)

        def record_writes(config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            self._add(config, "put_writes", ([*writes], task_id, task_path))
            put_writes(config, writes, task_id, task_path)

        saver.put = record_put  # type: ignore[method-assign]
        saver.put_writes = record_writes  # type: ignore[method-assign]

    def _add(self, config: Any, method: str, arguments: tuple[Any, ...]) -> None:
        given = config["configurable"]
        if given.get("checkpoint_ns"):
            return
        keys = ("thread_id", "checkpoint_ns", "checkpoint_id")
        reduced = {"configurable": {key: given[key] for key in keys if key in given}}
        with self._lock:
            self._events.append((method, self._serde.dumps_typed((reduced, *arguments))[1]))

    def replay(self, saver: Saver) -> Iterator[None]:
        """Store in another saver what was recorded; stop after each call."""
        for method, data in self._events:
            config, *arguments = self._serde.loads_typed(("msgpack", data))
            config["configurable"].setdefault("checkpoint_ns", "")
            if method == "put_writes":
                arguments[0] = [tuple(write) for write in arguments[0]]
            getattr(saver, method)(config, *arguments)
            yield
