"""The memory of a migration does not depend on the size of the store."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from tests.graphs.driving import at_thread

if TYPE_CHECKING:
    from pathlib import Path

_THREADS, _CHECKPOINTS, _SIZE = 12, 20, 256 << 10


def test_a_store_of_60_megabytes_is_not_held_in_memory(tmp_path: Path) -> None:
    """A process that held all values would add 60 MB. Pages of files are not counted."""
    chance = random.Random(1)
    with SqliteSaver.from_conn_string(str(tmp_path / "a.sqlite")) as saver:
        saver.setup()
        saver.conn.execute("PRAGMA synchronous=OFF")
        for thread in range(_THREADS):
            at = at_thread(f"{thread}", checkpoint_ns="")
            for number in range(_CHECKPOINTS):
                checkpoint = {
                    **empty_checkpoint(),
                    "id": f"{number:08d}",
                    "channel_values": {"data": chance.randbytes(_SIZE)},
                    "channel_versions": {"data": f"{number + 1:032}.0"},
                }
                at = saver.put(at, checkpoint, {"source": "loop", "step": number}, {})
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benches.migration", "--migrate"),
            *(tmp_path / "a.sqlite", tmp_path / "store"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert f"verified {_THREADS * _CHECKPOINTS} checkpoints, 0 differences" in found["report"]
    assert found["added"] < _THREADS * _CHECKPOINTS * _SIZE * 2 // 3, found
