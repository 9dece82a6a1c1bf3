"""What is asked wrongly or cannot be done: each case its own clear error, nothing harmed."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    FormatVersionError,
    InvalidConfigError,
    InvalidPathError,
    LmdbSaverError,
    ReadOnlyError,
    StoreClosedError,
)
from tests.contract.driver import SaverDriver, checkpoint, config, ids, put, put_chain
from tests.contract.raw import entries, overwrite, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS: dict[str, Callable[[SaverDriver], Any]] = {
    "put": lambda driver: put(driver, "c9", {"value": 9}),
    "put_writes": lambda driver: driver.put_writes(config(id="c1"), [("x", 1)], "task"),
    "delete_thread": lambda driver: driver.delete_thread("t"),
    "delete_for_runs": lambda driver: driver.delete_for_runs(["r"]),
    "copy_thread": lambda driver: driver.copy_thread("t", "target"),
    "prune": lambda driver: driver.prune(["t"], strategy="delete"),
    "get_tuple": lambda driver: driver.get_tuple(config()),
    "list": lambda driver: driver.list(None),
    "get_delta_channel_history": lambda driver: driver.delta_history(config(), ["value"]),
}
WRITING = [*CALLS][:6]


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    """The path of a file is refused, and the file is left as it is."""
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for path in (file, file / "inside"):
        with pytest.raises(InvalidPathError, match=r"notes\.txt"):
            LmdbSaver(path)
    assert file.read_text() == "mine"


def test_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    """A data file that is not one of LMDB is refused, and left as it is."""
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(LmdbSaverError, match=str(tmp_path)):
        LmdbSaver(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == b"not a database" * 1000


@pytest.mark.parametrize("version", [0, 2, 99, "1"])
def test_a_store_of_another_format(path: Path, version: Any) -> None:
    """A store of a newer release, or of none that was, is recognised; nothing of it is touched."""
    with LmdbSaver(path) as saver:
        put_chain(SaverDriver(saver), ["c1"])
    before = entries(path)
    (place,) = (place for place in before if b"format" in place[1])
    overwrite(path, {place: sealed(place[1], b"\x00" + msgpack.packb(version))})
    marked = entries(path)
    for readonly in (False, True):
        with pytest.raises(FormatVersionError, match=str(version)) as caught:
            LmdbSaver(path, readonly=readonly)
        assert str(path) in str(caught.value)
    assert entries(path) == marked
    overwrite(path, {place: before[place]})
    with LmdbSaver(path) as saver:
        assert ids([*saver.list(None)]) == ["c1"]


def test_a_record_of_a_newer_release(path: Path) -> None:
    """A record in an encoding that this release does not know says so; the others are read."""
    with LmdbSaver(path) as saver:
        put_chain(SaverDriver(saver), ["c1"], thread="newer")
        put_chain(SaverDriver(saver), ["c1"], thread="older")
    stored = entries(path)
    place = min(place for place in stored if place[1][:3] == b"t\x01c")
    overwrite(path, {place: sealed(place[1], b"\x7f" + stored[place][5:])})
    with LmdbSaver(path) as saver:
        with pytest.raises(FormatVersionError, match="newer"):
            saver.get_tuple(config("newer"))
        assert saver.get_tuple(config("older")) is not None


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count for nothing while we are root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_path_that_is_not_writable() -> None:
    """A folder that may not be written in is refused, saying so; nothing is left in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(LmdbSaverError, match="denied") as caught:
            LmdbSaver(folder / "store")
        assert str(folder) in str(caught.value)
        assert [*folder.iterdir()] == []
        folder.chmod(0o755)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"configurable": {}}, {"configurable": {"checkpoint_ns": ""}}],
    ids=["empty", "nothing in it", "no thread"],
)
def test_a_config_without_a_thread(driver: SaverDriver, wrong: Any) -> None:
    """A config without `thread_id` is refused by every call that needs one."""
    put_chain(driver, ["c1"])
    for call in (
        lambda: driver.put(wrong, checkpoint("c2", {}, {}), {}, {}),
        lambda: driver.put_writes(wrong, [("x", 1)], "task"),
        lambda: driver.get_tuple(wrong),
        lambda: driver.get(wrong),
        lambda: driver.delta_history(wrong, ["x"]),
    ):
        with pytest.raises(InvalidConfigError, match="thread_id"):
            call()
    assert ids(driver.list(None)) == ["c1"]


def test_writes_without_a_checkpoint(driver: SaverDriver) -> None:
    """`put_writes` without a `checkpoint_id` is refused."""
    put_chain(driver, ["c1"])
    with pytest.raises(InvalidConfigError, match="checkpoint_id"):
        driver.put_writes(config(), [("x", 1)], "task")
    (listed,) = driver.list(None)
    assert not listed.pending_writes


def test_a_read_only_store_is_not_written_to(
    driver: SaverDriver, open_saver: Callable[..., LmdbSaver]
) -> None:
    """Each writing call says that the store is read-only; reading works."""
    put_chain(driver, ["c1", "c2"], run_id="r")
    reader = driver.on(open_saver(readonly=True))
    for name in WRITING:
        with pytest.raises(ReadOnlyError):
            CALLS[name](reader)
    assert reader.list(None) == driver.list(None)
    assert len(driver.list(None)) == 2


def test_a_read_only_store_is_left_byte_for_byte(path: Path) -> None:
    """Opening a store read-only, on its own, changes nothing in it."""
    with LmdbSaver(path) as saver:
        put_chain(SaverDriver(saver), ["c1", "c2"], run_id="r")
    before, data = entries(path), (path / "data.mdb").read_bytes()
    with LmdbSaver(path, readonly=True) as saver:
        assert ids([*saver.list(None)]) == ["c2", "c1"]
        for name in WRITING:
            with pytest.raises(ReadOnlyError):
                CALLS[name](SaverDriver(saver))
    assert (path / "data.mdb").read_bytes() == data
    assert entries(path) == before


def test_a_read_only_store_that_is_not_there(path: Path) -> None:
    """There is nothing to read, and nothing is made."""
    with pytest.raises(LmdbSaverError, match=str(path)):
        LmdbSaver(path, readonly=True)
    assert not path.exists()


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_saver_says_so(driver: SaverDriver, name: str) -> None:
    """Every call after `close` is a clear error; a second `close` is none."""
    put_chain(driver, ["c1"])
    driver.saver.close()  # type: ignore[attr-defined]
    driver.saver.close()  # type: ignore[attr-defined]
    with pytest.raises(StoreClosedError):
        CALLS[name](driver)


def test_a_listing_whose_saver_was_closed_says_so(saver: LmdbSaver) -> None:
    """A listing that is still paused when its saver is closed ends with that error."""
    put_chain(SaverDriver(saver), [f"c{number:03}" for number in range(300)])
    listing = saver.list(config())
    next(listing)
    saver.close()
    with pytest.raises(StoreClosedError):
        list(listing)


def test_closing_while_others_use_the_saver(saver: LmdbSaver) -> None:
    """Readers and writers that are at work when a saver is closed are told so, and end."""
    driver = SaverDriver(saver)
    put_chain(driver, [f"c{number}" for number in range(20)])
    at_work = threading.Barrier(9)

    def use(number: int) -> None:
        at_work.wait()
        for step in itertools.count():
            if number % 2:
                driver.list(config())
            else:
                put(driver, f"d{number}.{step}", {"value": step})

    with ThreadPoolExecutor(8) as pool:
        using = [pool.submit(use, number) for number in range(8)]
        at_work.wait()
        put(driver, "last", {"value": "last"})
        saver.close()
        for one in using:
            with pytest.raises(StoreClosedError):
                one.result()


@pytest.mark.parametrize(
    "options", [{"sync": "sometimes"}, {"map_size": -1}, {"unknown": 1}], ids=str
)
def test_an_option_that_makes_no_sense(path: Path, options: dict[str, Any]) -> None:
    """Refused at once, before anything is made."""
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        LmdbSaver(path, **options)
    assert not path.exists()


def test_every_error_has_a_kind_and_says_where(tmp_path: Path) -> None:
    """One tree: whatever goes wrong is a `LmdbSaverError` with a stable kind."""
    (tmp_path / "file").touch(mode=stat.S_IRUSR)
    with pytest.raises(LmdbSaverError) as caught:
        LmdbSaver(tmp_path / "file")
    assert caught.value.kind == "invalid_path"
    assert caught.value.path == str(tmp_path / "file")
