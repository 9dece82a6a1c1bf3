"""Listing checkpoints: which checkpoints a call of `list` asks for, and where they are.

No transaction outlives a step of an iterator.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NoReturn

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.engine import checkpoints, namespaces
from langgraph.checkpoint.lmdb.engine.snapshot import Snapshot
from langgraph.checkpoint.lmdb.engine.thread_record import Thread
from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format.keys import NamespaceRef
from langgraph.checkpoint.lmdb.kv.base import Reader
from langgraph.checkpoint.lmdb.operations import configs, get, metadata_index
from langgraph.checkpoint.lmdb.operations.configs import CheckpointRef
from langgraph.checkpoint.lmdb.operations.metadata_index import Matches
from langgraph.checkpoint.lmdb.operations.session import Session

_PAGE = 16
"""Checkpoints that are read at a time from a store on another machine."""
_TERM_BATCH = 64
"""Index entries that one snapshot of an iterator reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The checked arguments of a call of `list`."""

    config: RunnableConfig | None = None
    """None: all threads."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Metadata that the checkpoints must have."""
    before_id: str | None = None
    """Only ids below this one are listed."""
    limit: int | None = None
    skip_damaged: bool = False
    values: bool = True
    """False: only the values that the state of a run depends on."""
    matches: Matches | None = None
    """Function that applies the filter. None: there is no filter."""


def parse_query(
    config: RunnableConfig | None,
    filter: Mapping[str, Any] | None,
    before: RunnableConfig | None,
    limit: int | None,
    skip_damaged: bool,
    values: bool,
) -> Query:
    """Check the arguments of `list`. The config is checked by `find_refs`.

    Raises:
        UsageError: An argument is invalid.
    """
    return Query(
        config=config,
        matches=metadata_index.matcher(filter),
        filter=filter or {},
        limit=validation.limit(limit),
        skip_damaged=validation.flag(skip_damaged, "skip_damaged"),
        values=validation.flag(values, "values"),
        before_id=None if before is None else configs.before_id(before),
    )


def read(
    session: Session, refs: Iterator[CheckpointRef], query: Query
) -> Iterator[CheckpointTuple]:
    """Yield the checkpoints that match, except damaged ones that are to be skipped."""
    for page in _pages(session, refs, query):
        for decode in page:
            found = _decoded(decode, query)
            if found is not None:
                yield found


def read_pages(
    session: Session, refs: Iterator[CheckpointRef], query: Query
) -> Iterator[list[CheckpointTuple]]:
    """Yield what `read` yields, in lists that are read and decoded in one step."""
    for page in _pages(session, refs, query):
        found = (_decoded(decode, query) for decode in page)
        yield [checkpoint for checkpoint in found if checkpoint is not None]


def read_one(session: Session, ref: CheckpointRef, query: Query) -> CheckpointTuple | None:
    """Return a checkpoint, or None if it is missing, does not match, or is to be skipped."""
    return _decoded(_fetch(session, ref, query), query)


def _pages(
    session: Session, refs: Iterator[CheckpointRef], query: Query
) -> Iterator[list[Callable[[], CheckpointTuple | None]]]:
    """Read checkpoints; yield lists of the functions that decode them.

    A store on this machine reads one at a time, another one as many as it can in the same trips.
    """
    size = _page_size(session, query)
    before = query.before_id
    while True:
        page: list[CheckpointRef] = []
        damage: DamagedError | None = None
        with session.one_moment(size, before) as gather:
            try:
                page.extend(islice(refs, size))
            except DamagedError as error:
                damage = error
            found = [*gather(partial(_fetch, session, ref, query) for ref in page)]
        yield found
        if damage is not None:
            raise damage
        if len(page) < size:
            return
        before = page[-1].checkpoint_id


def _page_size(session: Session, query: Query) -> int:
    return min(_PAGE, query.limit or _PAGE) if session.kv.is_remote else 1


def _fetch(
    session: Session, ref: CheckpointRef, query: Query
) -> Callable[[], CheckpointTuple | None]:
    """Read a checkpoint; return the function that decodes it or raises what is wrong with it."""
    try:
        decode = get.fetch(session, ref, matches=query.matches, values=query.values)
    except DamagedError as error:
        return partial(_raise, error)
    return _nothing if decode is None else decode


def _raise(error: DamagedError) -> NoReturn:
    raise error


def _nothing() -> None:
    """Return None in the place of a checkpoint that is missing or does not match."""


def _decoded(decode: Callable[[], CheckpointTuple | None], query: Query) -> CheckpointTuple | None:
    try:
        return decode()
    except DamagedError as error:
        if not query.skip_damaged:
            raise
        get.log_skipped(error)
        return None


def find_refs(session: Session, query: Query) -> Iterator[CheckpointRef]:
    """Yield the checkpoints that may match, by descending id.

    The index of metadata may lead to checkpoints without the wanted metadata.
    """
    try:
        yield from _find_refs(session, query)
    except DamagedError as error:
        session.add_owner(error)
        if query.config is not None:
            error.add_location(**configs.parse_config(query.config)._asdict())
        if not query.skip_damaged:
            raise
        get.log_skipped(error)


def _find_refs(session: Session, query: Query) -> Iterator[CheckpointRef]:
    config, before_id = query.config, query.before_id
    terms = metadata_index.terms_for_filter(query.filter, all_threads=config is None)
    if terms is not None and not query.skip_damaged:  # damage would end a search of the index
        yield from _by_term(session, config, before_id, terms)
        return
    with session.snapshot() as snapshot:
        if config is None:
            found = _threads_with(snapshot, query)
            only = exact = None
        else:
            only = configs.namespace_filter(config)
            thread_id, _, exact = configs.parse_config(config)
            thread = snapshot.thread(thread_id)
            found = [] if thread is None else [thread]
        reader = snapshot.reader
        names = reader.gather(partial(namespaces.of_thread, reader, thread) for thread in found)
        listed = [
            (thread.id, name, namespace)
            for thread, pairs in zip(found, names, strict=True)
            for name, namespace in pairs
            if only is None or name == only
        ]
        size = _page_size(session, query)
        first = [
            *reader.gather(
                partial(_ids_before, reader, namespace, before_id, size)
                for _, _, namespace in listed
                if exact is None
            )
        ]
    if exact is not None:
        if before_id is None or exact < before_id:
            yield from (CheckpointRef(thread_id, name, exact) for thread_id, name, _ in listed)
        return
    yield from _merge_by_id(
        [
            _walk(session, CheckpointRef(thread_id, name, None), ids, size)
            for (thread_id, name, _), ids in zip(listed, first, strict=True)
        ]
    )


def _threads_with(snapshot: Snapshot, query: Query) -> list[Thread]:
    """Return the threads that may have checkpoints with the wanted metadata."""
    terms = metadata_index.thread_terms_for_filter(query.filter)
    if terms is None or query.skip_damaged:
        on_damage = get.log_skipped if query.skip_damaged else None
        return [thread for thread in snapshot.threads(on_damage) if thread.checkpoints]
    found = (thread for term in terms for thread in snapshot.threads_with_term(term))
    return list({thread.number: thread for thread in found}.values())


def _by_term(
    session: Session, config: RunnableConfig | None, before_id: str | None, terms: Sequence[bytes]
) -> Iterator[CheckpointRef]:
    """Return the checkpoints that an index of metadata leads to."""
    found = _merge_by_id([_with_term(session, term, before_id) for term in terms])
    if config is None:
        return found
    thread_id, _, exact = configs.parse_config(config)
    only = configs.namespace_filter(config)
    return (
        ref
        for ref in found
        if ref.thread_id == thread_id
        and only in (None, ref.checkpoint_ns)
        and exact in (None, ref.checkpoint_id)
    )


def _with_term(session: Session, term: bytes, before_id: str | None) -> Iterator[CheckpointRef]:
    at = None if before_id is None else checkpoints.with_term_before(term, before_id)
    while True:
        with session.snapshot() as snapshot:
            found, at = snapshot.with_term(term, at, _TERM_BATCH)
        for ids in found:
            if before_id is None or ids[2] < before_id:
                yield CheckpointRef(*ids)
        if at is None:
            return


def _walk(
    session: Session, ref: CheckpointRef, ids: list[str], size: int
) -> Iterator[CheckpointRef]:
    """Yield checkpoints of a namespace.

    Args:
        session: The session.
        ref: The namespace.
        ids: The first ones. The ones below are found when they are needed, each page in its own
            snapshot.
        size: Checkpoints of a page.
    """
    while ids:
        for checkpoint_id in ids:
            yield ref._replace(checkpoint_id=checkpoint_id)
        if len(ids) < size:
            return
        with session.snapshot() as snapshot:
            namespace = snapshot.namespace(ref.thread_id, ref.checkpoint_ns)
            if namespace is None:
                return
            ids = _ids_before(snapshot.reader, namespace, ids[-1], size)


def _ids_before(
    reader: Reader, namespace: NamespaceRef, before: str | None, count: int
) -> list[str]:
    """Return up to `count` ids of a namespace, descending, below `before` if it is given."""
    found: list[str] = []
    while len(found) < count:
        before = checkpoints.latest_before(reader, namespace, before)
        if before is None:
            break
        found.append(before)
    return found


def _merge_by_id(walks: Sequence[Iterator[CheckpointRef]]) -> Iterator[CheckpointRef]:
    """Merge iterators that yield descending ids."""
    if len(walks) == 1:
        return walks[0]
    return heapq.merge(*walks, key=lambda ref: ref.checkpoint_id or "", reverse=True)
