"""Public methods on stores with hostile layers raise only errors of the package.

Other threads do not change.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.engine import thread_record
from langgraph.checkpoint.lmdb.format import envelope, keys
from tests.fuzz import hostility
from tests.fuzz.stores import (
    HOSTILE,
    LAYERED,
    LAYERED_NUMBER,
    LONG,
    NUMBER,
    VICTIM,
    VICTIM_NUMBER,
    exercise,
    forged,
    kind_of,
    prefixes,
)

pytestmark = pytest.mark.faults

THREAD = keys.thread_number(LAYERED_NUMBER)
LAYER = keys.layer(NUMBER)
USER = keys.layer_user(NUMBER, LAYERED_NUMBER)
AT = [*thread_record._FIELDS].index("layers")


def payload(key: bytes) -> bytes:
    return envelope.unseal(key, LAYERED[key])


def fields_of(key: bytes) -> Any:
    return envelope.decode(key, payload(key))


RECORDS = {
    "thread": [THREAD],
    "layer": [LAYER],
    "user": [USER],
    "records": [
        key
        for key, record in sorted(LAYERED.items())
        if record and kind_of(key, "", NUMBER) not in ("", "T", "t")
    ],
}


def test_store_has_layers() -> None:
    assert fields_of(THREAD)[AT][0][0] == NUMBER
    assert {THREAD, LAYER, USER} <= LAYERED.keys()
    assert {kind_of(key, "", NUMBER) for key in RECORDS["records"]} >= {*"chnw"}
    assert exercise(LAYERED) == 0


NUMBERS = (NUMBER, LAYERED_NUMBER, VICTIM_NUMBER, 0, 99, 2**63)
ids = st.none() | st.sampled_from(["", "1", "2", "5", LONG, "\ud800", "\x00"])
rows = st.tuples(st.sampled_from(NUMBERS), hostility.numbers, ids, ids).map(list)


@given(st.lists(rows, max_size=4))
@example([[NUMBER, 0, None, None]] * 2)
@example([[LAYERED_NUMBER, 0, None, None]])
@example([[VICTIM_NUMBER, 0, None, None], [NUMBER, 0, None, None]])
@example([[number, 0, "1", "1"] for number in range(2000)])
def test_thread_with_hostile_layers(layers: list[Any]) -> None:
    """A thread names itself, other threads, unknown layers or one layer several times."""
    fields = fields_of(THREAD)
    fields[AT] = layers
    exercise(forged({THREAD: hostility.packed(fields)}, LAYERED))


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_hostile_field(kind: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(RECORDS[kind]))
    old = payload(key)
    try:
        fields = fields_of(key)
    except envelope.DamagedError:
        fields = None
    new = data.draw(st.binary(max_size=3)) + old
    if fields is not None:
        at = data.draw(st.sampled_from(hostility.paths(fields)))
        new = hostility.packed(hostility.replaced(fields, at, data.draw(hostility.anything)))
    exercise(forged({key: new}, LAYERED))


@given(
    st.sampled_from(NUMBERS[:-1]),
    st.sampled_from(NUMBERS[:-1]),
    st.integers(-1, 9),
    ids,
    ids,
)
def test_hostile_user_of_a_layer(
    layer: int, user: int, position: int, last: str | None, before: str | None
) -> None:
    """Users that do not name the layer, of layers that do not exist."""
    key = keys.layer_user(layer, user)
    exercise(forged({key: hostility.packed([position, last, before])}, LAYERED))


MISSABLE = [
    key for key in LAYERED if key != keys.FORMAT and not kind_of(key, VICTIM, VICTIM_NUMBER)
]


@given(st.sets(st.sampled_from(MISSABLE), min_size=1, max_size=12))
@example({LAYER})
@example({USER})
@example({THREAD})
@example({keys.thread_id(HOSTILE)})
def test_missing_records_and_entries(missing: set[bytes]) -> None:
    exercise({key: record for key, record in LAYERED.items() if key not in missing})


@given(data=st.data())
def test_hostile_key(data: st.DataObject) -> None:
    prefix = data.draw(st.sampled_from([b"l", b"u", *prefixes("", NUMBER).values()]))
    rest = data.draw(st.binary(max_size=30))
    exercise({**LAYERED, prefix + rest: b""})
