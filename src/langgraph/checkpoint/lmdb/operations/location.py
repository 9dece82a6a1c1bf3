"""The location that errors of an operation name: thread, namespace, checkpoint, channel."""

from __future__ import annotations

from langgraph.checkpoint.lmdb.errors import LmdbSaverError


class located:  # noqa: N801 - used like a function
    """A context manager that adds a location to the errors of its block.

    It returns the location, a dict that the block may change.

    Args:
        location: Fields of an LmdbSaverError.
    """

    def __init__(self, **location: str | int | None) -> None:
        self._location = location

    def __enter__(self) -> dict[str, str | int | None]:
        return self._location

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LmdbSaverError):
            error.add_location(**self._location)
