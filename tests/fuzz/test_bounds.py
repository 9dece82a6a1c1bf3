"""Hostile records cost little time and memory: a process with little of both reads them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults

MEMORY = 512 << 20
"""Bytes that a process may allocate."""
TIME_LIMIT = 60
"""Seconds after which a process counts as hung."""

PROGRAM = """
import json, os, resource, signal, sys, traceback
from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, encode_ranges
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from tests.fuzz.stores import ENTRIES, HOSTILE, LONG, NUMBER, UNHARMED, WRITES
from tests.fuzz.stores import _try, everything, forged, on, victim
from tests.saver.values import config
from tests.fuzz.hostility import replaced
key = keys.checkpoint(keys.NamespaceRef(NUMBER, 0), LONG)
fields = envelope.decode(key, envelope.unseal(key, ENTRIES[key]))

def chunk(segment, seq):
    return keys.segment(NUMBER, segment) + keys.number(seq)

def twice(segment, seq, times=10_000):  # ranges that cannot be merged
    return encode_ranges([ChunkRange(NUMBER, segment, seq + n % 2, 1) for n in range(times)])

def value(size, depth, root, encoding=0, head=b"", tag="msgpack"):
    new = [tag, encoding, head, size, depth, root]
    return {key: envelope.encode(replaced(fields, (7, "x"), new))}

zeros = {chunk(8, n): bytes(60_000) for n in range(2)}
nodes = {chunk(9, n): twice(9, 0) for n in range(2)}
CASES = {
    "a range of 2**60 chunks": value(
        2**32 - 1, 0, encode_ranges([ChunkRange(NUMBER, 8, 0, 2**60)])
    ),
    "ranges of 2**42 chunks": value(
        2**32 - 1, 0, encode_ranges([ChunkRange(NUMBER, 8, n * 2**41, 2**40) for n in range(5000)])
    ),
    "one chunk a million times": {**zeros, **value(10_000_000, 0, twice(8, 0, 1_000_000))},
    "nodes that name themselves": {**nodes, **value(2**32 - 1, 8, twice(9, 0))},
    "messages that are not there": value(100, 0, b"", 1, b"\\xdd\\xff\\xff\\xff\\xff"),
    "an array of 2**32": {key: b"\\xdd\\xff\\xff\\xff\\xff"},
    "a million empty arrays": {key: b"\\xdd\\x00\\x0f\\x42\\x40" + b"\\x90" * 1_000_000},
    "arrays 100,000 deep": {key: b"\\x91" * 100_000 + b"\\x90"},
    "twenty thousand channels": {
        key: envelope.encode(
            replaced(fields, (7,), {str(n): ["bytes", 0, b""] for n in range(20_000)})
        )
    },
}

def read_and_delete(changed):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]), -1))
    saver = KvSaver(on(forged(changed)))
    refused = _try(lambda s: s.get_tuple(config(HOSTILE, "", LONG)), saver)
    _try(WRITES["delete"], saver)
    assert victim(everything(saver._kv)) == UNHARMED
    return refused

statuses = {}
for name, changed in CASES.items():
    pid = os.fork()
    if not pid:
        signal.alarm(int(sys.argv[2]))
        try:
            os._exit(int(read_and_delete(changed)))
        except BaseException:
            traceback.print_exc()
            os._exit(-1)
    statuses[name] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps(statuses))
"""
REFUSED, READ = 1, 0
EXPECTED = {
    "a range of 2**60 chunks": REFUSED,
    "ranges of 2**42 chunks": REFUSED,
    "one chunk a million times": REFUSED,
    "nodes that name themselves": REFUSED,
    "messages that are not there": REFUSED,
    "an array of 2**32": REFUSED,
    "a million empty arrays": REFUSED,
    "arrays 100,000 deep": REFUSED,
    "twenty thousand channels": READ,
}


def test_hostile_record_takes_little_time_and_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(MEMORY), str(TIME_LIMIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == EXPECTED, done.stderr[-3000:]
