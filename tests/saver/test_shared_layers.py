"""Random calls on threads that share layers: lines of checkpoints, their copies and forks.

Each call must give what it gives without layers, and leave a store without garbage.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb.engine import layers
from tests.saver.changes import (
    FILTERS,
    KINDS,
    RUNS,
    changes,
    removals,
    states,
    tasks,
    which,
    writes,
)
from tests.saver.test_model import OnLmdb, Savers

threads = st.sampled_from("aabcdef")
namespaces = st.sampled_from(("", "", "", "call:1", "keeps"))
numbers = st.integers(0, 9)


class Lines(Savers):
    """A machine whose ids ascend in each thread, so that its threads share layers."""

    def _pick(self, thread: str, name: str, number: int) -> str | None:
        """Return the id of a stored checkpoint, the latest one for 0."""
        found = self.model.namespace(thread, name)
        ids = sorted(found.checkpoints, reverse=True) if found else []
        return ids[number % len(ids)] if ids else None

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        steps=st.lists(states, min_size=1, max_size=4),
        run=st.sampled_from(RUNS),
    )
    def run(self, w: int, thread: str, name: str, steps: list[Any], run: Any) -> None:  # type: ignore[override]
        super().run(w, thread, name, steps, run, False)

    @rule(w=which, thread=threads, name=namespaces, number=numbers, state=states)
    def put(self, w: int, thread: str, name: str, number: int, state: Any) -> None:  # type: ignore[override]
        """Replace a checkpoint, or begin a branch at it."""
        parent = self._pick(thread, name, number)
        if parent is None:
            return
        place = (thread, name, f"{next(self.counter):08}")
        if number > 4:
            place = (thread, name, parent)
            parent = self.model.threads[thread][name].checkpoints[parent].parent
        self._put(self.savers[w], place, parent, state, None, 1 - w)

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        source=numbers,
        number=numbers,
        state=st.just({}) | states,
    )
    def put_copy(  # type: ignore[override]
        self, w: int, thread: str, name: str, source: int, number: int, state: Any
    ) -> None:
        """Put a checkpoint again after the latest, with changes under equal versions."""
        found, parent = self._pick(thread, name, source), self._pick(thread, name, 0)
        if found is not None:
            new = f"{next(self.counter):08}"
            super().put_copy(w, thread, name, found, new, parent, state)

    @rule(
        w=which,
        thread=threads,
        name=namespaces,
        number=numbers,
        task=tasks,
        writes=writes,
        odd=st.booleans(),
    )
    def write(  # type: ignore[override]
        self, w: int, thread: str, name: str, number: Any, task: Any, writes: Any, odd: bool
    ) -> None:
        if isinstance(number, int):
            number = self._pick(thread, name, number)
            if number is None:
                return
        super().write(w, thread, name, number, task, writes, odd)

    @rule(w=which, thread=threads, name=namespaces, task=tasks, writes=writes, put=st.booleans())
    def write_early(
        self, w: int, thread: str, name: str, task: Any, writes: Any, put: bool
    ) -> None:
        """Put writes of a checkpoint that is stored later, or never."""
        parent, new = self._pick(thread, name, 0), f"{next(self.counter):08}"
        super().write(w, thread, name, new, task, writes, False)
        if put:
            state = {"text": ("append", 1)}
            self._put(self.savers[w], (thread, name, new), parent, state, None, w)

    @rule(w=which, source=threads, number=numbers, forked=threads)
    def fork(self, w: int, source: str, number: int, forked: str) -> None:  # type: ignore[override]
        super().fork(w, source, self._pick(source, "", number), forked)

    @rule(w=which, source=threads, copied=threads)
    def copy(self, w: int, source: str, copied: str) -> None:
        super().copy(w, source, copied)

    @rule(w=which, how=removals, thread=threads, keep=st.integers(1, 4))
    def remove(self, w: int, how: str, thread: str, keep: int) -> None:
        super().remove(w, how, thread, keep)

    @rule(w=which, thread=threads, channel=st.sampled_from(KINDS), how=removals, change=changes)
    def overtaken(self, w: int, thread: str, channel: str, how: str, change: Any) -> None:
        """Put a child of a checkpoint while the other saver forks its thread and removes it."""
        self.run(w, thread, "", [{channel: ("append", 0)}], None)
        if not self.model.has_checkpoints("z"):
            super().fork(1 - w, thread, None, "z")
        self.remove(1 - w, how, thread, 1)
        self.run(w, thread, "", [{channel: change}], None)

    @rule(w=which, thread=threads, name=namespaces, number=numbers)
    def lines(self, w: int, thread: str, name: str, number: int) -> None:  # type: ignore[override]
        super().lines(w, thread, name, self._pick(thread, name, number))

    @rule(
        w=which,
        thread=threads | st.none(),
        name=st.none() | namespaces,
        before=st.none() | numbers,
        limit=st.none() | st.integers(0, 3),
        where=st.sampled_from([*FILTERS, {"run_id": "7"}, {"none": None}]),
        spoil=st.booleans(),
    )
    def read(
        self, w: int, thread: Any, name: Any, before: Any, limit: Any, where: Any, spoil: bool
    ) -> None:
        if before is not None:
            before = self._pick(thread or "a", name or "", before)
        super().read(w, thread, name, before, limit, where, spoil)

    @rule(w=which, thread=threads, name=namespaces, number=numbers)
    def get(self, w: int, thread: str, name: str, number: int) -> None:  # type: ignore[override]
        super().get(w, thread, name, self._pick(thread, name, number))

    @invariant()
    def holds(self) -> None:
        super().holds()
        if self.savers and self.turn % 3 == 0:
            report = self.savers[0].verify()
            assert report.ok, report.problems


class LinesOnLmdb(Lines, OnLmdb):
    """A machine on LMDB, where the store can be closed and opened again."""


@pytest.mark.parametrize("machine", [Lines, LinesOnLmdb])
def test_threads_with_layers_equal_their_model(machine: type[Lines]) -> None:
    examples = settings().max_examples
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40)
    )


def test_threads_with_few_layers_equal_their_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "MAX_LAYERS", 2)
    run_state_machine_as_test(Lines, settings=settings(stateful_step_count=40))
