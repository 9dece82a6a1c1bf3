"""LangGraph's configs and names, as this package reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb.errors import InvalidConfigError

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


class CheckpointRef(NamedTuple):
    """What a config points at."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str | None


def parse_config(config: RunnableConfig) -> CheckpointRef:
    """Read a config; a missing namespace means the root namespace.

    Raises:
        InvalidConfigError: There is no thread_id in it.
    """
    configurable = _configurable(config)
    checkpoint_id = configurable.get("checkpoint_id")
    return CheckpointRef(
        _thread_id(configurable),
        str(configurable.get("checkpoint_ns") or ""),
        str(checkpoint_id) if checkpoint_id else None,
    )


def namespace_filter(config: RunnableConfig) -> str | None:
    """The namespace that a config asks for; None: it asks for all."""
    checkpoint_ns = _configurable(config).get("checkpoint_ns")
    return None if checkpoint_ns is None else str(checkpoint_ns)


def checkpoint_id(config: RunnableConfig) -> str | None:
    """The checkpoint id of a config, if it has one; it needs no thread."""
    value = _configurable(config).get("checkpoint_id")
    return str(value) if value else None


def to_config(found: CheckpointRef) -> RunnableConfig:
    """The config that points at a checkpoint."""
    return {
        "configurable": {
            "thread_id": found.thread_id,
            "checkpoint_ns": found.checkpoint_ns,
            "checkpoint_id": found.checkpoint_id,
        }
    }


def _configurable(config: RunnableConfig) -> dict[str, Any]:
    try:
        configurable = config["configurable"]
    except (KeyError, TypeError) as error:
        raise InvalidConfigError('the config has no "configurable"') from error
    if not isinstance(configurable, dict):
        raise InvalidConfigError(f'"configurable" is a {type(configurable).__name__}, not a dict')
    return configurable


def _thread_id(configurable: dict[str, Any]) -> str:
    thread_id = configurable.get("thread_id")
    if thread_id is None:
        raise InvalidConfigError("the config has no thread_id")
    return str(thread_id)


def is_ephemeral(channel: str) -> bool:
    """Whether a channel is one of LangGraph's own, which no later step rebuilds from its past."""
    return channel.startswith(("__", "branch:"))


def is_subgraph_call(checkpoint_ns: str) -> bool:
    """Whether a namespace belongs to one call of a subgraph: its task's id follows a colon.
    A subgraph compiled with `checkpointer=True` keeps one namespace, without."""
    return ":" in checkpoint_ns
