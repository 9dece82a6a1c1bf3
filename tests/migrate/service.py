"""A service on a CatchUpSaver: `python -m tests.migrate.service OLD NEW NUMBER THREAD...`.

It uses all threads, and continues each one whose position among them is its number modulo 3.
"""

from __future__ import annotations

import sys

from langgraph.checkpoint.sqlite import SqliteSaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.migrate import CatchUpSaver
from tests.graphs.driving import at_thread
from tests.migrate.test_graphs import GRAPH, step

if __name__ == "__main__":
    old_path, new_path, number, *threads = sys.argv[1:]
    with (
        SqliteSaver.from_conn_string(old_path) as old,
        LmdbSaver(new_path, sync="off") as new,
        CatchUpSaver(old, new) as saver,
    ):
        print("open", flush=True)
        sys.stdin.read()  # until all processes are open
        for thread in threads:
            assert saver.get_tuple(at_thread(thread)) is not None
        for position, thread in enumerate(threads):
            if position % 3 == int(number):
                step(GRAPH(saver), at_thread(thread), f"process {number}")
