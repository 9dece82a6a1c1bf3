"""A pause of the garbage collector ends in the state in which it began."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import HumanMessage

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.codec import gc_pause
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import checkpoint, config

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_collector_is_disabled_inside_and_enabled_after() -> None:
    with gc_pause.paused():
        assert not gc.isenabled()
        with gc_pause.paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_is_enabled_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), gc_pause.paused():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_disabled_collector_remains_disabled() -> None:
    gc.disable()
    with gc_pause.paused():
        pass
    assert not gc.isenabled()


def test_last_of_several_threads_enables_collector() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with gc_pause.paused():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with gc_pause.paused():
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_collector_is_enabled_in_forked_child() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with gc_pause.paused():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        with gc_pause.paused():
            pass
        os._exit(0 if gc.isenabled() else 1)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_reading_a_long_list_does_not_run_collector() -> None:
    saver = KvSaver(MemoryStore())
    messages = [HumanMessage(f"message {n}", id=str(n)) for n in range(2000)]
    given = checkpoint("1", 1, messages)
    saver.put(config("t", "", None), given, {}, {"x": 1})
    assert saver.get_tuple(config("t", "", None)) is not None  # now each message has a template
    with _collections() as runs:
        found = saver.get_tuple(config("t", "", None))
    assert found is not None
    assert len(found.checkpoint["channel_values"]["x"]) == 2000
    assert len(runs) <= 3  # about ten without the pause


def test_putting_many_values_does_not_run_collector() -> None:
    saver = KvSaver(MemoryStore())
    names = [f"c{n}" for n in range(5000)]
    given = checkpoint("1", 1, None)
    given["channel_values"] = dict.fromkeys(names, "a value" * 20)
    given["channel_versions"] = dict.fromkeys(names, 1)
    with _collections() as runs:
        stored = saver.put(config("t", "", None), given, {}, given["channel_versions"])
    assert len(runs) <= 20
    rows = list(given["channel_values"].items())
    with _collections() as runs:
        saver.put_writes(stored, rows, "task")
    assert len(runs) <= 20


def test_reading_many_writes_does_not_run_collector() -> None:
    saver = KvSaver(MemoryStore())
    stored = saver.put(config("t", "", None), checkpoint("1", 1, None), {}, {})
    saver.put_writes(stored, [("x", {"n": [n]}) for n in range(20_000)], "task")
    with _collections() as runs:
        found = saver.get_tuple(stored)
    assert found is not None
    assert len(found.pending_writes or []) == 20_000
    assert len(runs) <= 5
    del found
    with _collections() as runs:
        assert len(saver.writes(stored)) == 20_000
    assert len(runs) <= 5


@contextmanager
def _collections() -> Iterator[list[int]]:
    """Yield a list that gets the generation of each collection that runs in the block."""
    runs: list[int] = []

    def add(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            runs.append(info["generation"])

    gc.collect()
    gc.callbacks.append(add)
    try:
        yield runs
    finally:
        gc.callbacks.remove(add)
