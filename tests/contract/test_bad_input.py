"""Wrong arguments and impossible calls raise a specific error and change nothing."""

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


def test_path_of_a_file_is_refused(tmp_path: Path) -> None:
    """The file is unchanged."""
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for path in (file, file / "inside"):
        with pytest.raises(InvalidPathError, match=r"notes\.txt"):
            LmdbSaver(path)
    assert file.read_text() == "mine"


def test_file_that_is_not_an_lmdb_file_is_refused(tmp_path: Path) -> None:
    """The file is unchanged."""
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(LmdbSaverError, match=str(tmp_path)):
        LmdbSaver(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == b"not a database" * 1000


@pytest.mark.parametrize("version", [0, 2, 99, "1"])
def test_store_of_an_unknown_format_version_is_refused(path: Path, version: Any) -> None:
    """Versions of newer releases and invalid versions are detected. The store is unchanged."""
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


def test_record_with_an_unknown_encoding_raises(path: Path) -> None:
    """Other records are read."""
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
    """Run the test as another user if the process is root, which may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_folder_without_write_permission_is_refused() -> None:
    """The folder is unchanged."""
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
def test_config_without_thread_id_is_refused(driver: SaverDriver, wrong: Any) -> None:
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


def test_put_writes_without_checkpoint_id_is_refused(driver: SaverDriver) -> None:
    put_chain(driver, ["c1"])
    with pytest.raises(InvalidConfigError, match="checkpoint_id"):
        driver.put_writes(config(), [("x", 1)], "task")
    (listed,) = driver.list(None)
    assert not listed.pending_writes


def test_read_only_saver_refuses_writes(
    driver: SaverDriver, open_saver: Callable[..., LmdbSaver]
) -> None:
    """Reads work."""
    put_chain(driver, ["c1", "c2"], run_id="r")
    reader = driver.on(open_saver(readonly=True))
    for name in WRITING:
        with pytest.raises(ReadOnlyError):
            CALLS[name](reader)
    assert reader.list(None) == driver.list(None)
    assert len(driver.list(None)) == 2


def test_opening_read_only_changes_no_byte(path: Path) -> None:
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


def test_missing_store_is_not_created_by_a_read_only_saver(path: Path) -> None:
    with pytest.raises(LmdbSaverError, match=str(path)):
        LmdbSaver(path, readonly=True)
    assert not path.exists()


@pytest.mark.parametrize("name", CALLS)
def test_closed_saver_raises(driver: SaverDriver, name: str) -> None:
    """A second `close` does nothing."""
    put_chain(driver, ["c1"])
    driver.saver.close()  # type: ignore[attr-defined]
    driver.saver.close()  # type: ignore[attr-defined]
    with pytest.raises(StoreClosedError):
        CALLS[name](driver)


def test_paused_list_raises_after_its_saver_is_closed(saver: LmdbSaver) -> None:
    put_chain(SaverDriver(saver), [f"c{number:03}" for number in range(300)])
    listing = saver.list(config())
    next(listing)
    saver.close()
    with pytest.raises(StoreClosedError):
        list(listing)


def test_close_ends_calls_of_other_threads_with_an_error(saver: LmdbSaver) -> None:
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
def test_invalid_option_is_refused_before_files_are_created(
    path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        LmdbSaver(path, **options)
    assert not path.exists()


def test_errors_have_a_kind_and_a_location(tmp_path: Path) -> None:
    """Each error is an LmdbSaverError."""
    (tmp_path / "file").touch(mode=stat.S_IRUSR)
    with pytest.raises(LmdbSaverError) as caught:
        LmdbSaver(tmp_path / "file")
    assert caught.value.kind == "invalid_path"
    assert caught.value.path == str(tmp_path / "file")
