"""The operations on whole threads: delete, prune, copy and fork."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import copying
from langgraph.checkpoint.lmdb.engine import prune as prune_engine
from langgraph.checkpoint.lmdb.errors import DamagedError, InvalidConfigError
from langgraph.checkpoint.lmdb.operations import configs, metadata_index, retention
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.session import simple
from langgraph.checkpoint.lmdb.verification import thread_repair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import RunnableConfig

    from langgraph.checkpoint.lmdb.operations.session import Operation, Operations, Session

PRUNE_STRATEGIES = ("keep_latest", "delete")


def delete_thread(session: Session, thread_id: object) -> Operations[None]:
    """Delete a thread; readers do not see it after the first operation.

    A thread with damaged records is deleted by its number.
    """
    name = validation.text(thread_id, "thread_id")
    left: int | None = None
    try:
        left = yield simple(partial(prune_engine.delete_thread, thread_id=name))
        while left is not None:
            left = yield simple(partial(prune_engine.purge, number=left))
    except DamagedError:
        remove = partial(thread_repair.remove_thread, thread_id=name, number=left)
        if not (yield simple(remove)):
            raise
    yield from retention.purge_deleted(session)


def delete_for_runs(session: Session, run_ids: Sequence[str]) -> Operations[None]:
    """Delete the checkpoints of runs; one operation for each thread that they ran in."""
    ids = {
        run_id: metadata_index.term_for_run(run_id)
        for run_id in validation.texts(run_ids, "run_ids")
    }
    with session.store.snapshot() as snapshot:
        numbers = prune_engine.threads_of_runs(snapshot.reader, ids)
    for number in numbers:
        yield simple(
            partial(prune_engine.delete_runs, number=number, run_ids=ids, options=session.options)
        )


def prune(
    session: Session, thread_ids: Sequence[str], strategy: str, keep_last: int | None
) -> Operations[None]:
    """Prune threads; one operation for each."""
    ids = validation.texts(thread_ids, "thread_ids")
    validation.choice(strategy, "strategy", PRUNE_STRATEGIES)
    keep = validation.optional_count(keep_last, "keep_last", "checkpoints", least=1)
    if keep is not None and strategy == "delete":
        validation.refuse("keep_last", 'None with strategy "delete", which keeps nothing', keep)
    return _prune(session, ids, strategy, 1 if keep is None else keep)


def _prune(session: Session, ids: Sequence[str], strategy: str, keep: int) -> Operations[None]:
    for thread_id in ids:
        if strategy == "delete":
            yield from delete_thread(session, thread_id)
        else:
            yield simple(
                partial(prune_engine.prune, thread_id=thread_id, keep=keep, options=session.options)
            )


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
