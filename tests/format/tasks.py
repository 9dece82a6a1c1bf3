"""The versions of tasks in a snapshot store, read with docs/design/FORMAT.md alone."""

from __future__ import annotations

import json
from typing import Any

from tests.format.encodings import UnreadableError


def read_snapshots(store: dict[str, Any]) -> dict[str, Any]:
    """Return the versions of each task in a snapshot store: id, checkpoint, created_at and data.

    Raises:
        UnreadableError: The store differs from FORMAT.md.
    """
    return {
        task_id: {
            int(name): read_version(name, checkpoint)
            for name, checkpoint in thread["namespaces"][""]["checkpoints"].items()
        }
        for task_id, thread in store["threads"].items()
    }


def read_version(name: str, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a version of a task."""
    ((channel, data),) = checkpoint["values"].items()
    if channel != "data" or len(name) != 19 or checkpoint["versions"] != {"data": int(name)}:
        raise UnreadableError(f"{name} is not a version of a task")
    parts = [checkpoint["body"], checkpoint["metadata"], data]
    if [tag for tag, *_ in parts] != ["json"] * 3:
        raise UnreadableError(f"version {name} is not JSON")
    body, metadata, state = (json.loads(bytes.fromhex(payload)) for _, payload in parts)
    if body != {}:
        raise UnreadableError(f"version {name} has a body")
    return {**metadata, "data": state}
