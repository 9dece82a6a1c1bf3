"""A signal handler or finalizer may call the saver of its thread: the call works or is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

PROGRAM = """
import asyncio, faulthandler, gc, random, signal, sys, threading
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import UsageError
from langchain_core.messages import HumanMessage
from tests.contract.driver import checkpoint, config

path, by, seed, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
faulthandler.dump_traceback_later(100, exit=True)
rng = random.Random(seed)
saver = LmdbSaver(path, sync="off", map_size=1 << 16)
metadata = {"source": "loop", "step": 1, "parents": {}}
messages = [HumanMessage(f"message {n}", id=str(n)) for n in range(20)]
if sys.version_info < (3, 11):  # there LangGraph imports each class of messages under a lock
    messages = [{"message": n} for n in range(20)]
counts = {"worked": 0, "refused": 0}
put = {"t": [], "handler": [], "other": []}
stop = threading.Event()


def store(thread):
    cid = f"{len(put[thread]):06}"
    values = {"messages": messages[: len(put[thread]) % 20], "n": cid}
    sent = checkpoint(cid, values, {"messages": cid, "n": cid})
    saver.put(config(thread), sent, metadata, {"messages": cid, "n": cid})
    put[thread].append(cid)


def open_another():
    with LmdbSaver(path, sync="off", ttl={"default_ttl": 60, "sweep_interval_minutes": 60}) as one:
        one.get_tuple(config("t"))


USES = [
    lambda: store("handler"),
    lambda: store("handler"),
    lambda: saver.get_tuple(config("t")),
    lambda: saver.get_tuple(config("other")),
    lambda: next(saver.list(config("t")), None),
    lambda: saver.put_writes(config("t", id="000000"), [("x", 1)], str(rng.random())),
    lambda: asyncio.run(saver.aget_tuple(config("t"))),
    open_another,
]


def use():
    try:
        rng.choice(USES)()
        counts["worked"] += 1
    except UsageError:
        counts["refused"] += 1


def on_signal(*_):
    use()
    if not stop.is_set():
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.00001, 0.0005))


def on_collection(phase, _):
    # Python's collector runs finalizers wherever something is allocated.
    if phase == "start" and threading.current_thread() is main and rng.random() < 0.5:
        use()


def others():
    while not stop.is_set():
        store("other")
        saver.get_tuple(config("t"))


main = threading.current_thread()
thread = threading.Thread(target=others)
thread.start()
if by == "signal":
    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
else:
    gc.set_threshold(50)
    gc.callbacks.append(on_collection)
turn = 0
while sum(counts.values()) < wanted:
    store("t")
    saver.get_tuple(config("t"))
    if turn % 10 == 0:
        next(saver.list(config("other")), None)
        open_another()
    turn += 1
stop.set()
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
gc.callbacks.clear()
thread.join()
for thread_id, ids in put.items():
    if ids:
        stored = {one.checkpoint["id"] for one in saver.list(config(thread_id))}
        assert stored >= set(ids), (thread_id, set(ids) - stored)
        store(thread_id)
report = saver.verify()
assert report.ok, report
assert counts["worked"] and counts["refused"], counts
saver.close()
print("done", counts, {thread_id: len(ids) for thread_id, ids in put.items()})
"""


def run(path: Path, by: str, seed: int, calls: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(path), by, str(seed), str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.startswith("done"), done.stderr


@pytest.mark.parametrize("by", ["signal", "collector"])
def test_calls_at_random_moments(path: Path, by: str) -> None:
    run(path, by, 0, 500)


@pytest.mark.long
@pytest.mark.parametrize("by", ["signal", "collector"])
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_calls_at_random_moments(path: Path, by: str, seed: int) -> None:
    run(path, by, seed, 5000)
