"""The operations that delete: threads, runs, and what `prune` is asked to remove."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import prune as prune_engine
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.operations import metadata_index, retention
from langgraph.checkpoint.lmdb.operations.session import Operations, Session, simple
from langgraph.checkpoint.lmdb.verification import thread_repair

PRUNE_STRATEGIES = ("keep_latest", "delete")


def delete_thread(session: Session, thread_id: object) -> Operations[None]:
    """Delete a thread; readers do not see it after the first operation.

    A thread with damaged records is deleted by its number.
    """
    name = validation.text(thread_id, "thread_id")
    left: int | None = None
    try:
        left = yield simple(partial(prune_engine.delete_thread, thread_id=name), thread_id=name)
        while left is not None:
            left = yield simple(partial(prune_engine.purge, number=left), thread_id=name)
    except DamagedError:
        remove = partial(thread_repair.remove_thread, thread_id=name, number=left)
        if not (yield simple(remove, thread_id=name)):
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
                partial(
                    prune_engine.prune, thread_id=thread_id, keep=keep, options=session.options
                ),
                thread_id=thread_id,
            )
