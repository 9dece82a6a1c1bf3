"""Several copies of the package in one process, reloaded or installed twice. LMDB opens once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lmdb
import pytest

from langgraph.checkpoint.lmdb.errors import UsageError
from langgraph.checkpoint.lmdb.kv.lmdb import files
from langgraph.checkpoint.lmdb.kv.lmdb.errors import translate_lmdb_error
from tests.kv.processes import in_new_process
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from pathlib import Path

Open = "Callable[..., LmdbStore]"

SETUP = """
import gc, importlib, sys, threading, warnings
from langgraph.checkpoint.base import empty_checkpoint
NAME = "langgraph.checkpoint.lmdb"

def again():
    "Load the package once more, beside the copy that is in use."
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        del sys.modules[name]
    return importlib.import_module(NAME)

def reload():
    "Load the package once more, module by module, as an autoreload does."
    for _ in range(2):
        for name in sorted((name for name in sys.modules if name.startswith(NAME)), reverse=True):
            importlib.reload(sys.modules[name])
    return sys.modules[NAME]

folder, load = sys.argv[1], globals()[sys.argv[2]]
config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}

def put(saver):
    checkpoint = empty_checkpoint()
    saver.put(config, checkpoint, {}, {})
    return checkpoint["id"]

def ids(saver):
    return sorted(one.checkpoint["id"] for one in saver.list(config))

first = importlib.import_module(NAME)
"""

KEPT = """
one = first.LmdbSaver(folder)
stored = [put(one)]
second = load()
other = second.LmdbSaver(folder)
assert type(other) is not type(one)
assert ids(other) == stored
for _ in range(5):
    stored += [put(other), put(one)]
    assert ids(one) == ids(other) == stored
third = load().LmdbSaver(folder)
stored.append(put(third))
assert ids(one) == ids(other) == ids(third) == stored
one.close()
assert ids(other) == stored
other.close()
stored.append(put(third))
third.close()
with first.LmdbSaver(folder) as saver:
    assert ids(saver) == stored
"""

DROPPED = """
one = first.LmdbSaver(folder)
ring = [one]
ring.append(ring)
stored = [put(one)]
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)
    del one, ring
    with load().LmdbSaver(folder, sync="normal") as other:
        gc.collect()
        stored.append(put(other))
        assert ids(other) == stored
"""

OPEN = """
one = first.LmdbSaver(folder)
stored = [put(one)]
for _ in range(3):
    with load().LmdbSaver(folder, sync="normal") as other:
        stored.append(put(other))
        assert ids(other) == stored
with load().LmdbSaver(folder, sync="normal") as other:
    one.close()
    stored.append(put(other))
    assert ids(other) == stored
"""

BUSY = """
one = first.LmdbSaver(folder)
stored = [put(one)]
type(one._kv._base._env).yield_store.__globals__["_COPY_PATIENCE"] = 0.01
package = load()
RetryableError = importlib.import_module(NAME + ".errors").RetryableError
inside, leave = threading.Event(), threading.Event()

def read():
    with one._kv.read():
        inside.set()
        leave.wait()

reading = threading.Thread(target=read, daemon=True)
reading.start()
inside.wait()
try:
    package.LmdbSaver(folder)
except RetryableError as error:
    assert "another copy of this package" in str(error) and "disk" not in str(error), error
else:
    raise AssertionError("opened beside a transaction")
assert ids(one) == stored
leave.set()
reading.join()
with one._kv.read():
    try:
        package.LmdbSaver(folder)
    except RetryableError:
        pass
    else:
        raise AssertionError("opened inside of a transaction")
with package.LmdbSaver(folder) as other:
    stored.append(put(other))
assert ids(one) == stored
one.close()
"""

THREADS = """
copies = [first.LmdbSaver(folder, sync="off")]
copies.append(load().LmdbSaver(folder, sync="off"))
failures = []

def work(saver):
    try:
        for _ in range(30):
            put(saver)
            ids(saver)
    except BaseException as error:
        failures.append(error)

threads = [threading.Thread(target=work, args=(copies[number % 2],)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
assert len(ids(copies[0])) == 120
for saver in copies:
    saver.close()
"""


@pytest.mark.parametrize(
    ("program", "load"),
    [
        pytest.param(KEPT, "again", id="kept"),
        pytest.param(DROPPED, "again", id="dropped"),
        pytest.param(DROPPED, "reload", id="dropped, then reloaded"),
        pytest.param(OPEN, "reload", id="open, then reloaded"),
        pytest.param(BUSY, "again", id="busy"),
        pytest.param(THREADS, "again", id="threads"),
    ],
)
def test_copies_of_the_package_open_a_store_in_turn(folder: Path, program: str, load: str) -> None:
    in_new_process(SETUP + program, folder, load)


def test_environment_of_the_user_is_named_in_the_error(folder: Path) -> None:
    refused = lmdb.Error(f"The environment '{folder}' is already open in this process.")
    error = translate_lmdb_error(refused, str(folder), "opening the store")
    assert isinstance(error, UsageError)
    assert "through another lmdb.Environment" in str(error)
    assert "disk" not in str(error)


@pytest.mark.skipif(not files.ENGINE, reason="lmdb before 3.0 opens a store twice in a process")
def test_store_can_be_opened_when_the_environment_of_the_user_is_closed(
    open_lmdb: Open, folder: Path
) -> None:
    open_lmdb().close()
    with lmdb.open(str(folder), **files.ENGINE), pytest.raises(UsageError, match="through another"):
        open_lmdb()
    store = open_lmdb()
    store.write(put(b"k"))
    assert content(store) == {b"k": b"v"}
