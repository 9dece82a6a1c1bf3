"""Special files in place of regular files: they are refused, and no call waits for them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb.cli.exit_codes import FAILED
from langgraph.checkpoint.lmdb.cli.main import main as command
from langgraph.checkpoint.lmdb.errors import InvalidPathError, LmdbSaverError
from langgraph.checkpoint.lmdb.kv import LmdbStore
from langgraph.checkpoint.lmdb.kv.lmdb import files
from tests.kv.processes import in_fork
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Callable

Open = "Callable[..., LmdbStore]"
HUNG_AFTER = 30  # seconds until a process is considered hung


def make_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(place.parent)  # the name of a socket must be short
        try:
            made.bind(place.name)
        finally:
            os.chdir(here)


KINDS: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a folder": Path.mkdir,
    "a device": lambda place: place.symlink_to("/dev/zero"),
    "a symbolic link to nothing": lambda place: place.symlink_to("nowhere"),
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)
EACH_NAME = pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])


@pytest.fixture
def stored(open_lmdb: Open, folder: Path) -> Path:
    """The folder of a store that is closed."""
    store = open_lmdb()
    store.write(put(b"k"))
    store.close()
    return folder


def replace(place: Path, kind: str) -> None:
    place.unlink()
    KINDS[kind](place)


def soon(body: Callable[[], object]) -> None:
    """Run `body` in a child that is killed if it hangs."""

    def run() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HUNG_AFTER)
        body()

    in_fork(run)


@EACH_KIND
@EACH_NAME
@pytest.mark.parametrize("readonly", [False, True])
def test_store_with_a_special_file_is_not_opened(
    stored: Path, kind: str, name: str, readonly: bool
) -> None:
    replace(stored / name, kind)

    def body() -> None:
        for _ in range(2):
            with pytest.raises(InvalidPathError, match=f"{name} is {kind}") as caught:
                LmdbStore.open(stored, readonly=readonly)
            assert caught.value.path == str(stored)
            assert caught.value.advice

    soon(body)
    assert os.path.lexists(stored / name)
    assert sorted(one.name for one in stored.iterdir()) == ["data.mdb", "lock.mdb"]


@EACH_KIND
@EACH_NAME
def test_store_is_not_created_beside_a_special_file(folder: Path, kind: str, name: str) -> None:
    folder.mkdir()
    KINDS[kind](folder / name)

    def body() -> None:
        with pytest.raises(InvalidPathError, match=f"{name} is {kind}"):
            LmdbStore.open(folder)

    soon(body)
    assert [one.name for one in folder.iterdir()] == [name]


@EACH_KIND
@EACH_NAME
def test_store_is_not_reopened_with_a_special_file(stored: Path, kind: str, name: str) -> None:
    """A store is reopened after a fork, a failed commit, or a map that could not grow."""

    def body() -> None:
        store = LmdbStore.open(stored, sync="normal")
        assert content(store) == {b"k": b"v"}
        store._env.lock.exclusive(store._env.close_until_next_use)
        replace(stored / name, kind)
        for use in (content, lambda store: store.write(put(b"l"))):
            with pytest.raises(LmdbSaverError):
                use(store)
        store.close()

    soon(body)


@EACH_KIND
@EACH_NAME
@pytest.mark.parametrize("sync", ["off", "full"])
def test_open_store_raises_only_errors_of_the_tree(
    stored: Path, tmp_path: Path, kind: str, name: str, sync: Any
) -> None:
    """Methods that open the files again raise errors of the tree; `close` does not."""

    def body() -> None:
        store = LmdbStore.open(stored, sync=sync)
        replace(stored / name, kind)
        for use in (
            content,
            LmdbStore.size,
            LmdbStore.compact,
            LmdbStore.check_pages,
            lambda store: store.backup(tmp_path / "copy"),
            lambda store: store.write(put(b"l")),
        ):
            try:
                use(store)
            except LmdbSaverError:
                continue
        store.close()

    soon(body)


@EACH_KIND
@pytest.mark.parametrize("verb", ["verify", "recover-pages"])
def test_command_refuses_a_special_file(
    stored: Path, tmp_path: Path, kind: str, verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    replace(stored / "data.mdb", kind)
    arguments = [verb, str(stored)] + ([str(tmp_path / "copy")] if verb == "recover-pages" else [])

    def body() -> None:
        assert command(arguments) == FAILED

    soon(body)
    assert f"data.mdb is {kind}" in capfd.readouterr().err
    assert not (tmp_path / "copy").exists()


@EACH_KIND
def test_special_file_that_appears_during_the_open_is_refused(
    stored: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(stored / "data.mdb", kind)
    monkeypatch.setattr(files, "status", lambda folder, name: None)

    def body() -> None:
        with pytest.raises((InvalidPathError, OSError)):
            files.open_file(stored, "data.mdb", "rb")
        with pytest.raises((InvalidPathError, OSError)):
            files.open_descriptor(stored, "data.mdb", os.O_WRONLY)

    soon(body)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_store_is_not_created_in_place_of_a_special_file(folder: Path, kind: str) -> None:
    KINDS[kind](folder)

    def body() -> None:
        for readonly in (False, True):
            for path in (folder, folder / "below"):
                with pytest.raises(InvalidPathError):
                    LmdbStore.open(path, readonly=readonly)

    soon(body)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_copy_is_not_created_in_place_of_a_special_file(
    stored: Path, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "copy"
    KINDS[kind](place)

    def body() -> None:
        store = LmdbStore.open(stored)
        for path in (place, place / "below"):
            with pytest.raises(InvalidPathError):
                store.backup(path)
        store.close()

    soon(body)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy", "store"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "a folder"])
def test_special_file_in_place_of_a_temporary_file_is_refused(folder: Path, kind: str) -> None:
    folder.mkdir()
    KINDS[kind](folder / ".new")

    def body() -> None:
        with pytest.raises(InvalidPathError, match=r"\.new"):
            LmdbStore.open(folder)

    soon(body)
    (folder / ".new").unlink()
    LmdbStore.open(folder).close()


def test_link_to_a_regular_file_is_followed(open_lmdb: Open, stored: Path) -> None:
    real = stored.with_name("real")
    shutil.move(stored / "data.mdb", real)
    (stored / "data.mdb").symlink_to(real)
    assert content(open_lmdb()) == {b"k": b"v"}
