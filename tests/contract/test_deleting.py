"""The contract, "Deleting". What DeltaChannel needs of it is in tests/graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.contract.driver import Face, config, ids, put, put_chain, values, writes
from tests.contract.raw import entries
from tests.stored import thread_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Deletion = Callable[[Face, str], None]

DELETIONS: dict[str, Deletion] = {
    "delete_thread": lambda face, thread: face.delete_thread(thread),
    "delete_for_runs": lambda face, thread: face.delete_for_runs([f"run of {thread!r}"]),
    "prune": lambda face, thread: face.prune([thread], strategy="delete"),
}
deletions = pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)


def fill(face: Face, thread: str) -> None:
    """A thread with all that a thread can have, its large values shared with other threads."""
    run = f"run of {thread!r}"
    for ns in ("", "child", "child:task|grandchild:task"):
        for cid, parent in [("c1", None), ("c2", "c1"), ("c3", "c2"), ("b2", "c1")]:
            content = {"own": thread, "shared": "x" * 5000, "list": [cid] * 300, "none": None}
            put(
                face, cid, content, thread=thread, ns=ns, parent=parent, run_id=f"run of {thread!r}"
            )
            face.put_writes(config(thread, ns, cid), [("x", "y" * 2000), ("z", cid)], "task")
    put(face, "d1", {}, thread=thread, versions={"own": "c1"}, new={}, run_id=run)


@deletions
def test_what_is_deleted_is_gone(face: Face, saver: LmdbSaver, delete: Deletion) -> None:
    """Checkpoints, writes and values can no longer be found."""
    fill(face, "t")
    delete(face, "t")
    assert face.list(config(ns=None)) == []
    assert face.list(None) == []
    assert face.get_tuple(config(id="c1")) is None
    assert thread_ids(saver) == set()
    put(face, "d2", {}, versions={"own": "c1"}, new={})
    put(face, "c1")
    assert values(face, config(id="d2")) == {}
    if delete is not DELETIONS["delete_for_runs"]:
        assert writes(face, config(id="c1")) == []


@deletions
def test_all_that_is_deleted_is_freed(
    face: Face, saver: LmdbSaver, path: Path, delete: Deletion
) -> None:
    """Values, writes and index entries too: however often, nothing is left behind."""
    fill(face, "kept")
    for number in range(2):
        fill(face, f"t{number}")
        delete(face, f"t{number}")
    again = Face(saver)
    sizes = []
    for number in range(2, 5):
        fill(again, f"t{number}")
        delete(again, f"t{number}")
    saver.close()
    sizes.append(size(path))
    with LmdbSaver(path, sync="off") as reopened:
        for number in range(5, 12):
            fill(Face(reopened), f"t{number}")
            delete(Face(reopened), f"t{number}")
    sizes.append(size(path))
    assert sizes[0] == sizes[1]


def size(path: Path) -> tuple[int, int]:
    """How many entries a closed store has, and their bytes."""
    stored = entries(path)
    return len(stored), sum(len(key) + len(value) for (_, key), value in stored.items())


@deletions
def test_others_keep_what_they_share(face: Face, delete: Deletion) -> None:
    """Threads with the same values, and with ids that begin with the deleted one."""
    others = ["t1", "t\x00", "t/", "s", "T", ""]
    for thread in ["t", *others]:
        fill(face, thread)
    before = [face.list(config(thread, ns=None)) for thread in others]
    delete(face, "t")
    assert [face.list(config(thread, ns=None)) for thread in others] == before
    assert all(len(listed) == 13 for listed in before)


@deletions
def test_unknown_ids_are_no_error(face: Face, delete: Deletion) -> None:
    """Nor does a second deletion of the same id."""
    delete(face, "never")
    fill(face, "t")
    delete(face, "t")
    delete(face, "t")
    assert face.list(None) == []


def test_other_unknown_ids_are_no_error(face: Face) -> None:
    """Empty lists, and threads to copy or prune that are not there."""
    put_chain(face, ["c1", "c2"])
    face.delete_for_runs([])
    face.prune([])
    face.prune([], strategy="delete")
    face.prune(["never"], strategy="keep_latest")
    face.copy_thread("never", "target")
    assert ids(face.list(None)) == ["c2", "c1"]


def test_a_run_is_deleted_in_all_threads_and_namespaces(face: Face) -> None:
    """`delete_for_runs` takes the checkpoints of the runs with their writes, and no others."""
    for thread in "ab":
        for ns in ("", "child"):
            for number, run in enumerate(["r1", "r2", "r1", "r3"]):
                at = {"thread": thread, "ns": ns, "parent": f"c{number - 1}" if number else None}
                put(face, f"c{number}", {"n": number}, run_id=run, **at)
                face.put_writes(config(thread, ns, f"c{number}"), [("x", number)], "task")
    put(face, "c9", thread="c")
    face.delete_for_runs(["r1", "r3", "never"])
    for thread in "ab":
        for ns in ("", "child"):
            assert ids(face.list(config(thread, ns))) == ["c1"]
            assert values(face, config(thread, ns)) == {"n": 1}
            assert writes(face, config(thread, ns)) == [("task", "x", 1)]
    assert ids(face.list(config("c"))) == ["c9"]


def test_keep_latest_keeps_the_latest_of_each_namespace(face: Face) -> None:
    """With its values and pending writes, and without a parent."""
    for ns in ("", "child"):
        for at in put_chain(face, ["c1", "c2", "c3"], ns=ns):
            face.put_writes(at, [("x", at["configurable"]["checkpoint_id"])], "task")
    put_chain(face, ["c1", "c2"], thread="other")
    face.prune(["t"], strategy="keep_latest")
    for ns in ("", "child"):
        (kept,) = face.list(config(ns=ns))
        assert kept.config == config(ns=ns, id="c3")
        assert kept.parent_config is None
        assert kept.checkpoint["channel_values"] == {"value": "value of c3"}
        assert kept.pending_writes == [("task", "x", "c3")]
        assert face.get_tuple(config(ns=ns, id="c2")) is None
    assert ids(face.list(config("other"))) == ["c2", "c1"]


def test_keep_latest_is_the_default(face: Face) -> None:
    """`prune` without a strategy keeps the latest."""
    put_chain(face, ["c1", "c2"])
    face.prune(["t"])
    assert ids(face.list(config())) == ["c2"]


def test_keep_last_keeps_as_many(face: Face) -> None:
    """The newest so many of each namespace; the oldest kept has no parent, the others have."""
    for ns in ("", "child"):
        put_chain(face, ["c1", "c2", "c3", "c4"], ns=ns)
    put_chain(face, ["c1"], ns="short")
    face.prune(["t"], keep_last=2)
    for ns in ("", "child"):
        kept = face.list(config(ns=ns))
        assert ids(kept) == ["c4", "c3"]
        assert kept[0].parent_config == config(ns=ns, id="c3")
        assert kept[1].parent_config is None
        assert values(face, config(ns=ns, id="c3")) == {"value": "value of c3"}
    assert ids(face.list(config(ns="short"))) == ["c1"]


def test_pruning_frees_what_is_not_kept(face: Face, saver: LmdbSaver, path: Path) -> None:
    """A thread pruned at every step takes no more room after many steps than after few."""

    def steps(on: Face, numbers: range) -> None:
        for number in numbers:
            cid = f"c{number:03}"
            put(on, cid, {"value": f"{number:03}" * 2000}, parent=f"c{number - 1:03}", run_id=cid)
            on.put_writes(config(id=cid), [("value", f"{number:03}" * 1000)], "task")
            on.prune(["t"], strategy="keep_latest")

    steps(face, range(1, 5))
    saver.close()
    few = size(path)
    with LmdbSaver(path, sync="off") as reopened:
        steps(Face(reopened), range(5, 30))
    many = size(path)
    assert many[0] == few[0]
    assert many[1] < few[1] * 1.1


def test_what_is_replaced_is_freed(face: Face, saver: LmdbSaver, path: Path) -> None:
    """A checkpoint put again and again, by another run each time, takes the room of one."""

    def replace(on: Face, numbers: range) -> tuple[int, int]:
        put(on, "a")
        for number in numbers:
            content = {"value": f"{number:03}" * 2000}
            put(on, "b", content, versions={"value": number}, run_id=f"{number:03}", parent="a")
            on.put_writes(config(id="b"), [("__error__", f"{number:03}" * 2000)], "task")
        on.saver.close()  # type: ignore[attr-defined]
        return size(path)

    few = replace(face, range(100, 104))
    many = replace(Face(LmdbSaver(path, sync="off")), range(104, 140))
    assert many[0] <= few[0]
    assert many[1] < few[1] * 1.1


@pytest.mark.parametrize("kept", [True, False])
def test_a_subgraph_call_goes_with_the_checkpoint_that_it_started_from(
    face: Face, kept: bool
) -> None:
    """A call's namespace names its task; that of a `checkpointer=True` subgraph does not."""
    put_chain(face, ["c1", "c2"])
    root = {"parents": {"": "c2" if kept else "c1"}}
    for ns in ("call:task", "call:task|inner:task"):
        put_chain(face, ["b1", "b2"], ns=ns, **root)
    for ns in ("agent", "agent|inner"):
        put_chain(face, ["b1", "b2"], ns=ns, **root)
    face.prune(["t"], strategy="keep_latest")
    assert ids(face.list(config(ns=""))) == ["c2"]
    for ns in ("call:task", "call:task|inner:task"):
        assert ids(face.list(config(ns=ns))) == (["b2"] if kept else [])
    for ns in ("agent", "agent|inner"):
        assert ids(face.list(config(ns=ns))) == ["b2"]
        assert values(face, config(ns=ns)) == {"value": "value of b2"}


def test_a_call_whose_root_is_not_in_the_store_is_kept(face: Face) -> None:
    """Runs save in the background: a call may be stored before the checkpoint it began at."""
    put_chain(face, ["c1", "c2"])
    put_chain(face, ["b1", "b2"], ns="call:task", parents={"": "c3"})
    face.prune(["t"], strategy="keep_latest")
    assert ids(face.list(config(ns="call:task"))) == ["b2"]


def test_a_string_is_not_a_list_of_ids(face: Face) -> None:
    """A single string as `thread_ids` is a `TypeError`; nothing is deleted."""
    for thread in ("t", "a", "b", "ab"):
        put_chain(face, ["c1", "c2"], thread=thread, run_id=thread)
    for strategy in ("keep_latest", "delete"):
        with pytest.raises(TypeError, match="thread_ids"):
            face.prune("ab", strategy=strategy)
    with pytest.raises(TypeError, match="run_ids"):
        face.delete_for_runs("ab")
    assert len(face.list(None)) == 8


@pytest.mark.parametrize(
    "options", [{"strategy": "keep_all"}, {"strategy": ""}, {"keep_last": 0}, {"keep_last": -1}]
)
def test_an_unknown_strategy_is_a_value_error(face: Face, options: dict[str, Any]) -> None:
    """A strategy that does not exist is refused, whatever the threads; nothing is deleted."""
    put_chain(face, ["c1", "c2"])
    for threads in (["t"], []):
        with pytest.raises(ValueError, match=r"strategy|keep_last"):
            face.prune(threads, **options)
    assert ids(face.list(None)) == ["c2", "c1"]


def test_a_copy_is_whole(face: Face) -> None:
    """All namespaces, checkpoints, writes, the whole chain."""
    fill(face, "source")
    face.copy_thread("source", "target")
    for ns in ("", "child", "child:task|grandchild:task"):
        source, target = (face.list(config(thread, ns)) for thread in ("source", "target"))
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


def test_a_copy_is_independent(face: Face) -> None:
    """Whatever is done to one of the two, the other stays as it was."""
    fill(face, "source")
    face.copy_thread("source", "target")
    before = face.list(config("target", ns=None))
    put(face, "e1", {"own": "changed"}, thread="source", versions={"own": "c1"})
    put(face, "c3", {"own": "replaced"}, thread="source", versions={"own": "e1"})
    face.put_writes(config("source", "", "c2"), [("more", 1)], "another task")
    face.prune(["source"], strategy="keep_latest")
    assert face.list(config("target", ns=None)) == before
    face.delete_thread("source")
    assert face.list(config("target", ns=None)) == before
    face.copy_thread("target", "source")
    face.delete_thread("target")
    assert len(face.list(config("source", ns=None))) == 13
    assert values(face, config("source", id="c1"))["shared"] == "x" * 5000


def test_a_copied_run_is_deleted_in_the_copy_too(face: Face) -> None:
    """The copy has the same runs, and they are found there."""
    fill(face, "source")
    face.copy_thread("source", "target")
    face.delete_for_runs(["run of 'source'"])
    assert face.list(None) == []
