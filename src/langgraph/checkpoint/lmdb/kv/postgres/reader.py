"""Read transactions of a `PostgresStore`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.base import Reader, check_key
from langgraph.checkpoint.lmdb.kv.postgres import errors
from langgraph.checkpoint.lmdb.kv.postgres import statements as sql
from langgraph.checkpoint.lmdb.kv.postgres.errors import ConnectionLostError
from langgraph.checkpoint.lmdb.kv.postgres.known import Known, UnknownError, Unread
from langgraph.checkpoint.lmdb.kv.postgres.plan import NotReadError, Plan, Request, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from langgraph.checkpoint.lmdb.kv.postgres.layout import Table, Tail
    from langgraph.checkpoint.lmdb.kv.postgres.link import Link, Rows, Statement
    from langgraph.checkpoint.lmdb.kv.postgres.store import PostgresStore

_FIRST_PAGE: Final = 64
_LAST_PAGE: Final = 4096
"""Rows of a table that the first and the later trips of one iteration read."""
_FIRST_PAGE_OF_MANY: Final = 4
"""Rows that the first trip reads for each of many iterations."""

T = TypeVar("T")


class PostgresReader(Reader):
    """A snapshot of the store, which is taken by the first read.

    It knows what it has read, and asks the server only for what it does not know.
    """

    __slots__ = (
        "_known",
        "_layout",
        "_link",
        "_open",
        "_plan",
        "_round",
        "_statements",
        "_store",
        "_tails",
    )

    many_writers = True
    _begin = sql.BEGIN_READ

    def __init__(self, store: PostgresStore, tails: Sequence[Tail] | None = None) -> None:
        self._store = store
        self._tails = store.layout.tails() if tails is None else tails
        self._plan: Plan | None = None
        """In `gather`: what its calls read."""
        self._round = 0
        self._layout = store.layout
        self._statements = store.statements
        self._known = Known()
        self._link: Link | None = None
        self._open = False

    def __enter__(self) -> Self:
        self._store.enter()
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        try:
            self._end(error)
        finally:
            self._store.leave()

    def _end(self, error: BaseException | None) -> None:
        """End the transaction, and give the connection back."""
        link, self._link = self._link, None
        if link is None:
            return
        connections = self._store.connections
        if isinstance(error, ConnectionLostError) or (
            error is not None and not isinstance(error, Exception)
        ):
            connections.discard(link)  # an interrupt may have come within a trip
            return
        try:
            if link.in_transaction:
                # It changes nothing. After a ROLLBACK, the driver drops all prepared statements.
                if connections.waits_for_end:
                    link.run([("COMMIT", ())])
                else:
                    link.send("COMMIT")
                link.in_transaction = False
        except BaseException as failure:
            connections.discard(link)
            if not isinstance(failure, Exception):
                raise
        else:
            connections.give_back(link)

    def get(self, key: bytes) -> bytes | None:
        self._check_open()
        while True:
            try:
                value = self._home(key).get(key)
            except UnknownError:
                check_key(key)
            else:
                if not isinstance(value, Unread):
                    return value
            self._read_keys([key])

    def get_many(self, keys: Iterable[bytes]) -> Iterator[bytes | None]:
        self._check_open()
        wanted = [*keys]
        for key in wanted:
            check_key(key)
        missing = [key for key in wanted if not self._has_read(key)]
        if missing:
            self._read_keys(missing)
        return map(self.get, wanted)

    def ranges(
        self, bounds: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Iterator[tuple[bytes, bytes]]]:
        self._check_open()
        wanted = [*bounds]
        missing = [pair for pair in wanted if not self._home_of_range(*pair).has_values(*pair)]
        if missing:
            self._read_ranges(missing)
        return (iter(self._home_of_range(*pair).rows(*pair)) for pair in wanted)

    def sizes(self, bounds: Iterable[tuple[bytes, bytes]]) -> Iterator[int]:
        self._check_open()
        wanted = [*bounds]
        found = [self._home_of_range(*pair).size(*pair) for pair in wanted]
        missing = [pair for pair, size in zip(wanted, found, strict=True) if size is None]
        if missing:
            self._read(self._select_ranges(missing, values=False))
        return (self._home_of_range(*pair).size(*pair) or 0 for pair in wanted)

    def gather(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
        self._check_open()
        wanted = [*calls]
        results: dict[int, Callable[[], T]] = {}
        outer = self._plan
        while True:
            plan = self._plan = Plan() if outer is None else outer
            try:
                for place, call in enumerate(wanted):
                    if place not in results:
                        with suppress(NotReadError):
                            results[place] = outcome(call)
            finally:
                self._plan = outer
            if len(results) == len(wanted):
                return (results[place]() for place in range(len(wanted)))
            if outer is not None:
                raise NotReadError
            self._round += 1
            requests = plan.other
            names = [key for key in plan.keys if self._layout.unit(key) is None]
            for key in names:  # each with the tails of its thread
                del plan.keys[key]
                requests.append(self._select_keys([key]))
            if plan.keys:
                requests.append(self._select_keys([*plan.keys]))
            requests.append(self._select_ranges(plan.ranges.ranges()))
            self._run(requests)

    def range(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, stop, reverse, values=True)

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        return self._scan(start, stop, reverse, values=False)

    def now(self) -> int | None:
        self._check_open()
        ((row,),) = self._trip([self._statements.now()])
        return int(row[0])

    def _scan(self, start: bytes, stop: bytes, reverse: bool, *, values: bool) -> Iterator[Any]:
        """Yield the keys of a range, each with its value or alone."""
        self._check_open()
        page = _FIRST_PAGE
        if self._plan is not None:
            page = min(_FIRST_PAGE_OF_MANY << 2 * min(self._round, 8), _LAST_PAGE)
        while start < stop:
            self._check_open()
            known = self._home_of_range(start, stop)
            try:
                key = known.preceding(start, stop) if reverse else known.following(start, stop)
                value = None if key is None or not values else known.get(key)
            except UnknownError as unknown:
                low, high = (start, unknown.at) if reverse else (unknown.at, stop)
                self._read_page(known, low, high, reverse, values, page)
                page = min(page * 4, _LAST_PAGE)
                continue
            if key is None:
                return
            if isinstance(value, Unread):
                low, high = (start, key + b"\x00") if reverse else (key, stop)
                self._read_page(known, low, high, reverse, True, page)
                page = min(page * 4, _LAST_PAGE)
                continue
            yield (key, value) if values else key
            start, stop = (start, key) if reverse else (key + b"\x00", stop)

    def _has_read(self, key: bytes) -> bool:
        try:
            return not isinstance(self._home(key).get(key), Unread)
        except UnknownError:
            return False

    def _read_keys(self, wanted: Sequence[bytes]) -> None:
        """Read the values of keys in one trip."""
        if self._plan is not None:
            self._plan.keys.update(dict.fromkeys(wanted))
            raise NotReadError
        self._run([self._select_keys(wanted)])

    def _select_keys(self, wanted: Sequence[bytes]) -> Request:
        """Return the request for the values of keys. With a single name, read the tails of its
        thread."""
        layout, statements = self._layout, self._statements
        groups: dict[Table, list[tuple[int | None, bytes]]] = {}
        for key in wanted:
            table, thread, row_key = layout.place(key)
            groups.setdefault(table, []).append((thread, row_key))
        name = wanted[0] if len(wanted) == 1 and layout.names in groups else None
        batch = [statements.select_keys(*group) for group in groups.items()]
        if name is not None:
            batch += [statements.select_tail(tail, name) for tail in self._tails]
            batch.append(statements.select_version_of(name))

        def learn(found: Sequence[Rows]) -> None:
            values: dict[bytes, bytes] = {}
            owner = None
            for table, rows in zip(groups, found, strict=False):
                for _, thread, row_key, value, _ in rows:
                    values[layout.whole_key(table, thread, row_key)] = value
                    owner = thread
            value = None if name is None else values.get(name)
            if name is not None and value is not None:
                number = layout.named(name, value)
                if number is not None and number == owner:
                    self._learn_thread(name, number, found[len(groups) :])
            for key in wanted:
                self._learn(self._home(key), key, values.get(key))

        return Request(batch, learn)

    def _learn(self, known: Known, key: bytes, value: bytes | None) -> None:
        if value is not None:
            known.add(key, value)
        known.cover(key, key + b"\x00")

    def _learn_thread(self, name: bytes, number: int, found: Sequence[Rows]) -> None:
        """Add the tails of the thread with a name to what is known."""
        known = self._known_of_thread(name, number, found[-1])
        for tail, rows in zip(self._tails, found, strict=False):
            whole = [(self._layout.whole_key(tail.table, *row[1:3]), row[3]) for row in rows]
            for key, row_value in whole:
                known.add(key, row_value)
            low = self._layout.whole_key(tail.table, number, tail.low)
            if len(whole) == tail.limit:
                low = min(whole)[0]  # there may be more before it
            known.cover(low, self._layout.end_of_tail(tail, number))

    def _known_of_thread(
        self,
        name: bytes,  # noqa: ARG002
        number: int,  # noqa: ARG002
        versions: Rows,  # noqa: ARG002
    ) -> Known:
        """Return where to add what is known of a thread."""
        return self._known

    def _read_page(
        self, known: Known, start: bytes, stop: bytes, reverse: bool, values: bool, limit: int
    ) -> None:
        """Read the first rows of a range, or the last ones, in one trip."""
        parts = self._layout.split(start, stop)
        batch = [
            self._statements.select_range(part, values=values, reverse=reverse, limit=limit)
            for part in parts
        ]

        def learn(found: Sequence[Rows]) -> None:
            end = start if reverse else stop
            for part, rows in zip(parts, found, strict=True):
                keys = self._add_rows(known, part.table, rows)
                if len(rows) == limit:  # the table may have more rows
                    end = max(end, min(keys)) if reverse else min(end, max(keys) + b"\x00")
            if reverse:
                known.cover(end, stop)
            else:
                known.cover(start, end)

        self._read(Request(batch, learn))

    def _read_ranges(self, bounds: Sequence[tuple[bytes, bytes]]) -> None:
        """Read ranges in one trip."""
        if self._plan is not None:
            for start, stop in bounds:
                self._plan.ranges.cover(start, stop)
            raise NotReadError
        self._run([self._select_ranges(bounds)])

    def _select_ranges(
        self, bounds: Sequence[tuple[bytes, bytes]], *, values: bool = True
    ) -> Request:
        parts = [(part, pair) for pair in bounds for part in self._layout.split(*pair)]
        batch = [
            self._statements.select_range(part, values=values, reverse=False, limit=None)
            for part, _ in parts
        ]

        def learn(found: Sequence[Rows]) -> None:
            for (part, pair), rows in zip(parts, found, strict=True):
                self._add_rows(self._home_of_range(*pair), part.table, rows)
            for start, stop in bounds:
                self._home_of_range(start, stop).cover(start, stop)

        return Request(batch, learn)

    def _add_rows(self, known: Known, table: Table, rows: Rows) -> list[bytes]:
        """Add rows to what is known; return their keys."""
        keys: list[bytes] = []
        for _, thread, row_key, value, size in rows:
            keys.append(self._layout.whole_key(table, thread, row_key))
            known.add(keys[-1], Unread(size) if value is None else value)
        return keys

    def _read(self, request: Request) -> None:
        """Read in one trip, or in `gather` with the trip of all its calls."""
        if self._plan is not None:
            self._plan.other.append(request)
            raise NotReadError
        self._run([request])

    def _run(self, requests: Sequence[Request]) -> None:
        """Read in one trip."""
        queries = [query for request in requests for query in request.batch]
        found: list[Rows] = [[] for _ in queries]
        for rows in self._trip(self._statements.select_all(queries)):
            for row in rows:
                found[row[0]].append(row)
        at = 0
        for batch, learn in requests:
            learn(found[at : at + len(batch)])
            at += len(batch)

    def _trip(self, batch: list[Statement], *, alone: bool = False) -> list[Rows]:
        """Run statements in the transaction, which begins with the first trip that is not `alone`:
        a single statement is a transaction of its own."""
        if not batch:
            return []
        first = self._link is None
        if self._link is None:
            self._link = self._store.take()
        begun = self._link.in_transaction
        start: list[Statement] = [] if begun or alone else [(self._begin, ())]
        while True:
            self._link.in_transaction = not alone
            try:
                return self._link.run([*start, *batch])[len(start) :]
            except ConnectionLostError as lost:
                if begun or not first:
                    raise self._lost(lost) from lost
                link, self._link = self._link, None
                self._link = self._store.reconnect(link)

    def _lost(self, lost: ConnectionLostError) -> Exception:
        """Return the error for a connection that ended with the snapshot."""
        return errors.unavailable(f"the connection ended during a read: {lost}")

    def _home(self, key: bytes) -> Known:  # noqa: ARG002
        """Return where a key is known, if it is."""
        return self._known

    def _home_of_range(self, start: bytes, stop: bytes) -> Known:  # noqa: ARG002
        return self._known

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError("the transaction is closed", advice="Read within the `with` block.")
