"""The functions that check and repair the store in a folder.

They use only the records, so that they open stores that a saver refuses. Pages are checked before
LMDB opens the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from itertools import islice

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.engine.dedup_cache import DedupCache
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy, StoreOptions
from langgraph.checkpoint.lmdb.engine.store import check_format
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    InvalidPathError,
    MissingKeyError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Progress, Writer
from langgraph.checkpoint.lmdb.kv.lmdb import files, page_check, page_reader
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.log import log_file, recovery, state
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.models import LOST, Problem, VerifyReport
from langgraph.checkpoint.lmdb.operations import configs, run_states
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.verification.repair import repair as repair_store
from langgraph.checkpoint.lmdb.verification.verify import verify

_LEVEL = 3
_BATCH = 5000
"""Records per transaction."""


def verify_folder(
    path: str, *, repair: bool = False, progress: Progress | None = None
) -> VerifyReport:
    """Check the store in a folder, also one that a saver refuses to open.

    Args:
        path: The folder of the store.
        repair: True: repair the problems.
        progress: A function to call with the number of checked threads and of all threads.

    Raises:
        LmdbSaverError: The store could not be checked.
    """
    found = page_check.check(path)
    if found.problems:
        return VerifyReport(
            tuple(Problem(kinds.PAGES, problem) for problem in found.problems),
            records_unchecked="LMDB might not survive reading these pages",
        )
    with ExitStack() as stack:
        try:
            kv = stack.enter_context(closing(LogStore.open(path, readonly=True)))  # creates nothing
            if repair:
                kv.close()
                kv = stack.enter_context(closing(LogStore.open(path)))
            plain = open_encrypted(kv, None)  # reads the first record
        except DamagedError as error:  # of LMDB or of the log
            return _refused(error)
        with suppress(DamagedError):  # reported as a problem
            check_format(plain)
        check = repair_store if repair else verify
        return check(plain, _options(), progress)


def _refused(error: DamagedError) -> VerifyReport:
    if error.record in (log_file.NAME, state.KEY.hex()):
        lost = Problem(kinds.LOG, error.message)
        return VerifyReport((lost,), records_unchecked="the last calls are missing")
    return VerifyReport(
        (Problem(kinds.PAGES, error.message),), records_unchecked="LMDB refuses the file"
    )


def recover_pages(path: str, target: str) -> VerifyReport:
    """Copy the readable records of a store to a new store, and repair the copy.

    LMDB does not read the old store, so that damaged pages are skipped. The old store is not
    changed. Lost records are reported as problems.

    Args:
        path: The folder of the store, which no process has open.
        target: The folder of the new store.

    Raises:
        LmdbSaverError: The store could not be read, or the new store not be written.
    """
    try:
        file = files.open_file(path, files.DATA, "rb")
    except OSError as error:
        raise InvalidPathError(f"there is no store to read: {error}", path=path) from error
    with file:
        source, root = page_reader.find_tree(file)
        kv = LmdbStore.open(target)
        try:
            with kv.read() as reader:
                if any(True for _ in reader.keys(b"", b"\xff" * 512)):
                    raise InvalidPathError("there is a store already", path=target)
            _fill(kv, source.records(root))
            lost_log = recovery.apply_log(kv, path)
            plain = _unlocked(kv, target)
            with suppress(DamagedError, InvalidPathError):  # repaired, or created
                check_format(plain)
            found = repair_store(plain, _options())
        finally:
            kv.close()
    lost = []
    if lost_log is not None:
        lost.append(Problem(kinds.LOG, lost_log, outcome=LOST))
    if source.skipped:
        text = f"{source.skipped} pages or records could not be read, with all that they lead to"
        lost.append(Problem(kinds.PAGES, text, outcome=LOST))
    return replace(found, problems=(*lost, *found.problems))


def _unlocked(kv: LmdbStore, target: str) -> KeyValueStore:
    try:
        return open_encrypted(kv, None)
    except (MissingKeyError, WrongKeyError) as error:
        advice = (
            "The readable records are copied, still encrypted. Set LANGGRAPH_AES_KEY and run: "
            f"langgraph-lmdb verify {target} --repair"
        )
        raise type(error)(error.message, path=target, advice=advice) from error


def _fill(kv: LmdbStore, records: Iterator[tuple[bytes, bytes]]) -> None:
    while batch := list(islice(records, _BATCH)):

        def put(writer: Writer, batch: list[tuple[bytes, bytes]] = batch) -> None:
            for key, value in batch:
                writer.put(key, value)

        kv.write(put)


def _options() -> StoreOptions:
    codec = ValueCodec(JsonPlusSerializer(), _LEVEL, 0, DedupCache(0))
    return StoreOptions(
        level=_LEVEL,
        clock=time.time,
        is_ephemeral=configs.is_ephemeral,
        is_subgraph_call=configs.is_subgraph_call,
        state_of=run_states.reader_of_states(codec),
        retention=RetentionPolicy(),
    )
