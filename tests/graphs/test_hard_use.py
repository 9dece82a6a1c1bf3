"""Many processes and threads on the same threads: some are killed, some fork, some exit early."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import SaverDriver, config, ids, put, values

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

PATIENCE = 120.0  # seconds until a process counts as hung
SHARED = 6  # conversations that all processes write to


def payload(name: str) -> dict[str, Any]:
    return {"value": [name] * 40, "large": name * 300}


def work(path: str, name: str, threads: int, share: str) -> None:
    """Write, read and prune in a new process until stdin closes or the process is killed.

    Each acknowledged checkpoint is a line on the standard output. The last line is the longest
    call. A failure is a traceback and an exit status.
    """
    stop, failures, longest = threading.Event(), [], [0.0] * threads

    def one(number: int) -> None:
        chance = random.Random(f"{name} {number}")
        driver = SaverDriver(saver)
        for turn in itertools.count():
            if stop.is_set():
                return
            thread, cid = f"t{chance.randrange(SHARED)}", f"{turn:06} {name} {number}"
            begun = time.monotonic()
            put(driver, cid, payload(cid), thread=thread)
            longest[number] = max(longest[number], time.monotonic() - begun)
            os.write(1, f"{thread}/{cid}\n".encode())
            assert values(driver, config(thread, id=cid)) == payload(cid)
            latest = saver.get_tuple(config(thread))
            assert latest is not None
            got = latest.checkpoint
            assert got["channel_values"] == payload(got["id"])
            if turn % 5 == 0:
                put(driver, cid, payload(cid), thread=f"own {name} {number}")
                saver.prune([f"own {name} {number}"])
            if share == "sweep" and turn % 20 == 0:
                saver.sweep()

    def guarded(number: int) -> None:
        try:
            one(number)
        except BaseException as error:
            failures.append(error)
            stop.set()
            raise

    options: dict[str, Any] = {"map_size": 1 << 20} if share == "grow" else {}
    with LmdbSaver(path, sync="normal", **options) as saver:
        running = [threading.Thread(target=guarded, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        os.write(1, b"working\n")  # one write, also where Python does not buffer
        threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
        for thread in running:
            thread.join()
    os.write(1, f"longest {max(longest):.3f}\n".encode())
    sys.exit(len(failures))


class Worker:
    """A process that does `work`, with the checkpoints that it acknowledged."""

    def __init__(self, path: Path, name: str, threads: int, share: str) -> None:
        program = (
            f"import sys; from tests.graphs.test_hard_use import work\n"
            f"work(sys.argv[1], {name!r}, {threads}, {share!r})"
        )
        self.lines: list[str] = []
        self._popen = subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as out:  # an incomplete last line acknowledges nothing
            self.lines += [line[:-1] for line in out if line.endswith("\n")]

    def end(self, kill: bool) -> int:
        """Stop the process, wait for it, and return its exit status."""
        assert self._popen.stdin is not None
        if kill:
            self._popen.kill()
        with self._popen.stdin:
            pass
        status = self._popen.wait(timeout=PATIENCE)
        self._reading.join()
        return status


def hard_use(path: Path, processes: int, threads: int, seconds: int) -> tuple[int, float]:
    """Run processes. One of them is killed and replaced every second.

    Returns:
        The number of acknowledged checkpoints, all stored, and the longest call in seconds.
    """
    shares = ["grow", "sweep", *[""] * processes]
    numbers = itertools.count()
    running = [Worker(path, f"p{next(numbers)}", threads, shares[n]) for n in range(processes)]
    acknowledged: set[str] = set()
    longest = 0.0
    beat = threading.Event()
    for _ in range(seconds):
        beat.wait(1)  # the duration of the load, not a wait
        victim = running.pop(random.randrange(len(running)))
        assert victim.end(kill=True) in (-signal.SIGKILL, 0)
        acknowledged.update(line for line in victim.lines if "/" in line)
        running.append(Worker(path, f"p{next(numbers)}", threads, ""))
    for worker in running:
        assert worker.end(kill=False) == 0
        acknowledged.update(line for line in worker.lines if "/" in line)
        longest = max(longest, *(float(x[8:]) for x in worker.lines if x.startswith("longest")))
    with LmdbSaver(path) as saver:
        found: set[str] = set()
        for number in range(SHARED):
            for one in saver.list(config(f"t{number}")):
                found.add(f"t{number}/{one.checkpoint['id']}")
                assert one.checkpoint["channel_values"] == payload(one.checkpoint["id"])
        assert acknowledged <= found
        for number in range(SHARED):
            saver.delete_thread(f"t{number}")
    return len(acknowledged), longest


def test_killed_processes_lose_no_acknowledged_checkpoint(path: Path) -> None:
    """Four processes with four threads each write for some seconds."""
    count, _ = hard_use(path, 4, 4, 4)
    assert count > 20


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_processes_lose_no_acknowledged_checkpoint_in_a_minute(
    path: Path, record_property: Any
) -> None:
    """Eight processes with eight threads each. The longest call is printed."""
    count, longest = hard_use(path, 8, 8, 60)
    record_property("acknowledged", count)
    record_property("longest call, seconds", longest)
    print(f"{count} acknowledged, the longest call took {longest:.2f} s")
    assert count > 500


def test_five_hundred_threads_read_concurrently(path: Path) -> None:
    """LMDB has fewer reader slots than that by default."""
    together = threading.Barrier(500)

    def one(number: int) -> dict[str, Any]:
        together.wait()
        driver = SaverDriver(saver)
        put(driver, "1", {"value": number}, thread=f"t{number}")
        return values(driver, config(f"t{number}"))

    with LmdbSaver(path, sync="normal") as saver, ThreadPoolExecutor(500) as pool:
        assert [*pool.map(one, range(500))] == [{"value": number} for number in range(500)]
        assert saver.stats().threads == 500


EXITS = {
    "sync threads": """
def forever(name):
    for n in itertools.count():
        put(driver, f"{n:06}", {"value": n}, thread=name)
        os.write(1, f"{name} {n:06}\\n".encode())
for n in range(4):
    threading.Thread(target=forever, args=(f"t{n}",), daemon=True).start()
threading.Event().wait(0.3)
""",
    "futures": """
pool = ThreadPoolExecutor(4)
def some(name):
    for n in range(30):
        put(driver, f"{n:06}", {"value": n}, thread=name)
        os.write(1, f"{name} {n:06}\\n".encode())
for n in range(4):
    pool.submit(some, f"t{n}")
""",
    "tasks": """
async def forever(name):
    for n in itertools.count():
        cid = f"{n:06}"
        sent = checkpoint(cid, {"value": n}, {"value": cid})
        await saver.aput(config(name), sent, {}, {"value": cid})
        os.write(1, f"{name} {cid}\\n".encode())
async def main():
    tasks = [asyncio.ensure_future(forever(f"t{n}")) for n in range(4)]
    await asyncio.sleep(0.3)
asyncio.run(main())
""",
    "an exception": """
asyncio.run(saver.aput(config("t0"), checkpoint("000000", {}, {}), {}, {}))
os.write(1, b"t0 000000\\n")
sys.exit(0)
""",
    "a handler of a signal": """
def handler(*_):
    put(driver, "999999", {"value": "last"}, thread="t0")
    os.write(1, b"t0 999999\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, handler)
for n in range(10):
    put(driver, f"{n:06}", {"value": n}, thread="t0")
    os.write(1, f"t0 {n:06}\\n".encode())
os.kill(os.getpid(), signal.SIGTERM)
""",
}
PREFACE = """
import asyncio, itertools, os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import SaverDriver, checkpoint, config, put
saver = LmdbSaver(sys.argv[1])
driver = SaverDriver(saver)
"""


@pytest.mark.parametrize("how", [*EXITS])
def test_interpreter_exits_during_writes(path: Path, how: str) -> None:
    """The saver is not closed. The process prints no traceback, and acknowledged data is kept."""
    done = subprocess.run(
        [sys.executable, "-c", PREFACE + EXITS[how], str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    acknowledged = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert acknowledged
    with LmdbSaver(path) as saver:
        for thread, cid in acknowledged:
            assert saver.get_tuple(config(thread, id=cid)) is not None


INTERRUPTS = """
print("working", flush=True)
n = 0
try:
    while True:
        try:
            while True:
                put(driver, f"{n:06}", {"value": n}, thread="t0")
                os.write(1, f"t0 {n:06}\\n".encode())
                n += 1
        except KeyboardInterrupt:
            n += 1
            if n > 400:
                break
except KeyboardInterrupt:
    pass
signal.signal(signal.SIGINT, signal.SIG_IGN)
put(driver, "999999", {"value": "last"}, thread="t0")
os.write(1, b"t0 999999\\n")
"""


def test_saver_works_after_interrupts(path: Path) -> None:
    """SIGINT is sent many times. No acknowledged data is lost."""
    with subprocess.Popen(
        [sys.executable, "-c", PREFACE + INTERRUPTS, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        lines = []
        for line in process.stdout:
            lines.append(line.split())
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0
    acknowledged = {line[1] for line in lines}
    assert "999999" in acknowledged
    with LmdbSaver(path) as saver:
        assert acknowledged <= {*ids([*saver.list(config("t0"))])}


def in_worker(path: str, name: str) -> None:
    """Run a worker of a server, with its own saver or with the inherited one."""
    saver = _preloaded or LmdbSaver(path)
    for number in range(10):
        put(SaverDriver(saver), f"{number}", payload(name), thread=name)


_preloaded: LmdbSaver | None = None


def serve(path: str, method: str) -> None:
    """Open a saver in a new process, then start workers, like a server that preloads."""
    global _preloaded  # noqa: PLW0603 - what the workers are born with
    _preloaded = LmdbSaver(path)
    put(SaverDriver(_preloaded), "0", {"value": 0}, thread="before")
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=in_worker, args=(path, f"w{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    put(SaverDriver(_preloaded), "1", {"value": 1}, thread="before")
    for worker in workers:
        worker.join()
    sys.exit(sum(worker.exitcode != 0 for worker in workers))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_preloading_server_write(path: Path, method: str) -> None:
    program = "import sys; from tests.graphs.test_hard_use import serve\nserve(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(path), method],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with LmdbSaver(path) as saver:
        for number in range(4):
            assert len([*saver.list(config(f"w{number}"))]) == 10
        assert len([*saver.list(config("before"))]) == 2
