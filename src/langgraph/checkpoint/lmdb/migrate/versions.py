"""Versions of channels in the type that the target continues with.

InMemorySaver and PostgresSaver find a value by channel and version, and every saver but this
package's makes text versions. Integer versions are equal in different branches, so a text version
names the checkpoint that it began with.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph.checkpoint.lmdb.migrate.models import Key, Record

_DIGITS = 16


class ThreadVersions:
    """The versions of one thread. It must see a parent before its children.

    Args:
        saver: The target.
        keeps_any: True if the target continues with versions of any type.
    """

    def __init__(self, saver: BaseCheckpointSaver[Any], keeps_any: bool) -> None:
        self._wanted = Any if keeps_any else type(saver.get_next_version(None, None))
        self._known: dict[Key, tuple[dict[str, Any], dict[str, Any]]] = {}

    def convert(self, record: Record) -> dict[str, Any]:
        """Convert the versions of a checkpoint in place; return those that the parent lacks."""
        checkpoint = record.checkpoint
        if checkpoint is None:
            return {}
        given: dict[str, Any] = checkpoint["channel_versions"]
        parent = self._parent(record)
        converted = {
            channel: parent[1][channel]
            if channel in parent[0] and _equal(parent[0][channel], version)
            else self._convert(version, channel, record.key)
            for channel, version in given.items()
        }
        self._known[record.key] = (given, converted)
        checkpoint["channel_versions"] = converted
        checkpoint["versions_seen"] = {
            node: {
                channel: converted[channel]
                if channel in given and _equal(given[channel], version)
                else self._convert(version, channel, None)
                for channel, version in seen.items()
            }
            for node, seen in checkpoint["versions_seen"].items()
        }
        return {
            channel: version
            for channel, version in converted.items()
            if channel not in parent[0] or not _equal(parent[0][channel], given[channel])
        }

    def _parent(self, record: Record) -> tuple[dict[str, Any], dict[str, Any]]:
        key = record.key._replace(checkpoint_id=str(record.parent))
        return self._known.get(key, ({}, {}))

    def _convert(self, version: Any, channel: str, began: Key | None) -> Any:
        """Return a version in the wanted type.

        Args:
            version: The version.
            channel: Its channel.
            began: The checkpoint that has it first. None: a version that is only compared with
                later ones.
        """
        if self._wanted is str and type(version) is int:
            if began is None:
                return f"{version:032}.0"
            name = repr((channel, version, *began)).encode("utf-8", "surrogatepass")
            number = int.from_bytes(blake2b(name, digest_size=8).digest(), "big")
            return f"{version:032}.0.{number % 10**_DIGITS:0{_DIGITS}}"
        if self._wanted is int and type(version) is str:
            return int(version.partition(".")[0])
        return version


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
