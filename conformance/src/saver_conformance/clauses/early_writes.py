"""Clauses about pending writes without a checkpoint: it comes later, or was deleted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id
from saver_conformance.values import SIMPLE, SPECIAL_WRITES

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_REF = Ref("thread", checkpoint_id(0))
_writes = partial(clause, capability=Capability.PUT_WRITES)


@_writes(
    "writes.before_checkpoint",
    source="langchain-ai/langgraph#8039: the runtime saves in the background, "
    "so writes can arrive before their checkpoint",
    severity=Severity.CRITICAL,
)
def before_checkpoint(s: Session, data: DataObject) -> None:
    """Writes that arrive before their checkpoint are hidden until the checkpoint is put."""
    s.put_writes(_REF, [("channel", data.draw(SIMPLE))])
    s.expect_tuple(_REF)
    s.expect_list(at("thread"))
    s.put(_REF)
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.after_delete",
    source="langchain-ai/langgraph#7206: a late write restored a deleted thread",
    needs=[Capability.DELETE_THREAD],
)
def after_delete(s: Session, data: DataObject) -> None:
    """A write that arrives after its thread was deleted creates no checkpoint."""
    s.put(_REF, changes={"channel": data.draw(SIMPLE)})
    s.delete_thread("thread")
    s.put_writes(_REF, [("channel", 1)])
    s.expect_tuple(_REF)
    s.expect_tuple(at("thread"))
    s.expect_list(at("thread"))


@_writes(
    "writes.before_checkpoint.kept",
    cases=[("",), ("child",)],
    source="langchain-ai/langgraph#8039: writes may arrive before their checkpoint",
    needs=[Capability.DELETE_THREAD],
    presumes=["writes.before_checkpoint"],
)
def early_writes_kept(s: Session, data: DataObject) -> None:
    """Deletions in other threads keep writes that have no checkpoint yet."""
    early = Ref("thread", checkpoint_id(1), data.draw(st.sampled_from(["", "child"])))
    s.put_writes(early, [("a", 1), *SPECIAL_WRITES])
    for number in range(3):
        metadata = {"source": "loop", "step": number, "run_id": f"run-{number}"}
        s.put(Ref("other", checkpoint_id(number)), metadata=metadata)
    if Capability.DELETE_FOR_RUNS in s.claimed:
        s.delete_for_runs(["run-0"])
    if Capability.PRUNE in s.claimed:
        s.prune(["other"], "keep_latest")
    s.delete_thread("other")
    s.put(early)
    s.expect_tuple(early, Part.WRITES)
