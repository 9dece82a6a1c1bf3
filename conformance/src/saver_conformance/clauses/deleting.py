"""Clauses about delete_thread and delete_for_runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_chain
from saver_conformance.clauses.leftovers import expect_no_leftovers, remember
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id
from saver_conformance.values import SIMPLE

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_DELETE = "BaseCheckpointSaver.delete_thread: delete all checkpoints and writes of a thread"
_RUNS = "BaseCheckpointSaver.delete_for_runs: delete all checkpoints and writes of the given runs"
_LEAK = "langchain-ai/langgraph#8054: unreferenced values were left behind"


@clause(
    "delete_thread.checkpoints",
    cases=[(["", "child", "third"],)],
    source=_DELETE,
    severity=Severity.CRITICAL,
    capability=Capability.DELETE_THREAD,
)
def checkpoints(s: Session, data: DataObject) -> None:
    """delete_thread deletes every checkpoint of the thread, in every namespace."""
    spaces = data.draw(st.lists(st.sampled_from(["", "child", "third"]), min_size=1, unique=True))
    for number, ns in enumerate(spaces):
        s.put(Ref("thread", checkpoint_id(number), ns), changes={"a": [number]})
    s.delete_thread("thread")
    for ns in spaces:
        s.expect_tuple(at("thread", ns))
    s.expect_everything()


@clause(
    "delete_thread.others",
    cases=[("thread",), ("t%",), ("t*",), ("thr_ad",)],
    source=_DELETE,
    severity=Severity.CRITICAL,
    capability=Capability.DELETE_THREAD,
)
def others(s: Session, data: DataObject) -> None:
    """delete_thread keeps other threads, including threads whose ids share a prefix."""
    names = ["thread", "thread2", "thre", "other", "thread:", "t%", "t*", "thr_ad"]
    refs = [Ref(name, checkpoint_id(n)) for n, name in enumerate(names)]
    refs = [
        r for r in refs if s.try_put(r, changes={"a": [r.thread]}, expected_errors=(ValueError,))
    ]
    for ref in refs:
        s.put_writes(ref, [("a", ref.thread)])
    s.delete_thread(data.draw(st.sampled_from([ref.thread for ref in refs])))
    for ref in refs:
        s.expect_tuple(ref, Part.VALUES, Part.WRITES)


@clause(
    "delete_thread.leftovers", source=f"{_DELETE}; {_LEAK}", capability=Capability.DELETE_THREAD
)
def leftovers(s: Session, data: DataObject) -> None:
    """delete_thread leaves no pending writes and no channel values of the thread behind."""
    ref = s.put(Ref("thread", checkpoint_id(0)), changes={"a": [data.draw(SIMPLE)]})
    s.put_writes(ref, [("a", data.draw(SIMPLE))])
    known = remember(s, ref)
    s.delete_thread("thread")
    expect_no_leftovers(s, known)


@clause(
    "delete_thread.early_writes",
    cases=[("", False), ("child", True)],
    source=f"{_DELETE}; writes may arrive before their checkpoint, langchain-ai/langgraph#8039",
    capability=Capability.DELETE_THREAD,
    presumes=["writes.before_checkpoint"],
)
def early_writes(s: Session, data: DataObject) -> None:
    """delete_thread deletes the writes that have no checkpoint yet."""
    early = Ref("thread", checkpoint_id(0), data.draw(st.sampled_from(["", "child"])))
    s.put_writes(early, [("a", 1), ("__interrupt__", 2)])
    if data.draw(st.booleans()):
        s.put(Ref("thread", checkpoint_id(1)))
    s.delete_thread("thread")
    s.put(early)
    s.expect_tuple(early, Part.WRITES)


@clause(
    "delete_thread.unknown",
    cases=[("other",), ("thread",)],
    source=_DELETE,
    severity=Severity.MINOR,
    capability=Capability.DELETE_THREAD,
)
def unknown(s: Session, data: DataObject) -> None:
    """Deleting an unknown thread raises no error, and a deleted thread can be used again."""
    s.delete_thread("thread")
    s.put(Ref("thread", checkpoint_id(0)), changes={"a": 1})
    s.delete_thread(data.draw(st.sampled_from(["other", "thread"])))
    s.delete_thread("thread")
    s.put(Ref("thread", checkpoint_id(1)), changes={"b": [2]})
    s.expect_tuple(at("thread"), *ALL)


def _run(number: str) -> dict[str, object]:
    return {"source": "loop", "step": 0, "run_id": number}


@clause(
    "runs.checkpoints",
    cases=[(4, *["thread", "", "run"] * 4, ["run"]), (2, *["other", "child", "ru"] * 2, ["ru"])],
    source=_RUNS,
    severity=Severity.CRITICAL,
    capability=Capability.DELETE_FOR_RUNS,
)
def run_checkpoints(s: Session, data: DataObject) -> None:
    """delete_for_runs deletes the checkpoints of the given runs, in every thread and namespace."""
    runs = st.sampled_from(["run", "run2", "ru"])
    for number in range(data.draw(st.integers(1, 5))):
        ref = Ref(
            data.draw(st.sampled_from(["thread", "other"])),
            checkpoint_id(number),
            data.draw(st.sampled_from(["", "child"])),
        )
        # The run decides, whatever the source and the step are.
        source = ("update", "loop", "fork", "input", "loop")[number]
        s.put(ref, metadata={**_run(data.draw(runs)), "source": source, "step": number - 1})
    s.delete_for_runs(data.draw(st.lists(runs, max_size=2, unique=True)))
    s.expect_everything()


@clause(
    "runs.values",
    source=f"{_RUNS}; a later run inherits channel values of an earlier run",
    severity=Severity.CRITICAL,
    capability=Capability.DELETE_FOR_RUNS,
)
def run_values(s: Session, data: DataObject) -> None:
    """A remaining checkpoint keeps its writes and the values that a deleted run stored."""
    first = s.put(
        Ref("thread", checkpoint_id(0)),
        changes={"a": [data.draw(SIMPLE)], "b": [1]},
        metadata=_run("old"),
    )
    second = s.put(
        Ref("thread", checkpoint_id(1)), parent=first, changes={"b": [2]}, metadata=_run("new")
    )
    s.put_writes(second, [("b", 3)])
    s.delete_for_runs(["old"])
    s.expect_tuple(second, Part.VALUES, Part.WRITES, Part.METADATA)


@clause(
    "runs.put_again",
    cases=[(False,), (True,)],
    source=f"{_RUNS}; a checkpoint that is put again has its new metadata",
    capability=Capability.DELETE_FOR_RUNS,
    presumes=["put.replace"],
)
def run_put_again(s: Session, data: DataObject) -> None:
    """A checkpoint that was put again belongs to the run of the second put only."""
    refs = [Ref("thread", checkpoint_id(number)) for number in range(2)]
    for ref in refs:
        s.put(ref, changes={"a": [0]}, metadata=_run("old"))
    s.put(
        refs[0],
        newer_than=refs[0],
        changes={"a": [1]},
        metadata=_run("new") if data.draw(st.booleans()) else {"source": "loop"},
    )
    s.delete_for_runs(["old"])
    s.expect_everything()
    s.delete_for_runs(["new"])
    s.expect_everything()


@clause(
    "runs.merged",
    cases=[("metadata",), ("configurable",)],
    source=f"{_RUNS}; get_checkpoint_metadata merges the run id of the config into the metadata",
    severity=Severity.CRITICAL,
    capability=Capability.DELETE_FOR_RUNS,
    presumes=["metadata.merged"],
)
def run_merged(s: Session, data: DataObject) -> None:
    """delete_for_runs deletes checkpoints whose run id came with the config of put."""
    place = data.draw(st.sampled_from(["metadata", "configurable"]))
    for number in range(3):
        config = at("thread")
        config[place] = {**config.get(place, {}), "run_id": f"run-{number % 2}"}
        metadata = {"source": "loop", "step": number}
        s.put(Ref("thread", checkpoint_id(number)), config=config, metadata=metadata)
    s.delete_for_runs(["run-0"])
    s.expect_everything()


@clause("runs.leftovers", source=f"{_RUNS}; {_LEAK}", capability=Capability.DELETE_FOR_RUNS)
def run_leftovers(s: Session, data: DataObject) -> None:
    """delete_for_runs leaves no pending writes and no channel values of the run behind."""
    ref = s.put(
        Ref("thread", checkpoint_id(0)), changes={"a": [data.draw(SIMPLE)]}, metadata=_run("run")
    )
    s.put_writes(ref, [("a", 1)])
    known = remember(s, ref)
    s.delete_for_runs(["run"])
    expect_no_leftovers(s, known)


@clause(
    "runs.unknown",
    cases=[([],), (["none"],), ([""],)],
    source=_RUNS,
    severity=Severity.MINOR,
    capability=Capability.DELETE_FOR_RUNS,
)
def run_unknown(s: Session, data: DataObject) -> None:
    """Deleting unknown runs raises no error and deletes nothing."""
    s.put(Ref("thread", checkpoint_id(0)))
    s.put(Ref("thread", checkpoint_id(1)), metadata=_run("run"))
    s.delete_for_runs(data.draw(st.sampled_from([[], ["none"], [""], ["none", "other"]])))
    s.expect_list(at("thread"))


@clause(
    "runs.delta",
    source="BaseCheckpointSaver.delete_for_runs warns that DeltaChannels may break",
    severity=Severity.CRITICAL,
    capability=Capability.DELETE_FOR_RUNS,
    needs=[Capability.DELTA_HISTORY],
    unspecified=True,
)
def run_delta(s: Session, data: DataObject) -> None:
    """A DeltaChannel keeps its value after a run that wrote to it is deleted."""
    count = data.draw(st.integers(2, 4))
    refs = delta_chain(s, count, lambda number: {"run_id": f"run-{number // 2}"})
    name = s.script.name("before")
    before = s.call("get_delta_channel_history", config=at("thread"), channels=["log"], bind=name)
    s.delete_for_runs(["run-0"] if len(refs) > 2 else ["none"])
    name = s.script.name("after")
    after = s.call("get_delta_channel_history", config=at("thread"), channels=["log"], bind=name)
    written = [write[2] for write in after["log"]["writes"]]
    s.expect(
        f'[write[2] for write in {name}["log"]["writes"]]',
        written,
        [write[2] for write in before["log"]["writes"]],
    )
