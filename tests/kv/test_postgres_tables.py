"""The tables of a store on PostgreSQL, compared with a store in memory."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.format import keys
from langgraph.checkpoint.lmdb.kv import MemoryStore
from langgraph.checkpoint.lmdb.postgres.layout import CheckpointLayout

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv import Reader, Writer
    from langgraph.checkpoint.lmdb.kv.postgres.store import PostgresStore

NUMBERS = (0, 1, 2, 239, 240, 241, 255, 256, 65_535, 65_536, (1 << 63) - 1, 1 << 63)
STARTS = [
    b"\x00",
    b"T",
    b"a",
    b"s\x01",
    *(b"e\x02\x05" + keys.number(n) for n in NUMBERS[:5]),
    *(b"r" + bytes(8) + b"id\x00\x01" + keys.number(n) + b"\x00" for n in NUMBERS[:5]),
    *(kind + keys.number(n) for kind in (b"n", b"o", b"p", b"t", b"x") for n in NUMBERS),
    *(b"t" + keys.number(n) + kind for kind in (b"c", b"d", b"h", b"k", b"w") for n in NUMBERS),
    *(b"t" + keys.number(n) + kind for kind in (b"b", b"e", b"z", b"\xff") for n in NUMBERS[:4]),
    b"t\xf0\x05",  # not how 5 is encoded
    b"t\xf1\x00\xff",
    b"t\xf1\x01",
    b"t\xff\xff",
    b"t",
]
ENDS = [b"", b"\x00", b"a", b"b", b"\xff"]
ALL = [start + end for start in STARTS for end in ENDS]


@pytest.mark.parametrize("key", ALL, ids=bytes.hex)
def test_every_key_has_its_place_in_one_table(key: bytes) -> None:
    layout = CheckpointLayout()
    table, thread, row_key = layout.place(key)
    assert layout.whole_key(table, thread or 0, row_key) == key
    (found,) = (part for part in layout.split(key, key + b"\x00") if part.table is table)
    row = (thread or 0, row_key) if table.by_thread else (0, row_key)
    assert found.low is None or found.low <= row
    assert found.high is None or row < found.high


def test_ranges_of_tables_hold_the_keys_of_a_range() -> None:
    layout = CheckpointLayout()
    random = Random(1)
    for _ in range(3000):
        start, stop = sorted(random.sample(ALL, 2))
        parts = {part.table: part for part in layout.split(start, stop)}
        for key in random.sample(ALL, 40):
            table, thread, row_key = layout.place(key)
            row = (thread or 0, row_key) if table.by_thread else (0, row_key)
            part = parts.get(table)
            inside = part is not None and (part.low is None or part.low <= row)
            inside = inside and part is not None and (part.high is None or row < part.high)
            assert inside == (start <= key < stop), (start, key, stop)


@pytest.mark.parametrize("seed", range(8))
def test_any_transactions_behave_as_in_memory(postgres_store: PostgresStore, seed: int) -> None:
    """Changes, reads that follow them, and pages of any order give the same as in memory."""
    random = Random(seed)
    model = MemoryStore()
    some = random.sample(ALL, 60)

    def read(reader: Reader, draw: Random) -> list[object]:
        start, stop = sorted(draw.sample(some, 2))
        key = draw.choice(some)
        return [
            reader.get(key),
            list(reader.range(start, stop, reverse=draw.random() < 0.5)),
            list(reader.keys(b"", b"\xff" * 9, reverse=draw.random() < 0.5)),
            list(reader.get_many(draw.sample(some, 3))),
            [list(rows) for rows in reader.ranges([(start, stop), (stop, b"\xff" * 9)])],
        ]

    def change(writer: Writer, draw: Random) -> list[object]:
        found: list[object] = []
        for _ in range(draw.randrange(1, 12)):
            what = draw.random()
            key = draw.choice(some)
            if what < 0.5:
                writer.put(key, draw.randbytes(draw.randrange(6)))
            elif what < 0.65:
                found.append(writer.delete(key))
            elif what < 0.75:
                writer.discard(key)
            elif what < 0.82:
                found.append(writer.delete_range(*sorted(draw.sample(some, 2))))
            else:
                found += read(writer, draw)
        return found

    for turn in range(25):
        action = change if random.random() < 0.7 else read
        answers = []
        for store in (model, postgres_store):
            draws = f"{seed} {turn}"
            if action is change:
                answers.append(store.write(lambda w, draws=draws: change(w, Random(draws))))
            else:
                with store.read() as reader:
                    answers.append(read(reader, Random(draws)))
        assert answers[0] == answers[1]
    with model.read() as one, postgres_store.read() as other:
        assert dict(other.range(b"", b"\xff" * 9)) == dict(one.range(b"", b"\xff" * 9))
