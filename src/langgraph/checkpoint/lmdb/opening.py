"""Opening a store by its name: the path of a folder, or a connection string of PostgreSQL.

A connection string may also name the schema, which PostgreSQL itself does not know:
`postgresql://host/database?schema=agents`, or `host=... dbname=... schema=agents`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from langgraph.checkpoint.lmdb import validation
from langgraph.checkpoint.lmdb.errors import InvalidPathError, UsageError
from langgraph.checkpoint.lmdb.lmdb_saver import LmdbSaver
from langgraph.checkpoint.lmdb.saver import KvSaver

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver

StoreName: TypeAlias = "str | os.PathLike[str]"
"""The path of a folder, or a connection string of PostgreSQL."""

DEFAULT_SCHEMA: Final = "langgraph_compact"
_SCHEMES: Final = ("postgresql://", "postgres://")
_PAIRS: Final = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service)\s*=")
_SCHEMA_OF_URL: Final = re.compile(r"(?<=[?&])schema=([^&]*)(&|$)")
_PAIR: Final = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)\s*")
_SHOWN: Final = ("host", "hostaddr", "port", "dbname", "service")


class Address(NamedTuple):
    """The place of a store in PostgreSQL."""

    conninfo: str
    """Connection string, as of `psycopg.connect`. It may hold a password."""
    schema: str
    """Schema of the store."""
    names_schema: bool
    """True if the connection string named the schema."""


def is_conninfo(name: object) -> bool:
    """Return True for a connection string of PostgreSQL: a URL, or pairs like `host=...`.

    A path that begins like such a pair is a path if it exists, or if it is written `./host=...`.
    """
    if not isinstance(name, str):
        return False
    return name.startswith(_SCHEMES) or (
        _PAIRS.match(name) is not None and not os.path.lexists(name)
    )


def open_saver(name: StoreName, **options: Any) -> KvSaver:
    """Open a store, which is created if it does not exist.

    Args:
        name: The store.
        options: Other arguments of its saver, `LmdbSaver` or `CompactPostgresSaver`.

    Raises:
        InvalidPathError: The path cannot be opened as a store.
        UsageError: The connection string is invalid, or psycopg is not installed.
        DatabaseUnavailableError: The server cannot be reached.
    """
    if not is_conninfo(name):
        return LmdbSaver(name, **options)
    address = parse(name)
    return _postgres_saver()(address.conninfo, **{"schema": address.schema, **options})


def open_existing(name: StoreName, *, readonly: bool, **options: Any) -> KvSaver:
    """Open a store that exists. A store is never created.

    Args:
        name: The store.
        readonly: True: never write.
        options: As for `open_saver`.

    Raises:
        InvalidPathError: There is no store.
    """
    if is_conninfo(name):
        address = parse(name)
        from langgraph.checkpoint.lmdb.postgres.finding import find_stores  # noqa: PLC0415

        if not find_stores(address.conninfo, address.schema).compact:
            raise InvalidPathError(
                f"the database has no store in the schema {address.schema!r}",
                advice="Check the connection string. CompactPostgresSaver(conninfo) creates a "
                "store.",
            )
    # Opening for reading creates nothing: for a path without a store it raises the error.
    elif not readonly and not is_folder_of_store(name):
        readonly = True
    return open_saver(name, readonly=readonly, **options)


def is_folder_of_store(name: StoreName) -> bool:
    """Return True for a path that holds a store.

    Raises:
        InvalidPathError: It is not a path. A connection string, which may hold a password, is not
            shown.
    """
    return Path(validation.folder(name), "data.mdb").exists()


def folder_of(name: StoreName, purpose: str) -> str:
    """Return the folder of a store, for what needs files.

    Raises:
        UsageError: It is a connection string.
        InvalidPathError: It is not a path.
    """
    if is_conninfo(name):
        raise UsageError(
            f"{purpose} needs the folder of a store, got a connection string",
            advice="Use the tools of PostgreSQL for its files: pg_dump, pg_amcheck, VACUUM.",
        )
    return validation.folder(name)


def parse(conninfo: object) -> Address:
    """Return the connection string without the schema, and the schema.

    Raises:
        UsageError: The connection string is invalid, or psycopg is not installed.
    """
    text, schema = _split(str(conninfo))
    _postgres_saver()
    from psycopg import Error  # noqa: PLC0415 - an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        conninfo_to_dict(text)
    except Error:  # its text may hold the password
        raise UsageError("the connection string is not one of PostgreSQL") from None
    return Address(text, DEFAULT_SCHEMA if schema is None else schema, schema is not None)


def label(name: StoreName) -> str:
    """Return the name of a store for people and for comparisons, without user and password."""
    if not is_conninfo(name):
        return os.fspath(name)
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - an extra

    address = parse(name)
    found: Any = conninfo_to_dict(address.conninfo)
    shown = make_conninfo("", **{key: found[key] for key in _SHOWN if key in found})
    schema = "" if address.schema == DEFAULT_SCHEMA else f" schema={address.schema}"
    return f"PostgreSQL {shown}{schema}"


def as_postgres(saver: object) -> CompactPostgresSaver | None:
    """Return the saver if it is a CompactPostgresSaver, without importing psycopg."""
    module = sys.modules.get("langgraph.checkpoint.lmdb.postgres.saver")
    return saver if module and isinstance(saver, module.CompactPostgresSaver) else None


def _split(conninfo: str) -> tuple[str, str | None]:
    found: list[str] = []
    if conninfo.startswith(_SCHEMES):

        def take(match: re.Match[str]) -> str:
            found.append(unquote(match[1]))
            return ""

        text = _SCHEMA_OF_URL.sub(take, conninfo)
        return (text.rstrip("?&") if found else text), (found[-1] if found else None)

    def keep(match: re.Match[str]) -> str:
        if match[1] != "schema":
            return match[0]
        quoted = match[2][1:-1] if match[2].startswith("'") else match[2]
        found.append(re.sub(r"\\(.)", r"\1", quoted))
        return ""

    text = _PAIR.sub(keep, conninfo)
    return text, (found[-1] if found else None)


def _postgres_saver() -> type[CompactPostgresSaver]:
    try:
        from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"a connection string needs the extra postgres ({error})",
            advice="Run: pip install 'langgraph-lmdb[postgres]' 'psycopg[binary]'",
        ) from error
    return CompactPostgresSaver
