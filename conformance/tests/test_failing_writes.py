"""The writes of LMDB fail inside the library, for the files of one folder and one block only."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import lmdb
import lmdb.cpython
import pytest

from saver_conformance.failing_writes import failing_writes, is_available

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARY = lmdb.cpython.__file__


def _put(env: lmdb.Environment, key: bytes) -> None:
    with env.begin(write=True) as transaction:
        transaction.put(key, b"value" * 1000)


def _keys(env: lmdb.Environment) -> list[bytes]:
    with env.begin() as transaction:
        return list(transaction.cursor().iternext(values=False))


@pytest.mark.parametrize(("error", "text"), [(errno.ENOSPC, "No space"), (errno.EIO, "Input")])
def test_commit_raises_the_error_of_the_disk(tmp_path: Path, error: int, text: str) -> None:
    assert is_available()
    with lmdb.open(str(tmp_path / "store")) as env:
        _put(env, b"before")
        with failing_writes(_LIBRARY, tmp_path, error, 0), pytest.raises(lmdb.Error, match=text):
            _put(env, b"refused")
        assert _keys(env) == [b"before"]
        _put(env, b"after")
        assert _keys(env) == [b"after", b"before"]


def test_first_calls_succeed(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "store")) as env:
        with failing_writes(_LIBRARY, tmp_path, errno.EIO, 100):
            _put(env, b"one")
        with failing_writes(_LIBRARY, tmp_path, errno.EIO, 1), pytest.raises(lmdb.Error):
            _put(env, b"two")
        assert b"one" in _keys(env)


def test_other_folders_are_not_affected(tmp_path: Path) -> None:
    for name in ("store", "store-2"):
        (tmp_path / name).mkdir()
    with lmdb.open(str(tmp_path / "store-2")) as env:
        with failing_writes(_LIBRARY, tmp_path / "store", errno.EIO, 0):
            _put(env, b"one")
        assert _keys(env) == [b"one"]


def test_calls_of_os_fail_too(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with (folder / "file").open("wb", buffering=0) as file, (tmp_path / "x").open("wb") as other:
        with failing_writes(_LIBRARY, folder, errno.EIO, 1):
            assert os.pwrite(file.fileno(), b"a", 0) == 1
            with pytest.raises(OSError, match="Input"):
                os.fdatasync(file.fileno())
            assert os.pwrite(other.fileno(), b"a", 0) == 1
        os.fdatasync(file.fileno())


def test_library_must_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    with (
        pytest.raises(ValueError, match="library must be loaded in this process"),
        failing_writes(str(file), tmp_path, errno.EIO, 0),
    ):
        pass
