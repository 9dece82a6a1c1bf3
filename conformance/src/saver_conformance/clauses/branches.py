"""Clauses about branches: checkpoints that are put again, under any parent, in any thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import ALL, Part
from saver_conformance.session import ABSENT, Ref, Session, at, checkpoint_id
from saver_conformance.values import SIMPLE

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_VALUES = "Checkpoint.channel_values: the values of the channels at the time of the checkpoint"
_branch = partial(clause, severity=Severity.CRITICAL, capability=Capability.PUT)

#: Changes of one step; the text `absent` stands for a channel without a value.
_CHANGES = st.dictionaries(st.sampled_from("abc"), SIMPLE | st.just("absent"), max_size=3)
_TREE: list[tuple[int, dict[str, Any]]] = [
    (0, {"a": [0], "b": "first"}),
    (1, {"a": [1]}),
    (1, {"a": [2], "c": {}}),
    (2, {"b": "absent"}),
    (2, {"c": 0}),
    (3, {"a": "absent", "b": [5]}),
    (4, {"b": []}),
]


def _tree(s: Session, steps: list[tuple[int, dict[str, Any]]]) -> list[Ref]:
    """Put a tree of checkpoints.

    Each step has the position of its parent, counted from 1, or 0 for no parent.
    """
    refs: list[Ref] = []
    newest: Ref | None = None
    for number, (position, drawn) in enumerate(steps):
        changes = {k: ABSENT if v == "absent" else v for k, v in drawn.items()}
        parent = refs[min(position, number) - 1] if position and number else None
        metadata = {"source": "loop", "step": number, "run_id": f"run-{number % 2}"}
        ref = Ref("thread", checkpoint_id(number))
        # The clause put.fork covers two branches with the same versions.
        s.put(ref, parent=parent, changes=changes, newer_than=newest, metadata=metadata)
        newest = ref if changes else newest
        refs.append(ref)
    return refs


def _drawn_tree(s: Session, data: DataObject) -> list[Ref]:
    steps = st.tuples(st.integers(0, 6), _CHANGES)
    return _tree(s, data.draw(st.lists(steps, min_size=2, max_size=7)))


@_branch("branch.tree", source=_VALUES, cases=[(_TREE,)])
def tree(s: Session, data: DataObject) -> None:
    """Each checkpoint of a tree of branches has its own values, versions and parent."""
    refs = _drawn_tree(s, data)
    for ref in refs:
        s.expect_tuple(ref, *ALL)
    s.expect_list(at("thread"), *ALL)


@_branch(
    "branch.copied",
    source="update_state with __copy__ puts a copy under the parent of the original, "
    "with new_versions={}",
    cases=[(_TREE, original, parent) for original in (3, 6) for parent in (0, 3, 5)],
)
def copied(s: Session, data: DataObject) -> None:
    """A copy of a checkpoint under any parent, with no new versions, has the values of the copy."""
    refs = _drawn_tree(s, data)
    original = refs[data.draw(st.integers(0, 6)) % len(refs)]
    parent = [None, *refs][data.draw(st.integers(0, 6)) % len(refs)]
    seen = {"versions_seen": {"__input__": {}, "node": {"a": 0}}}
    copy = s.put(Ref("thread", checkpoint_id(20)), parent=parent, inherits=original, fields=seen)
    step = s.put(
        Ref("thread", checkpoint_id(21)), parent=copy, changes={"d": [1]}, newer_than=refs[-1]
    )
    for ref in (copy, step, *refs):
        s.expect_tuple(ref, *ALL)
    if Capability.DELETE_FOR_RUNS in s.claimed:
        s.delete_for_runs(["run-0", "run-1"])
    # A saver may keep deleted ancestors, as the base class advises for a DeltaChannel: the channel
    # without a value looks like one. So these are not lists.
    for ref in (copy, step):
        s.expect_tuple(ref, Part.VALUES, Part.VERSIONS)
    if Capability.COPY_THREAD in s.claimed:
        s.copy_thread("thread", "other")
        for ref in (copy, step):
            s.expect_tuple(Ref("other", ref.id), Part.VALUES, Part.VERSIONS)
    if Capability.PRUNE in s.claimed:
        s.prune(["thread"], "keep_latest")
        s.expect_tuple(at("thread"), Part.ID, Part.VALUES, Part.VERSIONS)


@_branch(
    "branch.imported",
    source=f"{_VALUES}; a migration puts checkpoints of another store with all versions as new",
    cases=[(_TREE, "other", "", False), (_TREE, "thread", "child", True)],
)
def imported(s: Session, data: DataObject) -> None:
    """Imported checkpoints have their values, in any order and without their parents."""
    refs = _drawn_tree(s, data)
    thread = data.draw(st.sampled_from(["other", "thread"]))
    ns = data.draw(st.sampled_from(["", "child"]))
    newest_first = data.draw(st.booleans())
    if (thread, ns) == ("thread", ""):
        thread = "other"
    parents = {ref.id: s.model.get(ref.config) for ref in refs}
    for ref in reversed(refs) if newest_first else refs:
        entry = parents[ref.id]
        parent = Ref(thread, entry.parent, ns) if entry and entry.parent else None
        s.put(Ref(thread, ref.id, ns), parent=parent, inherits=ref, all_new=True)
    s.expect_list(at(thread, ns), *ALL)
    s.expect_list(at("thread", ""), *ALL)


@_branch(
    "branch.handed_over",
    source=f"{_VALUES}; the base class does not say whether new_versions must have every "
    "channel that was never stored",
    unspecified=True,
    cases=[(_TREE, "other"), (_TREE, "thread")],
)
def handed_over(s: Session, data: DataObject) -> None:
    """A checkpoint has the values that put received, even if no version is new."""
    refs = _drawn_tree(s, data)
    thread = data.draw(st.sampled_from(["other", "thread"]))
    copy = s.put(Ref(thread, checkpoint_id(20), "child"), inherits=refs[-1])
    s.expect_tuple(copy, Part.VALUES, Part.VERSIONS)


@_branch(
    "branch.same_version",
    source="BaseCheckpointSaver.get_next_version may return the same version for two branches, "
    "for example int versions",
    unspecified=True,
    cases=[(1, 2)],
)
def same_version(s: Session, data: DataObject) -> None:
    """Two branches that reach the same version keep their own values."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"a": 0, "b": 0})
    [version] = s.versions(1, first)
    values = data.draw(SIMPLE), data.draw(SIMPLE)
    branches = [
        s.put(
            Ref("thread", checkpoint_id(1 + number)),
            parent=first,
            changes={"a": [number, value]},
            versions={"a": version.value},
        )
        for number, value in enumerate(values)
    ]
    steps = [
        s.put(Ref("thread", checkpoint_id(5 + number)), parent=ref, changes={"b": number})
        for number, ref in enumerate(branches)
    ]
    # A replay of one branch on top of the other: the version is the same, the value is not.
    replayed = Ref("thread", checkpoint_id(9))
    s.put(replayed, parent=branches[0], inherits=branches[1])
    for ref in (*branches, *steps, replayed):
        s.expect_tuple(ref, Part.VALUES)


@_branch(
    "put.again",
    source="InMemorySaver, SqliteSaver and PostgresSaver replace a checkpoint with the same id "
    "and keep its pending writes",
    cases=[(True,), (False,)],
    presumes=["put.replace"],
)
def again(s: Session, data: DataObject) -> None:
    """Putting an id again replaces values, fields and metadata, and keeps writes and parent."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0], "b": [0]})
    second = Ref("thread", checkpoint_id(1))
    metadata = {"source": "loop", "step": 1, "old": "x"}
    fields = {"updated_channels": ["a"], "ts": "2026-02-02T00:00:00+00:00"}
    s.put(second, parent=first, changes={"c": [1]}, metadata=metadata, fields=fields)
    written = data.draw(st.booleans())
    if written:
        s.put_writes(second, [("a", 1), ("a", 2)])
        s.put_writes(second, [("__interrupt__", 1)], "other")
    s.put(second, parent=first, newer_than=second, changes={"b": "absent"}, metadata={"step": 2})
    if written:
        s.put_writes(second, [("a", "late"), ("a", "late"), ("b", "third")])
    got = s.expect_tuple(second, *ALL)
    s.expect('"old" in got.metadata', "old" in got.metadata, False)
    s.expect_list(at("thread"), *ALL)
    s.expect_tuple(first, *ALL)


@_branch(
    "put.again.same_values",
    source="InMemorySaver, SqliteSaver and PostgresSaver replace a checkpoint with the same id",
    cases=[(False,), (True,)],
    presumes=["put.replace"],
)
def again_same_values(s: Session, data: DataObject) -> None:
    """Putting an id again with the same values replaces fields and metadata."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [0], "b": [0]})
    second = Ref("thread", checkpoint_id(1))
    s.put(second, parent=first, changes={"a": [1]}, metadata={"source": "loop", "step": 1})
    fields = {"updated_channels": ["a"], "ts": "2026-02-02T00:00:00+00:00"}
    all_new = data.draw(st.booleans())
    metadata = {"source": "update", "step": 2}
    s.put(second, parent=first, inherits=second, all_new=all_new, fields=fields, metadata=metadata)
    s.expect_tuple(second, *ALL)
    s.expect_list(at("thread"), *ALL)
    s.expect_list(at("thread"), filter={"source": "update"})
