"""ASAP's store in memory: it answers as its SQLite store, except what the guide says.

These tests are collected where ASAP is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.snapshots.asap_stores import MEMORY
from tests.snapshots.test_asap import TABLE, Given, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", MEMORY)
def test_memory_store_of_asap_answers_as_the_table_says(name: str, tmp_path: Path) -> None:
    for steps in TABLE.values():
        run(MEMORY[name](tmp_path), steps)


@pytest.mark.parametrize("name", MEMORY)
def test_memory_store_of_asap_differs_as_the_guide_says(name: str, tmp_path: Path) -> None:
    store = MEMORY[name](tmp_path)
    given = Given("t", 1 << 63, {"items": [{1}, (2,)]}, id="1", checkpoint=True)
    store.save(given)
    given.data["items"].append(3)
    assert store.get("t").data == {"items": [{1}, (2,), 3]}
    assert store.list_versions("t") == [1 << 63]
