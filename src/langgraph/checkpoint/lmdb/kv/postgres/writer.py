"""Write transactions of a `PostgresStore`."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from langgraph.checkpoint.lmdb.kv.base import Writer, check_key
from langgraph.checkpoint.lmdb.kv.postgres import statements as sql
from langgraph.checkpoint.lmdb.kv.postgres.known import Known, UnknownError
from langgraph.checkpoint.lmdb.kv.postgres.layout import STORE
from langgraph.checkpoint.lmdb.kv.postgres.plan import Request
from langgraph.checkpoint.lmdb.kv.postgres.reader import PostgresReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langgraph.checkpoint.lmdb.kv.postgres.errors import ConnectionLostError
    from langgraph.checkpoint.lmdb.kv.postgres.link import Rows
    from langgraph.checkpoint.lmdb.kv.postgres.store import Lane, PostgresStore

_READS_OF_PARTS: Final = 1
"""Number of times that a transaction reads a part of a thread, before it reads the whole thread.
What a put needs comes with the thread's name, and with one more read."""
_EVERY_KEY: Final = (b"", b"\xff" * 512)


class PostgresWriter(PostgresReader, Writer):
    """A write transaction: it collects changes, and stores them in one trip if nothing that it read
    has changed since.

    What it knows is kept by unit, with the version of the unit. The store caches it after the
    commit.

    Attributes:
        used_cache: True if it read what the store had cached.
    """

    __slots__ = (
        "_absent_versions",
        "_changes",
        "_left_units",
        "_names",
        "_new_names",
        "_own_units",
        "_reads",
        "_removed_names",
        "_units",
        "_unread_versions",
        "_use_cache",
        "_versions",
        "used_cache",
    )

    _begin = sql.BEGIN_REPEATABLE

    def __init__(self, store: PostgresStore, *, use_cache: bool) -> None:
        super().__init__(store)
        self._use_cache = use_cache
        self.used_cache = False
        self._units: dict[int, Known] = {}
        self._versions: dict[int, int] = {}
        """Version of each unit, once it was read."""
        self._unread_versions: set[int] = set()
        """Units whose versions have to be read with the next trip."""
        self._absent_versions: set[int] = set()
        """Units that had no version when it was read."""
        self._own_units: set[int] = set()
        """Units with new numbers."""
        self._names: dict[bytes, int] = {}
        self._changes: dict[bytes, bytes | None] = {}
        self._new_names: set[bytes] = set()
        """Names to add that the store lacked."""
        self._removed_names: set[bytes] = set()
        self._reads: Counter[int] = Counter()
        """Number of times that something of a unit had to be read."""
        self._left_units: set[int] = set()
        """Units that lost their names."""

    def put(self, key: bytes, value: bytes) -> None:
        self._check_open()
        check_key(key)
        value = bytes(value)
        unit = self._layout.unit(key)
        home = self._put_name(key, value) if unit is None else self._attach(unit)
        home.put(key, value)
        self._known.put(key, value)
        self._changes[key] = value

    def _put_name(self, key: bytes, value: bytes) -> Known:
        """Note whether a name is new; return where it is known."""
        home = self._home(key)
        if key not in self._changes:
            try:
                if home.get(key) is None:
                    self._new_names.add(key)
            except UnknownError:
                pass
        number = self._layout.named(key, value)
        if number is None:
            return home
        self._names[key] = number
        return self._attach(number)

    def delete(self, key: bytes) -> bool:
        found = self.get(key) is not None
        if found:
            self.discard(key)
        return found

    def discard(self, key: bytes) -> None:
        self._check_open()
        check_key(key)
        unit = self._layout.unit(key)
        if unit is not None:
            self._attach(unit).remove(key)
        else:
            self._home(key)
            unit = self._names.pop(key, None)  # from now on it is a name without a thread
            if unit is not None:
                self._left_units.add(unit)
            self._removed_names.add(key)
        self._known.remove(key)
        if key in self._new_names:
            self._new_names.discard(key)
            del self._changes[key]
        else:
            self._changes[key] = None

    def delete_range(self, start: bytes, stop: bytes) -> int:
        found = list(self.keys(start, stop))
        for key in found:
            self.discard(key)
        return len(found)

    def new_number(self) -> int:
        self._check_open()
        number = self._store.new_number(self)
        self._own_units.add(number)
        known = self._units[number] = Known()
        known.cover(*_EVERY_KEY)
        return number

    def next_numbers(self) -> int:
        """Take a block of numbers; return the first."""
        ((row,),) = self._trip([self._statements.next_numbers()])
        return int(row[0])

    def commit(self, lane: Lane) -> None:
        """Store the changes, or raise and store nothing.

        Raises:
            ConflictError: Something that was read has changed.
            ConnectionLostError: The connection ended. `PostgresStore` finds out what happened.
        """
        layout, statements = self._layout, self._statements
        changed = {unit for key in self._changes for unit in self._units_of(key)}
        changed |= self._left_units
        kept = (self._units.keys() & self._versions.keys()) - changed
        if not changed and not (self.used_cache and kept) and not self._changes:
            return
        guards = [statements.record_commit(lane.id, lane.number + 1)]
        after: dict[int, int] = {unit: self._versions[unit] for unit in kept}
        for unit in sorted(changed | kept):
            version = self._versions.get(unit)
            if unit in kept:
                guards.append(statements.check_version(unit, self._versions[unit]))
            elif version is not None:
                guards.append(statements.raise_version(unit, version))
                after[unit] = version + 1
            elif unit in self._own_units or unit in self._absent_versions:
                after[unit] = _first_version()
                guards.append(statements.add_version(unit, after[unit]))
            else:
                guards.append(statements.change_version(unit, _first_version()))
        places = [(key, layout.place(key), value) for key, value in self._changes.items()]
        stored, deleted = sql.rows_by_table(
            (self._owned(key, place), value)
            for key, place, value in places
            if key not in self._new_names
        )
        changes = [
            statements.delete(table, thread, keys) for (table, thread), keys in deleted.items()
        ]
        new = [self._owned(key, place) for key, place, _ in places if key in self._new_names]
        if new:
            rows = [(thread, key, self._changes[key] or b"") for _, thread, key in new]
            changes.append(statements.insert(layout.names, rows))
        changes += [statements.upsert(table, rows) for table, rows in stored.items()]
        batch = [statements.commit(guards, changes)]
        for table, thread in deleted:
            if table in layout.anchors and thread:
                batch.append(statements.drop_version(thread))
                after.pop(thread, None)
        if self._link is None:
            self._link = self._store.take()
        if self._link.in_transaction:
            batch.append(("COMMIT", ()))
        elif len(batch) > 1:  # one statement is a transaction of its own
            batch = [(sql.BEGIN_WRITE, ()), *batch, ("COMMIT", ())]
        self._link.in_transaction = len(batch) > 1
        lane.is_committing = True
        self._link.run(batch)
        self._link.in_transaction = False
        lane.is_committing = False
        lane.number += 1
        self._store.cache.keep(
            {unit: (after[unit], self._units[unit]) for unit in after if unit in self._units},
            self._names,
            self._removed_names - self._names.keys(),
        )

    def _owned(self, key: bytes, place: Any) -> Any:
        """Return a place, for a name with the thread that it leads to."""
        return place._replace(thread=self._names[key]) if key in self._names else place

    def _units_of(self, key: bytes) -> Iterable[int]:
        unit = self._layout.unit(key)
        if unit is not None:
            return (unit,)
        return (self._names[key],) if key in self._names else ()

    def _lost(self, lost: ConnectionLostError) -> Exception:
        return lost  # `PostgresStore.write` runs the transaction again

    def _home(self, key: bytes) -> Known:
        unit = self._layout.unit(key)
        if unit is None:
            unit = self._names.get(key)
            if unit is None and self._use_cache and key not in self._removed_names:
                unit = self._store.cache.named(key)
                if unit is not None:
                    self._names[key] = unit
            if unit is None:
                return self._known
        elif unit not in self._units and self._layout.place(key).table.is_large:
            return self._known  # chunks never change while a thread uses them
        return self._attach(unit)

    def _home_of_range(self, start: bytes, stop: bytes) -> Known:
        unit = self._layout.unit_of_range(start, stop)
        return self._known if unit is None else self._attach(unit)

    def _attach(self, unit: int) -> Known:
        """Return what is known of a unit, from the cache if the cache has it."""
        known = self._units.get(unit)
        if known is None:
            cached = self._store.cache.take(unit) if self._use_cache else None
            if cached is None:
                known = Known()
                self._unread_versions.add(unit)
            else:
                self._versions[unit], known = cached
                self.used_cache = True
            self._units[unit] = known
        return known

    def _read_keys(self, wanted: Sequence[bytes]) -> None:
        place = self._layout.place(wanted[0])
        if place.table.by_thread and not place.table.is_large and self._read_unit(place.thread):
            return
        super()._read_keys(wanted)

    def _read_page(
        self, known: Known, start: bytes, stop: bytes, reverse: bool, values: bool, limit: int
    ) -> None:
        if not self._read_unit(self._layout.unit_of_range(start, stop)):
            super()._read_page(known, start, stop, reverse, values, limit)

    def _read_unit(self, unit: int | None) -> bool:
        """Read a whole unit, except large values, if its parts were read again and again."""
        if unit is None or unit == STORE:
            return False
        self._reads[unit] += 1
        if self._reads[unit] != _READS_OF_PARTS + 1:
            return False
        self._read(self._select_ranges(self._layout.ranges_of_unit(unit), values=False))
        return True

    def _known_of_thread(self, name: bytes, number: int, versions: Rows) -> Known:
        self._names[name] = number
        if number in self._versions or number in self._own_units:
            return self._units[number]
        if number not in self._units:
            self._units[number] = Known()
        self._unread_versions.discard(number)
        self._learn_versions([number], versions)
        return self._units[number]

    def _run(self, requests: Sequence[Request]) -> None:
        if self._unread_versions:
            units, self._unread_versions = self._unread_versions, set()

            def learn(found: Sequence[Rows]) -> None:
                self._learn_versions(units, *found)

            requests = [Request([self._statements.select_versions([*units])], learn), *requests]
        super()._run(requests)

    def _learn_versions(self, units: Iterable[int], versions: Rows) -> None:
        self._versions.update((unit, version) for _, unit, *_, version in versions)
        self._absent_versions.update(unit for unit in units if unit not in self._versions)


def _first_version() -> int:
    """Return the first version of a unit. It is random, so that a unit that was removed and made
    again has no version that a cache knows."""
    return secrets.randbits(62)
