"""Deserializing builds only allowed types, on every path of a saver."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_SINGLE_ARG, JsonPlusSerializer

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import DeserializationError
from tests.contract.driver import SaverDriver, config, put

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0
"""Seconds after which a process counts as hung."""


class Forging(JsonPlusSerializer):
    """A serializer that replaces every "call" by a call of a function in the reader's process."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        call = ormsgpack.packb(("os", "function_of_the_test", "argument"))
        ext = ormsgpack.Ext(EXT_CONSTRUCTOR_SINGLE_ARG, call)

        def swap(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: swap(one) for key, one in value.items()}
            if isinstance(value, list | tuple):
                return [swap(one) for one in value]
            return ext if value == "call" else value

        return "msgpack", ormsgpack.packb(swap(obj), option=ormsgpack.OPT_NON_STR_KEYS)


AT = "{'configurable': {'thread_id': 't', 'checkpoint_id': '1'}}"
PATHS = {
    "get_tuple": "saver.get_tuple(at)",
    "get_tuple of a parent": f"saver.get_tuple({AT})",
    "list": "list(saver.list(at))",
    "list with a filter": "list(saver.list(None, filter={'parents': {}}))",
    "delta history": "saver.get_delta_channel_history(config=at, channels=['value', 'x'])",
    "history": "list(saver.history(at))",
    "copy": "saver.copy_thread('t', 'u'); saver.get_tuple({'configurable': {'thread_id': 'u'}})",
    "fork": "saver.get_tuple(saver.fork(at, 'u'))",
    "async get_tuple": "asyncio.run(saver.aget_tuple(at))",
    "async list": "asyncio.run(every(saver))",
    "async delta history": (
        "asyncio.run(saver.aget_delta_channel_history(config=at, channels=['x']))"
    ),
    "get_tuple twice": "saver.get_tuple(at); saver.get_tuple(at)",
    "put after get": f"saver.put(at, {{**saver.get({AT}), 'id': '3'}}, {{}}, {{}})",
}
PROGRAM = """
import asyncio, json, os, shutil, sys, tempfile, warnings
warnings.simplefilter("ignore")
called = []
os.function_of_the_test = lambda argument: called.append(argument) or argument
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
async def every(saver):
    return [one async for one in saver.alist(at)]
at = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
serde, calls = eval(sys.argv[3]), {}
for name, path in json.loads(sys.argv[2]).items():
    called.clear()
    with tempfile.TemporaryDirectory() as folder:
        store = shutil.copytree(sys.argv[1], os.path.join(folder, "store"))
        with LmdbSaver(store, serde=serde) as saver:
            exec(path)
    calls[name] = len(called)
print(json.dumps(calls))
"""


@pytest.fixture
def hostile(path: Path) -> Path:
    """A store in which every value, metadata, checkpoint and write contains a call."""
    with LmdbSaver(path, serde=Forging()) as saver:
        for cid, parent in (("1", None), ("2", "1")):
            large = {"long": "x" * 3000, "call": "call"}
            sent = {"value": large, "small": "call", "list": ["call"] * 3}
            put(SaverDriver(saver), cid, sent, parent=parent, who="call")
            saver.put_writes(config(id=cid), [("x", "call"), ("y", [large])], "task")
    return path


def calls(path: Path, serde: str = "None", **env: str) -> dict[str, int]:
    """Take each path on a copy of the store; return the number of calls that the copy causes."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), json.dumps(PATHS), serde],
        env={**os.environ, **env},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    assert found.keys() == PATHS.keys()
    return found


def test_strict_mode_calls_nothing(hostile: Path) -> None:
    """`LANGGRAPH_STRICT_MSGPACK` holds on each path. Without it, each path causes calls."""
    strict = calls(hostile, LANGGRAPH_STRICT_MSGPACK="true")
    assert not any(strict.values()), strict
    lax = calls(hostile, LANGGRAPH_STRICT_MSGPACK="false")
    assert all(lax.values()), lax


def test_allow_list_calls_nothing_else(hostile: Path) -> None:
    serde = "JsonPlusSerializer(allowed_msgpack_modules=[('collections', 'OrderedDict')])"
    found = calls(hostile, serde)
    assert not any(found.values()), found


def test_pickle_is_not_loaded_by_default(path: Path) -> None:
    """Reading a record that is marked as a pickle raises."""

    class Pickling(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            tag, payload = super().dumps_typed(obj)
            return ("pickle", pickle.dumps(obj)) if obj == "pickled" else (tag, payload)

    with LmdbSaver(path, serde=Pickling()) as saver:
        put(SaverDriver(saver), "1", {"value": "pickled"})
    with LmdbSaver(path) as saver, pytest.raises(DeserializationError, match="pickle"):
        saver.get_tuple(config())
