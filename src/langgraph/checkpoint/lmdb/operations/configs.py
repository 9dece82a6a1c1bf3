"""LangGraph's configs, versions and names of channels and namespaces."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import InvalidConfigError, InvalidVersionError

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


class CheckpointRef(NamedTuple):
    """The checkpoint that a config names. An id of None stands for the latest one."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str | None


def parse_config(config: RunnableConfig) -> CheckpointRef:
    """Return the checkpoint that a config names. A missing namespace is the root namespace.

    Raises:
        InvalidConfigError: The thread_id is missing, or a value has the wrong type.
    """
    configurable = _configurable(config)
    thread_id = _optional(configurable, "thread_id")
    if thread_id is None:
        raise InvalidConfigError("the config has no thread_id")
    return CheckpointRef(
        thread_id,
        _optional(configurable, "checkpoint_ns") or "",
        _optional(configurable, "checkpoint_id") or None,
    )


def namespace_filter(config: RunnableConfig) -> str | None:
    """Return the namespace in a config. None: the config names all namespaces."""
    return _optional(_configurable(config), "checkpoint_ns")


def before_id(before: RunnableConfig) -> str | None:
    """Return the checkpoint id in a config, which may lack a thread id, or None.

    Raises:
        InvalidConfigError: The argument is not a config.
    """
    try:
        return _optional(_configurable(before), "checkpoint_id") or None
    except InvalidConfigError as error:
        advice = 'Pass before={"configurable": {"checkpoint_id": ...}}, or None.'
        raise InvalidConfigError(f"before: {error.message}", advice=advice) from error


def to_config(ref: CheckpointRef) -> RunnableConfig:
    """Return the config that names a checkpoint."""
    return {
        "configurable": {
            "thread_id": ref.thread_id,
            "checkpoint_ns": ref.checkpoint_ns,
            "checkpoint_id": ref.checkpoint_id,
        }
    }


def _configurable(config: object) -> dict[str, Any]:
    if type(config) is not dict and not isinstance(config, Mapping):
        validation.refuse("config", "a dict", config, InvalidConfigError)
    configurable = config.get("configurable")
    if configurable is None:
        raise InvalidConfigError('the config has no "configurable"')
    if not isinstance(configurable, dict):
        validation.refuse('config["configurable"]', "a dict", configurable, InvalidConfigError)
    return configurable


def _optional(configurable: dict[str, Any], name: str) -> str | None:
    value = configurable.get(name)
    if value is None or type(value) is str:
        return value
    return validation.text(value, name, InvalidConfigError)


def next_version(current: object) -> int | float | str:
    """Return the version after `current`, of the same type; 1 for None.

    Raises:
        InvalidVersionError: `current` has no greater version of its type.
    """
    if current is None:
        return 1
    with suppress(ValueError):
        if isinstance(current, str):
            number = int(current.split(".")[0]) + 1
            return f"{number:032}.{random.random():016}"  # noqa: S311 - as LangGraph's own savers
        if isinstance(current, (int, float)) and current + 1 > current:
            return current + 1
    expected = "a version that another can follow, or None"
    return validation.refuse("current", expected, current, InvalidVersionError)


def is_ephemeral(channel: str) -> bool:
    """Return True for a channel of LangGraph's own, whose history is never read."""
    return channel.startswith(("__", "branch:"))


def is_subgraph_call(checkpoint_ns: str) -> bool:
    """Return True if a namespace belongs to one call of a subgraph.

    It has the id of the call's task after a colon. A subgraph compiled with `checkpointer=True`
    has one namespace without a task id.
    """
    return ":" in checkpoint_ns
