"""The records of units that committed transactions knew."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from langgraph.checkpoint.lmdb.kv.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from langgraph.checkpoint.lmdb.kv.postgres.known import Known

_MAX_UNITS: Final = 256
_MAX_KEYS: Final = 4000
"""Units that the cache keeps, and keys of one unit."""


class UnitCache:
    """A cache of what is known of the units that were used last, each with its version.

    It may be old: a transaction that takes a unit compares the version with the server's.
    """

    def __init__(self) -> None:
        self._mutex = Lock()
        self._units: OrderedDict[int, tuple[int, Known]] = OrderedDict()
        self._named: dict[bytes, int] = {}

    def named(self, name: bytes) -> int | None:
        """Return the unit that a name led to when it was used last."""
        return self._named.get(name)

    def take(self, unit: int) -> tuple[int, Known] | None:
        """Remove a unit; return its version and its known records."""
        with self._mutex:
            return self._units.pop(unit, None)

    def give_back(self, unit: int, version: int, known: Known) -> None:
        """Add a unit that was taken and not changed, unless a commit has added it since."""
        with self._mutex:
            if unit not in self._units:
                self._add(unit, version, known)

    def keep(
        self,
        units: Mapping[int, tuple[int, Known]],
        names: Mapping[bytes, int],
        removed: Collection[bytes],
    ) -> None:
        """Add what a committed transaction knows.

        Args:
            units: Version of each unit, and its known records.
            names: Units that names lead to.
            removed: Names that lead to no unit.
        """
        with self._mutex:
            for unit, (version, known) in units.items():
                self._add(unit, version, known)
            if len(self._named) > _MAX_UNITS * 4:
                self._named.clear()
            self._named.update(names)
            for name in removed:
                self._named.pop(name, None)

    def clear(self) -> None:
        """Forget all units."""
        with self._mutex:
            self._units.clear()

    def _add(self, unit: int, version: int, known: Known) -> None:
        if len(known) <= _MAX_KEYS:
            known.forget_large_values()
            self._units[unit] = version, known
        while len(self._units) > _MAX_UNITS:
            self._units.popitem(last=False)
