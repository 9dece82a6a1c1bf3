"""The counts of a whole store."""

from __future__ import annotations

from itertools import islice

from langgraph.checkpoint.lmdb.engine import counts, thread_record, threads
from langgraph.checkpoint.lmdb.engine.counts import Counts
from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv.base import Reader

_BATCH = 1000
"""Threads that a sum over all threads reads at a time."""


def total(reader: Reader) -> Counts:
    """Return the counts of the store: those that it keeps, or the sum over all threads."""
    if not reader.many_writers:
        return counts.read(reader)
    found = counts.NOTHING
    prefix = keys.Kind.THREAD_ID
    names = reader.range(prefix, keys.prefix_end(prefix))
    while batch := list(islice(names, _BATCH)):
        numbers = [keys.thread_number(threads.named(*row)) for row in batch]
        for key, record in zip(numbers, reader.get_many(numbers), strict=True):
            if record is not None:
                share = thread_record.counts_of(thread_record.decode(key, record))
                found = Counts(*(a + b for a, b in zip(found, share, strict=True)))
    return found
