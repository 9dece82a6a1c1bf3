"""The operations that copy: a thread, or a checkpoint with its ancestors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import copying
from langgraph.checkpoint.lmdb.errors import InvalidConfigError
from langgraph.checkpoint.lmdb.operations import configs
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.session import Operation, Session, simple

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig


def copy_thread(session: Session, source: object, target: object) -> Operation[None, None]:
    """Copy a thread."""
    return simple(
        partial(
            copying.copy_thread,
            source_id=validation.text(source, "source_thread_id"),
            target_id=validation.text(target, "target_thread_id"),
            options=session.options,
        )
    )


def fork(
    session: Session, config: RunnableConfig, target: object
) -> Operation[str, RunnableConfig]:
    """Copy a checkpoint and its ancestors to a new thread; return the checkpoint's new config."""
    source = configs.parse_config(config)
    if source.checkpoint_ns:
        raise InvalidConfigError(
            "a fork begins in the root namespace",
            advice="Fork the root checkpoint that the subgraph was called from; "
            "what the subgraph stored comes along.",
            **source._asdict(),
        )
    thread_id = validation.text(target, "thread_id")
    apply = partial(
        copying.fork,
        source_id=source.thread_id,
        checkpoint_id=source.checkpoint_id,
        target_id=thread_id,
        options=session.options,
    )
    return simple(apply, lambda found: configs.to_config(CheckpointRef(thread_id, "", found)))
