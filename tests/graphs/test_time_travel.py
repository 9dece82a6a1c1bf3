"""History, forks, replays, and imported threads."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels import EphemeralValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.raw import entries
from tests.graphs.driving import Drive, Driver, at_thread, facts, story

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    latest: str


def three_steps() -> Callable[[Any], Any]:
    def step(name: str) -> Callable[[State], dict[str, Any]]:
        return lambda state: {"log": [f"{name} after {len(state['log'])}"], "latest": name}

    builder = StateGraph(State)
    for name, before in [("a", START), ("b", "a"), ("c", "b")]:
        builder.add_node(name, step(name))
        builder.add_edge(before, name)
    return lambda saver: builder.compile(checkpointer=saver)


def test_history_is_newest_first_with_parents(drive: Drive) -> None:
    def scenario(driver: Driver) -> Any:
        for turn in ("one", "two"):
            driver.invoke({"log": [turn]})
        snapshots = driver.history()
        parents = [one.parent_config and one.parent_config["configurable"] for one in snapshots]
        configs = [one.config["configurable"] for one in snapshots]
        assert [parent and parent["checkpoint_id"] for parent in parents] == [
            *(at["checkpoint_id"] for at in configs[1:]),
            None,
        ]
        return story(driver)

    assert [one["step"] for one in drive.same(three_steps, scenario)] == [*range(8, -2, -1)]


def test_replay_and_fork_keep_the_old_branch(drive: Drive) -> None:
    """The run continues from an earlier checkpoint, unchanged and changed."""

    def scenario(driver: Driver) -> Any:
        driver.invoke({"log": ["begin"], "latest": ""})
        tip = driver.state()
        before_b = next(one for one in driver.history() if one.next == ("b",))
        replayed = driver.invoke(None, before_b.config)
        fork = driver.update({"log": ["changed"]}, before_b.config)
        forked = driver.invoke(None, fork)
        as_c = driver.update({"latest": "said so"}, before_b.config, as_node="c")
        assert driver.state(tip.config).values == tip.values
        return [replayed, forked, facts(driver.state(as_c)), facts(driver.state()), story(driver)]

    replayed, forked, as_c, latest, history = drive.same(three_steps, scenario)
    assert replayed["log"] == ["begin", "a after 1", "b after 2", "c after 3"]
    assert forked["log"] == ["begin", "a after 1", "changed", "b after 3", "c after 4"]
    assert as_c == latest
    assert as_c["next"] == ()
    assert len(history) == 5 + 3 + 3 + 1


def test_thread_can_begin_with_an_update(drive: Drive) -> None:
    def scenario(driver: Driver) -> Any:
        driver.update({"log": ["given"]}, as_node="a")
        return [facts(driver.state()), driver.invoke(None), story(driver)]

    first, result, _ = drive.same(three_steps, scenario)
    assert first["next"] == ("b",)
    assert result["log"] == ["given", "b after 1", "c after 2"]


def test_deleting_the_run_of_a_branch_keeps_the_other_branch(drive: Drive) -> None:
    """The branches share values."""
    with drive.on_lmdb(three_steps()) as driver:
        driver.invoke(
            {"log": ["begin"], "latest": ""}, {**at_thread(), "metadata": {"run_id": "1"}}
        )
        before_b = next(one for one in driver.history() if one.next == ("b",))
        old = driver.state()
        with driver.saver() as saver:
            fork = driver.update({"log": ["changed"]}, before_b.config)
            driver.invoke(None, {**fork, "metadata": {"run_id": "2"}})
            tip = driver.state()
            saver.delete_for_runs(["1"])
            assert facts(driver.state(tip.config)) == facts(tip)
            assert driver.state(old.config).values == {}
            saver.delete_for_runs(["2"])
        assert driver.invoke({"log": ["again"]})["latest"] == "c"


def chat() -> Callable[[Any], Any]:
    builder = StateGraph(MessagesState)
    builder.add_node(
        "answer",
        lambda state: {
            "messages": [AIMessage(f"{len(state['messages'])}", id=f"ai-{len(state['messages'])}")]
        },
    )
    builder.add_edge(START, "answer")
    return lambda saver: builder.compile(checkpointer=saver)


def test_thread_copied_from_inmemorysaver_can_be_continued(drive: Drive) -> None:
    """The checkpoints have text versions."""
    peer = InMemorySaver()
    elsewhere = Driver(chat(), peer)
    for turn in range(3):
        elsewhere.invoke({"messages": [HumanMessage(f"turn {turn}", id=f"human-{turn}")]})
    with drive.on_lmdb(chat()) as driver:
        with driver.saver() as saver:
            for one in reversed([*peer.list(at_thread())]):
                parent = one.parent_config or at_thread(checkpoint_ns="")
                versions = one.checkpoint["channel_versions"]
                saver.put(parent, one.checkpoint, one.metadata, versions)
                for number, (task, channel, value) in enumerate(one.pending_writes or []):
                    saver.put_writes(one.config, [(channel, value)], f"{task} {number}")
        assert driver.state().values == elsewhere.state().values
        asked = {"messages": [HumanMessage("turn 3", id="human-3")]}
        assert driver.invoke(asked) == elsewhere.invoke(asked)
        with driver.saver() as saver:
            versions = saver.get(at_thread())["channel_versions"]
        assert {type(version) for version in versions.values()} == {str}
        counts = [len(one.values.get("messages", [])) for one in driver.history()]
        assert counts == [len(one.values.get("messages", [])) for one in elsewhere.history()]


@pytest.mark.parametrize("turns", [1, 4])
def test_copied_thread_is_independent(drive: Drive, turns: int) -> None:
    """The copy has the whole history."""
    with drive.on_lmdb(chat()) as driver:
        for turn in range(turns):
            driver.invoke({"messages": [HumanMessage(f"turn {turn}", id=f"human-{turn}")]})
        with driver.saver() as saver:
            saver.copy_thread("t", "copy")
        original = story(driver)
        assert story(driver, at_thread("copy")) == original
        driver.invoke({"messages": [HumanMessage("more", id="more")]}, at_thread("copy"))
        assert story(driver) == original
        copied = story(driver, at_thread("copy"))
        with driver.saver() as saver:
            saver.delete_thread("t")
        assert story(driver, at_thread("copy")) == copied


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_states_in_every_durability_mode(drive: Drive, durability: str) -> None:
    """States and histories equal those on InMemorySaver in all three modes."""

    def scenario(driver: Driver) -> Any:
        results = [driver.invoke({"log": [f"turn {turn}"]}) for turn in range(3)]
        return [results, story(driver)]

    results, history = drive.same(three_steps, scenario, durability=durability)
    assert len(results[2]["log"]) == 12
    assert len(history) == (3 if durability == "exit" else 15)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_failed_run_in_every_durability_mode(drive: Drive, durability: str) -> None:
    """The state after the failure and after the next run equals the state on InMemorySaver."""

    def build() -> Callable[[Any], Any]:
        failures = iter([ConnectionError("not now")])

        def fail_once(_: State) -> dict[str, Any]:
            for failure in failures:
                raise failure
            return {"log": ["worked"]}

        builder = StateGraph(State)
        builder.add_node("a", lambda _: {"log": ["a"]})
        builder.add_node("b", fail_once)
        builder.add_edge(START, "a")
        builder.add_edge("a", "b")
        return lambda saver: builder.compile(checkpointer=saver)

    def scenario(driver: Driver) -> Any:
        with pytest.raises(ConnectionError):
            driver.invoke({"log": ["begin"], "latest": ""})
        failed = facts(driver.state())
        return [failed, driver.invoke(None), story(driver)]

    failed, result, _ = drive.same(build, scenario, durability=durability)
    assert failed["next"] == ("b",)
    assert result["log"] == ["begin", "a", "worked"]


def test_every_checkpoint_of_a_long_thread_keeps_its_state(path: Path) -> None:
    with LmdbSaver(path, sync="off") as saver:
        driver = Driver(chat(), saver)
        for turn in range(60):
            driver.invoke({"messages": [HumanMessage(f"turn {turn}", id=f"human-{turn}")]})
        reference = driver.state().values["messages"]
        assert len(reference) == 120
        for snapshot in driver.history():
            messages = snapshot.values.get("messages", [])
            assert messages == reference[: len(messages)]


def test_size_of_a_thread_pruned_at_every_turn_is_bounded(path: Path) -> None:
    """The thread has channels of every kind, except DeltaChannel."""
    schema = {"note": Annotated[str, EphemeralValue(str)], "turn": int, "answer": str}
    builder = StateGraph(TypedDict("State", schema))  # type: ignore[misc]
    builder.add_node("a", lambda state: {"note": f"note of turn {state['turn']:03}" * 20})
    builder.add_node(
        "b", lambda state: {"answer": f"{interrupt(state['note'])} in {state['turn']}"}
    )
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")

    def turns(numbers: range) -> int:
        with LmdbSaver(path, sync="off") as saver:
            driver = Driver(lambda saver: builder.compile(checkpointer=saver), saver)
            for number in numbers:
                driver.invoke({"turn": number})
                driver.invoke(Command(resume=f"answer {number:03}" * 50))
                saver.prune(["t"], strategy="keep_latest")
        return sum(len(key) + len(value) for (_, key), value in entries(path).items())

    few = turns(range(4))
    assert turns(range(4, 60)) < 1.2 * few
