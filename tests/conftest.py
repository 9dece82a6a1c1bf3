"""Fixtures and profiles that every folder of tests shares."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langgraph.checkpoint.lmdb import LmdbSaver
    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver
    from tests.servers import Schema

# Tests with a fixture give every example its own thread, so that examples are independent.
_SHARED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("brief", max_examples=5, derandomize=True, **_SHARED)
settings.register_profile("dev", max_examples=25, **_SHARED)
settings.register_profile("ci", max_examples=50, derandomize=True, **_SHARED)
settings.register_profile("nightly", max_examples=2000, **_SHARED)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long profiles of the tests")
    parser.addoption("--brief", action="store_true", help="try few examples of each property")


def pytest_configure(config: pytest.Config) -> None:
    # A shell ignores SIGINT in background processes; some tests send one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--long"):
        settings.load_profile("nightly")
    elif config.getoption("--brief"):
        settings.load_profile("brief")
    else:
        settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="long: needs --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Spare each garbage collection the visit of all collected tests, which takes half a second."""
    given(st.none())(lambda _: None)()  # hypothesis looks for what refers to its random numbers
    gc.collect()
    gc.freeze()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's store."""
    return tmp_path / "store"


@pytest.fixture
def open_saver(path: Path) -> Iterator[Callable[..., LmdbSaver]]:
    """A function that opens a saver on the test's store. The fixture closes the savers."""
    from langgraph.checkpoint.lmdb import LmdbSaver

    opened: list[LmdbSaver] = []

    def open_one(**options: Any) -> LmdbSaver:
        saver = LmdbSaver(path, **{"sync": "off", **options})
        opened.append(saver)
        return saver

    yield open_one
    for saver in opened:
        saver.close()


@pytest.fixture
def saver(open_saver: Callable[..., LmdbSaver]) -> LmdbSaver:
    """A saver on an empty store."""
    return open_saver()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of a PostgreSQL server that runs for all tests."""
    from tests import servers

    with servers.server() as conninfo:
        yield conninfo


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The connection string of a new database, with a password that no output may show."""
    from tests import servers

    with servers.database(postgres) as conninfo:
        yield conninfo


@pytest.fixture
def schema(postgres: str) -> Schema:
    """An empty schema, or one whose tables are empty."""
    from tests.servers import Schema

    found = Schema(postgres)
    found.clear()
    return found


@pytest.fixture
def open_postgres(schema: Schema) -> Iterator[Callable[..., CompactPostgresSaver]]:
    """A function that opens a saver on the test's schema. The fixture closes the savers."""
    from langgraph.checkpoint.lmdb.postgres import CompactPostgresSaver

    opened: list[CompactPostgresSaver] = []

    def open_one(**options: Any) -> CompactPostgresSaver:
        options.pop("sync", None)  # of LMDB
        saver = CompactPostgresSaver(schema.conninfo, schema=schema.name, **options)
        opened.append(saver)
        return saver

    yield open_one
    for saver in opened:
        saver.close()
