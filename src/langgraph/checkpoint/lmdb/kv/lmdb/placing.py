"""A new folder for a copy of a store: there whole and on the disk, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb.errors import InvalidPathError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import reported

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_target(path: str | os.PathLike[str], source: str | None) -> Path:
    """Return where a copy is to be.

    Args:
        path: The folder that does not exist yet.
        source: The folder of the store that is copied; None if it has none.

    Raises:
        InvalidPathError: Something is there, or it is inside of the store.
    """
    try:
        target = Path(os.path.abspath(path))  # noqa: PTH100 - a link at its end is something, too
        if os.path.lexists(target):
            message = "there is something at the path already"
            advice = "Name a folder that does not exist; a copy never overwrites anything."
            raise InvalidPathError(message, path=str(path), advice=advice)
        if source is not None and target.resolve().is_relative_to(source):
            advice = "Name a folder outside of it."
            message = "the path is inside of the store"
            raise InvalidPathError(message, path=str(path), advice=advice)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InvalidPathError):
            raise
        raise InvalidPathError(f"not a path for a copy: {error}", path=repr(path)) from error
    return target


@contextmanager
def whole(target: Path, doing: str) -> Iterator[Path]:
    """Give a folder its place when the `with` block has filled it; remove it if that fails.

    Args:
        target: As `check_target` gave it.
        doing: What is being done, for errors, to follow "while".

    Yields:
        A hidden folder beside `target`, empty and its owner's alone.

    Raises:
        InvalidPathError: Something has come to be at the target, or nothing can be made there.
        StoreFullError: There is no room for it.
        StoreIOError: The system refused.
    """
    with reported(str(target), doing):
        files.make_folder(target.parent, durable=True)
        # Opened before anything is made: once the copy has its name, only a flush can fail.
        above = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            made = Path(tempfile.mkdtemp(".part", f".{target.name[:100]}.", target.parent))
            try:
                yield made
                files.flush(made)
                _rename(made, target)
                made = target
                os.fsync(above)
            except BaseException:
                files.remove(made)
                raise
        finally:
            os.close(above)


def _rename(made: Path, target: Path) -> None:
    if os.path.lexists(target):
        message = "something has come to be at the path meanwhile"
        raise InvalidPathError(message, path=str(target), advice="Name another folder.")
    made.rename(target)  # fails on all that came just then, but for an empty folder
