"""What deserialising may build: every path of a saver, with and without an allow-list."""

from __future__ import annotations

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

PATIENCE = 60.0  # seconds until a process counts as hung


class Forging(JsonPlusSerializer):
    """Stores, in place of every "call", a call of a function in the reader's process."""

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
    "a copy": "saver.copy_thread('t', new); saver.get_tuple({'configurable': {'thread_id': new}})",
    "a fork": "saver.get_tuple(saver.fork(at, new))",
    "async": "asyncio.run(saver.aget_tuple(at))",
    "async list": "asyncio.run(every(saver))",
    "async delta": "asyncio.run(saver.aget_delta_channel_history(config=at, channels=['x']))",
    "twice": "saver.get_tuple(at); saver.get_tuple(at)",
    "a put after it": f"saver.put(at, {{**saver.get({AT}), 'id': '3'}}, {{}}, {{}})",
}
PROGRAM = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
called = []
os.function_of_the_test = lambda argument: called.append(argument) or argument
from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
async def every(saver):
    return [one async for one in saver.alist(at)]
at = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
new = f"copy {os.getpid()}"
serde = eval(sys.argv[3])
with LmdbSaver(sys.argv[1], serde=serde) as saver:
    exec(sys.argv[2])
print(len(called))
"""


@pytest.fixture
def hostile(path: Path) -> Path:
    """A store whose every value, metadata, body and write has a call in it."""
    with LmdbSaver(path, serde=Forging()) as saver:
        for cid, parent in (("1", None), ("2", "1")):
            large = {"long": "x" * 3000, "call": "call"}
            sent = {"value": large, "small": "call", "list": ["call"] * 3}
            put(SaverDriver(saver), cid, sent, parent=parent, who="call")
            saver.put_writes(config(id=cid), [("x", "call"), ("y", [large])], "task")
    return path


def calls(path: Path, what: str, serde: str = "None", **env: str) -> int:
    """How often a process that does this was made to call what the store names."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), what, serde],
        env={**os.environ, **env},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("name", [*PATHS])
def test_strict_mode_calls_nothing(hostile: Path, name: str) -> None:
    """`LANGGRAPH_STRICT_MSGPACK` holds on each path; without it, every one of them calls."""
    assert calls(hostile, PATHS[name], LANGGRAPH_STRICT_MSGPACK="true") == 0
    assert calls(hostile, PATHS[name], LANGGRAPH_STRICT_MSGPACK="false") > 0


@pytest.mark.parametrize("name", ["get_tuple", "list with a filter", "delta history", "a copy"])
def test_an_allow_list_calls_nothing_else(hostile: Path, name: str) -> None:
    serde = "JsonPlusSerializer(allowed_msgpack_modules=[('collections', 'OrderedDict')])"
    assert calls(hostile, PATHS[name], serde) == 0


def test_pickle_is_never_loaded_unless_told(path: Path) -> None:
    """A record that says it is a pickle is refused."""

    class Pickling(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            tag, payload = super().dumps_typed(obj)
            return ("pickle", pickle.dumps(obj)) if obj == "pickled" else (tag, payload)

    with LmdbSaver(path, serde=Pickling()) as saver:
        put(SaverDriver(saver), "1", {"value": "pickled"})
    with LmdbSaver(path) as saver, pytest.raises(DeserializationError, match="pickle"):
        saver.get_tuple(config())
