"""Tests of the contract, on an encrypted store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.encryption.key_source import ENV_VARIABLE
from tests.contract.conftest import driver, saver  # noqa: F401
from tests.contract.test_deleting import *  # noqa: F403
from tests.contract.test_delta_history import *  # noqa: F403
from tests.contract.test_list import *  # noqa: F403
from tests.encryption.stores import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def open_saver(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LmdbSaver]]:
    """Return a function that opens a saver on an encrypted store; the fixture closes them."""
    monkeypatch.setenv(ENV_VARIABLE, KEY.decode())  # for tests that open the store without a key
    opened: list[LmdbSaver] = []

    def open_one(**options: Any) -> LmdbSaver:
        opened.append(LmdbSaver(path, **{"sync": "off", "encryption_key": KEY, **options}))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
