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
FORMAT_CHANGED = "the format has changed: until the release, run python -m tests.format.golden"


@EACH
def test_independent_reader_returns_recorded_content(name: str, tmp_path: Path) -> None:
    found = golden.read(name, golden.unpack(name, tmp_path / "store"))
    assert golden.condensed(found) == golden.content(name), FORMAT_CHANGED


@EACH
def test_current_version_reads_and_extends_golden_store(name: str, tmp_path: Path) -> None:
    path = golden.unpack(name, tmp_path / "store")
    found = golden.read(name, path)
    with LmdbSaver(path, encryption_key=golden.key(name), clock=stores.Clock()) as saver:
        assert saver.verify().ok, FORMAT_CHANGED
        assert_same(found, saver)
        stores.grow(saver, "a", 50, 52)
        saver.prune(["copy", "fork"])
        saver.delete_thread("pruned")
        assert saver.verify().ok
    grown = golden.read(name, path)["threads"]["a"]
    assert max(grown["namespaces"][""]["checkpoints"]) == "0051"


def test_current_and_released_versions_have_golden_stores() -> None:
    this = version("langgraph-lmdb")
    assert {this, f"{this}-encrypted"} <= set(golden.names())
    assert set(golden.RELEASED) <= set(golden.names())


def test_golden_store_of_released_version_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = golden.names()[0]
    monkeypatch.setattr(golden, "RELEASED", (name,))
    with pytest.raises(FileExistsError):
        golden.write_store(name)
