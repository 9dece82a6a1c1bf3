"""Contract of `list`."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.driver import (
    SaverDriver,
    config,
    fresh_thread,
    ids,
    on_files,
    put,
    put_chain,
    writes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langgraph.checkpoint.base import CheckpointTuple

    from langgraph.checkpoint.lmdb import LmdbSaver

PATIENCE = 60.0  # seconds until a call that waits for another counts as hung


def test_list_equals_get_tuple_newest_first(driver: SaverDriver) -> None:
    stored = put_chain(driver, ["c1", "c2", "c3"])
    driver.put_writes(stored[1], [("x", 1)], "task")
    listed = driver.list(config())
    assert ids(listed) == ["c3", "c2", "c1"]
    assert listed == [driver.get_tuple(at) for at in reversed(stored)]


def test_checkpoint_id_selects_one_checkpoint(driver: SaverDriver) -> None:
    put_chain(driver, ["c1", "c2", "c3"])
    assert ids(driver.list(config(id="c2"))) == ["c2"]
    assert driver.list(config(id="never")) == []


def test_list_without_a_config_lists_all_threads(driver: SaverDriver) -> None:
    """Each thread and namespace is listed newest first."""
    for thread in ("a", "b"):
        for ns in ("", "child"):
            put_chain(driver, ["c1", "c2"], thread=thread, ns=ns)
    listed = [one.config["configurable"] for one in driver.list(None)]
    places = {(at["thread_id"], at["checkpoint_ns"]) for at in listed}
    assert places == {(thread, ns) for thread in "ab" for ns in ("", "child")}
    for place in places:
        own = [at for at in listed if (at["thread_id"], at["checkpoint_ns"]) == place]
        assert [at["checkpoint_id"] for at in own] == ["c2", "c1"]
    assert len(driver.list(None, limit=3)) == 3
    assert len(driver.list(None, filter={"step": 1})) == 8


@pytest.mark.parametrize(
    "value", [None, "", 0, 1.5, True, "it's", [1, [2]], {"a": {"b": None}}, {}, []], ids=repr
)
def test_filter_matches_any_value(driver: SaverDriver, value: Any) -> None:
    """Nested values and `None` match too."""
    put(driver, "c1", key=value)
    put(driver, "c2", key="another")
    put(driver, "c3", key=[value])
    assert ids(driver.list(config(), filter={"key": value})) == ["c1"]
    assert ids(driver.list(None, filter={"key": value})) == ["c1"]


@pytest.mark.parametrize("key", ["a.b", "it's", 'say "so"', "$", "user id", "\u00e9", "a" * 600])
def test_filter_matches_any_key(driver: SaverDriver, key: str) -> None:
    put(driver, "c1", **{key: "found"})
    put(driver, "c2", a={"b": "found"})
    assert ids(driver.list(config(), filter={key: "found"})) == ["c1"]


def test_filter_requires_all_its_keys(driver: SaverDriver) -> None:
    """An empty filter matches every checkpoint."""
    put(driver, "c1", a=1, b=1)
    put(driver, "c2", a=1, b=2)
    assert ids(driver.list(config(), filter={"a": 1, "b": 2})) == ["c2"]
    assert driver.list(config(), filter={"a": 1, "c": 1}) == []
    assert ids(driver.list(config(), filter={})) == ["c2", "c1"]


def test_limit_counts_checkpoints_that_match_the_filter(driver: SaverDriver) -> None:
    for number in range(10):
        put(driver, f"c{number}", even=number % 2 == 0)
    assert ids(driver.list(config(), filter={"even": True}, limit=2)) == ["c8", "c6"]


def test_limit_bounds_the_number_of_checkpoints(driver: SaverDriver) -> None:
    """`limit=0` lists no checkpoint."""
    put_chain(driver, ["c1", "c2", "c3"])
    assert driver.list(config(), limit=0) == []
    assert driver.list(None, limit=0) == []
    assert ids(driver.list(config(), limit=2)) == ["c3", "c2"]
    assert ids(driver.list(config(), limit=9)) == ["c3", "c2", "c1"]


def test_before_excludes_its_checkpoint(driver: SaverDriver) -> None:
    """The checkpoint may be missing."""
    put_chain(driver, ["c1", "c2", "c3"])
    assert ids(driver.list(config(), before=config(id="c3"))) == ["c2", "c1"]
    assert ids(driver.list(config(), before=config(id="c25"))) == ["c2", "c1"]
    assert driver.list(config(), before=config(id="c1")) == []
    assert ids(driver.list(None, before=config(id="c2"))) == ["c1"]
    assert ids(driver.list(config(), before=config())) == ["c3", "c2", "c1"]


def test_before_orders_ids_that_keys_truncate(driver: SaverDriver) -> None:
    stored = [f"{'x' * 1000}{end}" for end in ("", "\x00", "a", "ab", "b")]
    for cid in (stored[3], stored[0], stored[4], stored[1], stored[2]):
        put(driver, cid, {"value": cid[1000:]})
    assert ids(driver.list(config())) == stored[::-1]
    for place, cid in enumerate(stored):
        assert ids(driver.list(config(), before=config(id=cid))) == stored[:place][::-1]
    driver.prune(["t"], keep_last=2)
    assert ids(driver.list(config())) == stored[:2:-1]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=9),
    st.integers(0, 9) | st.none(),
    st.text("c0123456789", max_size=2) | st.none(),
    st.booleans() | st.none(),
    st.sampled_from(["a", "b", "c", None]),
)
def test_list_equals_its_model(
    driver: SaverDriver,
    stored: list[tuple[str, bool]],
    limit: int | None,
    before: str | None,
    flag: bool | None,
    ns: str | None,
) -> None:
    """Draw a namespace, `before`, `filter` and `limit`."""
    thread = fresh_thread()
    for number, (place, value) in enumerate(stored):
        put(driver, f"c{number}", thread=thread, ns=place, flag=value)
    expected = [
        f"c{number}"
        for number, (place, value) in reversed([*enumerate(stored)])
        if ns in (place, None) and flag in (value, None) and (not before or f"c{number}" < before)
    ][:limit]
    options: dict[str, Any] = {"limit": limit}
    if flag is not None:
        options["filter"] = {"flag": flag}
    if before is not None:
        options["before"] = config(thread, id=before)
    assert ids(driver.list(config(thread, ns), **options)) == expected


class Paused:
    """A list that has yielded its first item and waits, sync or async."""

    def __init__(self, driver: SaverDriver) -> None:
        self.loop: asyncio.AbstractEventLoop | None = driver.loop
        self.list: Any = driver.saver.list if self.loop is None else driver.saver.alist
        self.items = self.list(config())
        self.first = self.next()

    def next(self) -> CheckpointTuple:
        if self.loop is None:
            return next(self.items)
        return self.loop.run_until_complete(anext(self.items))

    def rest(self) -> list[CheckpointTuple]:
        if self.loop is None:
            return [*self.items]

        async def collect() -> list[CheckpointTuple]:
            return [one async for one in self.items]

        return self.loop.run_until_complete(collect())

    def close(self) -> None:
        if self.loop is None:
            self.items.close()
        else:
            self.loop.run_until_complete(self.items.aclose())


@pytest.fixture
def paused(driver: SaverDriver) -> Iterator[Paused]:
    """A paused list of two hundred checkpoints."""
    put_chain(driver, [f"c{number:03}" for number in range(200)])
    listing = Paused(driver)
    yield listing
    listing.close()


def test_paused_list_does_not_block_writers(paused: Paused, saver: LmdbSaver) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(put, SaverDriver(saver), "d", {"value": 1}).result(PATIENCE)
        pool.submit(saver.delete_thread, "other").result(PATIENCE)
    assert ids(paused.rest()) == [f"c{number:03}" for number in reversed(range(199))]


@on_files
def test_paused_list_does_not_block_other_processes(
    paused: Paused, saver: LmdbSaver, path: Path
) -> None:
    program = (
        "import sys; from langgraph.checkpoint.lmdb import LmdbSaver\n"
        "with LmdbSaver(sys.argv[1]) as saver: saver.delete_thread('t')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=PATIENCE)
    assert ids([paused.first]) == ["c199"]
    assert SaverDriver(saver).list(config()) == []


@on_files
def test_paused_list_holds_no_transaction(paused: Paused, path: Path) -> None:
    """An open read transaction would keep the space of deleted data."""
    program = (
        "import json, lmdb, sys\n"
        "environment = lmdb.open(sys.argv[1], readonly=True, max_dbs=64, max_readers=4096)\n"
        "print(json.dumps(environment.readers()))\n"
    )
    table = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        check=True,
        timeout=PATIENCE,
        capture_output=True,
    )
    rows = [line.split() for line in json.loads(table.stdout).splitlines()[1:]]
    assert [row for row in rows if len(row) == 3 and row[2] != "-"] == []
    assert len(paused.rest()) == 199


def test_list_can_be_dropped(paused: Paused, saver: LmdbSaver) -> None:
    """A dropped list holds no transaction."""
    paused.items = paused.list(config(), limit=0)
    gc.collect()
    if paused.loop is not None:
        paused.loop.run_until_complete(asyncio.sleep(0))  # the loop closes dropped iterators
    saver.delete_thread("t")
    assert [*saver.list(None)] == []


def test_list_can_be_resumed_in_another_thread(saver: LmdbSaver) -> None:
    put_chain(SaverDriver(saver), ["c1", "c2", "c3"])
    listing = saver.list(config())
    got = [next(listing)]
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        got += [pool.submit(next, listing).result(PATIENCE) for pool in (one, other)]
    assert ids(got) == ["c3", "c2", "c1"]
    assert next(listing, None) is None


def test_paused_list_yields_only_whole_checkpoints(
    paused: Paused, driver: SaverDriver, saver: LmdbSaver
) -> None:
    """Later changes are visible or not, but never in part."""
    sync = SaverDriver(saver)
    for number in range(0, 200, 2):  # replace every other checkpoint
        cid = f"c{number:03}"
        put(sync, cid, {"value": "replaced", "twin": "replaced"}, versions={"value": 2, "twin": 2})
    rest = paused.rest()
    assert ids(rest) == [f"c{number:03}" for number in reversed(range(199))]
    for one in rest:
        old = {"value": f"value of {one.checkpoint['id']}"}
        assert one.checkpoint["channel_values"] in (old, {"value": "replaced", "twin": "replaced"})
    again = Paused(driver)
    saver.delete_thread("t")
    for one in again.rest():
        assert one.checkpoint["channel_values"]
        assert one.checkpoint["channel_values"].keys() == one.checkpoint["channel_versions"].keys()


def test_list_yields_only_whole_checkpoints_while_a_writer_runs(
    open_saver: Callable[..., LmdbSaver], driver: SaverDriver
) -> None:
    """The writer replaces and deletes checkpoints."""
    writer = SaverDriver(open_saver())
    stop = threading.Event()

    def rewrite() -> None:
        for number in range(100_000):
            cid = f"c{number % 3}"
            content = dict.fromkeys("abc", number)
            put(writer, cid, content, versions=dict.fromkeys(content, number), both=number)
            writer.put_writes(config(id=cid), [(name, number) for name in "abc"], f"task {number}")
            if number % 40 == 39:
                writer.delete_thread("t")
            if stop.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        rewriting = pool.submit(rewrite)
        seen = 0
        try:
            while seen < 200 and not rewriting.done():
                for one in driver.list(config()):
                    (number,) = {*one.checkpoint["channel_values"].values()}
                    assert [*one.checkpoint["channel_values"]] == ["a", "b", "c"]
                    assert one.metadata["both"] == number  # type: ignore[typeddict-item]
                    tasks = [task for task, _, _ in one.pending_writes or []]
                    assert all(tasks.count(task) == 3 for task in tasks)
                    assert all(int(task.removeprefix("task ")) <= number for task in tasks)
                    seen += 1
        finally:
            stop.set()
        rewriting.result(PATIENCE)
    assert seen >= 200


def test_list_yields_pending_writes(driver: SaverDriver) -> None:
    stored = put_chain(driver, ["c1", "c2"])
    driver.put_writes(stored[0], [("x", 1)], "task")
    assert [one.pending_writes or [] for one in driver.list(config())] == [
        [],
        writes(driver, stored[0]),
    ]
