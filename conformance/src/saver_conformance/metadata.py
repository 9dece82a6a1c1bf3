"""The metadata of a checkpoint: what `put` receives, and what it adds from the config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Config keys that locate a checkpoint and are not part of its metadata.
NOT_METADATA = frozenset(
    {
        "thread_id",
        "checkpoint_id",
        "checkpoint_ns",
        "checkpoint_map",
        "langgraph_step",
        "langgraph_node",
        "langgraph_triggers",
        "langgraph_path",
        "langgraph_checkpoint_ns",
    }
)


def merged_metadata(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a checkpoint, with the scalars of its config.

    Args:
        config: Config that `put` received.
        metadata: Metadata that `put` received; it takes precedence.

    Returns:
        Metadata to store.
    """
    merged = {k: _without_nul(v) for k, v in metadata.items()}
    for extra in (config.get("metadata"), config.get("configurable")):
        for key, value in (extra or {}).items():
            if key in merged or key in NOT_METADATA or key.startswith("__"):
                continue
            if isinstance(value, (str, int, float)):
                merged[key] = _without_nul(value)
    return merged


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "") if isinstance(value, str) else value
