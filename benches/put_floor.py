"""What a durable `put` takes at least: `python -m benches.put_floor`.

A saver in Python that compresses cannot leave out these steps: serialize the checkpoint with
LangGraph's serializer, compress it, append it to a file, and flush the file. Nothing could be found
again that way. The time is compared with a whole `put` of SqliteSaver, which does not compress,
and of LmdbSaver. Texts are new, so nothing is shared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import zstandard
from langgraph.checkpoint.base import BaseCheckpointSaver

from benches.measure import latencies
from benches.model import Location
from benches.records import ThreadWriter
from benches.savers import SAVERS
from benches.text import Writer
from benches.units import format_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

SIZES: Final = {"0.5 KB": (500, 1000), "20 KB": (20_000, 400), "500 KB": (500_000, 60)}
"""Bytes of a text, and number of puts."""
_FILE_SIZE: Final = 16 << 20
_LEVEL: Final = 1


class LeastSaver(BaseCheckpointSaver[int]):
    """A saver that only appends checkpoints to a file.

    Args:
        path: The file, which is created with zeros: flushing a file that grows takes longer.
        compress: Compress what is written.
    """

    def __init__(self, path: Path, *, compress: bool) -> None:
        super().__init__()
        path.write_bytes(bytes(_FILE_SIZE))
        self._handle = os.open(path, os.O_RDWR)
        os.fsync(self._handle)
        self._end = 0
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress if compress else bytes

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Serialize, compress, append and flush."""
        parts = (self.serde.dumps_typed(part)[1] for part in (checkpoint, metadata))
        record = self._compress(b"".join(parts))
        if self._end + len(record) > _FILE_SIZE:
            self._end = 0
        os.pwrite(self._handle, record, self._end)
        os.fdatasync(self._handle)
        self._end += len(record)
        configurable = {**config["configurable"], "checkpoint_id": checkpoint["id"]}
        return {"configurable": configurable}

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


@contextmanager
def _least(location: Location, *, compress: bool) -> Iterator[BaseCheckpointSaver[Any]]:
    saver = LeastSaver(location.directory / "log", compress=compress)
    try:
        yield saver
    finally:
        saver.close()


def measure(directory: Path, size: int, count: int) -> dict[str, float]:
    """Return the median seconds of a put of a text of `size` bytes, for each saver."""
    found: dict[str, float] = {}
    openers: dict[str, Callable[[Location], AbstractContextManager[BaseCheckpointSaver[Any]]]] = {
        "append and flush": partial(_least, compress=False),
        "compress, append and flush": partial(_least, compress=True),
        "SqliteSaver": lambda location: SAVERS["sqlite"].open(location, True),
        "LmdbSaver": lambda location: SAVERS["lmdb"].open(location, True),
    }
    for name, opener in openers.items():
        prose = Writer(size)
        texts = [prose.prose(size) for _ in range(count)]
        with (
            tempfile.TemporaryDirectory(dir=directory) as folder,
            opener(Location(Path(folder))) as saver,
        ):
            thread = ThreadWriter(saver, "thread")
            thread.put("")
            found[name] = statistics.median(latencies(partial(thread.put, text) for text in texts))
    return found


def main() -> None:
    """Measure, and print the times and their ratios to SqliteSaver's."""
    parser = argparse.ArgumentParser(prog="python -m benches.put_floor", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the puts")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"))
    arguments = parser.parse_args()
    for label, (size, count) in SIZES.items():
        found = measure(arguments.directory, size, count // (10 if arguments.quick else 1))
        print(label)
        for name, seconds in found.items():
            ratio = seconds / found["SqliteSaver"]
            print(f"  {name:28} {format_value(seconds, 's'):>10}  {ratio:.2f} of SqliteSaver")


if __name__ == "__main__":
    main()
