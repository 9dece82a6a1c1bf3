"""The functional API: results of tasks are kept, and entrypoints have a previous value."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.types import Command, interrupt

from tests.graphs.driving import Drive, Driver, facts, story

if TYPE_CHECKING:
    from collections.abc import Callable


def essay(ran: Counter[str]) -> Callable[[Any], Any]:
    """Return an entrypoint that runs three tasks, asks, and saves the last answer."""

    @task
    def write(topic: str) -> str:
        ran[topic] += 1
        return f"about {topic}"

    def build(saver: Any) -> Any:
        @entrypoint(checkpointer=saver)
        def run(topics: list[str], *, previous: Any = None) -> Any:
            paragraphs = [future.result() for future in [write(topic) for topic in topics]]
            answer = interrupt({"paragraphs": paragraphs, "before": previous})
            return entrypoint.final(value=[*paragraphs, answer], save=answer)

        return run

    return build


def test_finished_tasks_are_not_repeated(drive: Drive) -> None:
    ran: Counter[str] = Counter()
    with drive.on_lmdb(essay(ran)) as driver:
        driver.invoke(["a", "b", "c"])
        (asked,) = driver.state().interrupts
        assert asked.value == {"paragraphs": ["about a", "about b", "about c"], "before": None}
        assert driver.invoke(Command(resume="good"))[-1] == "good"
    assert ran == {"a": 1, "b": 1, "c": 1}


def test_entrypoint_has_its_previous_value(drive: Drive) -> None:
    """Prune and copy keep the value."""

    def scenario(driver: Driver, between: Callable[[Any], None]) -> Any:
        seen = []
        for number in range(3):
            driver.invoke([f"topic {number}"])
            seen.append(facts(driver.state()))
            with driver.saver() as saver:
                between(saver)
            seen.append(driver.invoke(Command(resume=f"answer {number}")))
        return seen

    seen = drive.same(lambda: essay(Counter()), lambda d: [scenario(d, lambda _: None), story(d)])
    assert seen[0][4]["interrupts"][0]["before"] == "answer 1"

    def keep_house(saver: Any) -> None:
        saver.prune(["t"], strategy="keep_latest")
        saver.copy_thread("t", "copy")
        saver.delete_thread("t")
        saver.copy_thread("copy", "t")
        saver.delete_thread("copy")

    ran: Counter[str] = Counter()
    with drive.on_lmdb(essay(ran)) as driver:
        with driver.saver() as saver:
            saver.delete_thread("t")
        assert scenario(driver, keep_house) == seen[0]
    assert {*ran.values()} == {1}


def test_failed_task_is_repeated_alone(drive: Drive) -> None:
    ran: Counter[str] = Counter()

    @task
    def work(name: str) -> str:
        ran[name] += 1
        if name == "second" and ran[name] == 1:
            raise ConnectionError("not now")
        return name

    def build(saver: Any) -> Any:
        @entrypoint(checkpointer=saver)
        def run(names: list[str]) -> list[str]:
            return [work(name).result() for name in names]

        return run

    with drive.on_lmdb(build) as driver:
        with pytest.raises(ConnectionError):
            driver.invoke(["first", "second", "third"])
        assert driver.invoke(None) == ["first", "second", "third"]
    assert ran == {"first": 1, "second": 2, "third": 1}
