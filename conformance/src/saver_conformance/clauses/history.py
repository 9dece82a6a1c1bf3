"""Clauses about get_delta_channel_history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from langgraph.checkpoint.base import BaseCheckpointSaver

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_step
from saver_conformance.equality import same
from saver_conformance.session import ABSENT, Ref, Session, at, checkpoint_id
from saver_conformance.values import FALSY

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

#: Steps of a tree: position of the parent from 1, or 0; changed channels; written channels. The
#: text `absent` stands for a channel without a value.
Steps = list[tuple[int, dict[str, Any], list[tuple[str, Any]]]]

_BOTH_ABSENT = {"log": "absent", "more": "absent"}
_FALSY: list[Any] = [None, False, 0, 0.0, "", b"", [], {}]
_TREES: list[Steps] = [
    [
        (0, {"log": None, "more": "absent"}, [("log", None), ("more", 0)]),
        (1, {"log": "absent", "more": []}, [("log", False), ("more", None), ("more", "")]),
        (2, _BOTH_ABSENT, [("more", {}), ("log", 0), ("log", None)]),
        (2, {"log": [7], "more": "absent"}, [("log", 8), ("more", 8)]),
        (3, _BOTH_ABSENT, [("log", b""), ("more", 0.0)]),
        (4, {}, [("more", "last")]),
    ],
    *(
        [
            (0, {"log": value, "more": [1]}, [("log", value)]),
            (1, _BOTH_ABSENT, []),
            (2, _BOTH_ABSENT, [("more", value)]),
            (3, _BOTH_ABSENT, []),
        ]
        for value in _FALSY
    ),
]

_CHANNEL = st.sampled_from(["log", "more"])
_TREE = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.dictionaries(_CHANNEL, st.just("absent") | st.just("absent") | FALSY),
        st.lists(st.tuples(_CHANNEL, FALSY | st.integers(1, 9)), max_size=2),
    ),
    min_size=2,
    max_size=7,
)

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


def _tree(s: Session, steps: Steps) -> list[Ref]:
    refs: list[Ref] = []
    for number, (position, drawn, writes) in enumerate(steps):
        changes = {k: ABSENT if v == "absent" else v for k, v in drawn.items()}
        parent = refs[min(position, number) - 1] if position and number else None
        ref = Ref("thread", checkpoint_id(number))
        metadata = {
            "source": "loop",
            "step": number,
            "counters_since_delta_snapshot": {"log": [1, 1], "more": [1, 1]},
        }
        newest = refs[-1] if refs else None
        refs.append(
            s.put(ref, parent=parent, changes=changes, newer_than=newest, metadata=metadata)
        )
        for task, write in enumerate(writes):
            s.put_writes(ref, [write], f"task-{task}")
    return refs


@clause(
    "history.tree",
    source=f"{_DOC}: each channel has its own seed on the path, which may be None",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
    presumes=["history.path", "history.seed"],
    cases=[(tree,) for tree in _TREES],
)
def tree(s: Session, data: DataObject) -> None:
    """Seeds and writes may be falsy or None, at different depths and on sibling branches."""
    refs = _tree(s, data.draw(_TREE))
    for ref in refs:
        s.expect_history(ref.config, ["log", "more"])
    s.expect_history(at("thread"), ["more"])


@clause(
    "history.walk",
    source=f"{_DOC}: a saver may override the walk for speed, with the same result",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
    cases=[(tree,) for tree in _TREES],
)
def walk(s: Session, data: DataObject) -> None:
    """The history equals the history that the base class finds in the same store."""
    for ref in _tree(s, data.draw(_TREE)):
        channels = ["log", "more", "none"]
        history, base = s.script.name("history"), s.script.name("base")
        arguments: dict[str, Any] = {"config": ref.config, "channels": channels}
        own = s.call("get_delta_channel_history", bind=history, **arguments)
        method = s.api.method("get_delta_channel_history")
        s.script.need("langgraph.checkpoint.base", "BaseCheckpointSaver")
        call = f"BaseCheckpointSaver.{method}(saver, config={ref.config!r}, channels={channels!r})"
        s.script.line(f"{base} = {'await ' if s.api is Api.ASYNC else ''}{call}")
        with s.guard("the walk of the base class"):
            walked = _walked(s, method, arguments)
        if not same(own, walked, ordered=False):
            s.differ(history, own, walked)


def _walked(s: Session, method: str, arguments: dict[str, Any]) -> Any:
    function = getattr(BaseCheckpointSaver, method)
    if s.api is Api.ASYNC:
        return s.executors.loop.run(function(s.saver, **arguments), s.executors.seconds)
    return s.executors.worker.call(lambda: function(s.saver, **arguments), s.executors.seconds)


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
    "history.namespace",
    cases=[("child",), ("child|inner",)],
    source=f"{_DOC}: walks ancestors of the checkpoint identified by config",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
    presumes=["identity.namespace", "history.path", "history.seed"],
)
def namespace(s: Session, data: DataObject) -> None:
    """The history in a namespace has no writes or seeds of another namespace or thread."""
    ns = data.draw(st.sampled_from(["child", "child|inner"]))
    for place in ("", ns):
        last: Ref | None = None
        for number in range(3):
            changes = {"log": [place] if not number else ABSENT}
            last = delta_step(s, number, last, changes, ns=place)
            s.put_writes(last, [("log", f"{place}-{number}")])
    for place in ("", ns):
        s.expect_history(at("thread", place), ["log"])
        s.expect_history(at("thread", place, checkpoint_id(1)), ["log"])


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
