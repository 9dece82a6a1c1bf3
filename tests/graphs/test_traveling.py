"""Random journeys: each checkpoint equals the checkpoint of LangGraph's own saver."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from langchain_core.messages import HumanMessage
from langgraph.graph import END
from langgraph.types import Command

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.engine import reachability
from tests.graphs.driving import at_thread
from tests.graphs.traveling import NODES, HandedOver, Journeys, build, contents, outcome, state
from tests.saver.same import same
from tests.saver.values import words

which = st.integers(0, 1)
picks = st.integers(0, 1 << 30)
durabilities = st.sampled_from(["sync", "async", "exit"])


class Traveling(RuleBasedStateMachine):
    """A machine that uses two savers of one store in turn, beside LangGraph's own saver."""

    options: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.kv = MemoryStore()
        self.journeys = Journeys()
        self.peer = HandedOver()
        self.made = 0
        self.pruned = False
        self.seen: set[tuple[str, str]] = set()

    @initialize(memory=st.booleans())
    def start(self, memory: bool) -> None:
        self.build = build(memory)
        self.reopen()
        self.invoke(0, "sync")

    @rule()
    def reopen(self) -> None:
        """Clear the caches."""
        self.savers = [KvSaver(self.kv, **self.options) for _ in range(2)]

    def update(self) -> dict[str, Any]:
        """Return an update that differs from all others."""
        self.made += 1
        number = self.made
        return {
            "log": [f"given {number}"],
            "latest": f"given {number}"[: number % 9 + 4],
            "messages": [HumanMessage(words(number, 30), id=f"m{number % 5}")],
            "files": {f"given {number % 2}": words(number, 50)},
            "notes": [f"given {number}"],
        }

    def places(self, inside: bool = False) -> list[Any]:
        """Return the stored checkpoints of the graph, or of its inner graphs."""
        found = [one.config for one in self.savers[0].list(at_thread())]
        return sorted(
            (one for one in found if bool(one["configurable"]["checkpoint_ns"]) == inside),
            key=lambda one: [*one["configurable"].values()],
        )

    def place(self, pick: int, inside: bool = False) -> Any:
        """Draw a checkpoint, preferably a late one."""
        found = self.places(inside)
        return found[-1 - (pick % len(found)) % (pick % 7 + 1)]

    def is_whole(self, place: Any) -> bool:
        """Return True if the parent is stored: a copy has the same parent and so the same history.

        The writes for `notes` are compacted into a checkpoint that lost its parent. A copy does not
        name its original.
        """
        mine, other = self.savers[0].get_tuple(place), self.peer.get_tuple(place)
        return bool(mine and mine.parent_config) == bool(other.parent_config)

    def travel(self, w: int, act: Any) -> None:
        """Make the same journey on both savers."""
        began = self.journeys.number
        found = []
        for saver in (self.savers[w], self.peer):
            self.journeys.number = began
            with self.journeys.begin():
                found.append(outcome(partial(act, self.build(saver))))
        assert same(*found) or found[0] == found[1], found

    def run(self, w: int, place: Any, given: Any, durability: str) -> None:
        """Invoke the graph. A node may change its input in place."""
        self.travel(w, lambda g: g.invoke(deepcopy(given), place, durability=durability))

    def set(self, w: int, place: Any, given: Any, node: str | None) -> None:
        """Update the state."""
        self.travel(w, lambda g: g.update_state(place, deepcopy(given), as_node=node))

    @rule(w=which, durability=durabilities)
    def invoke(self, w: int, durability: str) -> None:
        """Run a turn on the latest checkpoint."""
        self.run(w, at_thread(), self.update(), durability)

    @rule(w=which, pick=picks, durability=durabilities)
    def replay(self, w: int, pick: int, durability: str) -> None:
        self.run(w, self.place(pick), None, durability)

    @rule(w=which, pick=picks, durability=durabilities, resume=st.booleans())
    def branch(self, w: int, pick: int, durability: str, resume: bool) -> None:
        """Run a new input at an old checkpoint, or an answer."""
        given = Command(resume=f"answer {self.made}") if resume else self.update()
        self.run(w, self.place(pick), given, durability)

    @rule(w=which, pick=picks, node=st.sampled_from([*NODES, None, END, "__input__"]))
    def edit(self, w: int, pick: int, node: str | None) -> None:
        self.set(w, self.place(pick), None if node == END else self.update(), node)

    @rule(w=which, pick=picks, run=st.booleans())
    def copy(self, w: int, pick: int, run: bool) -> None:
        """Replay from a checkpoint."""
        place = self.place(pick)
        if self.is_whole(place):
            began = self.journeys.number
            self.set(w, place, None, "__copy__")
            if run and self.journeys.number > began:
                copied = at_thread(checkpoint_ns="", checkpoint_id=self.journeys.latest())
                self.run(w, copied, None, "sync")

    @rule(w=which, pick=picks, nodes=st.lists(st.sampled_from(NODES), min_size=1, max_size=2))
    def copy_with_edits(self, w: int, pick: int, nodes: list[str]) -> None:
        place = self.place(pick)
        if self.is_whole(place):
            edits = [(self.update(), node) for node in nodes]
            for given, _ in edits[1:]:
                del given["latest"]  # which accepts one value per step
            self.set(w, place, edits, "__copy__")

    @precondition(lambda self: self.places(inside=True))
    @rule(w=which, pick=picks, node=st.sampled_from(["first", "second", "__copy__", None]))
    def edit_inside(self, w: int, pick: int, node: str | None) -> None:
        """Update an inner graph at any of its checkpoints."""
        place = self.place(pick, inside=True)
        given = {"log": [f"inside {self.made}"], "latest": "edited"}
        if node != "__copy__":
            self.set(w, place, given, node)
        elif self.is_whole(place):
            self.set(w, place, None, node)

    @precondition(lambda self: len(self.places()) > 12)
    @rule(w=which, keep=st.integers(1, 6))
    def prune(self, w: int, keep: int) -> None:
        """Prune on LmdbSaver only: the remaining checkpoints must not change."""
        self.savers[w].prune(["t"], keep_last=keep)

    @invariant()
    def compare(self) -> None:
        """Compare each checkpoint, and its state in the graph, with LangGraph's own saver."""
        peer = {_place(one): one for one in self.peer.list(at_thread())}
        graphs = [self.build(saver) for saver in (self.savers[0], self.peer)]
        for saver in self.savers:
            for found in saver.list(at_thread()):
                place = _place(found)
                mine, other = contents(found), contents(peer[place])
                assert mine.keys() == other.keys()
                for part, content in mine.items():
                    assert same(content, other[part]), (place, part, content, other[part])
                if place not in self.seen and place[0] == "":
                    self.seen.add(place)
                    states = [outcome(partial(state, graph, found.config)) for graph in graphs]
                    assert same(*states) or states[0] == states[1]
        reachability.check(self.kv)


class Forgetful(Traveling):
    """A machine like Traveling, on savers without caches."""

    options: ClassVar[dict[str, Any]] = {"cache_size": 0}


def _place(found: Any) -> tuple[str, str]:
    at = found.config["configurable"]
    return at["checkpoint_ns"], at["checkpoint_id"]


@pytest.mark.parametrize("machine", [Traveling, Forgetful])
def test_every_checkpoint_of_a_journey(machine: type[Traveling]) -> None:
    examples = max(1, settings().max_examples // 4)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=10)
    )
