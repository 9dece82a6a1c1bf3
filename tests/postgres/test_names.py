"""Names of stores: paths, and connection strings that may name a schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.opening import (
    folder_of,
    is_conninfo,
    label,
    open_existing,
    open_saver,
    parse,
)
from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
from tests.contract.driver import SaverDriver, config, put
from tests.servers import SECRET

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("postgresql://host/db", True),
        ("postgres://u:p@host/db?sslmode=require", True),
        ("host=a dbname=b", True),
        ("dbname = b", True),
        ("service=agents", True),
        ("checkpoints", False),
        ("runs/host=a", False),
        ("./host=a", False),
        ("hosts=a", False),
        (":memory:", False),
        ("mysql://host/db", False),
    ],
)
def test_connection_string_is_told_from_a_path(name: str, expected: bool) -> None:
    assert is_conninfo(name) is expected


def test_folder_that_exists_is_no_connection_string(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    LmdbSaver("./host=a").close()
    assert not is_conninfo("host=a")


@pytest.mark.parametrize(
    ("name", "conninfo", "schema"),
    [
        ("postgresql://h/d", "postgresql://h/d", None),
        ("postgresql://h/d?schema=a%20b", "postgresql://h/d", "a b"),
        ("postgresql://h/d?schema=s&port=1", "postgresql://h/d?port=1", "s"),
        ("postgresql://h/d?port=1&schema=s", "postgresql://h/d?port=1", "s"),
        ("postgresql://h/d?port=1&schema=s&user=u", "postgresql://h/d?port=1&user=u", "s"),
        ("host=h schema=s dbname=d", "host=h dbname=d", "s"),
        ("host=h schema = 'it\\'s s'", "host=h ", "it's s"),
        ("host=h options='-c schema=no'", "host=h options='-c schema=no'", None),
    ],
)
def test_schema_is_taken_out_of_the_connection_string(
    name: str, conninfo: str, schema: str | None
) -> None:
    address = parse(name)
    assert address.conninfo == conninfo
    assert (address.schema, address.names_schema) == (schema or "langgraph_compact", bool(schema))


def test_label_has_neither_user_nor_password() -> None:
    name = f"postgresql://ann:{SECRET}@h:7/d?schema=s&sslpassword=x"
    assert label(name) == "PostgreSQL host=h port=7 dbname=d schema=s"
    assert label(f"host=h password={SECRET}") == "PostgreSQL host=h"
    assert label("checkpoints") == "checkpoints"


@pytest.mark.parametrize(
    "name", [f"postgresql://u:{SECRET}@h/d?nonsense=1", f"password={SECRET} nonsense"]
)
def test_invalid_connection_string_is_not_shown(name: str) -> None:
    with pytest.raises(UsageError, match="not one of PostgreSQL") as caught:
        open_saver(name)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("opened", [open_saver, lambda name: open_existing(name, readonly=True)])
def test_connection_string_of_another_database_is_not_shown(opened: Any) -> None:
    with pytest.raises(InvalidPathError, match="the scheme 'mysql'") as caught:
        opened(f"mysql://u:{SECRET}@h/d")
    assert SECRET not in str(caught.value)


def test_store_in_the_named_schema_is_opened(database: str) -> None:
    name = f"{database}&schema=agents"
    for opening in (name, database):
        with pytest.raises(InvalidPathError, match="no store in the schema"):
            open_existing(opening, readonly=False)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'agents'")
        assert found.fetchone() == (0,)
    with open_saver(name, cache_size=0) as saver:
        assert isinstance(saver, CompactPostgresSaver)
        put(SaverDriver(saver), "c", {"a": 1})
    with open_existing(name, readonly=True) as saver:
        assert saver.get_tuple(config()) is not None
    with pytest.raises(InvalidPathError, match="no store in the schema 'langgraph_compact'"):
        open_existing(database, readonly=True)


def test_purpose_that_needs_files_is_refused() -> None:
    with pytest.raises(UsageError, match="doctor needs the folder of a store") as caught:
        folder_of(f"postgresql://u:{SECRET}@h/d", "doctor")
    assert SECRET not in str(caught.value)
