"""Contract of delete, prune and copy. tests/graphs covers DeltaChannel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import (
    SaverDriver,
    config,
    ids,
    on_files,
    put,
    put_chain,
    values,
    writes,
)
from tests.contract.raw import entries
from tests.stored import thread_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Deletion = Callable[[SaverDriver, str], None]

DELETIONS: dict[str, Deletion] = {
    "delete_thread": lambda driver, thread: driver.delete_thread(thread),
    "delete_for_runs": lambda driver, thread: driver.delete_for_runs([f"run of {thread!r}"]),
    "prune": lambda driver, thread: driver.prune([thread], strategy="delete"),
}
deletions = pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)


def fill(driver: SaverDriver, thread: str) -> None:
    """Store every kind of record in a thread; its large values occur in other threads too."""
    run = f"run of {thread!r}"
    for ns in ("", "child", "child:task|grandchild:task"):
        for cid, parent in [("c1", None), ("c2", "c1"), ("c3", "c2"), ("b2", "c1")]:
            content = {"own": thread, "shared": "x" * 5000, "list": [cid] * 300, "none": None}
            put(
                driver,
                cid,
                content,
                thread=thread,
                ns=ns,
                parent=parent,
                run_id=f"run of {thread!r}",
            )
            driver.put_writes(config(thread, ns, cid), [("x", "y" * 2000), ("z", cid)], "task")
    put(driver, "d1", {}, thread=thread, versions={"own": "c1"}, new={}, run_id=run)


@deletions
def test_deleted_checkpoints_writes_and_values_are_not_found(
    driver: SaverDriver, saver: LmdbSaver, delete: Deletion
) -> None:
    fill(driver, "t")
    delete(driver, "t")
    assert driver.list(config(ns=None)) == []
    assert driver.list(None) == []
    assert driver.get_tuple(config(id="c1")) is None
    assert thread_ids(saver) == set()
    put(driver, "d2", {}, versions={"own": "c1"}, new={})
    put(driver, "c1")
    assert values(driver, config(id="d2")) == {}
    if delete is not DELETIONS["delete_for_runs"]:
        assert writes(driver, config(id="c1")) == []


@on_files
@deletions
def test_deletion_frees_all_records(
    driver: SaverDriver, saver: LmdbSaver, path: Path, delete: Deletion
) -> None:
    """Values, writes and index entries are freed, however often the thread is filled."""
    fill(driver, "kept")
    for number in range(2):
        fill(driver, f"t{number}")
        delete(driver, f"t{number}")
    again = SaverDriver(saver)
    sizes = []
    for number in range(2, 5):
        fill(again, f"t{number}")
        delete(again, f"t{number}")
    saver.close()
    sizes.append(size(path))
    with LmdbSaver(path, sync="off") as reopened:
        for number in range(5, 12):
            fill(SaverDriver(reopened), f"t{number}")
            delete(SaverDriver(reopened), f"t{number}")
    sizes.append(size(path))
    assert sizes[0] == sizes[1]


def size(path: Path) -> tuple[int, int]:
    """Return the number of entries of a closed store, and their bytes."""
    stored = entries(path)
    return len(stored), sum(len(key) + len(value) for (_, key), value in stored.items())


@deletions
def test_other_threads_keep_their_values(driver: SaverDriver, delete: Deletion) -> None:
    """Other threads have equal values, or ids that begin with the deleted id."""
    others = ["t1", "t\x00", "t/", "s", "T", ""]
    for thread in ["t", *others]:
        fill(driver, thread)
    before = [driver.list(config(thread, ns=None)) for thread in others]
    delete(driver, "t")
    assert [driver.list(config(thread, ns=None)) for thread in others] == before
    assert all(len(listed) == 13 for listed in before)


@deletions
def test_deleting_an_unknown_or_deleted_id_does_nothing(
    driver: SaverDriver, delete: Deletion
) -> None:
    delete(driver, "never")
    fill(driver, "t")
    delete(driver, "t")
    delete(driver, "t")
    assert driver.list(None) == []


def test_prune_and_copy_accept_unknown_ids_and_empty_lists(driver: SaverDriver) -> None:
    put_chain(driver, ["c1", "c2"])
    driver.delete_for_runs([])
    driver.prune([])
    driver.prune([], strategy="delete")
    driver.prune(["never"], strategy="keep_latest")
    driver.copy_thread("never", "target")
    assert ids(driver.list(None)) == ["c2", "c1"]


def test_delete_for_runs_covers_all_threads_and_namespaces(driver: SaverDriver) -> None:
    """Only checkpoints of the runs and their writes are deleted."""
    for thread in "ab":
        for ns in ("", "child"):
            for number, run in enumerate(["r1", "r2", "r1", "r3"]):
                at = {"thread": thread, "ns": ns, "parent": f"c{number - 1}" if number else None}
                put(driver, f"c{number}", {"n": number}, run_id=run, **at)
                driver.put_writes(config(thread, ns, f"c{number}"), [("x", number)], "task")
    put(driver, "c9", thread="c")
    driver.delete_for_runs(["r1", "r3", "never"])
    for thread in "ab":
        for ns in ("", "child"):
            assert ids(driver.list(config(thread, ns))) == ["c1"]
            assert values(driver, config(thread, ns)) == {"n": 1}
            assert writes(driver, config(thread, ns)) == [("task", "x", 1)]
    assert ids(driver.list(config("c"))) == ["c9"]


def test_keep_latest_keeps_the_latest_checkpoint_of_each_namespace(driver: SaverDriver) -> None:
    """The checkpoint keeps its values and pending writes. It has no parent."""
    for ns in ("", "child"):
        for at in put_chain(driver, ["c1", "c2", "c3"], ns=ns):
            driver.put_writes(at, [("x", at["configurable"]["checkpoint_id"])], "task")
    put_chain(driver, ["c1", "c2"], thread="other")
    driver.prune(["t"], strategy="keep_latest")
    for ns in ("", "child"):
        (kept,) = driver.list(config(ns=ns))
        assert kept.config == config(ns=ns, id="c3")
        assert kept.parent_config is None
        assert kept.checkpoint["channel_values"] == {"value": "value of c3"}
        assert kept.pending_writes == [("task", "x", "c3")]
        assert driver.get_tuple(config(ns=ns, id="c2")) is None
    assert ids(driver.list(config("other"))) == ["c2", "c1"]


def test_default_strategy_of_prune_is_keep_latest(driver: SaverDriver) -> None:
    put_chain(driver, ["c1", "c2"])
    driver.prune(["t"])
    assert ids(driver.list(config())) == ["c2"]


def test_keep_last_keeps_the_newest_checkpoints_of_each_namespace(driver: SaverDriver) -> None:
    """The oldest kept checkpoint has no parent."""
    for ns in ("", "child"):
        put_chain(driver, ["c1", "c2", "c3", "c4"], ns=ns)
    put_chain(driver, ["c1"], ns="short")
    driver.prune(["t"], keep_last=2)
    for ns in ("", "child"):
        kept = driver.list(config(ns=ns))
        assert ids(kept) == ["c4", "c3"]
        assert kept[0].parent_config == config(ns=ns, id="c3")
        assert kept[1].parent_config is None
        assert values(driver, config(ns=ns, id="c3")) == {"value": "value of c3"}
    assert ids(driver.list(config(ns="short"))) == ["c1"]


@on_files
def test_size_of_a_pruned_thread_does_not_depend_on_its_steps(
    driver: SaverDriver, saver: LmdbSaver, path: Path
) -> None:
    def steps(on: SaverDriver, numbers: range) -> None:
        for number in numbers:
            cid = f"c{number:03}"
            put(on, cid, {"value": f"{number:03}" * 2000}, parent=f"c{number - 1:03}", run_id=cid)
            on.put_writes(config(id=cid), [("value", f"{number:03}" * 1000)], "task")
            on.prune(["t"], strategy="keep_latest")

    steps(driver, range(1, 5))
    saver.close()
    few = size(path)
    with LmdbSaver(path, sync="off") as reopened:
        steps(SaverDriver(reopened), range(5, 30))
    many = size(path)
    assert many[0] == few[0]
    assert many[1] < few[1] * 1.1


@on_files
def test_replacing_a_checkpoint_frees_the_old_one(
    driver: SaverDriver, saver: LmdbSaver, path: Path
) -> None:
    """Each put belongs to another run."""

    def replace(on: SaverDriver, numbers: range) -> tuple[int, int]:
        put(on, "a")
        for number in numbers:
            content = {"value": f"{number:03}" * 2000}
            put(on, "b", content, versions={"value": number}, run_id=f"{number:03}", parent="a")
            on.put_writes(config(id="b"), [("__error__", f"{number:03}" * 2000)], "task")
        on.saver.close()  # type: ignore[attr-defined]
        return size(path)

    few = replace(driver, range(100, 104))
    many = replace(SaverDriver(LmdbSaver(path, sync="off")), range(104, 140))
    assert many[0] <= few[0]
    assert many[1] < few[1] * 1.1


@pytest.mark.parametrize("kept", [True, False])
def test_prune_deletes_subgraph_calls_of_deleted_checkpoints(
    driver: SaverDriver, kept: bool
) -> None:
    """The namespace of a call names its task. A `checkpointer=True` subgraph has one namespace."""
    put_chain(driver, ["c1", "c2"])
    root = {"parents": {"": "c2" if kept else "c1"}}
    for ns in ("call:task", "call:task|inner:task"):
        put_chain(driver, ["b1", "b2"], ns=ns, **root)
    for ns in ("agent", "agent|inner"):
        put_chain(driver, ["b1", "b2"], ns=ns, **root)
    driver.prune(["t"], strategy="keep_latest")
    assert ids(driver.list(config(ns=""))) == ["c2"]
    for ns in ("call:task", "call:task|inner:task"):
        assert ids(driver.list(config(ns=ns))) == (["b2"] if kept else [])
    for ns in ("agent", "agent|inner"):
        assert ids(driver.list(config(ns=ns))) == ["b2"]
        assert values(driver, config(ns=ns)) == {"value": "value of b2"}


def test_prune_keeps_a_subgraph_call_without_a_stored_root(driver: SaverDriver) -> None:
    """Runs save in the background: a call may be stored before the checkpoint that started it."""
    put_chain(driver, ["c1", "c2"])
    put_chain(driver, ["b1", "b2"], ns="call:task", parents={"": "c3"})
    driver.prune(["t"], strategy="keep_latest")
    assert ids(driver.list(config(ns="call:task"))) == ["b2"]


def test_string_in_place_of_a_list_of_ids_is_refused(driver: SaverDriver) -> None:
    """Nothing is deleted."""
    for thread in ("t", "a", "b", "ab"):
        put_chain(driver, ["c1", "c2"], thread=thread, run_id=thread)
    for strategy in ("keep_latest", "delete"):
        with pytest.raises(TypeError, match="thread_ids"):
            driver.prune("ab", strategy=strategy)
    with pytest.raises(TypeError, match="run_ids"):
        driver.delete_for_runs("ab")
    assert len(driver.list(None)) == 8


@pytest.mark.parametrize(
    "options", [{"strategy": "keep_all"}, {"strategy": ""}, {"keep_last": 0}, {"keep_last": -1}]
)
def test_unknown_strategy_is_refused(driver: SaverDriver, options: dict[str, Any]) -> None:
    """Nothing is deleted."""
    put_chain(driver, ["c1", "c2"])
    for threads in (["t"], []):
        with pytest.raises(ValueError, match=r"strategy|keep_last"):
            driver.prune(threads, **options)
    assert ids(driver.list(None)) == ["c2", "c1"]


def test_copy_has_all_namespaces_checkpoints_and_writes(driver: SaverDriver) -> None:
    fill(driver, "source")
    driver.copy_thread("source", "target")
    for ns in ("", "child", "child:task|grandchild:task"):
        source, target = (driver.list(config(thread, ns)) for thread in ("source", "target"))
        assert [one.checkpoint for one in target] == [one.checkpoint for one in source]
        assert [one.metadata for one in target] == [one.metadata for one in source]
        assert [one.pending_writes for one in target] == [one.pending_writes for one in source]
        assert ids(target) == ids(source)
        for one, twin in zip(source, target, strict=True):
            assert twin.config["configurable"]["thread_id"] == "target"
            assert (twin.parent_config is None) == (one.parent_config is None)
            if one.parent_config and twin.parent_config:
                parent = one.parent_config["configurable"]["checkpoint_id"]
                assert twin.parent_config == config("target", ns, parent)


def test_changing_a_thread_does_not_change_its_copy(driver: SaverDriver) -> None:
    """Changing the copy does not change the thread either."""
    fill(driver, "source")
    driver.copy_thread("source", "target")
    before = driver.list(config("target", ns=None))
    put(driver, "e1", {"own": "changed"}, thread="source", versions={"own": "c1"})
    put(driver, "c3", {"own": "replaced"}, thread="source", versions={"own": "e1"})
    driver.put_writes(config("source", "", "c2"), [("more", 1)], "another task")
    driver.prune(["source"], strategy="keep_latest")
    assert driver.list(config("target", ns=None)) == before
    driver.delete_thread("source")
    assert driver.list(config("target", ns=None)) == before
    driver.copy_thread("target", "source")
    driver.delete_thread("target")
    assert len(driver.list(config("source", ns=None))) == 13
    assert values(driver, config("source", id="c1"))["shared"] == "x" * 5000


def test_delete_for_runs_deletes_runs_of_copies(driver: SaverDriver) -> None:
    fill(driver, "source")
    driver.copy_thread("source", "target")
    driver.delete_for_runs(["run of 'source'"])
    assert driver.list(None) == []
