"""Contract of serializers, allow-lists and files."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde.jsonplus import EXT_NUMPY_ARRAY, JsonPlusSerializer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import DeserializationError, StoreClosedError
from tests.contract.driver import SaverDriver, config, ids, put, put_chain, values, writes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 60.0
"""Seconds after which a process counts as hung."""


@dataclass
class Allowed:
    """A class on the allow-list of one saver."""

    x: int


class Color(Enum):
    """An enumeration on the allow-list."""

    RED = "red"


@dataclass
class Vanishing:
    """A class that a later release of a program no longer has."""

    x: int


class Pickling:
    """A serializer with types, which have their own names."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return f"\U0001f952 {'x' * 300} {type(obj).__name__}", pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        name, body = data
        value = pickle.loads(body)
        assert name == f"\U0001f952 {'x' * 300} {type(value).__name__}"
        return value


class Untyped:
    """A serializer without types."""

    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


class Nothing:
    """A serializer whose encodings are empty: the type holds the value."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return json.dumps(obj), b""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        assert data[1] == b""
        return json.loads(data[0])


@pytest.mark.parametrize(
    ("serde", "value"),
    [
        (Pickling(), {"value": Allowed(1), "list": [b"x" * 5000, None]}),
        (Untyped(), {"value": Allowed(1)}),
        (Nothing(), {"plain": [1, None]}),
        (JsonPlusSerializer(pickle_fallback=True), {"list": [1, {2, 3}]}),
    ],
    ids=lambda serde: type(serde).__name__,
)
def test_saver_works_with_any_serializer(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver, serde: Any, value: Any
) -> None:
    """Values, writes, metadata, lists, seeds and copies are checked."""
    driver = driver.on(open_saver(serde=serde))
    put(driver, "c1", {"value": value, "none": None}, key=[1])
    driver.put_writes(config(id="c1"), [("x", value)], "task")
    put(driver, "c2", {}, parent="c1", versions={"value": "c1"}, new={})
    driver.copy_thread("t", "copy")
    for thread in ("t", "copy"):
        assert values(driver, config(thread, id="c1")) == {"value": value, "none": None}
        assert values(driver, config(thread, id="c2")) == {"value": value}
        assert writes(driver, config(thread, id="c1")) == [("task", "x", value)]
        assert ids(driver.list(config(thread), filter={"key": [1]})) == ["c1"]
    history = driver.delta_history(config(id="c2"), ["value"])["value"]
    assert history == {"writes": [], "seed": value}


def test_with_allowlist_returns_a_saver_of_the_same_store(
    open_saver: Callable[..., LmdbSaver],
) -> None:
    """The copy differs only in its serializer."""
    saver = open_saver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    clone = saver.with_allowlist([(__name__, "Allowed")])
    assert type(clone) is type(saver)
    assert clone is not saver
    assert clone.serde is not saver.serde
    put(SaverDriver(clone), "c1", {"value": Allowed(1)})
    assert values(SaverDriver(clone), config()) == {"value": Allowed(1)}
    assert ids([*saver.list(config())]) == ["c1"]
    asyncio.run(saver.adelete_thread("t"))
    assert [*clone.list(None)] == []


@pytest.mark.parametrize("collected", ["saver", "clone"])
def test_collecting_a_saver_does_not_affect_its_copy(path: Path, collected: str) -> None:
    """Collecting the copy does not affect the saver either."""
    saver = LmdbSaver(path, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    both = {"saver": saver, "clone": saver.with_allowlist([(__name__, "Allowed")])}
    del saver
    put(SaverDriver(both["clone"]), "c1", {"value": 1})
    del both[collected]
    gc.collect()
    (other,) = both.values()
    assert values(SaverDriver(other), config()) == {"value": 1}
    put(SaverDriver(other), "c2", {"value": 2})
    other.close()
    with LmdbSaver(path) as again:
        assert ids([*again.list(config())]) == ["c2", "c1"]


@pytest.mark.parametrize("closed", ["saver", "clone"])
def test_closing_a_saver_closes_its_copy(path: Path, closed: str) -> None:
    """Closing the copy closes the saver too. Both raise StoreClosedError from then on."""
    saver = LmdbSaver(path, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    both = {"saver": saver, "clone": saver.with_allowlist([(__name__, "Allowed")])}
    put(SaverDriver(both["clone"]), "c1", {"value": 1})
    both[closed].close()
    for one in both.values():
        with pytest.raises(StoreClosedError):
            one.get_tuple(config())
        one.close()
    with LmdbSaver(path) as again:
        assert values(SaverDriver(again), config()) == {"value": 1}


@pytest.mark.parametrize("permissive_first", [True, False])
@pytest.mark.parametrize("cloned", [True, False], ids=["clone", "another"])
def test_allow_list_holds_on_every_path(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver, permissive_first: bool, cloned: bool
) -> None:
    """A class that is not allowed is never built, even if another saver has just read it."""
    names = [(__name__, "Allowed"), (__name__, "Color")]
    saver = open_saver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    other = open_saver(serde=JsonPlusSerializer(allowed_msgpack_modules=names))
    strict, allowed = driver.on(saver), driver.on(saver.with_allowlist(names) if cloned else other)
    one = Allowed(1)
    message = AIMessage("said " * 50, id="1", additional_kwargs={"inside": Color.RED})
    content = {"one": one, "list": [one, one], "messages": [message, message], "message": message}
    put(allowed, "c1", content)
    allowed.put_writes(config(id="c1"), [("x", one), ("y", message)], "task")
    put(allowed, "c2", {}, parent="c1", versions=dict.fromkeys(content, "c1"), new={})
    for reader in [allowed, strict] if permissive_first else [strict, allowed, strict]:
        expected = {dict, str} if reader is strict else {Allowed, Color}
        for cid in ("c1", "c2"):
            assert built(values(reader, config(id=cid))) == expected
        assert built(writes(reader, config(id="c1"))) == expected
        for tuple_ in reader.list(config()):
            assert built(tuple_.checkpoint["channel_values"]) == expected
        history = reader.delta_history(config(id="c2"), [*content, "x", "y"])
        assert built(history) == expected


def built(thing: Any) -> set[type]:
    """Return the types of the two objects in a result."""
    if isinstance(thing, Allowed | Color) or thing in ({"x": 1}, "red"):
        return {type(thing)}
    if isinstance(thing, AIMessage):
        return built(thing.additional_kwargs)
    if isinstance(thing, dict):
        return built([*thing.values()])
    inside = thing if isinstance(thing, list | tuple) else []
    return {kind for one in inside for kind in built(one)}


def test_strict_mode_holds_for_the_default_serializer(path: Path) -> None:
    """The variable is `LANGGRAPH_STRICT_MSGPACK`."""
    with LmdbSaver(path) as saver:
        put(SaverDriver(saver), "c1", {"one": Allowed(1)})
        saver.put_writes(config(id="c1"), [("x", Allowed(1))], "task")
    program = (
        "import sys; from langgraph.checkpoint.lmdb import LmdbSaver\n"
        "got = LmdbSaver(sys.argv[1]).get_tuple({'configurable': {'thread_id': 't'}})\n"
        "print(got.checkpoint['channel_values']['one'], got.pending_writes[0][2])\n"
        f"print({__name__!r} in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{'x': 1} {'x': 1}\nFalse\n"


def test_object_of_a_missing_class_is_read_as_its_data(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(driver, "c1", {"one": Vanishing(1), "list": [Vanishing(2)]})
    monkeypatch.delitem(globals(), "Vanishing")
    got = values(driver.on(open_saver()), config())
    assert got == {"one": {"x": 1}, "list": [{"x": 2}]}


class Arrays(JsonPlusSerializer):
    """A serializer that encodes every value as the NumPy array `[1]`, also without NumPy."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        array = ormsgpack.packb(("<i8", (1,), "C", (1).to_bytes(8, "little")))
        return "msgpack", ormsgpack.packb(ormsgpack.Ext(EXT_NUMPY_ARRAY, array))

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return super().loads_typed(data) or "an array, as where NumPy is installed"


def test_value_that_the_serializer_reads_as_none_raises(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JsonPlusSerializer reads an array as None on a machine without NumPy."""
    put(driver, "c1", {"plain": 1})
    saver = open_saver()
    arrays = driver.on(saver)
    at = config(id="c1")
    saver.serde = Arrays()
    driver.on(saver).put_writes(at, [("array", "anything")], "task")
    saver.serde = JsonPlusSerializer()
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(DeserializationError, match="array"):
        arrays.get_tuple(at)


class Forgetful(JsonPlusSerializer):
    """A serializer that raises for one type."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        if data[0] == "bytes":
            raise KeyError("no key for this value")
        return super().loads_typed(data)


def test_undecodable_value_is_named(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver
) -> None:
    """The error names the thread, the checkpoint and the channel."""
    put(driver, "c1", {"fine": 1, "secret": b"x"})
    put(driver, "c2", {"fine": 2}, parent="c1")
    driver.put_writes(config(id="c2"), [("secret", b"x")], "task")
    reader = driver.on(open_saver(serde=Forgetful()))
    for read in (
        lambda: reader.get_tuple(config(id="c1")),
        lambda: reader.list(config(id="c1")),
        lambda: reader.get_tuple(config(id="c2")),
        lambda: reader.delta_history(config(id="c2"), ["secret"]),
    ):
        with pytest.raises(DeserializationError, match="secret") as caught:
            read()
        assert caught.value.thread_id == "t"
        assert isinstance(caught.value.__cause__, KeyError)
    assert values(driver, config(id="c1")) == {"fine": 1, "secret": b"x"}


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    """The umask does not matter."""
    before = os.umask(0)
    try:
        with LmdbSaver(path) as saver:
            put_chain(SaverDriver(saver), ["c1"])
            modes = {file.name: file.stat().st_mode & 0o777 for file in [path, *path.iterdir()]}
    finally:
        os.umask(before)
    assert modes.pop("store") == 0o700
    assert modes
    assert {*modes.values()} == {0o600}


def test_copy_of_a_saver_shares_its_store(saver: LmdbSaver) -> None:
    """The base class's `with_allowlist` calls `copy.copy`."""
    put_chain(SaverDriver(saver), ["c1"])
    assert ids([*copy.copy(saver).list(config())]) == ["c1"]
