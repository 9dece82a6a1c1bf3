"""Clauses about prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_chain, delta_step
from saver_conformance.clauses.leftovers import expect_no_leftovers, remember
from saver_conformance.parts import ALL, Part
from saver_conformance.session import ABSENT, Ref, Session, at, checkpoint_id
from saver_conformance.values import SIMPLE, SPECIAL_WRITES

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_LATEST = (
    "BaseCheckpointSaver.aprune: keep_latest retains only the most recent checkpoint per namespace"
)
_DELETE = "BaseCheckpointSaver.aprune: delete removes all checkpoints"
_POSTGRES = "PostgresSaver.prune 3.2.0 documents it; the base class does not specify it"


def _chain(s: Session, count: int, thread: str = "thread", ns: str = "") -> list[Ref]:
    refs: list[Ref] = []
    for number in range(count):
        parent = refs[-1] if refs else None
        metadata = {"source": "loop", "step": number, "parents": {}}
        ref = Ref(thread, checkpoint_id(number), ns)
        refs.append(s.put(ref, parent=parent, changes={"a": [number]}, metadata=metadata))
    return refs


@clause(
    "prune.keep_latest",
    cases=[(["", "child", "child|inner"], [2, 1, 0], [0, 1, 2], [1, 2, 0])],
    source=_LATEST,
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
)
def keep_latest(s: Session, data: DataObject) -> None:
    """keep_latest keeps the latest checkpoint of each namespace and deletes every other one."""
    spaces = st.sampled_from(["", "child", "child|inner"])
    for ns in data.draw(st.lists(spaces, min_size=1, unique=True)):
        for number in data.draw(st.permutations(range(3))):
            metadata = {"source": "loop", "step": number, "parents": {}}
            s.put(Ref("thread", checkpoint_id(number), ns), metadata=metadata)
    s.prune(["thread"], "keep_latest")
    s.expect_everything(thread="thread")


@clause(
    "prune.default",
    cases=[(1,), (3,)],
    source='BaseCheckpointSaver.prune: strategy: str = "keep_latest"',
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
)
def default(s: Session, data: DataObject) -> None:
    """prune without a strategy keeps the latest checkpoints."""
    _chain(s, data.draw(st.integers(1, 3)))
    s.prune(["thread"])
    s.expect_list(at("thread"))


@clause("prune.values", source=_LATEST, severity=Severity.CRITICAL, capability=Capability.PRUNE)
def values(s: Session, data: DataObject) -> None:
    """A kept checkpoint keeps its values, including values that a pruned one stored."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [data.draw(SIMPLE)], "b": [0]})
    second = s.put(Ref("thread", checkpoint_id(1)), parent=first, changes={"b": [1]})
    last = s.put(Ref("thread", checkpoint_id(2)), parent=second, changes={"c": [2]})
    s.prune(["thread"], "keep_latest")
    s.expect_tuple(last, Part.VALUES, Part.VERSIONS, Part.METADATA)


@clause(
    "prune.writes",
    cases=[(1,), (3,)],
    source=_LATEST,
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
    presumes=["writes.order.*"],
)
def writes(s: Session, data: DataObject) -> None:
    """A kept checkpoint keeps its pending writes in the specified order."""
    last = _chain(s, data.draw(st.integers(1, 3)))[-1]
    s.put_writes(last, [("a", n) for n in range(11)], "task-b", task_path="a")
    s.put_writes(last, SPECIAL_WRITES, "task-a", task_path="b")
    s.prune(["thread"], "keep_latest")
    s.expect_tuple(at("thread"), Part.ID, Part.WRITES)


@clause(
    "prune.delete",
    cases=[(1,), (3,)],
    source=_DELETE,
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
)
def delete(s: Session, data: DataObject) -> None:
    """The strategy delete deletes all checkpoints, values and writes of the threads."""
    last = _chain(s, data.draw(st.integers(1, 3)))[-1]
    _chain(s, 1, ns="child")
    s.put_writes(last, [("a", 1)])
    known = remember(s, last)
    s.prune(["thread"], "delete")
    s.expect_everything(thread="thread")
    expect_no_leftovers(s, known)


@clause(
    "prune.leftovers",
    cases=[(2,), (3,)],
    source=f"{_LATEST}; langchain-ai/langgraph#8054: unreferenced values were left behind",
    capability=Capability.PRUNE,
)
def leftovers(s: Session, data: DataObject) -> None:
    """prune leaves no pending writes and no channel values of pruned checkpoints behind."""
    first, *_ = _chain(s, data.draw(st.integers(2, 3)))
    s.put_writes(first, [("a", 1)])
    known = remember(s, first)
    s.prune(["thread"], "keep_latest")
    expect_no_leftovers(s, known)


@clause(
    "prune.others",
    cases=[([], "delete"), (["none"], "delete"), (["thread", "other"], "keep_latest")],
    source=_LATEST,
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
)
def others(s: Session, data: DataObject) -> None:
    """prune keeps threads that are not listed and ignores unknown threads."""
    for thread in ("thread", "thread2", "other"):
        _chain(s, 2, thread)
    names = st.sampled_from(["thread", "other", "none", "thre"])
    chosen = data.draw(st.lists(names, max_size=3, unique=True))
    s.prune(chosen, data.draw(st.sampled_from(["keep_latest", "delete"])))
    s.expect_everything(Part.VALUES)


@clause(
    "prune.delta",
    cases=[(2,), (4,)],
    source="BaseCheckpointSaver.prune: must keep what a DeltaChannel is rebuilt from; "
    "rejecting the thread is allowed",
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
    needs=[Capability.DELTA_HISTORY],
)
def delta(s: Session, data: DataObject) -> None:
    """A DeltaChannel keeps its value after keep_latest, or prune raises and changes nothing."""
    refs = delta_chain(s, data.draw(st.integers(2, 4)))
    wanted = list(range(len(refs) - 1))
    s.call("prune", ["thread"], strategy="keep_latest", expected_errors=(NotImplementedError,))
    s.expect_tuple(at("thread"), Part.ID)
    name = s.script.name("history")
    channels = ["log"]
    history = s.call("get_delta_channel_history", config=at("thread"), channels=channels, bind=name)
    seed = history["log"].get("seed")
    if seed is None:
        written = [write[2] for write in history["log"]["writes"]]
        s.expect(f'[write[2] for write in {name}["log"]["writes"]]', written, wanted)


@clause(
    "prune.deltas",
    cases=[
        *(
            (depth, other, seed, ns)
            for depth, other, ns in ((0, 2, ""), (2, 0, ""), (1, 3, "child"))
            for seed in (["seed"], None, 0)
        ),
    ],
    source="BaseCheckpointSaver.prune: preserve every ancestor up to the nearest snapshot, for "
    "every DeltaChannel; a fresh snapshot on the kept checkpoint, or an error, is allowed",
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
    needs=[Capability.DELTA_HISTORY],
    presumes=["prune.delta"],
)
def deltas(s: Session, data: DataObject) -> None:
    """After keep_latest, DeltaChannels whose snapshots lie at different depths are unchanged."""
    snapshots = [data.draw(st.integers(0, 3)) for _ in range(2)]
    value = data.draw(st.sampled_from([["seed"], None, 0, []]))
    ns = data.draw(st.sampled_from(["", "child"]))
    last: Ref | None = None
    for number in range(5):
        changes = {
            channel: value if number == snapshot else ABSENT
            for channel, snapshot in zip(("log", "more"), snapshots, strict=True)
        }
        last = delta_step(s, number, last, changes, ns=ns)
        s.put_writes(last, [("log", number), ("more", [number])])
    s.call("prune", ["thread"], strategy="keep_latest", expected_errors=(NotImplementedError,))
    got = s.expect_tuple(at("thread", ns), Part.ID)
    fresh = got.checkpoint["channel_values"]
    s.expect_history(at("thread", ns), [c for c in ("log", "more") if c not in fresh])


@clause(
    "prune.delta.again",
    cases=[(2, 1), (3, 2)],
    source="BaseCheckpointSaver.prune: must keep what a DeltaChannel is rebuilt from; a service "
    "prunes its threads again and again",
    severity=Severity.CRITICAL,
    capability=Capability.PRUNE,
    needs=[Capability.DELTA_HISTORY],
    presumes=["prune.delta"],
)
def delta_again(s: Session, data: DataObject) -> None:
    """A DeltaChannel keeps its value when its thread continues and is pruned again."""
    refs = delta_chain(s, data.draw(st.integers(2, 4)))
    steps = data.draw(st.integers(1, 2))
    for number in range(2):
        refusal = (NotImplementedError,)
        refused = s.call("prune", ["thread"], strategy="keep_latest", expected_errors=refusal)
        if isinstance(refused, Exception) or _is_fresh(s):
            return
        s.model.prune(["thread"])
        for step in range(steps):
            refs.append(delta_step(s, 10 * (number + 1) + step, refs[-1]))
            s.put_writes(refs[-1], [("log", f"after {number}")])
        s.expect_history(at("thread"), ["log"])


def _is_fresh(s: Session) -> bool:
    """Return True if prune stored a snapshot in the kept checkpoint."""
    got = s.call("get_tuple", at("thread"))
    with s.guard("reading a tuple"):
        return "log" in got.checkpoint["channel_values"]


@clause(
    "prune.parent",
    cases=[(1,), (3,)],
    source=_POSTGRES,
    severity=Severity.MINOR,
    capability=Capability.PRUNE,
    unspecified=True,
)
def parent(s: Session, data: DataObject) -> None:
    """A kept checkpoint whose parent was pruned has no parent."""
    _chain(s, data.draw(st.integers(1, 3)))
    s.prune(["thread"], "keep_latest")
    s.expect_tuple(at("thread"), Part.PARENT)


@clause(
    "prune.subgraphs",
    source=_POSTGRES,
    severity=Severity.MINOR,
    capability=Capability.PRUNE,
    unspecified=True,
)
def subgraphs(s: Session, data: DataObject) -> None:
    """keep_latest deletes the namespace of a subgraph call whose root checkpoint is pruned."""
    roots = _chain(s, 3)
    for number, root in enumerate(roots):
        metadata = {"source": "loop", "step": 0, "parents": {"": root.id}}
        s.put(Ref("thread", checkpoint_id(number), f"call:task-{number}"), metadata=metadata)
        inner = f"call:task-{number}|inner:task"
        s.put(Ref("thread", checkpoint_id(number), inner), metadata=metadata)
        if data.draw(st.booleans()):
            s.put(Ref("thread", checkpoint_id(number), "persistent"), metadata=metadata)
    s.prune(["thread"], "keep_latest")
    s.expect_everything(*ALL, thread="thread")


@clause(
    "prune.one_string",
    cases=[("ab",), ("a",)],
    source=_POSTGRES,
    severity=Severity.MINOR,
    capability=Capability.PRUNE,
    unspecified=True,
)
def one_string(s: Session, data: DataObject) -> None:
    """A str as thread_ids raises TypeError and prunes nothing."""
    for thread in ("ab", "a", "b"):
        _chain(s, 2, thread)
    text = data.draw(st.sampled_from(["ab", "a"]))
    error = s.call("prune", text, bind="answer", expected_errors=(TypeError,))
    if not isinstance(error, TypeError):
        s.fail_assertion(
            "isinstance(answer, TypeError)", f"prune({text!r}) did not raise TypeError"
        )
    s.expect_everything()


@clause(
    "prune.bad_strategy",
    cases=[("keep_all",), ("",), ("Delete",)],
    source="BaseCheckpointSaver.prune specifies two strategies; "
    "an unknown strategy must not lose a thread",
    severity=Severity.MINOR,
    capability=Capability.PRUNE,
)
def bad_strategy(s: Session, data: DataObject) -> None:
    """An unknown strategy deletes nothing."""
    _chain(s, 2)
    strategy = data.draw(st.sampled_from(["keep_all", "", "Delete"]))
    s.call("prune", ["thread"], strategy=strategy, expected_errors=(Exception,))
    s.expect_list(at("thread"), Part.VALUES)


@clause(
    "prune.bad_strategy.raises",
    cases=[("keep_all", 0), ("Delete", 1)],
    source=f"an unknown strategy is an error of the caller; {_POSTGRES}",
    severity=Severity.MINOR,
    capability=Capability.PRUNE,
    unspecified=True,
)
def bad_strategy_raises(s: Session, data: DataObject) -> None:
    """An unknown strategy raises ValueError, also without threads."""
    strategy = data.draw(st.sampled_from(["keep_all", "Delete"]))
    threads = ["thread"][: data.draw(st.integers(0, 1))]
    _chain(s, 2)
    error = s.call("prune", threads, bind="answer", strategy=strategy, expected_errors=(Exception,))
    if not isinstance(error, ValueError):
        message = f"prune with the strategy {strategy!r} did not raise ValueError"
        s.fail_assertion("isinstance(answer, ValueError)", message)
