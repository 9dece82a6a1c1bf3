"""A serialiser whose failures say which value, and where inside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import (
    DeserializationError,
    LmdbSaverError,
    SerializationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.serde.base import SerializerProtocol

_MAX_DEPTH = 50


def dumps(serde: SerializerProtocol, value: Any) -> tuple[str, bytes]:
    """Serialise a value.

    Raises:
        SerializationError: The serialiser does not know it, or a part of it, which is named.
    """
    try:
        tag, payload = serde.dumps_typed(value)
    except LmdbSaverError:
        raise
    except Exception as error:
        inside = _find_unserializable(serde, value, "", _MAX_DEPTH)
        raise SerializationError(
            f"a value cannot be serialised: {type(error).__name__}: {error}", inside=inside or None
        ) from error
    if not isinstance(tag, str) or not isinstance(payload, (bytes, bytearray, memoryview)):
        raise SerializationError(
            "a serializer must return a str and bytes, "
            f"got {type(tag).__name__} and {type(payload).__name__}",
            advice="Correct dumps_typed of the serde.",
        )
    return validation.plain(tag), bytes(payload)


def loads(serde: SerializerProtocol, tag: str, payload: bytes, *, may_be_none: bool) -> Any:
    """Deserialize a value.

    Args:
        may_be_none: Whether None is what the serializer read when the value was put.

    Raises:
        DeserializationError: The serializer fails, or returns None where that is not right.
    """
    try:
        value = serde.loads_typed((tag, payload))
    except LmdbSaverError:
        raise
    except Exception as error:
        raise DeserializationError(
            f"a stored value cannot be deserialised: {type(error).__name__}: {error}"
        ) from error
    return sound(value, may_be_none=may_be_none)


def sound(value: Any, *, may_be_none: bool) -> Any:
    """Return a value that was read.

    Raises:
        DeserializationError: It is None where that is not right.
    """
    if value is None and not may_be_none:
        raise DeserializationError("a stored value is read back as None, and was not when put")
    return value


def add_location(error: LmdbSaverError, **where: str | None) -> LmdbSaverError:
    """Say where an error of ours happened, as far as it does not say so yet."""
    for name, value in where.items():
        if getattr(error, name, None) is None:
            setattr(error, name, value)
    return error


def _find_unserializable(serde: SerializerProtocol, value: Any, path: str, depth: int) -> str:
    """The path to the innermost part of a value that cannot be serialised alone."""
    for step, part in _parts(value) if depth else ():
        try:
            serde.dumps_typed(part)
        except Exception:  # noqa: BLE001 - whatever it raises, this is the part
            return _find_unserializable(serde, part, path + step, depth - 1)
    return path


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{validation.shown(key)}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif hasattr(value, "__dict__"):
        yield from ((f".{name}", part) for name, part in vars(value).items())
