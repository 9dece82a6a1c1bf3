"""Drivers that run a graph in several ways, and compare each run with InMemorySaver."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.memory import InMemorySaver

from langgraph.checkpoint.lmdb import LmdbSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import StateSnapshot

    Scenario = Callable[["Driver"], Any]


def at_thread(thread: str = "t", **keys: Any) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, **keys}}


class Driver:
    """A driver of a graph on a saver. `build(saver)` compiles the graph."""

    def __init__(
        self, build: Callable[[Any], Any], saver: BaseCheckpointSaver[Any], **options: Any
    ) -> None:
        self._build = build
        self._saver = saver
        self._options = options

    @contextmanager
    def saver(self) -> Iterator[Any]:
        yield self._saver

    @contextmanager
    def graph(self) -> Iterator[Any]:
        yield self._graph

    @cached_property
    def _graph(self) -> Any:
        return self._build(self._saver)

    def invoke(self, given: Any, at: RunnableConfig | None = None, **options: Any) -> Any:
        with self.graph() as graph:
            return self._invoke(graph, given, at or at_thread(), {**self._options, **options})

    def state(self, at: RunnableConfig | None = None, **options: Any) -> StateSnapshot:
        with self.graph() as graph:
            return self._state(graph, at or at_thread(), options)

    def history(self, at: RunnableConfig | None = None) -> list[StateSnapshot]:
        with self.graph() as graph:
            return self._history(graph, at or at_thread())

    def update(self, values: Any, at: RunnableConfig | None = None, **options: Any) -> Any:
        with self.graph() as graph:
            return self._update(graph, at or at_thread(), values, options)

    def _invoke(self, graph: Any, given: Any, at: Any, options: Any) -> Any:
        return graph.invoke(given, at, **options)

    def _state(self, graph: Any, at: Any, options: Any) -> Any:
        return graph.get_state(at, **options)

    def _history(self, graph: Any, at: Any) -> Any:
        return [*graph.get_state_history(at)]

    def _update(self, graph: Any, at: Any, values: Any, options: Any) -> Any:
        return graph.update_state(at, values, **options)


class AsyncDriver(Driver):
    """A driver that calls the async methods, each in a new event loop."""

    def _invoke(self, graph: Any, given: Any, at: Any, options: Any) -> Any:
        return asyncio.run(graph.ainvoke(given, at, **options))

    def _state(self, graph: Any, at: Any, options: Any) -> Any:
        return asyncio.run(graph.aget_state(at, **options))

    def _history(self, graph: Any, at: Any) -> Any:
        async def collect() -> list[Any]:
            return [one async for one in graph.aget_state_history(at)]

        return asyncio.run(collect())

    def _update(self, graph: Any, at: Any, values: Any, options: Any) -> Any:
        return asyncio.run(graph.aupdate_state(at, values, **options))


class ReopeningDriver(Driver):
    """A driver that opens a new saver for each call, as after a restart."""

    def __init__(self, build: Callable[[Any], Any], path: Path, **options: Any) -> None:
        self._build = build
        self._path = path
        self._options = options

    @contextmanager
    def saver(self) -> Iterator[Any]:
        with LmdbSaver(self._path) as saver:
            yield saver

    @contextmanager
    def graph(self) -> Iterator[Any]:
        with self.saver() as saver:
            yield self._build(saver)


class Drive:
    """A maker of drivers of one kind, on the test's store."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self._path = path

    @contextmanager
    def on_lmdb(self, build: Callable[[Any], Any], **options: Any) -> Iterator[Driver]:
        """Yield a driver of a graph on `LmdbSaver`."""
        if self.kind == "reopened":
            yield ReopeningDriver(build, self._path, **options)
            return
        with LmdbSaver(self._path, sync="off") as saver:
            yield (AsyncDriver if self.kind == "async" else Driver)(build, saver, **options)

    def same(self, build: Callable[[], Callable[[Any], Any]], scenario: Scenario, **o: Any) -> Any:
        """Run a scenario on LmdbSaver and on InMemorySaver; return the result, which must be equal.

        `build()` returns a new graph for each of the two, so that their nodes share no state.
        """
        with self.on_lmdb(build(), **o) as driver:
            seen = scenario(driver)
        assert seen == scenario(Driver(build(), InMemorySaver(), **o))
        return seen


def facts(snapshot: StateSnapshot) -> dict[str, Any]:
    """Return the content of a snapshot, without ids and times."""
    metadata = snapshot.metadata or {}
    return {
        "values": snapshot.values,
        "next": snapshot.next,
        "source": metadata.get("source"),
        "step": metadata.get("step"),
        "interrupts": [one.value for one in snapshot.interrupts],
        "tasks": [
            (task.name, task.error, task.result, [one.value for one in task.interrupts])
            for task in snapshot.tasks
        ],
    }


def story(driver: Driver, at: RunnableConfig | None = None) -> list[dict[str, Any]]:
    """Return the facts of a thread's history."""
    return [facts(snapshot) for snapshot in driver.history(at)]
