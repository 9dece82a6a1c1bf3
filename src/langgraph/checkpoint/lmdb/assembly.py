"""Checks the arguments of a saver, and builds its session from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.engine.store import CheckpointStore
from langgraph.checkpoint.lmdb.operations import configs, retention
from langgraph.checkpoint.lmdb.operations.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.engine.options import RetentionPolicy
    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit

_PARENT_CACHE_SIZE = 512
_BYTES_PER_DEDUP_ENTRY = 2048  # an entry takes about 300: it adds a seventh to the cache at most


class Arguments(NamedTuple):
    """The checked arguments of a saver that do not depend on the kind of store."""

    serde: SerializerProtocol | None
    policy: RetentionPolicy
    compression: int | None
    cache_size: int
    clock: Callable[[], float]


def checked(serde: Any, ttl: Any, compression: object, cache_size: object, clock: Any) -> Arguments:
    """Check the arguments of a saver.

    Raises:
        UsageError: An argument is invalid.
    """
    if serde is not None:
        validation.serializer(serde)
    level = None
    if compression is not None:
        level = validation.count(compression, "compression", "a level (or None)", 1, 22)
    size = validation.count(cache_size, "cache_size", "bytes")
    validation.function(clock, "clock")
    return Arguments(serde, retention.parse_ttl(ttl), level, size, clock)


def session(
    kv: KeyValueStore, commit: GroupCommit, serde: SerializerProtocol, given: Arguments
) -> Session:
    """Return the session of a saver on an open store."""
    options = StoreOptions(
        level=given.compression,
        clock=given.clock,
        is_ephemeral=configs.is_ephemeral,
        is_subgraph_call=configs.is_subgraph_call,
        retention=replace(
            given.policy, refresh_on_read=given.policy.refresh_on_read and not kv.readonly
        ),
    )
    store = CheckpointStore(kv, options, given.cache_size // _BYTES_PER_DEDUP_ENTRY)
    return Session(
        store,
        commit,
        serde,
        ValueCodec(serde, given.compression, given.cache_size, store.dedup_cache),
        _PARENT_CACHE_SIZE if given.cache_size else 0,
    )
