"""The commands that check and repair a store.

They use only the records, so that they open stores that a saver refuses. Pages are checked before
LMDB opens the store.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy, StoreOptions
from langgraph.checkpoint.lmdb.engine.store import check_format
from langgraph.checkpoint.lmdb.errors import (
    DamagedError,
    InvalidPathError,
    LmdbSaverError,
    MissingKeyError,
    WrongKeyError,
)
from langgraph.checkpoint.lmdb.kv.lmdb import files, page_check, page_reader
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from langgraph.checkpoint.lmdb.kv.log import recovery
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from langgraph.checkpoint.lmdb.models import LOST, Problem, VerifyReport
from langgraph.checkpoint.lmdb.operations import configs
from langgraph.checkpoint.lmdb.verification import kinds
from langgraph.checkpoint.lmdb.verification.repair import repair
from langgraph.checkpoint.lmdb.verification.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore, Writer

CLEAN, PROBLEMS, FAILED = 0, 1, 2
_LEVEL = 3
_BATCH = 5000
"""Records per transaction."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    Args:
        arguments: Arguments of the command. By default, the arguments of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m langgraph.checkpoint.lmdb")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "verify",
        help="check a store",
        description="Check a store. The exit status is 0 if the store has no problems or all are "
        "repaired, 1 if it has problems, and 2 if it could not be checked. The key of an "
        "encrypted store is read from LANGGRAPH_AES_KEY.",
    )
    command.add_argument("path", help="the folder of the store")
    command.add_argument("--repair", action="store_true", help="repair the problems")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command = commands.add_parser(
        "salvage",
        help="copy the readable records of a damaged store",
        description="Copy the readable records of a store to a new store, and repair the copy. "
        "LMDB does not read the old store, so that damaged pages are skipped. The old store is not "
        "changed. The key and the exit status are as for verify, for the new store. Lost records "
        "are reported as problems.",
    )
    command.add_argument("path", help="the folder of the store, which no process has open")
    command.add_argument("target", help="the folder of the new store")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.command == "verify":
            found = _verify(options.path, options.repair)
        else:
            found = _salvage(options.path, options.target)
    except LmdbSaverError as error:
        print(error, file=sys.stderr)
        return FAILED
    if options.json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        _print(found)
    return CLEAN if found.ok else PROBLEMS


def _verify(path: str, repairing: bool) -> VerifyReport:
    found = page_check.check(path)
    if found.problems:
        return VerifyReport(
            tuple(Problem(kinds.PAGES, problem) for problem in found.problems),
            records_unchecked="LMDB might not survive reading these pages",
        )
    try:
        kv = LogStore.open(path, readonly=True)  # creates nothing
        if repairing:
            kv.close()
            kv = LogStore.open(path)
    except DamagedError as error:
        return VerifyReport(
            (Problem(kinds.PAGES, error.message),), records_unchecked="LMDB refuses the file"
        )
    try:
        plain = open_encrypted(kv, None)
        with suppress(DamagedError):  # reported as a problem
            check_format(plain)
        return repair(plain, _options()) if repairing else verify(plain)
    finally:
        kv.close()


def _salvage(path: str, target: str) -> VerifyReport:
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
            recovery.apply_log(kv, path)
            plain = _unlocked(kv, target)
            with suppress(DamagedError, InvalidPathError):  # repaired, or created
                check_format(plain)
            found = repair(plain, _options())
        finally:
            kv.close()
    if not source.skipped:
        return found
    text = f"{source.skipped} pages or records could not be read, with all that they lead to"
    lost = Problem(kinds.PAGES, text, outcome=LOST)
    return replace(found, problems=(lost, *found.problems))


def _unlocked(kv: LmdbStore, target: str) -> KeyValueStore:
    try:
        return open_encrypted(kv, None)
    except (MissingKeyError, WrongKeyError) as error:
        advice = (
            "The readable records are copied, still encrypted. Set LANGGRAPH_AES_KEY and run: "
            f"python -m langgraph.checkpoint.lmdb verify {target} --repair"
        )
        raise type(error)(error.message, path=target, advice=advice) from error


def _fill(kv: LmdbStore, records: Iterator[tuple[bytes, bytes]]) -> None:
    while batch := list(islice(records, _BATCH)):

        def put(writer: Writer, batch: list[tuple[bytes, bytes]] = batch) -> None:
            for key, value in batch:
                writer.put(key, value)

        kv.write(put)


def _options() -> StoreOptions:
    return StoreOptions(
        level=_LEVEL,
        clock=time.time,
        is_ephemeral=configs.is_ephemeral,
        is_subgraph_call=configs.is_subgraph_call,
        retention=RetentionPolicy(),
    )


def _print(found: VerifyReport) -> None:
    for problem in found.problems:
        print(problem)
    print("checked:", ", ".join(f"{count} {what}" for what, count in found.checked.items()) or "-")
    if found.pages_unchecked is not None:
        print("pages were not checked:", found.pages_unchecked)
    if found.records_unchecked is not None:
        print("records were not checked:", found.records_unchecked)
    if found.quarantine is not None:
        print("removed records are in", found.quarantine)
    print("ok" if found.ok else "not ok")
