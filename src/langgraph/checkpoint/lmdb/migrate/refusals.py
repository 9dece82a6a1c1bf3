"""Errors of serializers and databases, as errors of this package."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from typing import Any

from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener

from langgraph.checkpoint.lmdb.errors import (
    DeserializationError,
    LmdbSaverError,
    RetryableError,
    UsageError,
)
from langgraph.checkpoint.lmdb.migrate.models import Key


@contextmanager
def located_reads(key: Key, channel: str | None = None) -> Iterator[None]:
    """Raise an error that names the checkpoint if the block cannot read a value.

    A serializer emits an event for a type that is not known to be safe. If it refuses the type, or
    cannot import it, it returns another value.

    Raises:
        DeserializationError: The serializer fails, or refuses a type.
    """
    events: list[SerdeEvent] = []

    def listen(event: SerdeEvent) -> None:
        if _events.get() is events:
            events.append(event)

    where: dict[str, Any] = {**key._asdict(), "channel": channel}
    token = _events.set(events)
    unregister = register_serde_event_listener(listen)
    try:
        yield
    except LmdbSaverError as error:
        error.add_location(**where)
        raise
    except (OSError, MemoryError):
        raise
    except Exception as error:
        message = f"a value cannot be read: {type(error).__name__}: {error}"
        raise DeserializationError(message, **where) from error
    finally:
        unregister()
        _events.reset(token)
    for event in events:
        name = f"{event['module']}.{event['name']}"
        if event["kind"].endswith("_blocked"):
            raise DeserializationError(
                f"the serializer refuses the type {name}",
                advice="Allow the type: pass a saver whose serde has it in "
                "allowed_msgpack_modules.",
                **where,
            )
        if not _is_importable(event["module"], event["name"]):
            raise DeserializationError(
                f"the type {name} cannot be imported",
                advice="Migrate in the environment of the application, with its modules in "
                "PYTHONPATH.",
                **where,
            )


_events: ContextVar[list[SerdeEvent] | None] = ContextVar("_events", default=None)
"""Events of the read in this context, which includes its calls in an event loop."""


@lru_cache(maxsize=1024)
def _is_importable(module: str, name: str) -> bool:
    """Return True for a type that the serializer can rebuild. It returns the parts of others."""
    try:
        return hasattr(import_module(module), name)
    except Exception:  # noqa: BLE001 - a module may raise anything when it is imported
        return False


@contextmanager
def database_errors() -> Iterator[None]:
    """Convert errors of database drivers in the block.

    Raises:
        UsageError: The package of a saver is not installed.
        RetryableError: A database fails.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"a package is missing: {error}",
            advice="Install langgraph-checkpoint-sqlite or langgraph-checkpoint-postgres.",
        ) from error
    except Exception as error:
        psycopg = sys.modules.get("psycopg")
        if not isinstance(error, (sqlite3.Error, *((psycopg.Error,) if psycopg else ()))):
            raise
        raise RetryableError(
            f"a database failed: {type(error).__name__}: {error}",
            advice="Correct the cause, then call again: the migration continues.",
        ) from error
