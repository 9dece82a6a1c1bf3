"""Clauses about get_delta_channel_history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_step
from saver_conformance.session import ABSENT, Ref, Session, at, checkpoint_id

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_DOC = "BaseCheckpointSaver.get_delta_channel_history"


@clause(
    "history.path",
    source=f"{_DOC}: walks the parent chain; for forked threads, only on-path ancestors contribute",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
)
def path(s: Session, data: DataObject) -> None:
    """The history of a fork has the writes of its own ancestors and of no other branch."""
    refs = [delta_step(s, 0, None)]
    s.put_writes(refs[0], [("log", 0)])
    for number in range(1, data.draw(st.integers(3, 5))):
        refs.append(delta_step(s, number, data.draw(st.sampled_from(refs))))
        s.put_writes(refs[-1], [("log", number)])
    for ref in refs:
        s.expect_history(ref.config, ["log"])


@clause(
    "history.seed",
    source=f"{_DOC}: the walk terminates at the nearest ancestor whose value is populated",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
)
def seed(s: Session, data: DataObject) -> None:
    """The history starts at the nearest ancestor with a stored value and includes its writes."""
    refs: list[Ref] = []
    count = data.draw(st.integers(2, 5))
    stored = data.draw(st.sets(st.integers(0, count - 1)))
    for number in range(count):
        value = [f"seed-{number}"] if number in stored else ABSENT
        refs.append(delta_step(s, number, refs[-1] if refs else None, {"log": value}))
        s.put_writes(refs[-1], [("log", number)])
    s.expect_history(at("thread"), ["log"])


@clause(
    "history.order",
    source=f"{_DOC}: deltas oldest to newest, within a checkpoint by writes_sort_key",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
    presumes=["writes.order.*"],
)
def order(s: Session, data: DataObject) -> None:
    """Writes are ordered from oldest to newest checkpoint, then in the order of pending_writes."""
    first = delta_step(s, 0, None)
    for task in data.draw(st.permutations(["task-0", "task-1"])):
        place = "b" if task == "task-0" else "a"
        s.put_writes(first, [("log", f"{task}-{n}") for n in range(11)], task, task_path=place)
    second = delta_step(s, 1, first)
    s.put_writes(second, [("log", "last")])
    delta_step(s, 2, second)
    s.expect_history(at("thread"), ["log"])


@clause(
    "history.channels",
    cases=[([],), (["log", "more", "none"],)],
    source=f"{_DOC}: an entry for every name in channels; empty gives an empty mapping",
    severity=Severity.MAJOR,
    capability=Capability.DELTA_HISTORY,
)
def channels(s: Session, data: DataObject) -> None:
    """Each requested channel has an entry with its own writes and its own seed."""
    first = delta_step(s, 0, None, {"log": ABSENT, "more": ["seed"], "plain": 1})
    s.put_writes(first, [("log", 0), ("more", 1), ("plain", 2)])
    second = delta_step(s, 1, first, {"log": ABSENT, "more": ABSENT})
    s.put_writes(second, [("more", 3), ("log", 4)])
    delta_step(s, 2, second, {"log": ABSENT, "more": ABSENT})
    names = st.sampled_from(["log", "more", "none"])
    s.expect_history(at("thread"), data.draw(st.lists(names, unique=True)))


@clause(
    "history.target",
    source="DeltaChannelHistory: writes stored at the target itself are pending and are excluded",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
)
def target(s: Session, data: DataObject) -> None:
    """The history excludes the writes of the target checkpoint."""
    last = delta_step(s, 0, None)
    s.put_writes(last, [("log", 0)])
    if data.draw(st.booleans()):
        last = delta_step(s, 1, last)
    s.put_writes(last, [("log", 1)], "task-b")
    s.expect_history(data.draw(st.sampled_from([at("thread"), last.config])), ["log"])


@clause(
    "history.unknown",
    cases=[(at("none"),), (at("thread", "", checkpoint_id(7)),)],
    source=f"{_DOC}: with no target the default walk finds nothing",
    severity=Severity.MINOR,
    capability=Capability.DELTA_HISTORY,
)
def unknown(s: Session, data: DataObject) -> None:
    """An unknown thread or checkpoint has an empty history."""
    delta_step(s, 0, None)
    config = data.draw(st.sampled_from([at("none"), at("thread", "", checkpoint_id(7))]))
    s.expect_history(config, ["log"])


@clause(
    "history.loop",
    source="the base class does not exclude a cycle of parents, which must not hang a reader",
    severity=Severity.MINOR,
    capability=Capability.DELTA_HISTORY,
    unspecified=True,
)
def loop(s: Session, data: DataObject) -> None:
    """A cycle of parents ends the walk."""
    ref = Ref("thread", checkpoint_id(0))
    other = Ref("thread", checkpoint_id(1))
    delta_step(s, 0, data.draw(st.sampled_from([ref, other])))
    delta_step(s, 1, ref)
    s.put_writes(ref, [("log", 0)])
    # An endless walk may consume memory, so this call gets little time.
    with s.limit(2):
        s.call("get_delta_channel_history", config=other.config, channels=["log"])
