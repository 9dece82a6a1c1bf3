"""A connection to the server, with one trip at a time.

A trip is one message to the server and its answer. All statements of a trip are sent together.
Parameters and rows are binary. They pass through `psycopg.pq`, because the cursors of psycopg take
several times the processor time.
"""

from __future__ import annotations

import secrets
import selectors
import struct
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import psycopg
from psycopg import pq

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.postgres import errors
from langgraph.checkpoint.lmdb.kv.postgres.errors import ConflictError, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Statement: TypeAlias = "tuple[str, Sequence[object]]"
"""SQL with its parameters. `%s` is the place of a parameter, `%%` is a percent sign."""
Rows: TypeAlias = "list[tuple[Any, ...]]"

_MAX_PREPARED: Final = 200
_MAX_COUNTED: Final = 2000
"""Statements that are prepared on a connection at most, and those whose uses are counted."""
_CANCEL_SECONDS: Final = 5
_BOOL, _BYTES, _INT8, _INT4, _TEXT = 16, 17, 20, 23, 25
_BYTES_LIST, _INT8_LIST = 1001, 1016
_INT8_BODY: Final = struct.Struct("!q")
_LENGTH: Final = struct.Struct("!i")
_INT8_ITEM: Final = struct.Struct("!iq")
_LIST_HEAD: Final = struct.Struct("!iiIii")
_NULL: Final = _LENGTH.pack(-1)
_Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class Query(NamedTuple):
    """A statement as it is sent.

    Attributes:
        text: SQL with numbered parameters.
        values: The parameters.
        name: Name of the prepared statement. Empty: it is not prepared.
        prepares: True: prepare it under that name first.
    """

    text: bytes
    values: Sequence[object]
    name: bytes = b""
    prepares: bool = False


class Prepared:
    """The statements that were prepared on a connection.

    Attributes:
        names: Name of each statement.
        uses: Number of times that each other statement was sent.
        prefix: Start of all names. Another saver may use the same connection.
        made: Number of names that were given.
    """

    def __init__(self) -> None:
        self.names: dict[bytes, bytes] = {}
        self.uses: dict[bytes, int] = {}
        self.prefix = b"langgraph_lmdb_%x" % secrets.randbits(32)
        self.made = 0


class Link:
    """A connection that this thread uses.

    Attributes:
        connection: The connection.
        in_transaction: True if a transaction is open.

    Args:
        connection: The connection.
        prepared: Its prepared statements. None: prepare none.
    """

    __slots__ = ("_is_ending", "_pgconn", "_prepared", "_selector", "connection", "in_transaction")

    def __init__(self, connection: Any, prepared: Prepared | None) -> None:
        self.connection = connection
        self.in_transaction = False
        self._pgconn = connection.pgconn
        self._prepared = prepared
        self._selector = _Selector()
        self._selector.register(self._pgconn.socket, selectors.EVENT_READ)
        self._is_ending = False
        """True: a statement was sent whose answer was not read yet."""

    def run(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run statements in one trip; return the rows of each.

        Raises:
            ConflictError: Another transaction changed what this one read.
            ConnectionLostError: The connection ended.
            LmdbSaverError: The server refused a statement.
        """
        try:
            queries = [self._query(*statement) for statement in statements]
            if len(queries) == 1 and not self._is_ending and not queries[0].prepares:
                return [self._run_alone(queries[0])]
            return self._run_pipeline(queries)
        except psycopg.Error as error:  # the connection cannot be used
            raise errors.raised(error) from error
        except (ConflictError, ConnectionLostError, LmdbSaverError):
            raise
        except BaseException:
            self._cancel()
            raise

    def send(self, statement: str) -> None:
        """Send a statement without parameters, and read its answer with the next trip."""
        try:
            self._pgconn.enter_pipeline_mode()
            self._is_ending = True
            self._send(Query(statement.encode(), ()))
            self._pgconn.send_flush_request()
            self._flush()
        except psycopg.Error as error:
            raise errors.raised(error) from error

    def close(self) -> None:
        """Close the connection, and end its transaction."""
        with suppress(psycopg.Error, OSError):
            self.connection.close()

    def _query(self, sql: str, values: Sequence[object]) -> Query:
        """Return what to send for a statement."""
        text = _numbered(sql, len(values))
        prepared, threshold = self._prepared, self.connection.prepare_threshold
        if prepared is None or threshold is None:
            return Query(text, values)
        name = prepared.names.get(text)
        if name is not None:
            return Query(text, values, name)
        uses = prepared.uses.get(text, 0)
        if uses < threshold or len(prepared.names) >= _MAX_PREPARED:
            if len(prepared.uses) >= _MAX_COUNTED:
                prepared.uses.clear()
            prepared.uses[text] = uses + 1
            return Query(text, values)
        prepared.made += 1
        return Query(text, values, b"%s_%d" % (prepared.prefix, prepared.made), True)

    def _run_alone(self, query: Query) -> Rows:
        self._send(query)
        self._flush()
        found = self._answer()
        if found.status == pq.ExecStatus.FATAL_ERROR:
            raise self._error(found)
        return _rows(found)

    def _run_pipeline(self, queries: Sequence[Query]) -> list[Rows]:
        """Run statements together. The first error ends them all."""
        pgconn = self._pgconn
        answers: list[Query | None] = []
        """Statement of each answer that has rows. None: the answer has none."""
        if self._is_ending:
            answers.append(None)
            self._is_ending = False
        else:
            pgconn.enter_pipeline_mode()
        for query in queries:
            if query.prepares:
                pgconn.send_prepare(query.name, query.text, [*map(_type, query.values)])
                answers.append(None)
            self._send(query)
            answers.append(query)
        pgconn.pipeline_sync()
        self._flush()
        found: list[Rows] = []
        failed: Exception | None = None
        for expected in answers:
            answer = self._answer()
            if answer.status == pq.ExecStatus.FATAL_ERROR:
                failed = failed or self._error(answer)
            elif expected is not None and failed is None:
                found.append(_rows(answer))
                self._note_prepared(expected)
        while (answer := self._next()) is None or answer.status != pq.ExecStatus.PIPELINE_SYNC:
            if answer is not None:
                failed = failed or self._error(answer)  # of the commit itself
        pgconn.exit_pipeline_mode()
        if failed is not None:
            raise failed
        return found

    def _note_prepared(self, query: Query) -> None:
        if query.prepares and self._prepared is not None:
            self._prepared.names[query.text] = query.name
            self._prepared.uses.pop(query.text, None)

    def _send(self, query: Query) -> None:
        bodies = [*map(_encode, query.values)]
        formats = [pq.Format.BINARY] * len(bodies)
        if query.name:
            self._pgconn.send_query_prepared(query.name, bodies, formats, pq.Format.BINARY)
        else:
            types = [*map(_type, query.values)]
            self._pgconn.send_query_params(query.text, bodies, types, formats, pq.Format.BINARY)

    def _flush(self) -> None:
        pgconn = self._pgconn
        if not pgconn.flush():
            return
        self._selector.modify(pgconn.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while pgconn.flush():
            self._selector.select()
            pgconn.consume_input()  # the server may wait until its answers are read
        self._selector.modify(pgconn.socket, selectors.EVENT_READ)

    def _answer(self) -> Any:
        """Return the answer to a statement, after the answer has arrived in full.

        The error of its commit comes behind its rows.
        """
        answer = self._next()
        if answer is None:
            raise self._ended()
        while (later := self._next()) is not None:
            answer = later
        return answer

    def _next(self) -> Any:
        pgconn = self._pgconn
        while pgconn.is_busy():
            self._selector.select()
            pgconn.consume_input()
        found = pgconn.get_result()
        if found is None and pgconn.status == pq.ConnStatus.BAD:
            raise self._ended()
        return found

    def _error(self, answer: Any) -> Exception:
        """Return the error of a statement."""
        state = answer.error_field(pq.DiagnosticField.SQLSTATE) or b""
        text = answer.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or answer.error_message
        return errors.of_state(
            state.decode("ascii", "replace"), text.decode("utf-8", "replace").strip()
        )

    def _ended(self) -> Exception:
        return ConnectionLostError(
            self._pgconn.error_message.decode("utf-8", "replace").strip().partition("\n")[0]
        )

    def _cancel(self) -> None:
        """After an interrupt: end the statement, and the connection, whose state is not known."""
        with suppress(psycopg.Error, OSError):
            self.connection.cancel_safe(timeout=_CANCEL_SECONDS)
        self.close()


@lru_cache(maxsize=2048)
def _numbered(sql: str, parameters: int) -> bytes:
    """Return SQL with numbered parameters."""
    return (sql % tuple(f"${number + 1}" for number in range(parameters))).encode()


def _type(value: object) -> int:
    if isinstance(value, bytes):
        return _BYTES
    if isinstance(value, int):
        return _INT8
    if isinstance(value, str):
        return _TEXT
    assert isinstance(value, list)
    return _BYTES_LIST if value and isinstance(value[0], bytes) else _INT8_LIST


def _encode(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return _INT8_BODY.pack(value)
    if isinstance(value, str):
        return value.encode()
    if value and isinstance(value[0], bytes):
        parts = [_LIST_HEAD.pack(1, 0, _BYTES, len(value), 1)]
        for item in value:
            parts.append(_LENGTH.pack(len(item)))
            parts.append(item)
        return b"".join(parts)
    head = _LIST_HEAD.pack(1, int(None in value), _INT8, len(value), 1)
    return head + b"".join(_NULL if item is None else _INT8_ITEM.pack(8, item) for item in value)


def _rows(answer: Any) -> Rows:
    count = answer.ntuples
    if not count:
        return []
    return [*zip(*_columns(answer, count), strict=True)]


def _columns(answer: Any, count: int) -> Iterator[list[Any]]:
    get = answer.get_value
    for place in range(answer.nfields):
        cells = [get(row, place) for row in range(count)]
        decode = _DECODERS[answer.ftype(place)]
        yield (
            cells if decode is None else [None if cell is None else decode(cell) for cell in cells]
        )


def _number(cell: bytes) -> int:
    return int.from_bytes(cell, "big", signed=True)


_DECODERS: Final[dict[int, Callable[[bytes], Any] | None]] = {
    _BOOL: any,
    _BYTES: None,
    _INT8: _number,
    _INT4: _number,
    _TEXT: bytes.decode,
}
"""Function that decodes a cell of each type. None: it is the value."""
