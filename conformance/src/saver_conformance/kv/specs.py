"""Specs of the stores of langgraph-lmdb. A store is imported when it is opened."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saver_conformance.kv.spec import KeyValueSpec
from saver_conformance.servers import exported, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX = b"prefix"
_POSTGRES = "SAVER_CONFORMANCE_KV_POSTGRES"


def _lmdb(folder: Path) -> Any:
    from langgraph.checkpoint.lmdb.kv import LmdbStore  # noqa: PLC0415

    return LmdbStore.open(folder / "store", sync="off")


def _memory(folder: Path) -> Any:  # noqa: ARG001
    from langgraph.checkpoint.lmdb.kv import MemoryStore  # noqa: PLC0415

    return MemoryStore()


def _prefixed(folder: Path) -> Any:
    from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore  # noqa: PLC0415

    return PrefixedStore(_lmdb(folder), _PREFIX)


@contextmanager
def _postgres_server() -> Iterator[None]:
    with postgres() as conninfo, exported(_POSTGRES, conninfo):
        yield


def _postgres(folder: Path) -> Any:
    from langgraph.checkpoint.lmdb.kv.postgres.connections import OwnConnections  # noqa: PLC0415
    from langgraph.checkpoint.lmdb.kv.postgres.store import PostgresStore  # noqa: PLC0415
    from langgraph.checkpoint.lmdb.postgres.layout import CheckpointLayout  # noqa: PLC0415

    connections = OwnConnections(os.environ[_POSTGRES], 10, 30)
    # The folder stands for a schema.
    return PostgresStore(connections, folder.name.lower(), CheckpointLayout(), timeout=30)


SPECS = {
    spec.name: spec
    for spec in (
        KeyValueSpec("lmdb", _lmdb),
        KeyValueSpec("memory", _memory, is_durable=False),
        KeyValueSpec("postgres", _postgres, lifespan=_postgres_server),
        KeyValueSpec("prefixed", _prefixed, longest_key=511 - len(_PREFIX)),
    )
}
"""The specs by name."""
