"""Migrations between connection strings of PostgreSQL and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.postgres import PostgresSaver

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import InvalidPathError, LmdbSaverError, UsageError
from langgraph.checkpoint.lmdb.migrate import migrate
from langgraph.checkpoint.lmdb.migrate.__main__ import main
from langgraph.checkpoint.lmdb.opening import open_existing
from tests.migrate.test_graphs import shown, travel
from tests.servers import SECRET

if TYPE_CHECKING:
    from pathlib import Path


def fill_postgres_saver(conninfo: str) -> list[Any]:
    """Fill the tables of a PostgresSaver; return what a thread shows."""
    with PostgresSaver.from_conn_string(conninfo) as saver:
        saver.setup()
        travel(saver)
        return shown(saver, "a")


def test_folder_to_connection_string_and_back(database: str, tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "old", sync="off") as saver:
        travel(saver)
        before = shown(saver, "a")
    name = f"{database}&schema=agents"
    there = migrate(tmp_path / "old", name)
    assert there.ok, there
    assert there.source_bytes
    assert there.target_bytes
    with open_existing(name, readonly=True) as saver:
        assert shown(saver, "a") == before
    back = migrate(name, tmp_path / "new")
    assert back.ok, back
    assert back.copied_checkpoints == there.copied_checkpoints > 20
    with LmdbSaver(tmp_path / "new") as saver:
        assert shown(saver, "a") == before


def test_saver_of_a_connection_string_is_found_out(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidPathError, match="neither a store in the schema") as empty:
        migrate(database, tmp_path / "store")
    before = fill_postgres_saver(database)
    assert migrate(database, tmp_path / "store").ok
    with LmdbSaver(tmp_path / "store") as saver:
        assert shown(saver, "a") == before
    # A target is a store of this package, beside the tables of PostgresSaver.
    assert migrate(tmp_path / "store", database).copied_checkpoints > 20
    with pytest.raises(UsageError, match="stores of CompactPostgresSaver and of Post") as both:
        migrate(database, tmp_path / "other")
    kinds: Any
    for kinds in ("postgres", "compact"):
        assert migrate(database, tmp_path / kinds, source_saver=kinds).ok
        with LmdbSaver(tmp_path / kinds) as saver:
            assert shown(saver, "a") == before
    status = main([database, str(tmp_path / "third"), "--source-saver", "postgres"])
    printed = capsys.readouterr()
    assert status == 0
    assert main([database, str(tmp_path / "fourth")]) == 2
    assert "--source-saver" in capsys.readouterr().err
    for text in (str(empty.value), str(both.value), printed.out, printed.err):
        assert SECRET not in text


def test_store_of_this_package_to_postgres_saver(database: str, tmp_path: Path) -> None:
    with LmdbSaver(tmp_path / "store", sync="off") as saver:
        travel(saver)
        before = shown(saver, "a")
    assert migrate(tmp_path / "store", f"{database}&schema=agents").ok
    report = migrate(f"{database}&schema=agents", database, target_saver="postgres")
    assert report.ok, report
    with PostgresSaver.from_conn_string(database) as saver:
        assert shown(saver, "a") == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_saver": "lmdb"}, "source_saver must be compact or postgres, got 'lmdb'"),
        ({"source_saver": "postgres"}, "source_saver must be None"),
        ({"target_saver": "compact"}, "target_saver must be None"),
    ],
)
def test_wrong_kind_of_saver_is_named(options: Any, message: str, tmp_path: Path) -> None:
    LmdbSaver(tmp_path / "store").close()
    with pytest.raises(UsageError, match=message):
        migrate(tmp_path / "store", tmp_path / "target", **options)


@pytest.mark.parametrize(
    "name",
    [
        f"postgresql://u:{SECRET}@127.0.0.1:1/d",
        f"postgresql://u:{SECRET}@h:port/d",
        f"password={SECRET} nonsense",
        f"mysql://u:{SECRET}@h/d",
    ],
)
def test_no_error_shows_the_password(name: str, tmp_path: Path) -> None:
    LmdbSaver(tmp_path / "store").close()
    for source, target in ((name, tmp_path / "target"), (tmp_path / "store", name)):
        with pytest.raises(LmdbSaverError) as caught:
            migrate(source, target)
        assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
