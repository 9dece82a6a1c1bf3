"""The `path` argument, and the quick starts of other savers with the name of the class changed."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import gc
import multiprocessing
import os
import pickle
import sqlite3
import threading
import warnings
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    InvalidPathError,
    NotCopyableError,
    StoreClosedError,
    UsageError,
)
from tests.contract.driver import SaverDriver, config, ids, put_chain
from tests.encryption.stores import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = ":memory:"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that relative paths start from, with the user's home folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "home")


class State(TypedDict):
    n: int


def graph(saver: LmdbSaver) -> Any:
    builder = StateGraph(State)
    builder.add_node("add", lambda state: {"n": state["n"] + 1})
    builder.add_edge(START, "add")
    builder.add_edge("add", END)
    return builder.compile(checkpointer=saver)


def test_store_in_memory_creates_no_folder(folder: Path) -> None:
    """The store ends with its saver. Two savers have two stores."""
    one, two = LmdbSaver(MEMORY), LmdbSaver(MEMORY)
    put_chain(SaverDriver(one), ["c1", "c2"])
    assert ids([*one.list(None)]) == ["c2", "c1"]
    assert [*two.list(None)] == []
    assert names(folder) == []
    assert one.stats().file_bytes == 0
    one.close()
    with pytest.raises(StoreClosedError):
        list(one.list(None))
    assert [*LmdbSaver(MEMORY).list(None)] == []


def test_graph_runs_on_a_store_in_memory(folder: Path) -> None:
    with LmdbSaver.from_conn_string(MEMORY) as saver:
        run = graph(saver)
        assert run.invoke({"n": 1}, config())["n"] == 2
        assert asyncio.run(run.ainvoke({"n": 5}, config()))["n"] == 6
        assert len([*run.get_state_history(config())]) == 6


def test_store_in_memory_supports_methods_without_files(folder: Path) -> None:
    """The store can be verified, encrypted, swept and copied. Methods with files raise."""
    with LmdbSaver(MEMORY, encryption_key=KEY, ttl={"default_ttl": 60}) as saver:
        put_chain(SaverDriver(saver), ["c1", "c2"])
        assert saver.verify(repair=True).ok
        saver.rotate_key(b"n" * 32)
        assert saver.sweep().threads == 0
        for call in (lambda: saver.backup("backup"), saver.compact):
            with pytest.raises(UsageError, match="this kind of store has no files"):
                call()
        assert names(folder) == []
        saver.copy_store("copied", encryption_key=None)
        listed = [*saver.list(None)]
    with LmdbSaver("copied") as saver:
        assert [*saver.list(None)] == listed


def test_memory_name_is_refused_in_other_places(folder: Path) -> None:
    """A Path is a folder. A store in memory cannot be opened read-only or be a target."""
    with LmdbSaver(Path(MEMORY)) as saver:
        put_chain(SaverDriver(saver), ["c1"])
        for call in (
            lambda: saver.backup(MEMORY),
            lambda: saver.copy_store(MEMORY, encryption_key=None),
        ):
            with pytest.raises(InvalidPathError, match="path must be a folder, got ':memory:'"):
                call()
    assert names(folder) == [MEMORY]
    with pytest.raises(UsageError, match="readonly must be False for the path ':memory:'"):
        LmdbSaver(MEMORY, readonly=True)


def test_forked_child_has_a_copy_of_a_store_in_memory() -> None:
    """A thread of the parent may be writing."""
    saver = LmdbSaver(MEMORY)
    driver = SaverDriver(saver)
    put_chain(driver, ["c1"])
    inside, resume = threading.Event(), threading.Event()

    def write(_: Any) -> None:
        inside.set()
        resume.wait()

    writer = threading.Thread(target=saver._kv.write, args=(write,))
    writer.start()
    inside.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a warning about forks with threads
        child = os.fork()
    if not child:
        put_chain(driver, ["c2"])
        os._exit(0 if ids([*saver.list(None)]) == ["c2", "c1"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    resume.set()
    writer.join()
    assert ids([*saver.list(None)]) == ["c1"]


@pytest.mark.parametrize("make", [str, Path], ids=["str", "Path"])
def test_home_folder_is_expanded(folder: Path, make: Callable[[str], Any]) -> None:
    with LmdbSaver(make("~/cp")) as saver:
        put_chain(SaverDriver(saver), ["c1"])
        saver.backup(make("~/backup"))
        saver.copy_store(make("~/copy"), encryption_key=None)
    assert names(folder) == []
    assert names(folder / "home") == ["backup", "copy", "cp"]
    with LmdbSaver.from_conn_string(folder / "home" / "cp") as saver:
        assert ids([*saver.list(None)]) == ["c1"]


@pytest.mark.parametrize(
    "name",
    [
        "sqlite:///secret.db", "sqlite:////secret/path.db", "redis://:secret@secret:6379/0",
        "postgresql://secret:secret@secret:5432/db?sslmode=disable", "rediss://secret",
        "postgres+psycopg://secret:secret@secret/db", "mongodb+srv://secret:secret@secret",
        "MySQL://secret@secret", "file:///secret", "host=secret user=secret password=secret",
        "host = secret dbname = secret",
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [str, Path], ids=["str", "Path"])
def test_connection_string_is_refused(folder: Path, make: Callable[[str], Any], name: str) -> None:
    """The error and its cause do not show secrets in the string."""
    with LmdbSaver(MEMORY) as saver:
        for call in (
            lambda: LmdbSaver(make(name)),
            lambda: LmdbSaver(make(name), readonly=True),
            lambda: LmdbSaver.from_conn_string(make(name)),
            lambda: saver.backup(make(name)),
            lambda: saver.copy_store(make(name), encryption_key=None),
        ):
            with pytest.raises(InvalidPathError, match="got a connection string") as caught:
                call()
            error: BaseException | None = caught.value
            while error is not None:
                assert "secret" not in f"{error} {error!r} {vars(error)}"
                error = error.__cause__ or error.__context__
    assert "LmdbSaver keeps its store in a folder" in caught.value.advice
    assert names(folder) == []


@pytest.mark.parametrize("make", [str, Path], ids=["str", "Path"])
def test_path_with_a_null_byte_is_refused(folder: Path, make: Callable[[str], Any]) -> None:
    with LmdbSaver(MEMORY) as saver:
        for call in (
            lambda: LmdbSaver(make("a\0b")),
            lambda: saver.backup(make("a\0b")),
            lambda: saver.copy_store(make("a\0b"), encryption_key=None),
        ):
            with pytest.raises(InvalidPathError, match="path must be a str that can name a folder"):
                call()
    assert names(folder) == []


@pytest.mark.parametrize("name", ["a=b", "day=5/store", "http", "c:", "a b", "x:y", "~", "~~/x"])
def test_folder_names_are_arbitrary(folder: Path, name: str) -> None:
    with LmdbSaver(name) as saver:
        put_chain(SaverDriver(saver), ["c1"])
    with LmdbSaver(folder / "home" if name == "~" else folder / name) as saver:
        assert ids([*saver.list(None)]) == ["c1"]


def test_sqlite_database_is_refused(folder: Path) -> None:
    """The file, and a connection to it, are refused. The file is unchanged."""
    connection = sqlite3.connect("x.db")
    connection.execute("create table t (x)")
    connection.commit()
    before = Path("x.db").read_bytes()
    with pytest.raises(InvalidPathError, match="the path is a SQLite database") as caught:
        LmdbSaver("x.db")
    assert "Name a folder" in caught.value.advice
    wrong: Any = connection
    with pytest.raises(InvalidPathError, match=r"path must be a str or .*Connection"):
        LmdbSaver(wrong)
    connection.close()
    assert Path("x.db").read_bytes() == before
    assert names(folder) == ["x.db"]


def test_sync_quick_starts_of_other_savers(path: Path) -> None:
    """A `setup` that is not awaited does nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LmdbSaver.from_conn_string(str(path)) as saver:
            saver.setup()
            assert graph(saver).invoke({"n": 1}, config())["n"] == 2
        with ExitStack() as stack:
            saver = stack.enter_context(LmdbSaver.from_conn_string(path, sync="off"))
            saver.setup()
            assert len([*saver.list(None)]) == 3
        gc.collect()
    with pytest.raises(StoreClosedError):
        saver.get_tuple(config())


def test_async_quick_starts_of_other_savers(path: Path) -> None:
    """The savers are AsyncSqliteSaver, AsyncPostgresSaver and AsyncRedisSaver."""

    async def start() -> None:
        async with LmdbSaver.from_conn_string(str(path)) as saver:
            await saver.setup()
            await saver.asetup()
            await asyncio.gather(saver.setup(), asyncio.create_task(saver.setup()))  # type: ignore[arg-type]
            assert (await graph(saver).ainvoke({"n": 1}, config()))["n"] == 2
        with pytest.raises(StoreClosedError):
            await saver.aget_tuple(config())
        async with AsyncExitStack() as stack:
            opening = LmdbSaver.from_conn_string(path, sync="off", serde=JsonPlusSerializer())
            saver = await stack.enter_async_context(opening)
            assert len([one async for one in saver.alist(None)]) == 3

    asyncio.run(start())
    with LmdbSaver(path) as saver:
        asyncio.run(saver.setup())  # type: ignore[arg-type]


def test_error_in_a_block_closes_the_saver(path: Path) -> None:
    with pytest.raises(KeyError), LmdbSaver.from_conn_string(path) as saver:
        raise KeyError
    with pytest.raises(StoreClosedError):
        saver.get_tuple(config())
    with pytest.raises(InvalidPathError):
        LmdbSaver.from_conn_string("")


@dataclasses.dataclass
class Holder:
    saver: LmdbSaver
    number: int = 1


@pytest.mark.parametrize("place", ["folder", MEMORY])
def test_pickle_and_deepcopy_are_refused(path: Path, place: str) -> None:
    """The error says what to do instead."""
    with LmdbSaver(path if place == "folder" else MEMORY) as saver:
        holder, spawning = Holder(saver), multiprocessing.get_context("spawn")
        for call in (
            *(lambda p=p: pickle.dumps(saver, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
            lambda: pickle.dumps({"saver": [saver]}),
            lambda: copy.deepcopy(saver),
            lambda: copy.deepcopy(holder),
            lambda: dataclasses.asdict(holder),
            lambda: pickle.dumps(saver.get_tuple),
            lambda: spawning.Process(target=print, args=(saver,)).start(),
        ):
            with pytest.raises(NotCopyableError, match="saver cannot be") as caught:
                call()
            assert isinstance(caught.value, TypeError)
            assert "open a saver on it" in caught.value.advice


@pytest.mark.parametrize("place", ["folder", MEMORY])
def test_copies_and_threads_share_the_store(path: Path, place: str) -> None:
    """The copies are shallow."""
    strict = JsonPlusSerializer(allowed_msgpack_modules=[("a", "b")])
    with LmdbSaver(path if place == "folder" else MEMORY, serde=strict) as saver:
        put_chain(SaverDriver(saver), ["c1", "c2"])
        expected = [*saver.list(None)]
        clone = saver.with_allowlist([("c", "d")])
        assert clone is not saver
        for one in (copy.copy(saver), clone, dataclasses.replace(Holder(saver), number=2).saver):
            assert type(one) is LmdbSaver
            assert [*one.list(None)] == expected
            assert asyncio.run(asyncio.to_thread(one.get_tuple, config())) == expected[0]
        assert saver.serde is strict
        copied = copy.copy(saver)
        del copied
        gc.collect()
        assert [*saver.list(None)] == expected
