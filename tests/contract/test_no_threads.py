"""Calls fail, and later calls work, while the system refuses to start threads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import RetryableError
from tests.contract.driver import SaverDriver, config, put, put_chain
from tests.contract.test_async import aput

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

pytestmark = pytest.mark.timeout(60)


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def use(saver: LmdbSaver, name: str) -> Coroutine[Any, Any, Any]:
    """Make an async call that needs another thread."""
    if name == "aput":
        return aput(saver, "c2", 2)
    if name == "aget_delta_channel_history":
        return saver.aget_delta_channel_history(config=config(), channels=["value"])
    return getattr(saver, name)(*["t"] * (name == "abranches"))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name", ["aput", "aget_delta_channel_history", "abranches", "athreads", "averify", "acompact"]
)
def test_call_without_a_thread_fails_and_the_next_calls_work(
    saver: LmdbSaver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put_chain(SaverDriver(saver), ["c1"])

    async def go() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RetryableError, match="can't start new thread"):
                await use(saver, name)
            put(SaverDriver(saver), "c2")
        await asyncio.wait_for(use(saver, name), 30)

    asyncio.run(go())
    put(SaverDriver(saver), "c3")


def test_saver_is_closed_at_the_end_of_its_block(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            async with LmdbSaver(path, sync="off"):
                pass

    asyncio.run(go())
    LmdbSaver(path, sync="normal").close()  # the store opens with another setting


def test_saver_that_cannot_sweep_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ttl = {"default_ttl": 1, "sweep_interval_minutes": 1}
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RetryableError):
            LmdbSaver(path, sync="off", ttl=ttl)  # type: ignore[arg-type]
    LmdbSaver(path, sync="normal", ttl=ttl).close()  # type: ignore[arg-type]


def test_failed_backup_leaves_no_files(
    saver: LmdbSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backups" / "one"
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RetryableError):
            saver.backup(target)
    assert not [*target.parent.iterdir()]
    saver.backup(target)
