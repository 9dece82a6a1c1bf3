"""Specs of the stores of langgraph-lmdb. A store is imported when it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.kv.spec import KeyValueSpec

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = b"prefix"


def _lmdb(folder: Path) -> Any:
    from langgraph.checkpoint.lmdb.kv import LmdbStore  # noqa: PLC0415

    return LmdbStore.open(folder / "store", sync="off")


def _memory(folder: Path) -> Any:  # noqa: ARG001
    from langgraph.checkpoint.lmdb.kv import MemoryStore  # noqa: PLC0415

    return MemoryStore()


def _prefixed(folder: Path) -> Any:
    from langgraph.checkpoint.lmdb.kv.prefixed import PrefixedStore  # noqa: PLC0415

    return PrefixedStore(_lmdb(folder), _PREFIX)


SPECS = {
    spec.name: spec
    for spec in (
        KeyValueSpec("lmdb", _lmdb),
        KeyValueSpec("memory", _memory, is_durable=False),
        KeyValueSpec("prefixed", _prefixed, longest_key=511 - len(_PREFIX)),
    )
}
"""The specs by name."""
