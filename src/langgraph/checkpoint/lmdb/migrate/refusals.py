"""Types that a serializer refuses to rebuild: it emits an event and returns another value."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.event_hooks import register_serde_event_listener

from langgraph.checkpoint.lmdb.errors import DeserializationError, LmdbSaverError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.serde.event_hooks import SerdeEvent

    from langgraph.checkpoint.lmdb.migrate.models import Key


@contextmanager
def located_reads(key: Key, channel: str | None = None) -> Iterator[None]:
    """Raise an error that names the checkpoint if the block cannot read a value.

    Raises:
        DeserializationError: The serializer fails, or refuses a type.
    """
    thread = threading.get_ident()
    refused: list[str] = []

    def listen(event: SerdeEvent) -> None:
        if event["kind"].endswith("_blocked") and threading.get_ident() == thread:
            refused.append(f"{event['module']}.{event['name']}")

    where: dict[str, Any] = {**key._asdict(), "channel": channel}
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
    if refused:
        raise DeserializationError(
            f"the serializer refuses the type {refused[0]}",
            advice="Allow the type: pass a saver whose serde has it in allowed_msgpack_modules.",
            **where,
        )
