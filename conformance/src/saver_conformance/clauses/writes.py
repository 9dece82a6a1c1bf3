"""Clauses about put_writes: pending writes, their order, and which write of a slot is kept."""

from __future__ import annotations

import datetime as dt
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id
from saver_conformance.source import Name
from saver_conformance.values import NESTED, RICH, SIMPLE

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_REF = Ref("thread", checkpoint_id(0))
_SORT = "writes_sort_key: (task_path, task_id, idx) is the order of pending_writes in get_tuple"
_MAP = "WRITES_IDX_MAP: each implementation should use this mapping in put_writes"
_writes = partial(clause, capability=Capability.PUT_WRITES)
#: Task paths in descending order.
_PATHS = [
    [f"~__pregel_push, {number}" for number in (2, 1, 0)],
    ["a, b", "a!", "a"],
]
_SPECIAL = st.sampled_from(["__error__", "__interrupt__", "__resume__", "__scheduled__"])


@_writes(
    "writes.values",
    cases=[
        ([("a", None), ("b", [1]), ("__pregel_tasks", {"x": None})],),
        ([("a", {1, 2}), ("b", {}), ("a", b""), ("b", dt.timedelta(1)), ("a", -0.0)],),
        ([("", 1), (" ", 2), ("a.b", 3)],),
    ],
    source="CheckpointTuple.pending_writes: (task_id, channel, value)",
    severity=Severity.CRITICAL,
)
def values(s: Session, data: DataObject) -> None:
    """Writes are returned with their task, channel and value of any type, including None."""
    s.put(_REF)
    channels = st.sampled_from(["a", "b", "__pregel_tasks"])
    writes = data.draw(st.lists(st.tuples(channels, NESTED | RICH), min_size=1, max_size=4))
    s.put_writes(_REF, writes, task_id="task")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.own_checkpoint",
    source="BaseCheckpointSaver.put_writes: intermediate writes linked to a checkpoint",
    severity=Severity.CRITICAL,
)
def own_checkpoint(s: Session, data: DataObject) -> None:
    """Writes belong to one checkpoint in one namespace of one thread only."""
    refs = [
        s.put(Ref(thread, checkpoint_id(number), ns))
        for thread in ("thread", "thread2")
        for ns in ("", "child")
        for number in (0, 1)
    ]
    chosen = data.draw(st.lists(st.sampled_from(refs), min_size=1, max_size=2, unique=True))
    for number, ref in enumerate(chosen):
        s.put_writes(ref, [("channel", number)])
    for ref in refs:
        s.expect_tuple(ref, Part.WRITES)


@_writes(
    "writes.order.path",
    cases=[
        (order, paths)
        for order in (["task-0", "task-1", "task-2"], ["task-2", "task-1", "task-0"])
        for paths in _PATHS
    ],
    source=_SORT,
    severity=Severity.CRITICAL,
)
def order_path(s: Session, data: DataObject) -> None:
    """Writes are ordered by task path first, even if the task ids have another order."""
    s.put(_REF)
    tasks = data.draw(st.permutations(["task-0", "task-1", "task-2"]))
    paths = data.draw(st.sampled_from(_PATHS))
    for position, (task, path) in enumerate(zip(tasks, paths, strict=True)):
        s.put_writes(_REF, [("channel", position)], task, task_path=path)
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.order.task",
    cases=[
        (None, ["task-3", "task-2", "task-1", "task-0"]),
        ("path", ["task-3", "task-0", "task-2", "task-1"]),
    ],
    source=_SORT,
    severity=Severity.CRITICAL,
)
def order_task(s: Session, data: DataObject) -> None:
    """Writes with the same path are ordered by task id, in any order of puts."""
    s.put(_REF)
    path = data.draw(st.sampled_from([None, "", "~__pregel_pull, node"]))
    for task in data.draw(st.permutations(["task-0", "task-1", "task-2", "task-3"])):
        s.put_writes(_REF, [("channel", task)], task, task_path=path)
    s.expect_tuple(_REF, Part.WRITES)


@_writes("writes.order.index", cases=[(2,), (24,)], source=_SORT, severity=Severity.CRITICAL)
def order_index(s: Session, data: DataObject) -> None:
    """Writes of a task are ordered by number, so that the tenth follows the ninth."""
    s.put(_REF)
    count = data.draw(st.integers(2, 24))
    s.put_writes(_REF, [("channel", number) for number in range(count)])
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.order.special",
    cases=[(["__scheduled__", "__resume__", "__interrupt__", "__error__"],)],
    source=f"{_SORT}; {_MAP}",
)
def order_special(s: Session, data: DataObject) -> None:
    """Special writes have negative numbers and precede the regular writes of their task."""
    s.put(_REF)
    special = data.draw(st.lists(_SPECIAL, min_size=1, max_size=4, unique=True))
    for number, channel in enumerate(special):
        s.put_writes(_REF, [(channel, number)], task_id="task")
    s.put_writes(_REF, [("channel", 1)], task_id="task")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.first_wins",
    cases=[(2, 1, 1), (2, 1, 3), (2, 3, 1)],
    source=f"{_MAP}; a task that runs again must not apply its writes twice",
    severity=Severity.CRITICAL,
)
def first_wins(s: Session, data: DataObject) -> None:
    """A regular write to a used slot changes nothing."""
    s.put(_REF)
    for number in range(data.draw(st.integers(2, 3))):
        writes = [("channel", (number, n)) for n in range(data.draw(st.integers(1, 3)))]
        s.put_writes(_REF, [(c, list(v)) for c, v in writes], task_id="task")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.slots",
    cases=[(("a", "b"), ("b", "a")), (("a",), ("b", "c")), (("__error__", "a"), ("b", "a"))],
    source="WRITES_IDX_MAP: regular writes map to their index in the list of writes being saved",
    severity=Severity.MAJOR,
)
def slots(s: Session, data: DataObject) -> None:
    """The slot of a regular write is its position in the call, whatever its channel is."""
    s.put(_REF)
    # The clause writes.mixed_call covers special writes to a used slot.
    for number, known in enumerate((["a", "b", "__error__"], ["a", "b"])):
        channels = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
        s.put_writes(_REF, [(channel, [number, channel]) for channel in channels], "task")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.path_kept",
    cases=[("b", "y", "a"), ("b", "a", "y"), ("x", "", "x")],
    source=f"{_SORT}; a task that runs again keeps its first writes",
    presumes=["writes.order.*", "writes.first_wins"],
)
def path_kept(s: Session, data: DataObject) -> None:
    """A later call with another path does not move the writes that a task has already."""
    s.put(_REF)
    first, second, other = (data.draw(st.sampled_from(["", "a", "b", "x", "y"])) for _ in range(3))
    s.put_writes(_REF, [("a", 0), ("a", 1)], "task-1", task_path=first)
    s.put_writes(_REF, [("a", 2)], "task-0", task_path=other)
    s.put_writes(_REF, [("a", "late")], "task-1", task_path=second)
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.large",
    cases=[(300,), (1100,)],
    source="CheckpointTuple.pending_writes: (task_id, channel, value)",
    severity=Severity.CRITICAL,
)
def large(s: Session, data: DataObject) -> None:
    """A write of more than a megabyte is returned unchanged, by get_tuple and by list."""
    s.put(_REF)
    size = data.draw(st.integers(1, 1100)) * 1000
    value = Name(f'"x" * {size}', "x" * size)
    writes = Name(f'[("channel", {value.text})]', [("channel", value.value)])
    s.call("put_writes", _REF.config, writes, "task")
    got, listed = s.script.name("got"), s.script.name("listed")
    found = s.call("get_tuple", _REF.config, bind=got)
    for expression, item in (
        (got, found),
        (f"{listed}[0]", (s.call("list", at("thread"), bind=listed) or [None])[0]),
    ):
        with s.guard("reading a tuple"):
            lengths = [len(write[2]) for write in item.pending_writes]
        s.expect(f"[len(w[2]) for w in {expression}.pending_writes]", lengths, [size])


@_writes(
    "writes.last_wins",
    cases=[("__error__", 2), ("__interrupt__", 2), ("__resume__", 2), ("__scheduled__", 2)],
    source=f"{_MAP}; a resumed task replaces its interrupt, and a failed task its error",
    severity=Severity.CRITICAL,
)
def last_wins(s: Session, data: DataObject) -> None:
    """A special write replaces the earlier write of the same task and channel."""
    s.put(_REF)
    channel = data.draw(_SPECIAL)
    for number in range(data.draw(st.integers(2, 3))):
        s.put_writes(_REF, [(channel, number)], task_id="task")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.mixed_call",
    cases=[("__error__",), ("__interrupt__",), ("__resume__",), ("__scheduled__",)],
    source=f"{_MAP}; the runtime puts a failed task's regular writes and its error in one call",
    severity=Severity.MAJOR,
    presumes=["writes.first_wins", "writes.last_wins"],
)
def mixed_call(s: Session, data: DataObject) -> None:
    """In one call, regular writes keep used slots and special writes replace them."""
    s.put(_REF)
    channel = data.draw(_SPECIAL)
    for number in range(2):
        s.put_writes(_REF, [("channel", number), (channel, number)], task_id="task")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.same_channel",
    cases=[([1, 1],), ([0, 1, 0],)],
    source="a task may write to one channel several times, for example with Send and Topic",
    severity=Severity.CRITICAL,
)
def same_channel(s: Session, data: DataObject) -> None:
    """Several writes of one task to one channel are all kept, including equal ones."""
    s.put(_REF)
    written = data.draw(st.lists(st.integers(0, 2), min_size=2, max_size=4))
    s.put_writes(_REF, [("channel", number) for number in written])
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.isolated",
    source="tasks keep mutating their values after put_writes has returned",
    severity=Severity.CRITICAL,
)
def isolated(s: Session, data: DataObject) -> None:
    """Mutating the writes after put_writes has returned does not change the stored writes."""
    s.put(_REF)
    value: dict[str, Any] = {"x": [data.draw(st.integers(0, 9))]}
    s.model.put_writes(_REF.config, [("channel", value)], "task")
    s.script.line(f"value = {value!r}")
    writes = Name('[("channel", value)]', [("channel", value)])
    s.call("put_writes", _REF.config, writes, "task", share=True)
    s.script.line('value["x"].append(10)')
    value["x"].append(10)
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.task_path",
    cases=[("",), ("p",)],
    source="BaseCheckpointSaver.put_writes(config, writes, task_id, task_path); "
    "the runtime inspects the signature for the parameter",
    severity=Severity.MAJOR,
)
def task_path(s: Session, data: DataObject) -> None:
    """put_writes accepts task_path by name, by position, and omitted."""
    s.put(_REF)
    s.put_writes(_REF, [("channel", 0)], "task-a")
    s.put_writes(_REF, [("channel", 1)], "task-b", task_path=data.draw(st.sampled_from(["", "p"])))
    s.model.put_writes(_REF.config, [("channel", 2)], "task-c", "q")
    s.call("put_writes", _REF.config, [("channel", 2)], "task-c", "q")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.empty",
    cases=[(False,), (True,)],
    source="BaseCheckpointSaver.put_writes: a sequence of writes, which may be empty",
    severity=Severity.MINOR,
)
def empty(s: Session, data: DataObject) -> None:
    """An empty sequence of writes raises no error and changes nothing."""
    s.put(_REF)
    if data.draw(st.booleans()):
        s.put_writes(_REF, [("channel", 1)])
    s.put_writes(_REF, [])
    s.expect_tuple(_REF, Part.WRITES)


@clause(
    "writes.in_list",
    source="CheckpointTuple.pending_writes: list returns the tuples of get_tuple",
    severity=Severity.MAJOR,
    capability=Capability.LIST,
    presumes=["writes.order.*"],
)
def in_list(s: Session, data: DataObject) -> None:
    """list returns the pending writes of each checkpoint in the order of get_tuple."""
    refs = [s.put(Ref("thread", checkpoint_id(number))) for number in range(3)]
    for ref in data.draw(st.lists(st.sampled_from(refs), min_size=1, unique=True)):
        s.put_writes(ref, [("channel", n) for n in range(12)], "task-b", task_path="a")
        s.put_writes(ref, [("channel", ref.id)], "task-a", task_path="b")
    s.expect_list(at("thread"), Part.WRITES)


@_writes(
    "writes.unserializable",
    source="langchain-ai/langgraph#8606: a value that cannot be serialized",
    severity=Severity.MAJOR,
)
def unserializable(s: Session, data: DataObject) -> None:
    """A write that cannot be serialized makes put_writes raise, and later calls work."""
    s.put(_REF)
    s.script.line("import threading")
    value = Name('[("channel", threading.Lock())]', [("channel", threading.Lock())])
    given = (_REF.config, value, "task")
    error = s.call("put_writes", *given, bind="answer", share=True, expected_errors=(Exception,))
    if not isinstance(error, Exception):
        message = "put_writes accepted a value that cannot be serialized, a threading.Lock"
        s.fail_assertion("isinstance(answer, Exception)", message)
    s.put_writes(_REF, [("channel", data.draw(SIMPLE))], task_id="other")
    s.expect_tuple(_REF, Part.WRITES)


@_writes(
    "writes.unserializable.whole",
    source="langchain-ai/langgraph#8606; the base class does not say what happens to the others",
    severity=Severity.MINOR,
    unspecified=True,
    presumes=["writes.unserializable"],
)
def unserializable_whole(s: Session, data: DataObject) -> None:
    """A write that cannot be serialized keeps out the other writes of its call."""
    s.put(_REF)
    s.script.line("import threading")
    value = data.draw(SIMPLE)
    text = f'[("a", {value!r}), ("b", {value!r}), ("c", threading.Lock())]'
    writes = Name(text, [("a", value), ("b", value), ("c", threading.Lock())])
    given = (_REF.config, writes, "task")
    s.call("put_writes", *given, bind="answer", share=True, expected_errors=(Exception,))
    s.expect_tuple(_REF, Part.WRITES)
