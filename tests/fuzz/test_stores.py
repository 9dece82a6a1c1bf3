"""Public methods on stores with hostile records raise only errors of the package.

Other threads do not change.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb.errors import DamagedError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.format.ranges import ChunkRange, encode_ranges
from tests.fuzz import hostility
from tests.fuzz.stores import (
    COPY_NUMBER,
    ENTRIES,
    HOSTILE,
    NUMBER,
    TARGETS,
    VICTIM,
    VICTIM_NUMBER,
    exercise,
    forged,
    kind_of,
    prefixes,
)

pytestmark = pytest.mark.faults


def payload(key: bytes) -> bytes:
    return envelope.unseal(key, ENTRIES[key])


def fields_of(key: bytes) -> Any:
    """Return the fields of a record; None if its payload is not an array."""
    try:
        fields = envelope.decode(key, payload(key))
    except DamagedError:
        return None
    return fields if isinstance(fields, list) else None


KINDS = sorted({*TARGETS.values()})
WITH_FIELDS = {key: fields for key in TARGETS if (fields := fields_of(key))}
KINDS_WITH_FIELDS = sorted({TARGETS[key] for key in WITH_FIELDS})
THREADS = [key for key in WITH_FIELDS if HOSTILE in WITH_FIELDS[key]]
CHECKPOINT = next(key for key in reversed(TARGETS) if TARGETS[key] == "c")


def test_store_has_every_kind_of_record() -> None:
    assert {*"Tcdhnoptw"} <= {*KINDS}
    assert {*"chnw"} < {*KINDS_WITH_FIELDS}
    assert len(THREADS) == 1
    assert exercise(ENTRIES) == 0


@pytest.mark.parametrize("kind", KINDS_WITH_FIELDS)
@given(data=st.data())
def test_hostile_field(kind: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([key for key in WITH_FIELDS if TARGETS[key] == kind]))
    new = WITH_FIELDS[key]
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.sampled_from(hostility.paths(new)))
        new = hostility.replaced(new, at, data.draw(hostility.anything))
    exercise(forged({key: hostility.packed(new)}))


@given(at=st.integers(0, 30), number=hostility.numbers)
@example(at=12, number=253_402_300_799_999)  # a TTL that ends after the last date
def test_hostile_number_in_thread_record(at: int, number: int) -> None:
    """Counts and times are negative, or greater than any valid one."""
    (key,) = THREADS
    fields = WITH_FIELDS[key]
    changed = [number if n == at % len(fields) else field for n, field in enumerate(fields)]
    exercise(forged({key: hostility.packed(changed)}))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_hostile_payload(kind: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([key for key in TARGETS if TARGETS[key] == kind]))
    old = payload(key)
    cut = data.draw(st.integers(0, len(old)))
    new = data.draw(
        st.one_of(
            st.binary(max_size=50),
            hostility.encodings,
            hostility.numbers.filter(lambda n: 0 <= n < 2**64).map(keys.number),
            hostility.anything.map(hostility.packed),
            st.just(old[:cut]),
            st.binary(min_size=1, max_size=4).map(lambda b: old[:cut] + b + old[cut + len(b) :]),
        )
    )
    exercise(forged({key: new}))


INDEXES = [b"e", b"k", b"m", b"r", b"x", *prefixes(HOSTILE, NUMBER).values()]


@given(data=st.data())
def test_hostile_key(data: st.DataObject) -> None:
    """Keys of records and index entries end too early or hold invalid text."""
    prefix = data.draw(st.sampled_from(INDEXES))
    known = [key[len(prefix) : -1] for key in ENTRIES if key.startswith(prefix)]
    rest = data.draw(
        st.one_of(
            st.binary(max_size=30),
            st.binary(max_size=20).map(lambda b: keys.number(NUMBER) + b),
            st.binary(max_size=20).map(lambda b: keys.number(0) + b),
            st.sampled_from(known or [b""]),
        )
    )
    key = prefix + rest
    content = data.draw(st.none() | st.sampled_from([payload(key) for key in TARGETS]))
    exercise({**ENTRIES, key: b""} if content is None else forged({key: content}))


MISSABLE = [
    key for key in ENTRIES if key != keys.FORMAT and not kind_of(key, VICTIM, VICTIM_NUMBER)
]


@given(st.sets(st.sampled_from(MISSABLE), min_size=1, max_size=12))
def test_missing_records_and_entries(missing: set[bytes]) -> None:
    """A damaged page of LMDB makes records unreachable."""
    exercise({key: record for key, record in ENTRIES.items() if key not in missing})


@given(data=st.data())
def test_nodes_that_loop_multiply_or_dangle(data: st.DataObject) -> None:
    """Chunks name chunks, at every depth that a value may have."""
    chunks = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=6)
    changed = {
        keys.segment(NUMBER, segment) + keys.number(seq): data.draw(hostility.encodings)
        for segment, seq in data.draw(chunks)
    }
    value = [
        "msgpack",
        data.draw(st.integers(0, 1)),
        data.draw(st.sampled_from([b"", b"\x93"])),
        data.draw(st.sampled_from([5, 1000, 2**31, 2**32 - 1])),
        data.draw(st.integers(0, 8)),
        data.draw(hostility.encodings),
    ]
    at = data.draw(st.sampled_from([(4,), (5,), (7, "x"), (7, "text")]))
    changed[CHECKPOINT] = hostility.packed(hostility.replaced(WITH_FIELDS[CHECKPOINT], at, value))
    exercise(forged(changed))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("rest", [b"\x05junk", b"\xf0\x05", b"\xf5", b""])
def test_invalid_tombstone_does_not_stop_purging(rest: bytes) -> None:
    assert exercise({**ENTRIES, b"x" + rest: b""}) == 0


@pytest.mark.parametrize(
    "key", [keys.orphaned_chunks(NUMBER), keys.shared_ref(NUMBER, COPY_NUMBER)]
)
def test_shared_reference_to_chunks_of_another_thread_is_refused(key: bytes) -> None:
    """A record of shared references may name only chunks of its owner."""
    ranges = encode_ranges([ChunkRange(VICTIM_NUMBER, 0, 0, 1)])
    assert exercise(forged({key: ranges})) > 0
