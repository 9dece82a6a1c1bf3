"""A check of the pages of a data file, from the bytes alone.

LMDB trusts its pages: on damaged pages it may end the process, or read beyond them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb

from langgraph.checkpoint.lmdb.kv.base import PageCheck
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import reported


def check(folder: str) -> PageCheck:
    """Check every page that the newest meta page leads to, and that all other pages are free.

    Report only problems that are found twice: without an open snapshot, a writer may change pages
    during the check.

    Args:
        folder: The store's folder. Without a data file there are no problems.

    Raises:
        InvalidPathError: The data file is not a regular file, or may not be read.
        StoreIOError: The data file cannot be read.
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
    except Exception as error:  # noqa: BLE001 - LMDB may fail on the same bytes
        return (str(error) or type(error).__name__,)
