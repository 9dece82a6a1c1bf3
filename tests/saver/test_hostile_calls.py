"""Every public method raises only errors of the package for unexpected arguments."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import LmdbSaverError, UsageError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.contract.driver import checkpoint, config
from tests.saver.hostile import Mute, nonsense, spoiled
from tests.saver.test_hostile_writes import METADATA, VERSIONS, WHERE, grow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_numbers = itertools.count()
GOOD: dict[str, Any] = {
    "after": "t",
    "before": config(id="c2"),
    "cache_size": 1 << 20,
    "channel": None,
    "channels": ["a"],
    "checkpoint": checkpoint("c3", {"a": 1}, {"a": 1}),
    "checkpoint_ns": "",
    "clock": time.time,
    "compression": 3,
    "config": WHERE,
    "current": 1,
    "dry_run": False,
    "encryption_key": None,
    "extra_allowlist": [("module", "Name")],
    "filter": {"user": "u"},
    "keep_last": 2,
    "kv": MemoryStore(),
    "limit": 2,
    "map_size": 1 << 30,
    "metadata": METADATA,
    "minutes": 5,
    "new_key": b"n" * 32,
    "new_versions": VERSIONS,
    "now": 1_000_000,
    "prefix": "t",
    "progress": None,
    "details": False,
    "readonly": False,
    "repair": False,
    "reverse": False,
    "run_ids": ["r"],
    "serde": None,
    "skip_damaged": False,
    "sort": "bytes",
    "values": False,
    "source_thread_id": "t",
    "state": ["failed"],
    "strategy": "keep_latest",
    "sync": "off",
    "target_thread_id": "target",
    "task_id": "task",
    "task_path": "path",
    "thread_id": "t",
    "thread_ids": ["t"],
    "ttl": {"default_ttl": 5},
    "updated_after": 1_000_000,
    "updated_before": 1_000_000,
    "writes": [("a", 1)],
}
METHODS = sorted(
    name
    for name in dir(LmdbSaver)
    if not name.startswith("_") and callable(getattr(LmdbSaver, name))
)
WITH_FILES = ("backup", "compact", "copy_store", "rotate_key", "stats", "sweep", "verify")
"""Methods that differ for a store with files."""
CALLBACKS = ("progress", "encryption_key", "new_key")
"""Arguments that are callbacks: their own errors are not translated. A class is callable too."""


def good(name: str) -> Any:
    """Draw an argument of a method."""
    if name in ("path", "conn_string"):
        return f"store-{next(_numbers)}"
    return GOOD[name]


@st.composite
def arguments(draw: st.DrawFn, method: Callable[..., Any]) -> dict[str, Any]:
    """Draw the arguments of a method, some of them hostile."""
    parameters = inspect.signature(method).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "self"]
    hostile = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)) if names else []
    found = {name: good(name) for name in names}
    for name in hostile:
        made = draw(spoiled(found[name]))
        if not (name in CALLBACKS and callable(made.value)):
            found[name] = made.value
    return found


def consumed(result: Any) -> Any:
    """Consume the result of a method."""
    if inspect.isasyncgen(result):

        async def collect() -> list[Any]:
            return [one async for one in result]

        return asyncio.run(collect())
    if inspect.isgenerator(result):
        return [*result]
    if inspect.isawaitable(result):

        async def wait() -> Any:
            return await result

        return asyncio.run(wait())
    return result


@contextmanager
def allowed_errors() -> Iterator[None]:
    """Check that only errors of the package are raised, and that they can be shown."""
    with suppress(LmdbSaverError):
        try:
            yield
        except LmdbSaverError as error:
            str(error)
            raise


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that relative paths start from."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Hidden(dict[str, Any]):
    """Arguments, some of which cannot be shown."""

    def __repr__(self) -> str:
        return f"arguments {[*self]}"


@pytest.mark.parametrize(
    ("place", "method"),
    [
        *((":memory:", method) for method in METHODS),
        *(("folder", method) for method in METHODS if method.removeprefix("a") in WITH_FILES),
    ],
)
@given(data=st.data())
def test_method_raises_only_errors_of_the_package(
    folder: Path, place: str, method: str, data: st.DataObject
) -> None:
    name = place if place == ":memory:" else f"store-{next(_numbers)}"
    with LmdbSaver(name, sync="off", map_size=1 << 24) as saver:
        grow(saver)
        call = getattr(saver, method)
        given = data.draw(arguments(call).map(Hidden))
        with allowed_errors():
            result = consumed(call(**given))
            if isinstance(result, LmdbSaver):
                result.close()


@given(data=st.data())
def test_constructor_raises_only_errors_of_the_package(folder: Path, data: st.DataObject) -> None:
    given = data.draw(arguments(LmdbSaver).map(Hidden))
    with allowed_errors(), LmdbSaver(**given) as saver:
        if not given["readonly"]:
            grow(saver)
        list(saver.list(None))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"compression": "3"}, "compression must be a whole number of a level"),
        ({"compression": True}, "compression must be"),
        ({"compression": 0}, "compression must be"),
        ({"compression": 23}, "compression must be"),
        ({"cache_size": "x"}, "cache_size must be a whole number of bytes, 0 or more, got 'x'"),
        ({"cache_size": -1}, "cache_size must be"),
        ({"cache_size": 1.5}, "cache_size must be"),
        ({"map_size": 1.5}, "map_size must be a whole number of bytes"),
        ({"map_size": "x"}, "map_size must be"),
        ({"map_size": 10**30}, "map_size must be"),
        ({"map_size": 0}, "map_size must be"),
        ({"readonly": "yes"}, "readonly must be True or False, got 'yes'"),
        ({"readonly": 1}, "readonly must be True or False, got 1"),
        ({"serde": object()}, "serde must be an object with dumps_typed and loads_typed"),
        ({"serde": "json"}, "serde must be"),
        ({"clock": 5}, "clock must be a function, got 5"),
        ({"sync": None}, "sync must be 'full' or 'normal' or 'off', got None"),
        ({"ttl": {"strategy": 5}}, "ttl"),
        ({"ttl": "1"}, "ttl must be None or a dict"),
        ({"ttl": {Mute(): 5}}, "each key of ttl must be one of"),
        ({"encryption_key": Mute()}, "encryption_key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_option_is_refused(path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        LmdbSaver(path, **options)
    assert said in str(caught.value)
    if "encryption_key" not in options:
        assert not path.exists()


def test_huge_cache_size_is_accepted(path: Path) -> None:
    with LmdbSaver(path, sync="off", cache_size=10**30) as saver:
        grow(saver)
        assert len([*saver.list(None)]) == 2


@pytest.mark.parametrize("limit", [1.5, float("nan"), "1", True, [], b"1"])
def test_limit_that_is_not_a_number_is_refused(saver: LmdbSaver, limit: Any) -> None:
    grow(saver)
    with pytest.raises(UsageError, match="limit must be a whole number of checkpoints"):
        [*saver.list(None, limit=limit)]
    with pytest.raises(UsageError, match="limit must be a whole number of checkpoints"):
        consumed(saver.alist(None, limit=limit))


def test_huge_limit_is_accepted(saver: LmdbSaver) -> None:
    grow(saver)
    assert len([*saver.list(None, limit=10**30)]) == 2
    assert len(consumed(saver.alist(None, limit=10**30))) == 2


def calls(saver: LmdbSaver) -> Iterator[tuple[Callable[[], Any], str]]:
    wrong: Any = "str"
    yield lambda: [*saver.list(None, filter=wrong)], "filter must be a dict, got 'str'"
    yield lambda: [*saver.list(None, filter={"x": Mute()})], "filter['x'] must be comparable"
    yield lambda: [*saver.list(None, skip_damaged=wrong)], "skip_damaged must be True or False"
    yield lambda: [*saver.list(wrong)], "config must be a dict, got 'str'"
    yield lambda: [*saver.history(config(), skip_damaged=wrong)], "skip_damaged must be True"
    yield lambda: saver.verify(repair=wrong), "repair must be True or False"
    yield lambda: saver.sweep(dry_run=wrong), "dry_run must be True or False"
    yield lambda: saver.backup(5), "path must be a str or an os.PathLike"  # type: ignore[arg-type]
    yield lambda: saver.backup("b", progress=wrong), "progress must be a function or None"
    yield lambda: saver.copy_store(5, encryption_key=None), "path must be a str"  # type: ignore[arg-type]
    yield lambda: saver.prune(5), "thread_ids must be a list, got 5"  # type: ignore[arg-type]
    yield lambda: saver.prune(["t"], keep_last=wrong), "keep_last must be a whole number"
    yield lambda: saver.prune(["t"], strategy=wrong), "strategy must be 'keep_latest' or 'delete'"
    yield lambda: saver.threads(prefix={}), "prefix must be a str"  # type: ignore[arg-type]
    yield lambda: saver.get_next_version("x", None), "current must be a version"
    yield lambda: saver.with_allowlist("str"), "extra_allowlist must be a list"  # type: ignore[arg-type]
    yield (
        lambda: saver.get_delta_channel_history(config=config(), channels="a"),
        "channels must be a list, got 'a'",
    )
    yield (
        lambda: KvSaver(wrong),
        "kv must be a KeyValueStore or a function that opens one, got 'str'",
    )
    yield lambda: saver.put(config(), wrong, {}, {}), "checkpoint must be a dict, got 'str'"
    yield (
        lambda: saver.put(config(), checkpoint("c", {}, {}), wrong, {}),
        "metadata must be a dict, got 'str'",
    )
    yield (
        lambda: saver.put(config(), checkpoint("c", {}, {}), {}, wrong),
        "new_versions must be a dict, got 'str'",
    )


def test_error_names_its_argument(saver: LmdbSaver) -> None:
    grow(saver)
    for call, said in calls(saver):
        with pytest.raises(UsageError) as caught:
            call()
        assert said in str(caught.value)
    assert len([*saver.list(None)]) == 2


@pytest.mark.parametrize("before", [{}, {"configurable": None}, {"checkpoint_id": "c1"}, "c1", 5])
def test_error_of_before_advises_about_before(saver: LmdbSaver, before: Any) -> None:
    with pytest.raises(UsageError) as caught:
        [*saver.list(None, before=before)]
    assert str(caught.value).startswith("before")
    assert 'before={"configurable": {"checkpoint_id": ...}}' in caught.value.advice
    assert "thread_id" not in str(caught.value)


def test_serializer_that_is_set_later_is_checked(saver: LmdbSaver) -> None:
    grow(saver)
    wrong: Any = nonsense
    saver.serde = wrong
    with pytest.raises(UsageError, match="serde must be an object"):
        saver.get_tuple(config())
    saver.serde = JsonPlusSerializer()
    assert saver.get_tuple(config()) is not None
