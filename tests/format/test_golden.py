"""Stores that releases made are read by this one, and by the reader written from FORMAT.md."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.engine import stores
from tests.format import golden, reader
from tests.format.test_reader import assert_same

if TYPE_CHECKING:
    from pathlib import Path

EACH = pytest.mark.parametrize("name", golden.versions())
AGAIN = "the format has changed; before a release, make it again: python -m tests.format.golden"


@EACH
def test_the_reader_finds_what_was_stored(name: str, tmp_path: Path) -> None:
    found = reader.read(golden.unpack(name, tmp_path / "store"))
    assert golden.condensed(found) == golden.content(name), AGAIN


@EACH
def test_this_release_reads_and_goes_on_with_it(name: str, tmp_path: Path) -> None:
    path = golden.unpack(name, tmp_path / "store")
    found = reader.read(path)
    with LmdbSaver(path, clock=stores.Clock()) as saver:
        assert saver.verify().ok, AGAIN
        assert_same(found, saver)
        stores.grow(saver, "a", 50, 52)
        saver.prune(["copy", "fork"])
        saver.delete_thread("pruned")
        assert saver.verify().ok


def test_this_release_has_one() -> None:
    assert version("langgraph-lmdb") in golden.versions()
    assert set(golden.RELEASED) <= set(golden.versions())


def test_that_of_a_released_version_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = golden.versions()[0]
    monkeypatch.setattr(golden, "RELEASED", (name,))
    with pytest.raises(FileExistsError):
        golden.make(name)
