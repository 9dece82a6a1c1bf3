"""Several processes on one store: concurrent, forked with an open saver, killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import SaverDriver, config, put, values
from tests.graphs.driving import at_thread
from tests.graphs.test_concurrency import check, conversation, expected, talk
from tests.stored import thread_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

PATIENCE = 120.0  # seconds until a process counts as hung


class Process:
    """A Python process with the names of this module, which reads commands line by line."""

    def __init__(self, program: str, *args: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", f"from tests.graphs.test_processes import *\n{program}", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._to, self._from = self._popen.stdin, self._popen.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)  # with its children
        self._popen.communicate()

    def tell(self, line: str) -> None:
        self._to.write(f"{line}\n")
        self._to.flush()

    def read(self) -> str:
        return self._from.readline().rstrip("\n")

    def kill(self) -> list[str]:
        """Kill the process; return its unread output."""
        self._popen.kill()
        rest = self._from.read().split()
        assert self._popen.wait() == -signal.SIGKILL
        return rest

    def end(self) -> None:
        self._popen.communicate("\n", timeout=PATIENCE)
        assert self._popen.returncode == 0


TALKS = """
with LmdbSaver(sys.argv[1]) as saver:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(10):
        talk(conversation(saver), f"{sys.argv[2]} {number}", 2)
"""

ANSWERS = """
from langgraph.types import Command
with LmdbSaver(sys.argv[1]) as saver:
    graph = conversation(saver)
    for line in sys.stdin:
        if not line.strip():
            break
        graph.invoke(Command(resume=line.strip()), at_thread("t"))
        print(len(graph.get_state(at_thread("t")).values["log"]), flush=True)
"""


def test_three_processes_write_concurrently(path: Path) -> None:
    """Each process has its own conversations."""
    with (
        LmdbSaver(path) as saver,
        Process(TALKS, str(path), "one") as one,
        Process(TALKS, str(path), "two") as two,
    ):
        for other in (one, two):
            assert other.read() == "ready"
        for other in (one, two):
            other.tell("go")
        for number in range(10):
            talk(conversation(saver), f"here {number}", 2)
        one.end()
        two.end()
    check(path, [f"{name} {n}" for name in ("one", "two", "here") for n in range(10)], 2)


def test_processes_see_the_writes_of_each_other(path: Path) -> None:
    """Both savers are open all the time."""
    with LmdbSaver(path) as saver, Process(ANSWERS, str(path)) as other:
        graph = conversation(saver)
        for number in range(4):
            graph.invoke({"log": [f"t.{number}"]}, at_thread("t"))
            other.tell(f"answer {number}")
            assert other.read() == f"{4 * (number + 1)}"
            assert len(graph.get_state(at_thread("t")).values["log"]) == 4 * (number + 1)
        other.end()
    check(path, ["t"], 4)


def forked(work: Callable[[], Any]) -> int:
    """Run a function in a forked child; return its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_with_an_open_saver(path: Path) -> None:
    """Fork with an open saver, and use the saver in the parent and the child."""
    with LmdbSaver(path) as saver:
        graph = conversation(saver)
        talk(graph, "before", 1)
        listing = saver.list(None)
        next(listing)

        def in_the_child() -> None:
            assert graph.get_state(at_thread("before")).values["log"][-1] == "answer 0"
            assert len([*saver.list(None)]) == 4
            talk(graph, "child", 2)
            talk(graph, "both", 1)
            saver.close()

        assert forked(in_the_child) == 0
        assert len([*listing]) == 3
        assert graph.get_state(at_thread("both")).values["log"][-1] == "answer 0"
        talk(graph, "parent", 2)
        assert forked(lambda: talk(graph, "second child", 2)) == 0
        saver.delete_thread("both")
        saver.delete_thread("before")
    assert forked(lambda: check(path, ["child", "parent", "second child"], 2)) == 0
    check(path, ["child", "parent", "second child"], 2)


def test_child_forked_with_an_open_saver_uses_it(path: Path) -> None:
    """The test runs in a new process, because pytest has threads."""
    program = "from pathlib import Path\nfork_with_an_open_saver(Path(sys.argv[1]))"
    with Process(program, str(path)) as process:
        process.end()


def fork_while_others_write(path: Path) -> None:
    """Fork children while other threads commit, and use the saver in the children.

    No graphs are used: an import lock that another thread holds at the fork is never released in
    the child.
    """
    children = [f"child {number}" for number in range(20)]
    with LmdbSaver(path, sync="off") as saver, ThreadPoolExecutor(4) as pool:
        driver, stop = SaverDriver(saver), threading.Event()

        def write(thread: str) -> None:
            for number in itertools.count():
                put(driver, f"{number:06}", {"value": number}, thread=thread)
                if stop.is_set():
                    break

        def in_the_child(thread: str) -> None:
            put(driver, "1", {"value": thread}, thread=thread)
            assert values(driver, config(thread)) == {"value": thread}
            assert values(driver, config("a"))["value"] >= 0

        put(driver, "000000", {"value": 0}, thread="a")
        writing = [pool.submit(write, thread) for thread in "abcd"]
        statuses = [forked(partial(in_the_child, thread)) for thread in children]
        stop.set()
        for one in writing:
            one.result()
        assert statuses == [0] * len(children)
        assert [values(driver, config(thread)) for thread in children] == [
            {"value": thread} for thread in children
        ]
        for thread in "abcd":
            stored = [
                one.checkpoint["channel_values"]["value"] for one in driver.list(config(thread))
            ]
            assert stored == [*range(len(stored))][::-1]


def test_children_forked_during_commits_use_the_saver(path: Path) -> None:
    """The child waits for no lock of the parent's threads."""
    program = "from pathlib import Path\nfork_while_others_write(Path(sys.argv[1]))"
    with Process(program, str(path)) as process:
        process.end()


WRITES = """
with LmdbSaver(sys.argv[1], sync=sys.argv[2]) as saver:
    graph = conversation(saver)
    for number in range(10_000):
        talk(graph, f"thread {number}", 1)
        print(number, flush=True)
"""


@pytest.mark.parametrize("sync", ["full", "off"])
def test_killed_process_loses_no_acknowledged_checkpoint(path: Path, sync: str) -> None:
    """The process is killed while it writes. The store can be used afterwards."""
    with Process(WRITES, str(path), sync) as victim:
        assert [victim.read() for _ in range(5)] == [*"01234"]
        acknowledged = 5 + len(victim.kill())
    with LmdbSaver(path) as saver:
        graph = conversation(saver)
        whole = [f"thread {number}" for number in range(acknowledged)]
        names = thread_ids(saver)
        assert {*whole} <= names
        for name in names - {*whole}:  # the incomplete one
            for snapshot in graph.get_state_history(at_thread(name)):
                log = snapshot.values.get("log", [])
                assert log == expected(name, 1)[: len(log)]
            saver.delete_thread(name)
        talk(graph, "after", 1)
    check(path, [*whole, "after"], 1)
