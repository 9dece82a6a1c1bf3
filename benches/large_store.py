"""A large store, and how fast the command line and the page answer on it.

The command is `python -m benches.large_store`.

Real graphs write a thread that is complete, one that failed and one that waits, with ten
checkpoints each. Copies of them fill the store. Each command then runs as a process of its own,
here and on a store with three threads: the difference is the time that the size of the store costs.
Then one server answers requests for pages, each several times.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypedDict
from urllib.parse import SplitResult, urlsplit

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from langgraph.checkpoint.lmdb import LmdbSaver

THREADS = 100_000
FAILED_OF = WAITING_OF = 100
"""One of so many threads failed, and one waits."""
_NODES = 8
REPEATS = 5
PAGES = (
    "/",
    "/?state=failed",
    "/?state=running",
    "/?q=thread-0",
    "/?q=thread-000001",
    "/?sort=size",
    "/thread?thread=failed",
    "/search?q=published",
    "/statistics",
    "/statistics?plots=1",
)


# A process has at least the peak memory that its parent had, so a small one starts each command.
_LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds, code = usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)
print(json.dumps([time.perf_counter() - start, seconds, usage.ru_maxrss, code]))
"""


class State(TypedDict, total=False):
    """A state with a text that each node replaces."""

    text: str


@dataclass(frozen=True)
class Cost:
    """The least cost of some runs of a command."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of processor time."""
    memory: int
    """Bytes of memory at the peak."""


def build(folder: Path, threads: int) -> None:
    """Fill a store with threads of ten checkpoints."""
    with LmdbSaver(folder, sync="off") as saver:
        for state in ("complete", "failed", "waiting"):
            run_template(saver, state)
        for number in range(threads - 3):
            state = "complete"
            if number % FAILED_OF == 1:
                state = "failed"
            elif number % WAITING_OF == 2:
                state = "waiting"
            saver.copy_thread(state, f"thread-{number:06d}")


def run_template(saver: LmdbSaver, state: str) -> None:
    """Run a graph of ten checkpoints, whose last node ends in a state, in a thread of that name."""

    def last(_: State) -> State:
        if state == "failed":
            raise ValueError("no token")
        if state == "waiting":
            interrupt("Publish?")
        return {"text": "published"}

    builder: Any = StateGraph(State)
    names = [f"node_{number}" for number in range(_NODES)]
    for number, name in enumerate(names):
        builder.add_node(name, partial(_draft, number=number))
        builder.add_edge(names[number - 1] if number else START, name)
    builder.add_node("last", last)
    builder.add_edge(names[-1], "last")
    graph = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": state}}
    try:
        graph.invoke({"text": "begin"}, config)
    except ValueError:
        if state != "failed":
            raise


def _draft(_: State, number: int) -> State:
    return {"text": f"draft {number} " * 20}


def measure(arguments: list[str], repeats: int) -> Cost:
    """Return the least costs of a command, run several times."""
    found = [_run(arguments) for _ in range(repeats)]
    return Cost(
        min(cost.wall for cost in found),
        min(cost.processor for cost in found),
        max(cost.memory for cost in found),
    )


def _run(arguments: list[str]) -> Cost:
    command = [sys.executable, "-m", "langgraph.checkpoint.lmdb", *arguments]
    environment = {key: v for key, v in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
    )
    wall, processor, kilobytes, code = json.loads(done.stdout)
    if code != 0:
        raise SystemExit(f"{' '.join(arguments)} exited with {code}")
    return Cost(wall, processor, kilobytes * 1024)


def report(large: Path, small: Path, repeats: int) -> None:
    """Print the cost of each command on both stores."""
    with LmdbSaver(large, readonly=True) as saver:
        totals = saver.stats()
    print(
        f"{totals.checkpoints} checkpoints in {totals.threads} threads, {totals.file_bytes} bytes"
    )
    print("| command | start-up: wall, processor | more on the large store | peak memory |")
    print("| --- | ---: | ---: | ---: |")
    for name, *arguments in (
        ["threads"],
        ["threads", "--state", "failed"],
        ["show", "failed"],
        ["tree", "failed"],
        ["history", "failed"],
        ["diff", "failed"],
        ["threads", "--sort", "size"],
        ["stats"],
    ):
        one = measure([name, str(small), *arguments], repeats)
        other = measure([name, str(large), *arguments], repeats)
        start_up = f"{one.wall * 1e3:.0f} ms, {one.processor * 1e3:.0f} ms"
        more = f"{(other.processor - one.processor) * 1e3:.0f} ms"
        command = " ".join((name, *arguments))
        print(f"| {command} | {start_up} | {more} | {other.memory / 1e6:.0f} MB |", flush=True)


def report_pages(large: Path, repeats: int) -> None:
    """Print what pages of the large store cost, the first time and at best."""
    command = [sys.executable, "-m", "langgraph.checkpoint.lmdb", "serve", str(large)]
    start = perf_counter()
    process = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    link = urlsplit(process.stdout.readline().strip())
    print(f"\nThe page: start-up {(perf_counter() - start) * 1e3:.0f} ms")
    print("| page | first: wall, processor | best: wall, processor | bytes | memory |")
    print("| --- | ---: | ---: | ---: | ---: |")
    try:
        for path in PAGES:
            found = [_request(process.pid, link, path) for _ in range(repeats)]
            best = min(wall for wall, _, _ in found), min(used for _, used, _ in found)
            costs = [
                f"{wall * 1e3:.0f} ms, {used * 1e3:.0f} ms" for wall, used in (found[0][:2], best)
            ]
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory = int(status.partition("RssAnon:")[2].split()[0]) * 1024
            print(f"| {path} | {' | '.join(costs)} | {found[0][2]} | {memory / 1e6:.0f} MB |")
    finally:
        process.terminate()
        process.wait()


def _request(pid: int, link: SplitResult, path: str) -> tuple[float, float, int]:
    """Return the seconds and processor seconds of an answer, and its bytes."""
    address = f"{path}{'&' if '?' in path else '?'}{link.query}"
    connection = http.client.HTTPConnection(link.hostname or "", link.port, timeout=600)
    used, start = _processor_seconds(pid), perf_counter()
    connection.request("GET", address)
    response = connection.getresponse()
    text = response.read()
    wall = perf_counter() - start
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{path} answered {response.status}")
    return wall, _processor_seconds(pid) - used, len(text)


def _processor_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def main() -> None:
    """Build the stores, and print what the commands and the pages cost."""
    parser = argparse.ArgumentParser(prog="python -m benches.large_store")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--folder", type=Path, help="keep the store here, and use it again")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of each command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        large = options.folder or Path(temporary) / "large"
        small = Path(temporary) / "small"
        if not large.exists():
            build(large, options.threads)
        build(small, 3)
        report(large, small, options.repeats)
        report_pages(large, options.repeats)


if __name__ == "__main__":
    main()
