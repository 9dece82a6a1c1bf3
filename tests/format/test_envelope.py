"""An envelope returns the payload that was written under its key, or raises an error."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.errors import DamagedError, FormatVersionError, LmdbSaverError
from langgraph.checkpoint.lmdb.format import envelope, keys
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.saver.values import checkpoint

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.kv.base import Writer

KEY = b"c\x01\x00id"
payloads = st.binary(max_size=300) | st.integers(0, 3000).map(lambda n: b"word " * n)
levels = st.sampled_from([None, 1, 3])


def record(payload: bytes, level: int | None = 3) -> bytes:
    """Return a stored record with a payload."""
    return envelope.seal(KEY, envelope.pack(payload, level))


@pytest.mark.parametrize(
    ("size", "codec"), [(4095, envelope.ZSTD_DICTIONARY_1), (4096, envelope.ZSTD)]
)
def test_large_payload_is_compressed_without_the_dictionary(size: int, codec: int) -> None:
    assert envelope.pack(b"word " * size, 3)[0] == envelope.ZSTD
    assert envelope.pack((b"word " * size)[:size], 3)[0] == codec


@pytest.mark.parametrize(("level", "plain"), [(1, 1), (3, 1), (9, 7)])
def test_large_payload_is_compressed_two_levels_lower(level: int, plain: int) -> None:
    payload = " ".join(f"word{n * n % 977}" for n in range(2000)).encode()
    packed = envelope.pack(payload, level)
    compressor = zstandard.ZstdCompressor(level=plain, write_content_size=False)
    assert packed[1 + len(envelope.varint(len(payload))) :] == compressor.compress(payload)


@given(payloads, levels)
def test_sealed_record_unseals_to_same_payload(payload: bytes, level: int | None) -> None:
    found = record(payload, level)
    assert envelope.unseal(KEY, found) == payload
    assert len(found) <= len(payload) + 5
    moved = envelope.reseal(KEY, b"other", found)
    assert envelope.unseal(b"other", moved) == payload


@given(payloads, levels, st.data())
def test_flipped_bit_raises_damaged_error(
    payload: bytes, level: int | None, data: st.DataObject
) -> None:
    found = bytearray(record(payload, level))
    at = data.draw(st.integers(0, 8 * len(found) - 1))
    found[at // 8] ^= 1 << at % 8
    with pytest.raises(DamagedError) as caught:
        envelope.unseal(KEY, bytes(found))
    assert caught.value.record == KEY.hex()


@given(payloads, st.binary(min_size=1, max_size=6).filter(lambda key: key != KEY))
def test_record_under_another_key_is_refused(payload: bytes, key: bytes) -> None:
    with pytest.raises(DamagedError):
        envelope.unseal(key, record(payload))
    with pytest.raises(DamagedError):
        envelope.reseal(key, KEY, record(payload))


@given(payloads, st.integers(0, 10))
def test_truncated_record_is_refused(payload: bytes, size: int) -> None:
    found = record(payload)
    with pytest.raises(DamagedError):
        envelope.unseal(KEY, found[: min(size, len(found) - 1)])


def test_error_names_unknown_codec() -> None:
    with pytest.raises(FormatVersionError) as caught:
        envelope.unseal(KEY, envelope.seal(KEY, b"\x63" + b"body"))
    assert caught.value.found == 0x63
    assert caught.value.supported == (0, 1, 2)


BOMB = b"\x00" * (64 << 20)
WITH_SIZE = zstandard.ZstdCompressor(write_content_size=True).compress(BOMB)
WITHOUT_SIZE = zstandard.ZstdCompressor(write_content_size=False).compress(BOMB)
CLAIMS_2_45 = b"\x28\xb5\x2f\xfd\xe0" + (1 << 45).to_bytes(8, "little") + b"\x01\x00\x00"


@pytest.mark.parametrize("frame", [WITH_SIZE, WITHOUT_SIZE, CLAIMS_2_45, b"", b"no frame"])
@pytest.mark.parametrize("claim", [0, 10, envelope.MAX_RECORD + 1, 1 << 45, (1 << 64) - 1])
@pytest.mark.parametrize("codec", [envelope.ZSTD, envelope.ZSTD_DICTIONARY_1])
def test_false_size_does_not_allocate_memory(frame: bytes, claim: int, codec: int) -> None:
    """The size in the record or in the zstd frame may be false."""
    packed = bytes((codec,)) + envelope.varint(claim) + frame
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            envelope.unseal(KEY, envelope.seal(KEY, packed))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60))
def test_random_bytes_raise_only_documented_errors(packed: bytes) -> None:
    with contextlib.suppress(LmdbSaverError):
        envelope.decode(KEY, envelope.unseal(KEY, envelope.seal(KEY, packed)))
    with pytest.raises(DamagedError):
        envelope.unseal(KEY, b"\xff\xff\xff\xff" + packed)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_encoded_varint_decodes_to_same_number(n: int, tail: bytes) -> None:
    assert envelope.read_varint(envelope.varint(n) + tail, 0) == (n, len(envelope.varint(n)))


@given(st.binary(max_size=30))
def test_read_varint_reads_at_most_ten_bytes(data: bytes) -> None:
    with contextlib.suppress(IndexError, ValueError):
        _, end = envelope.read_varint(data + b"\xff" * 20, 0)
        assert end <= 10


@pytest.mark.parametrize("fields", [5, None, "ab", [], {}, [1] * 9, [1, "a"] * 4, {"a": 1}])
@pytest.mark.parametrize("kind", [b"t\x01", b"t\x01c\x01", b"n\x01s", b"t\x01w\x01"])
def test_unexpected_fields_raise_damaged_error(kind: bytes, fields: object) -> None:
    """The checksum of the record is valid."""
    kv = MemoryStore()
    saver = KvSaver(kv)
    root = {"configurable": {"thread_id": "t", "checkpoint_ns": "sub"}}
    config = saver.put(root, checkpoint("1", 1, "value"), {}, {"x": 1})
    saver.put_writes(config, [("x", 1)], "task")

    def forge(writer: Writer) -> None:
        for key in [*writer.keys(kind, keys.prefix_end(kind))][:1]:
            writer.put(key, envelope.seal(key, envelope.pack(envelope.encode(fields), None)))

    kv.write(forge)
    with pytest.raises(DamagedError):
        KvSaver(kv).get_tuple(root)
