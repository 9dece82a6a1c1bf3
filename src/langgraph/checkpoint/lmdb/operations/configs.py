"""LangGraph's configs and names, as this package reads them."""

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
    """What a config points at."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str | None


def parse_config(config: RunnableConfig) -> CheckpointRef:
    """Read a config; a missing namespace means the root namespace.

    Raises:
        InvalidConfigError: There is no thread_id in it, or a value of the wrong kind.
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
    """The namespace that a config asks for; None: it asks for all."""
    return _optional(_configurable(config), "checkpoint_ns")


def before_id(before: RunnableConfig) -> str | None:
    """The checkpoint id of a config, if it has one; it needs no thread.

    Raises:
        InvalidConfigError: It is not a config.
    """
    try:
        return _optional(_configurable(before), "checkpoint_id") or None
    except InvalidConfigError as error:
        advice = 'Pass before={"configurable": {"checkpoint_id": ...}}, or None.'
        raise InvalidConfigError(f"before: {error.message}", advice=advice) from error


def to_config(found: CheckpointRef) -> RunnableConfig:
    """The config that points at a checkpoint."""
    return {
        "configurable": {
            "thread_id": found.thread_id,
            "checkpoint_ns": found.checkpoint_ns,
            "checkpoint_id": found.checkpoint_id,
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
    """The version after `current`, of the same type; 1 if there is none.

    Raises:
        InvalidVersionError: No version of its type is greater.
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
    """Whether a channel is one of LangGraph's own, which no later step rebuilds from its past."""
    return channel.startswith(("__", "branch:"))


def is_subgraph_call(checkpoint_ns: str) -> bool:
    """Whether a namespace belongs to one call of a subgraph: its task's id follows a colon.
    A subgraph compiled with `checkpointer=True` keeps one namespace, without."""
    return ":" in checkpoint_ns
