"""Clauses about copy_thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_chain
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id
from saver_conformance.values import SIMPLE, SPECIAL_WRITES

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_COPY = (
    "BaseCheckpointSaver.copy_thread: copy all checkpoints and writes from one thread to another"
)


def _chain(s: Session, data: DataObject, ns: str = "") -> list[Ref]:
    refs: list[Ref] = []
    for number in range(data.draw(st.integers(1, 3))):
        parent = refs[-1] if refs else None
        changes = data.draw(st.dictionaries(st.sampled_from(["a", "b"]), SIMPLE, max_size=2))
        metadata = {"source": "loop", "step": number, "run_id": "run"}
        ref = Ref("thread", checkpoint_id(number), ns)
        refs.append(s.put(ref, parent=parent, changes=changes, metadata=metadata))
    return refs


@clause(
    "copy.checkpoints", source=_COPY, severity=Severity.CRITICAL, capability=Capability.COPY_THREAD
)
def checkpoints(s: Session, data: DataObject) -> None:
    """The target thread has every checkpoint of the source, in every namespace, with its parent."""
    for ns in data.draw(st.lists(st.sampled_from(["", "child"]), min_size=1, unique=True)):
        _chain(s, data, ns)
    s.copy_thread("thread", "copy")
    s.expect_everything(*ALL, thread="copy")
    s.expect_everything(*ALL, thread="thread")


@clause(
    "copy.writes",
    source=_COPY,
    severity=Severity.CRITICAL,
    capability=Capability.COPY_THREAD,
    presumes=["writes.order.*"],
)
def writes(s: Session, data: DataObject) -> None:
    """A copy has all pending writes in the specified order."""
    for ref in _chain(s, data):
        s.put_writes(ref, [("a", n) for n in range(11)], "task-b", task_path="a")
        s.put_writes(ref, [("a", "x"), *SPECIAL_WRITES], "task-a", task_path="b")
    s.copy_thread("thread", "copy")
    s.expect_list(at("copy"), Part.WRITES)


@clause(
    "copy.early_writes",
    cases=[("",), ("child",)],
    source=f"{_COPY}; writes may arrive before their checkpoint, langchain-ai/langgraph#8039",
    capability=Capability.COPY_THREAD,
    presumes=["writes.before_checkpoint"],
)
def early_writes(s: Session, data: DataObject) -> None:
    """A copy has the writes that have no checkpoint yet."""
    ns = data.draw(st.sampled_from(["", "child"]))
    s.put(Ref("thread", checkpoint_id(0)))
    s.put_writes(Ref("thread", checkpoint_id(1), ns), [("a", 1), *SPECIAL_WRITES])
    s.copy_thread("thread", "copy")
    late = s.put(Ref("copy", checkpoint_id(1), ns))
    s.expect_tuple(late, Part.WRITES)


@clause(
    "copy.runs",
    source=f"{_COPY}; a copy has the metadata of its original",
    severity=Severity.CRITICAL,
    capability=Capability.COPY_THREAD,
    needs=[Capability.DELETE_FOR_RUNS],
    presumes=["copy.checkpoints", "runs.checkpoints"],
)
def runs(s: Session, data: DataObject) -> None:
    """delete_for_runs deletes the copies of the checkpoints of a run, too."""
    for number in range(data.draw(st.integers(2, 3))):
        metadata = {"source": "loop", "step": number, "run_id": f"run-{number % 2}"}
        s.put(Ref("thread", checkpoint_id(number)), metadata=metadata)
    s.copy_thread("thread", "copy")
    s.delete_for_runs(["run-0"])
    s.expect_everything()


@clause(
    "copy.existing",
    cases=[(0,), (1,)],
    source="BaseCheckpointSaver.copy_thread does not specify a target that has checkpoints",
    capability=Capability.COPY_THREAD,
    unspecified=True,
)
def existing(s: Session, data: DataObject) -> None:
    """A copy into a thread with checkpoints raises, or replaces equal ids and keeps the others."""
    number = data.draw(st.integers(0, 1))
    s.put(Ref("thread", checkpoint_id(0)), changes={"a": ["source"]}, metadata={"step": 1})
    for target in (number, number + 5):
        ref = s.put(Ref("copy", checkpoint_id(target)), changes={"a": [target], "b": [0]})
        s.put_writes(ref, [("b", target)], "other")
    s.copy_thread("thread", "copy", expected_errors=(Exception,))
    s.expect_list(at("copy"), *ALL)


@clause(
    "copy.independent",
    source=_COPY,
    severity=Severity.CRITICAL,
    capability=Capability.COPY_THREAD,
    needs=[Capability.DELETE_THREAD],
)
def independent(s: Session, data: DataObject) -> None:
    """A change to the source or to the copy does not affect the other thread."""
    last = _chain(s, data)[-1]
    s.put_writes(last, [("a", 1)], "task-a")
    s.copy_thread("thread", "copy")
    touched, left = data.draw(st.permutations(["thread", "copy"]))
    change = data.draw(st.sampled_from(["delete", "add", "prune"]))
    if change == "delete":
        s.delete_thread(touched)
    elif change == "prune" and Capability.PRUNE in s.claimed:
        s.prune([touched], "keep_latest")
    else:
        copied = Ref(touched, last.id)
        s.put_writes(copied, [("a", 2)], "task-b")
        s.put(Ref(touched, checkpoint_id(9)), parent=copied, changes={"a": ["new"]})
    s.expect_list(at(left), *ALL)
    s.expect_list(at(touched), *ALL)


@clause(
    "copy.delta",
    cases=[(2,), (4,)],
    source="BaseCheckpointSaver.copy_thread: must copy the complete parent chain, "
    "so that a DeltaChannel can be rebuilt",
    severity=Severity.CRITICAL,
    capability=Capability.COPY_THREAD,
    needs=[Capability.DELTA_HISTORY],
)
def delta(s: Session, data: DataObject) -> None:
    """A DeltaChannel has the same history in the copy, and in the copy of a pruned thread."""
    delta_chain(s, data.draw(st.integers(2, 4)))
    s.copy_thread("thread", "copy")
    s.expect_history(at("copy"), ["log"])
    if Capability.PRUNE in s.claimed:
        # prune keeps the history, or refuses such a thread.
        refusal = (NotImplementedError,)
        s.call("prune", ["copy"], strategy="keep_latest", expected_errors=refusal)
        s.copy_thread("copy", "again")
        s.expect_history(at("again"), ["log"])


@clause(
    "copy.itself",
    source="BaseCheckpointSaver.copy_thread does not specify a thread that is copied onto itself",
    severity=Severity.CRITICAL,
    capability=Capability.COPY_THREAD,
    unspecified=True,
)
def itself(s: Session, data: DataObject) -> None:
    """Copying a thread onto itself raises, or changes nothing."""
    for ref in _chain(s, data):
        s.put_writes(ref, [("a", 1)])
    s.copy_thread("thread", "thread", expected_errors=(Exception,))
    s.expect_list(at("thread"), *ALL)


@clause(
    "copy.unknown",
    cases=[("none",), ("threa",)],
    source="BaseCheckpointSaver.copy_thread does not specify an unknown source; "
    "the official suite allows an error",
    severity=Severity.MINOR,
    capability=Capability.COPY_THREAD,
    unspecified=True,
)
def unknown(s: Session, data: DataObject) -> None:
    """Copying an unknown thread raises no error and creates no thread."""
    s.put(Ref("thread", checkpoint_id(0)))
    s.copy_thread(data.draw(st.sampled_from(["none", "threa"])), "copy")
    s.expect_everything()
    s.expect_list(at("copy"))
