"""Damaged and moved records, and records with a wrong size, are detected."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from tests.contract.driver import SaverDriver, config, put, put_chain
from tests.contract.raw import entries, overwrite, sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.raw import Entries

CHAIN = ["c1", "c2", "c3"]


def attempt(read: Callable[[], Any]) -> Any:
    """Return the result of a read, or the error that it raises."""
    try:
        return read()
    except LmdbSaverError as error:
        return error


def read_all(path: Path) -> list[Any]:
    """Read everything of the thread of `whole`, errors included."""
    saver = attempt(lambda: LmdbSaver(path))
    if isinstance(saver, LmdbSaverError):
        return [saver] * 6
    with saver:
        driver = SaverDriver(saver)
        by_id = [attempt(lambda cid=cid: driver.get_tuple(config(id=cid))) for cid in CHAIN]  # type: ignore[misc]
        return [
            *by_id,
            attempt(lambda: driver.get_tuple(config())),
            attempt(lambda: driver.list(config())),
            attempt(lambda: driver.delta_history(config(id="c3"), ["value", "x"])),
        ]


@pytest.fixture
def whole(path: Path) -> tuple[Entries, list[Any]]:
    """The records of a closed store with every kind of record, and all reads of the thread."""
    with LmdbSaver(path) as saver:
        driver = SaverDriver(saver)
        for at in put_chain(driver, CHAIN, run_id="r"):
            cid = at["configurable"]["checkpoint_id"]
            driver.put_writes(at, [("x", f"write of {cid}"), ("y", cid)], "task")
        put(driver, "c3", {"value": "value", "long": "x" * 20_000, "list": [1, 2]}, parent="c2")
    return entries(path), read_all(path)


def check_reads(path: Path, expected: list[Any]) -> bool:
    """Check that each read gives the stored result or an error; return True for an error."""
    found = read_all(path)
    refused = [isinstance(one, LmdbSaverError) for one in found]
    for one, good, error in zip(found, expected, refused, strict=True):
        assert error or one == good
    return any(refused)


def test_moved_record_is_refused(path: Path, whole: tuple[Entries, list[Any]]) -> None:
    """The checksum of a record contains its key."""
    stored, expected = whole
    assert not any(isinstance(one, Exception) for one in expected)
    with_content = [place for place, value in stored.items() if len(value) > 8]
    refused = 0
    for target in with_content:
        for source in with_content:
            if stored[source] != stored[target]:
                overwrite(path, {target: stored[source]})
                refused += check_reads(path, expected)
        overwrite(path, {target: stored[target]})
    assert refused >= len(with_content)


def test_flipped_bit_is_detected(path: Path, whole: tuple[Entries, list[Any]]) -> None:
    """A damaged record raises an error. It is never read as another value."""
    stored, expected = whole
    refused = 0
    for number, (place, value) in enumerate(stored.items()):
        for offset in {0, len(value) // 2, len(value) - 1} if value else ():
            damaged = bytearray(value)
            damaged[offset] ^= 1 << (number + offset) % 8
            overwrite(path, {place: bytes(damaged)})
            refused += check_reads(path, expected)
        overwrite(path, {place: value})
    assert refused >= 3
    assert not check_reads(path, expected)


def varint(number: int) -> bytes:
    """Return a length in groups of seven bits, the lowest first, as a record stores it."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


@pytest.mark.parametrize("claimed", [2**20, 2**30, 2**60])
@pytest.mark.parametrize("real", [100, 2**30])
def test_record_with_a_wrong_size_takes_no_memory(
    path: Path, whole: tuple[Entries, list[Any]], claimed: int, real: int
) -> None:
    """The decompressed size is bounded before memory is allocated."""
    stored, expected = whole
    compress = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    body = b"".join(compress.compress(bytes(min(real, 2**20))) for _ in range(0, real, 2**20))
    frame = b"\x01" + varint(claimed) + body + compress.flush()
    overwrite(path, {place: sealed(place[1], frame) for place in stored if place[1][:1] == b"t"})
    tracemalloc.start()
    try:
        assert check_reads(path, expected)
        assert tracemalloc.get_traced_memory()[1] < 128 * 2**20
    finally:
        tracemalloc.stop()
