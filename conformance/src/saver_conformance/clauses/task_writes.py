"""Clauses about the writes of several tasks, and of several checkpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_REF = Ref("thread", checkpoint_id(0))
_writes = partial(clause, capability=Capability.PUT_WRITES, severity=Severity.CRITICAL)

#: Texts in descending order of their code points.
_TEXTS = [
    ["b", "a", "_", "B", "A"],
    ["x" * 300 + text for text in "cba"],
    ["10", "1-", "1 ", "1"],
    ["\U0001f600", "\uffee", "é", "z", "e"],
]


@_writes(
    "writes.order.text",
    cases=[(texts, by_path) for texts in _TEXTS for by_path in (True, False)],
    source="writes_sort_key compares task paths and task ids as str",
    presumes=["writes.order.path", "writes.order.task"],
)
def order_text(s: Session, data: DataObject) -> None:
    """Task paths and task ids of any length are ordered by code point."""
    s.put(_REF)
    texts = data.draw(st.sampled_from(_TEXTS))
    by_path = data.draw(st.booleans())
    for number, text in enumerate(texts):
        task, path = (f"task-{number}", text) if by_path else (text, "path")
        s.put_writes(_REF, [("channel", number)], task, task_path=path)
    s.expect_tuple(_REF, Part.WRITES)
    s.expect_list(at("thread"), Part.WRITES)


@_writes(
    "writes.last_wins.own",
    cases=[(channel,) for channel in ("__error__", "__interrupt__", "__resume__", "__scheduled__")],
    source="WRITES_IDX_MAP; parallel tasks fail, interrupt and resume on their own",
    presumes=["writes.last_wins"],
)
def last_wins_own(s: Session, data: DataObject) -> None:
    """A special write replaces no write of another task, and of no other checkpoint."""
    other = Ref("thread", checkpoint_id(1))
    s.put(_REF)
    s.put(other, parent=_REF)
    channel = data.draw(
        st.sampled_from(["__error__", "__interrupt__", "__resume__", "__scheduled__"])
    )
    for number, task in enumerate(["task-a", "task-b", "task-c", "task-a"]):
        s.put_writes(_REF, [(channel, number)], task)
    s.put_writes(other, [(channel, "other")], "task-b")
    s.expect_list(at("thread"), Part.WRITES)


@_writes(
    "writes.own_checkpoint.chain",
    cases=[(2, 0), (3, 1)],
    source="BaseCheckpointSaver.put_writes: intermediate writes linked to a checkpoint",
)
def chain(s: Session, data: DataObject) -> None:
    """A checkpoint has no writes of its parent or of its children."""
    refs: list[Ref] = []
    for number in range(data.draw(st.integers(2, 4))):
        ref = Ref("thread", checkpoint_id(number))
        refs.append(s.put(ref, parent=refs[-1] if refs else None, changes={"a": [number]}))
    written = data.draw(st.integers(0, 3)) % len(refs)
    s.put_writes(refs[written], [("a", written), ("__interrupt__", 1)])
    later = Ref("thread", checkpoint_id(7))
    s.put(later, parent=refs[written], changes={"a": ["later"]}, newer_than=refs[-1])
    s.expect_list(at("thread"), Part.WRITES)
    s.expect_tuple(later, Part.WRITES)
