"""From the arguments of a saver to what its methods stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb.codec.value_codec import ValueCodec
from langgraph.checkpoint.lmdb.engine.housekeeping import Housekeeping
from langgraph.checkpoint.lmdb.engine.options import StoreOptions
from langgraph.checkpoint.lmdb.engine.store import CheckpointStore
from langgraph.checkpoint.lmdb.operations import configs, retention, validation
from langgraph.checkpoint.lmdb.operations.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph.checkpoint.lmdb.kv.base import KeyValueStore
    from langgraph.checkpoint.lmdb.kv.group_commit import GroupCommit
    from langgraph.checkpoint.lmdb.operations.retention import Policy

_PARENT_CACHE_SIZE = 512
_BYTES_PER_HINT = 2048  # a hint takes about 300: beside the cache it adds a seventh at most


class Arguments(NamedTuple):
    """Arguments of `LmdbSaver` that any store takes, checked."""

    serde: SerializerProtocol | None
    rules: Policy
    compression: int | None
    cache_size: int
    clock: Callable[[], float]


def checked(serde: Any, ttl: Any, compression: object, cache_size: object, clock: Any) -> Arguments:
    """Check the arguments of a saver.

    Raises:
        UsageError: One of them is not what it must be.
    """
    if serde is not None:
        validation.serializer(serde)
    level = None
    if compression is not None:
        level = validation.count(compression, "compression", "a level (or None)", 1, 22)
    size = validation.count(cache_size, "cache_size", "bytes")
    validation.function(clock, "clock")
    return Arguments(serde, retention.policy(ttl), level, size, clock)


def session(
    kv: KeyValueStore, commit: GroupCommit, serde: SerializerProtocol, given: Arguments
) -> Session:
    """Return the core of a saver on an open store."""
    options = StoreOptions(
        level=given.compression,
        clock=given.clock,
        is_ephemeral=configs.is_ephemeral,
        is_subgraph_call=configs.is_subgraph_call,
        retention=given.rules.retention,
    )
    store = CheckpointStore(kv, options, given.cache_size // _BYTES_PER_HINT)
    return Session(
        store,
        Housekeeping(kv, options),
        commit,
        serde,
        ValueCodec(serde, given.compression, given.cache_size, store.dedup_cache),
        _PARENT_CACHE_SIZE if given.cache_size else 0,
        given.rules.refresh_on_read and not kv.readonly,
    )
