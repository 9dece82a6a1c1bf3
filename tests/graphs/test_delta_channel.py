"""DeltaChannel: state is rebuilt from ancestors, also after prune, run deletion and copy."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Overwrite, Send, interrupt

from tests.graphs.driving import Drive, Driver, at_thread, facts, story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langgraph.checkpoint.lmdb import LmdbSaver

FREQUENCIES = [1, 2, 3, 7, 100]


def extend(state: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*state, *(one for write in writes for one in write)]


def merge(state: dict[str, int], writes: Sequence[dict[str, int]]) -> dict[str, int]:
    merged = dict(state)
    for write in writes:
        merged.update(write)
    return merged


def delta(frequency: int, *, asks: bool = False) -> Callable[[], Callable[[Any], Any]]:
    """Return a builder of a graph with two delta channels. Parallel tools append to a log."""

    log = DeltaChannel(extend, snapshot_frequency=frequency)
    files = DeltaChannel(merge, snapshot_frequency=frequency + 1)
    schema = {"log": Annotated[list[str], log], "files": Annotated[dict[str, int], files]}
    state_type = TypedDict("State", {**schema, "turns": int})  # type: ignore[misc]

    def plan(state: dict[str, Any]) -> dict[str, Any]:
        turn = state.get("turns", 0) + 1
        return {"log": [f"plan {turn}"], "files": {f"file {turn % 3}": turn}, "turns": turn}

    def tool(call: dict[str, Any]) -> dict[str, Any]:
        answer = interrupt(call["name"]) if asks else "found"
        return {"log": [f"{call['name']} {answer}", f"{call['name']} again"]}

    def note(state: dict[str, Any]) -> dict[str, Any]:
        if len(state["log"]) > 40:
            return {"log": Overwrite([f"shortened {len(state['log'])}"])}
        return {"log": [f"{len(state['log'])} entries"]}

    builder = StateGraph(state_type)
    builder.add_node("plan", plan)
    builder.add_node("tool", tool)
    builder.add_node("note", note)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("tool", {"name": f"{n}.{state['turns']}"}) for n in "zya"]
    )
    builder.add_edge("tool", "note")
    return lambda: lambda saver: builder.compile(checkpointer=saver)


def turn(driver: Driver, number: int, thread: str = "t") -> Any:
    """Run one turn of the conversation with its own run id."""
    run = {**at_thread(thread), "metadata": {"run_id": f"run {number}"}}
    return driver.invoke({"log": [f"asked {number}"]}, run)


def keep_latest(saver: Any, number: int) -> None:
    saver.prune(["t"], strategy="keep_latest")


def keep_two(saver: Any, number: int) -> None:
    saver.prune(["t"], keep_last=2)


def keep_five(saver: Any, number: int) -> None:
    saver.prune(["t"], keep_last=5)


def delete_previous_run(saver: Any, number: int) -> None:
    saver.delete_for_runs([f"run {number - 1}"])


def delete_first_runs(saver: Any, number: int) -> None:
    saver.delete_for_runs([f"run {earlier}" for earlier in range(number)])


def move(saver: Any, number: int) -> None:
    saver.copy_thread("t", "elsewhere")
    saver.delete_thread("t")
    saver.copy_thread("elsewhere", "t")
    saver.delete_thread("elsewhere")


HOUSEKEEPING = [keep_latest, keep_two, keep_five, delete_previous_run, delete_first_runs, move]


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_states_and_histories_equal_inmemorysaver(drive: Drive, frequency: int) -> None:
    """The conversation has several turns, with several snapshot frequencies."""

    def scenario(driver: Driver) -> Any:
        results = [turn(driver, number) for number in range(6)]
        return [results, story(driver)]

    results, history = drive.same(delta(frequency), scenario)
    assert len(results[-1]["log"]) > 5
    assert history[0]["values"] == results[-1]


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("keep_house", HOUSEKEEPING)
def test_maintenance_changes_no_state(
    drive: Drive, frequency: int, keep_house: Callable[[Any, int], None]
) -> None:
    """The states of the latest checkpoint and of all kept checkpoints are compared."""
    with drive.on_lmdb(delta(frequency)()) as driver:
        for number in range(6):
            assert turn(driver, number) == untouched(frequency)[number]
            states = {id_of(one): facts(one) for one in driver.history()}
            latest = facts(driver.state())
            with driver.saver() as saver:
                keep_house(saver, number)
            assert facts(driver.state()) == latest
            kept = {id_of(one): facts(one) for one in driver.history()}
            assert kept == {cid: states[cid] for cid in kept}
            assert kept.keys() <= states.keys()
        assert driver.state().values == untouched(frequency)[-1]


@cache
def untouched(frequency: int) -> list[Any]:
    """Return the state after each of six turns on `InMemorySaver`."""
    driver = Driver(delta(frequency)(), InMemorySaver())
    return [turn(driver, number) for number in range(6)]


def id_of(snapshot: Any) -> str:
    cid: str = snapshot.config["configurable"]["checkpoint_id"]
    return cid


@pytest.mark.parametrize("keep_house", HOUSEKEEPING)
@pytest.mark.parametrize("frequency", [2, 100])
def test_maintenance_does_not_affect_an_interrupted_run(
    drive: Drive, frequency: int, keep_house: Callable[[Any, int], None]
) -> None:
    def scenario(driver: Driver, keep_house: Callable[[Any, int], None]) -> Any:
        for number in range(3):
            turn(driver, number)
            for name in "ya":
                (asked,) = (i for i in driver.state().interrupts if i.value.startswith(name))
                driver.invoke(Command(resume={asked.id: "half way"}))
                with driver.saver() as saver:
                    keep_house(saver, number)
            driver.invoke(Command(resume="at last"))
        return driver.state().values

    build = delta(frequency, asks=True)
    with drive.on_lmdb(build()) as driver:
        result = scenario(driver, keep_house)
    assert result == scenario(Driver(build(), InMemorySaver()), lambda *_: None)


def test_fork_of_a_pruned_thread_is_rebuilt_from_its_own_path(drive: Drive) -> None:
    build = delta(100)
    with drive.on_lmdb(build()) as driver:
        for number in range(3):
            turn(driver, number)
        with driver.saver() as saver:
            saver.prune(["t"], keep_last=4)
        earlier = driver.history()[2]
        fork = driver.update({"log": ["fork"]}, earlier.config, as_node="note")
        assert driver.state(fork).values["log"] == [*earlier.values["log"], "fork"]
        tip = driver.history()[1]
        assert tip.values["log"][: len(earlier.values["log"])] == earlier.values["log"]
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest")
        assert driver.state().values["log"] == [*earlier.values["log"], "fork"]


@given(
    st.integers(1, 6),
    st.lists(
        st.sampled_from(HOUSEKEEPING).map(lambda one: [one]) | st.just([]), min_size=1, max_size=7
    ),
)
def test_random_maintenance_changes_no_state(
    open_saver: Callable[..., LmdbSaver], frequency: int, plan: list[list[Any]]
) -> None:
    """The state after each turn equals the state of a thread without maintenance."""
    saver = open_saver()
    saver.delete_thread("t")
    driver = Driver(delta(frequency)(), saver)
    other = Driver(delta(frequency)(), InMemorySaver())
    for number, steps in enumerate(plan):
        assert turn(driver, number) == turn(other, number)
        for keep_house in steps:
            keep_house(saver, number)
        assert driver.state().values == other.state().values


def test_pruned_delta_thread_has_the_kept_checkpoints_only(drive: Drive) -> None:
    with drive.on_lmdb(delta(100)()) as driver:
        for number in range(4):
            turn(driver, number)
        with driver.saver() as saver:
            saver.prune(["t"], strategy="keep_latest")
            assert len([*saver.list(None)]) == 1
            saver.delete_thread("t")
            assert [*saver.list(None)] == []
