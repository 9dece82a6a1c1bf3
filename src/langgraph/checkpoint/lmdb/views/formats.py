"""Formats: sizes, times, ids and values as short text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from langgraph.checkpoint.lmdb.views.plain import Opaque, Snapshot, Typed, to_json

_UNITS = ("KB", "MB", "GB", "TB")
_SHORT_ID = 8
_LONG_ID = 20


def size(count: int) -> str:
    """Return a number of bytes with a unit of powers of 1000."""
    if count < 1000:
        return f"{count} B"
    power = 1
    while count >= 999.5 * 1000**power and power < len(_UNITS):
        power += 1
    return f"{count / 1000**power:.3g} {_UNITS[power - 1]}"


def moment(time: datetime | str | None) -> str:
    """Return a time in the time zone of the machine, to the second."""
    if time is None:
        return "-"
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return str(time)
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_id(checkpoint_id: str) -> str:
    """Return the end of a long id, which tells checkpoints apart better than its beginning."""
    return checkpoint_id if len(checkpoint_id) <= _LONG_ID else checkpoint_id[-_SHORT_ID:]


def value(plain: Any) -> str:
    """Return a plain value as text on one line."""
    if isinstance(plain, str):
        return plain
    return json.dumps(_readable(plain), ensure_ascii=False)


def pretty(plain: Any) -> str:
    """Return a plain value as text, a value with parts on several lines."""
    if isinstance(plain, str):
        return plain
    return json.dumps(_readable(plain), ensure_ascii=False, indent=2)


def folded(text: str, width: int | None) -> str:
    """Return the beginning of a text and the number of omitted characters; None: the whole text."""
    if width is None or len(text) <= width:
        return text
    return f"{text[:width]}... ({len(text) - width} more characters)"


def names(parts: Sequence[str]) -> str:
    """Return names separated by commas; `-` for none."""
    return ", ".join(parts) or "-"


def _readable(plain: Any) -> Any:
    """Return a value for people, with the short names of types."""
    if isinstance(plain, Typed):
        name, content = plain.type.rpartition(".")[2], _readable(plain.content)
        return {name: content}
    if isinstance(plain, Snapshot):
        return _readable(plain.value)
    if isinstance(plain, Opaque):
        return f"<{plain.form}: {len(plain.payload)} bytes>"
    if isinstance(plain, (bytes, bytearray)):
        return f"<{len(plain)} bytes>"
    if isinstance(plain, dict):
        return {str(key): _readable(part) for key, part in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [_readable(part) for part in plain]
    return to_json(plain)
