"""Whether the pages of a data file are such as LMDB writes, judged from the bytes alone.

LMDB trusts its pages: on damaged ones it may end the process, or read what is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb

from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import reported
from langgraph.checkpoint.lmdb.kv.page_report import PageCheck


def check(folder: str) -> PageCheck:
    """Check every page that the newest root of a store leads to, and that all others are free.

    A problem is one only if it is found twice: a store that is in use changes meanwhile, unless a
    snapshot is open, which keeps the pages of the newest root as they are.

    Args:
        folder: Of the store; one that has no data file has no problems.

    Raises:
        InvalidPathError: The data file is not a regular file, or may not be read.
        StoreIOError: It cannot be read.
    """
    with reported(folder, "checking the store's pages"):
        return _check(folder)


def _check(folder: str) -> PageCheck:
    data = Path(folder) / files.DATA
    if not Path(folder).is_dir() or files.status(folder, files.DATA) is None:
        return PageCheck()
    try:
        from lmdb import verify as verifier  # noqa: PLC0415
    except ImportError:
        return PageCheck(
            skipped_reason=f"lmdb {lmdb.__version__} cannot check pages, 3.0 or later can"
        )
    problems = _problems(verifier, str(data))
    if problems:
        again = set(_problems(verifier, str(data)))
        problems = tuple(problem for problem in problems if problem in again)
    return PageCheck(problems)


def _problems(verifier: Any, data: str) -> tuple[str, ...]:
    try:
        return tuple(verifier.verify(data, subdir=False))
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over, LMDB might too
        return (str(error) or type(error).__name__,)
