"""A source that reads the tables of a saver with SQL, one checkpoint at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar

from langgraph.checkpoint.serde.base import SerializerProtocol

from langgraph.checkpoint.lmdb.migrate.decoding import Decoder
from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.source import Source, ThreadState, in_order
from langgraph.checkpoint.lmdb.models import TaskWrite

Row = tuple[Any, ...]


class SqlSource(Source):
    """A reader of the tables of SqliteSaver or PostgresSaver.

    A subclass makes connections, and knows in what the tables differ.

    Args:
        serde: The serializer of the values.
    """

    writes_table: ClassVar[str]
    value_column: ClassVar[str]
    mark: ClassVar[str]
    """Placeholder of a parameter."""
    cursor_options: ClassVar[dict[str, Any]] = {}
    has_paths: bool
    """True if the table of writes has the column `task_path`, which old tables lack."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._decoder = Decoder(serde)
        self._free: list[Any] = []

    @abstractmethod
    def connect(self) -> Any:
        """Return a new read-only connection, which any thread may use."""

    @abstractmethod
    def read_checkpoint(self, key: Key) -> Record | None:
        """Return a checkpoint without its writes."""

    def threads(self) -> Iterator[str]:
        last: str | None = None
        while True:
            found = [self._next_thread(table, last) for table in ("checkpoints", self.writes_table)]
            ids = [thread_id for thread_id in found if thread_id is not None]
            if not ids:
                return
            last = self._first(ids)
            yield last

    def keys(self, thread_id: str) -> list[Key]:
        rows = self.query(
            "SELECT checkpoint_id, checkpoint_ns FROM checkpoints "
            f"WHERE thread_id = {self.mark} UNION "
            f"SELECT checkpoint_id, checkpoint_ns FROM {self.writes_table} "
            f"WHERE thread_id = {self.mark}",
            (thread_id, thread_id),
        )
        return [Key(thread_id, ns, checkpoint_id) for checkpoint_id, ns in sorted(rows)]

    def read(self, key: Key) -> Record | None:
        record = self.read_checkpoint(key)
        writes = self._writes(key)
        if record is None:
            return Record(key, writes=writes) if writes else None
        record.writes = writes
        return record

    def state(self, thread_id: str) -> ThreadState | None:
        of_thread = f"WHERE thread_id = {self.mark}"
        ((checkpoints, tip),) = self.query(
            f"SELECT count(*), max(checkpoint_id) FROM checkpoints {of_thread}", (thread_id,)
        )
        ((writes,),) = self.query(
            f"SELECT count(*) FROM {self.writes_table} {of_thread}", (thread_id,)
        )
        if not checkpoints and not writes:
            return None
        ((root,),) = self.query(
            f"SELECT max(checkpoint_id) FROM checkpoints {of_thread} AND checkpoint_ns = ''",
            (thread_id,),
        )
        # Only special writes are ever replaced, and they have negative indexes.
        replaceable = self.query(
            f"SELECT task_id, idx, type, {self.value_column} FROM {self.writes_table} {of_thread} "
            f"AND checkpoint_id IN ({self.mark}, {self.mark}) AND idx < 0 ORDER BY task_id, idx",
            (thread_id, tip, root),
        )
        return ThreadState.of(tip, (checkpoints, writes, replaceable))

    def count(self) -> int | None:
        count: int = self.query("SELECT count(*) FROM checkpoints")[0][0]
        return count

    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement."""
        with (
            self._connection() as connection,
            closing(connection.cursor(**self.cursor_options)) as cursor,
        ):
            rows: list[Row] = cursor.execute(statement, tuple(arguments)).fetchall()
        return rows

    def close(self) -> None:
        """Close the connections."""
        while self._free:
            self._free.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Lend a free connection, or a new one."""
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._free.append(connection)

    def load(self, key: Key, channel: str | None, tag: str, payload: bytes | None) -> Any:
        """Return a stored value."""
        return self._decoder.load(key, channel, tag, b"" if payload is None else bytes(payload))

    def _first(self, thread_ids: list[str]) -> str:
        if len(thread_ids) == 1:
            return thread_ids[0]
        ((found,),) = self.query(
            f"SELECT min(id) FROM (SELECT {self.text_mark} AS id UNION SELECT {self.text_mark}) t",
            thread_ids,
        )
        return str(found)

    @property
    def text_mark(self) -> str:
        """Placeholder of a text parameter that no column gives a type."""
        return self.mark

    def _next_thread(self, table: str, last: str | None) -> str | None:
        where = "" if last is None else f" WHERE thread_id > {self.mark}"
        arguments = () if last is None else (last,)
        ((found,),) = self.query(f"SELECT min(thread_id) FROM {table}{where}", arguments)
        return None if found is None else str(found)

    def _writes(self, key: Key) -> list[TaskWrite]:
        path = "task_path" if self.has_paths else "''"
        rows = self.query(
            f"SELECT task_id, {path}, idx, channel, type, {self.value_column} "
            f"FROM {self.writes_table} {self.where}",
            key,
        )
        return in_order(
            [
                TaskWrite(task_id, task_path, index, channel, self.load(key, channel, tag, value))
                for task_id, task_path, index, channel, tag, value in rows
            ]
        )

    @property
    def where(self) -> str:
        """Condition that selects the rows of a checkpoint."""
        return (
            f"WHERE thread_id = {self.mark} AND checkpoint_ns = {self.mark} "
            f"AND checkpoint_id = {self.mark}"
        )
