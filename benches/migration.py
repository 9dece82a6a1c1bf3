"""The rate and the memory of a migration: `python -m benches.migration --megabytes 2000`.

A SQLite file of the given size holds threads of 200 checkpoints whose lists of messages grow. A
process of its own migrates it. Its peak memory has three parts: memory after the imports, memory
that the migration adds, and pages of the store's file, which the system takes back when it needs
memory. The rate of a migration is the time of puts from memory, by one thread, divided by the
time of the migration.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver

from benches import postgres_server
from benches.text import Writer
from benches.units import format_value
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from langgraph.checkpoint.base import BaseCheckpointSaver

_CHECKPOINTS = 200
_MESSAGE_SIZE = 1000
_SAMPLE_THREADS = 4
_RUNS = 3


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benches.migration", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200, metavar="N", help="0: no memory")
    parser.add_argument("--directory", default="/var/tmp", metavar="PATH")
    parser.add_argument("--migrate", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.migrate is not None:
        print(json.dumps(measure_memory(*options.migrate)))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        folder.chmod(0o755)  # for PostgreSQL, which runs as another user
        print(f"{_SAMPLE_THREADS} threads of {_CHECKPOINTS} checkpoints")
        for source in (open_sqlite, open_memory, open_postgres):
            print_rates(source, folder)
        if options.megabytes == 0:
            return
        fill(folder / "source.sqlite", options.megabytes * 1_000_000)
        command = (sys.executable, "-m", "benches.migration", "--migrate")
        done = subprocess.run(
            [*command, folder / "source.sqlite", folder / "store"],
            check=True,
            capture_output=True,
            text=True,
        )
        found = json.loads(done.stdout)
        print(found["report"])
        for part in ("idle", "added", "pages", "peak"):
            print(f"  memory: {part:<10} {format_value(found[part], 'B')}")


@contextmanager
def open_sqlite(folder: Path) -> Iterator[SqliteSaver]:
    """Yield an empty SqliteSaver."""
    with SqliteSaver.from_conn_string(str(folder / "sample.sqlite")) as saver:
        yield saver


@contextmanager
def open_memory(folder: Path) -> Iterator[InMemorySaver]:
    """Yield an empty InMemorySaver."""
    yield InMemorySaver()


@contextmanager
def open_postgres(folder: Path) -> Iterator[PostgresSaver | None]:
    """Yield an empty PostgresSaver on a server of its own; None if PostgreSQL is not installed."""
    binaries = postgres_server.find_binaries()
    if binaries is None:
        yield None
        return
    with (
        postgres_server.running(binaries, folder, durable=False) as server,
        PostgresSaver.from_conn_string(server.dsn("postgres")) as saver,
    ):
        saver.setup()
        yield saver


def print_rates(open_source: Callable[[Path], AbstractContextManager[Any]], folder: Path) -> None:
    """Print the seconds of puts from memory, and of migrations, each the best of some runs."""
    with tempfile.TemporaryDirectory(dir=folder) as name, open_source(Path(name)) as source:
        if source is None:
            return
        for number in range(_SAMPLE_THREADS):
            put_thread(source, f"thread {number}")
        put, copied, verified = (math.inf,) * 3
        for run in range(_RUNS):
            target = Path(name, f"target {run}")
            put = min(put, measure_put(target / "put"))
            copied = min(copied, measure_migration(source, target / "copied", verify=False))
            verified = min(verified, measure_migration(source, target / "verified", verify=True))
        print(f"  from {type(source).__name__}")
        print(f"    put alone          {format_value(put, 's')}")
        print(f"    migrate            {format_value(copied, 's')}   rate {put / copied:.2f}")
        print(f"    migrate, verified  {format_value(verified, 's')}   rate {put / verified:.2f}")


def measure_put(folder: Path) -> float:
    """Return the seconds that one thread takes to put the checkpoints from memory."""
    found = [
        item for number in range(_SAMPLE_THREADS) for item in _conversation(f"thread {number}")
    ]
    with LmdbSaver(folder) as saver:
        begin = perf_counter()
        for item in found:
            _put(saver, *item)
        return perf_counter() - begin


def measure_migration(source: BaseCheckpointSaver[Any], folder: Path, verify: bool) -> float:
    """Return the seconds that a migration takes."""
    begin = perf_counter()
    assert migrate(source, folder, verify=verify).ok
    return perf_counter() - begin


def fill(path: Path, size: int) -> None:
    """Write a SQLite file of at least a size."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        saver = SqliteSaver(connection)
        number = 0
        while not number or path.stat().st_size < size:
            put_thread(saver, f"thread {number}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            number += 1


def put_thread(saver: BaseCheckpointSaver[Any], thread_id: str) -> None:
    """Store a conversation that grows by a message in each checkpoint."""
    for item in _conversation(thread_id):
        _put(saver, *item)


def _conversation(thread_id: str) -> Iterator[Any]:
    writer = Writer(thread_id)
    messages: list[AIMessage] = []
    at: dict[str, Any] = {"thread_id": thread_id, "checkpoint_ns": ""}
    for step in range(_CHECKPOINTS):
        messages.append(AIMessage(writer.prose(_MESSAGE_SIZE), id=writer.uuid()))
        checkpoint = {
            **empty_checkpoint(),
            "id": f"1f000000-0000-6000-8000-{step:012x}",
            "channel_values": {"messages": [*messages]},
            "channel_versions": {"messages": f"{step + 1:032}.{0:016}"},
        }
        yield {"configurable": {**at}}, checkpoint, {"source": "loop", "step": step, "parents": {}}
        at["checkpoint_id"] = checkpoint["id"]


def _put(saver: BaseCheckpointSaver[Any], config: Any, checkpoint: Any, metadata: Any) -> None:
    stored = saver.put(config, checkpoint, metadata, checkpoint["channel_versions"])
    messages = checkpoint["channel_values"]["messages"]
    saver.put_writes(stored, [("messages", [messages[-1]])], "task", "~1")


def measure_memory(source: str, target: str) -> dict[str, Any]:
    """Migrate, and return the report and the peak memory of this process in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    idle = _status("VmRSS")
    pages = 0

    def watch(_: object) -> None:
        nonlocal pages
        pages = max(pages, _status("RssFile"))

    before = _status("RssFile")
    report = migrate(source, target, progress=watch)
    peak = _status("VmHWM")
    pages -= before
    return {
        "report": str(report),
        "idle": idle,
        "pages": pages,
        "added": peak - idle - pages,
        "peak": peak,
    }


def _status(key: str) -> int:
    match = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match, f"no {key} in /proc/self/status"
    return int(match[1]) * 1024


if __name__ == "__main__":
    main()
