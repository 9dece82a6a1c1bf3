"""The JSON of a snapshot's data, which reads back as it does from ASAP's SQLite store."""

from __future__ import annotations

import json
from typing import Any, Final

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import SerializationError

TAG: Final = "json"


class JsonSerializer:
    """A serializer of JSON in LangGraph's form."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the tag and the JSON of a value."""
        return TAG, _encode(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of a tag and JSON."""
        return loads(data[1])


def dumps(data: object) -> bytes:
    """Return the JSON of a snapshot's data.

    Raises:
        UsageError: The data are not a dict.
        SerializationError: A part is not JSON-serializable.
    """
    if not isinstance(data, dict):
        validation.refuse("data", "a dict", data)
    try:
        return _encode(data)
    except Exception as error:
        raise SerializationError(
            f"data must be JSON-serializable, but {type(error).__name__}: {error}",
            advice="Pass dicts, lists, texts, numbers, booleans and None.",
        ) from error


def loads(text: bytes) -> Any:
    """Return the value of JSON."""
    return json.loads(text)


def _encode(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # lone surrogates: JSON has escapes for them
        return json.dumps(value, separators=(",", ":")).encode()
