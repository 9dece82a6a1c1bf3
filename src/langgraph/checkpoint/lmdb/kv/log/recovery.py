"""Recovery of what a log holds, into a copy of its base."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer
from langgraph.checkpoint.lmdb.kv.log import transactions
from langgraph.checkpoint.lmdb.kv.log.epoch import Epoch
from langgraph.checkpoint.lmdb.kv.log.log_file import LogFile
from langgraph.checkpoint.lmdb.kv.log.overlay import Overlay
from langgraph.checkpoint.lmdb.kv.log.state import KEY


def apply_log(copy: KeyValueStore, folder: str) -> str | None:
    """Apply the whole records of a log to a copy of its base, which then needs no log.

    Args:
        copy: The copy, with the record of the log's state.
        folder: The folder of the log.

    Returns:
        What is lost of the log; None: nothing.
    """
    with copy.read() as reader:
        record = reader.get(KEY)
    if record is None:
        return None
    lost = None
    overlay = Overlay()
    try:
        epoch = Epoch(record)
        overlay = epoch.overlay
        if epoch.state.size:
            epoch.adopt(LogFile(folder, epoch.state.size, readonly=True))
    except DamagedError as error:
        lost = error.message

    def apply(writer: Writer) -> None:
        writer.delete(KEY)
        transactions.apply(writer, overlay.latest())

    copy.write(apply)
    return lost
