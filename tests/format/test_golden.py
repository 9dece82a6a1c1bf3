"""Stores that releases made are read by this one, and by the reader written from FORMAT.md."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.engine import stores
from tests.format import golden
from tests.format.test_reader import assert_same

if TYPE_CHECKING:
    from pathlib import Path

EACH = pytest.mark.parametrize("name", golden.names())
AGAIN = "the format has changed; before a release, make it again: python -m tests.format.golden"


@EACH
def test_the_reader_finds_what_was_stored(name: str, tmp_path: Path) -> None:
    found = golden.read(name, golden.unpack(name, tmp_path / "store"))
    assert golden.condensed(found) == golden.content(name), AGAIN


@EACH
def test_this_release_reads_and_goes_on_with_it(name: str, tmp_path: Path) -> None:
    path = golden.unpack(name, tmp_path / "store")
    found = golden.read(name, path)
    with LmdbSaver(path, encryption_key=golden.key(name), clock=stores.Clock()) as saver:
        assert saver.verify().ok, AGAIN
        assert_same(found, saver)
        stores.grow(saver, "a", 50, 52)
        saver.prune(["copy", "fork"])
        saver.delete_thread("pruned")
        assert saver.verify().ok
    needs_trim = golden.read(name, path)["threads"]["a"]
    assert max(needs_trim["namespaces"][""]["checkpoints"]) == "0051"


def test_this_release_has_them() -> None:
    this = version("langgraph-lmdb")
    assert {this, f"{this}-encrypted"} <= set(golden.names())
    assert set(golden.RELEASED) <= set(golden.names())


def test_that_of_a_released_version_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = golden.names()[0]
    monkeypatch.setattr(golden, "RELEASED", (name,))
    with pytest.raises(FileExistsError):
        golden.make(name)
