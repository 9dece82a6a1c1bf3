"""A source that reads the tables of a saver with SQL, one checkpoint at a time."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from langgraph.checkpoint.lmdb.migrate.models import Key, Record
from langgraph.checkpoint.lmdb.migrate.refusals import located_reads
from langgraph.checkpoint.lmdb.migrate.source import Source, Tip, in_order
from langgraph.checkpoint.lmdb.models import TaskWrite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langgraph.checkpoint.serde.base import SerializerProtocol

Row = tuple[Any, ...]


class SqlSource(Source):
    """A reader of the tables of SqliteSaver or PostgresSaver.

    A subclass runs statements, and knows what their tables differ in.

    Args:
        serde: The serializer of the values.
    """

    writes_table: ClassVar[str]
    value_column: ClassVar[str]
    mark: ClassVar[str]
    """Placeholder of a parameter."""
    has_paths: bool
    """True if the table of writes has the column `task_path`, which old tables lack."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self.serde = serde

    @abstractmethod
    def query(self, statement: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement."""

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

    def tips(self, thread_id: str) -> list[Tip]:
        latest = (
            f"SELECT checkpoint_ns, max(checkpoint_id) FROM checkpoints "
            f"WHERE thread_id = {self.mark} GROUP BY checkpoint_ns"
        )
        found: dict[str, str] = dict(self.query(latest, (thread_id,)))
        if not found:
            return []
        newest = max(found.items(), key=lambda item: item[1])
        root = [("", found[""])] if "" in found else []
        return [
            Tip(ns, checkpoint_id, self._count_writes(Key(thread_id, ns, checkpoint_id)))
            for ns, checkpoint_id in sorted({newest, *root})
        ]

    def count(self) -> int | None:
        count: int = self.query("SELECT count(*) FROM checkpoints")[0][0]
        return count

    def load(self, key: Key, channel: str | None, tag: str, payload: bytes | None) -> Any:
        """Return a stored value."""
        with located_reads(key, channel):
            return self.serde.loads_typed((tag, b"" if payload is None else bytes(payload)))

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
        found: str | None = self.query(f"SELECT min(thread_id) FROM {table}{where}", arguments)[0][
            0
        ]
        return found

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

    def _count_writes(self, key: Key) -> int:
        statement = f"SELECT count(*) FROM {self.writes_table} {self.where}"
        count: int = self.query(statement, key)[0][0]
        return count

    @property
    def where(self) -> str:
        """Condition that selects the rows of a checkpoint."""
        return (
            f"WHERE thread_id = {self.mark} AND checkpoint_ns = {self.mark} "
            f"AND checkpoint_id = {self.mark}"
        )
