"""Clauses about ids: which ids are distinct, and which checkpoint is the latest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id
from saver_conformance.values import TEXT

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

#: Ids that collide when a separator joins them, or that share a prefix.
_CONFUSABLE = [
    "a",
    "a:b",
    "a|b",
    "a/b",
    "b",
    "a:",
    ":a",
    "|",
    "/",
    "a_b",
    "a%",
    "ab",
    "*",
    "a.b",
    "..",
]


@clause(
    "identity.thread",
    cases=[(["a", "a:b", "a|b", "a/b"], ["b", "a:"]), (["a", "ab", "a%", "a_b"], ["a"])],
    source="BaseCheckpointSaver: thread_id is the primary key; "
    "langchain-ai/langgraph#6890: ids joined by a separator collided",
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
)
def thread(s: Session, data: DataObject) -> None:
    """Threads are distinct, even if their ids contain separators or share a prefix."""
    names = data.draw(st.lists(st.sampled_from(_CONFUSABLE), min_size=2, max_size=4, unique=True))
    spaces = data.draw(st.lists(st.sampled_from(_CONFUSABLE), min_size=1, max_size=2, unique=True))
    for number, name in enumerate(names):
        for ns in spaces:
            # A rejected id cannot be confused with another one.
            s.try_put(Ref(name, checkpoint_id(number), ns), expected_errors=(ValueError,))
    for name, ns in sorted({key[:2] for key in s.model.stored()}):
        s.expect_list(at(name, ns))
        s.expect_tuple(at(name, ns), Part.ID)


@clause(
    "identity.namespace",
    cases=[(["", "child", "child|inner", "child:task"],)],
    source="BaseCheckpointSaver: checkpoint_ns of the config; InMemorySaver, SqliteSaver and "
    'PostgresSaver read a config without it as ""',
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
)
def namespace(s: Session, data: DataObject) -> None:
    """Namespaces are distinct, and a config without a namespace reads the root namespace."""
    spaces = data.draw(
        st.lists(
            st.sampled_from(["", "child", "child|inner", "child:task"]), min_size=1, max_size=4
        )
    )
    for number, ns in enumerate(spaces):
        s.put(Ref("thread", checkpoint_id(number), ns))
    for ns in sorted(set(spaces)):
        s.expect_tuple(at("thread", ns), Part.ID, Part.CONFIG)
    s.expect_tuple(at("thread", None), Part.ID)


@clause(
    "identity.namespace.deep",
    cases=[(1,), (20,)],
    source="langgraph adds one namespace segment, a name and a task id, for each nested subgraph",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def deep_namespace(s: Session, data: DataObject) -> None:
    """The namespace of a subgraph may be nested up to twenty levels deep."""
    depth = data.draw(st.integers(1, 20))
    segments = [f"subgraph:{n:08x}-0000-0000-0000-000000000000" for n in range(depth)]
    ref = s.put(Ref("thread", checkpoint_id(0), "|".join(segments)))
    s.put_writes(ref, [("channel", 1)], task_id="00000000-0000-0000-0000-000000000000")
    s.expect_tuple(ref, Part.ID, Part.WRITES)


@clause(
    "identity.unicode",
    cases=[("ä", "Ω", "Ж"), ("日本", "語", "日")],
    source="thread_id is a str; the author of a graph names namespaces and channels",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def unicode(s: Session, data: DataObject) -> None:
    """Ids of threads, namespaces and channels may use letters of any script."""
    letters = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=20)
    name, ns, channel = data.draw(letters), data.draw(letters), data.draw(letters)
    ref = s.put(Ref(name, checkpoint_id(0), ns), changes={channel: 1})
    s.put_writes(ref, [(channel, 2)])
    s.expect_tuple(ref, Part.CONFIG, Part.VALUES, Part.WRITES)


@clause(
    "identity.thread.any_text",
    cases=[(":",), ("a/b",), ("a.b",), ("*",), ("%",), (" ",)],
    source="thread_id is a str; the base class does not say that every str is valid",
    severity=Severity.MAJOR,
    capability=Capability.PUT,
    unspecified=True,
)
def any_text(s: Session, data: DataObject) -> None:
    """A thread id may be any text without NUL, including separators and wildcards."""
    name = data.draw(st.sampled_from(_CONFUSABLE) | TEXT.filter(bool))
    ref = s.put(Ref(name, checkpoint_id(0)))
    s.put_writes(ref, [("channel", 1)])
    s.expect_tuple(ref, Part.CONFIG, Part.WRITES)


@clause(
    "identity.unbounded",
    cases=[("long" * 2500,), ("nul\0l",), ("\0",), ("nul\0",)],
    source="the base class specifies no maximum length of an id",
    severity=Severity.MINOR,
    capability=Capability.PUT,
    unspecified=True,
)
def unbounded(s: Session, data: DataObject) -> None:
    """An id may be 10 KB long and may contain NUL."""
    name = data.draw(st.sampled_from(["long" * 2500, "nul\0l", "\0", "nul\0"]))
    s.put(Ref(name, checkpoint_id(0)))
    s.put(Ref("nul", checkpoint_id(1)))
    s.expect_tuple(at(name), Part.ID)


@clause(
    "identity.thread.number",
    cases=[(0,), (999,)],
    source="delete_thread takes a str, but users pass ints as thread_id and SqliteSaver "
    "converts them to text; the base class does not specify it",
    severity=Severity.MAJOR,
    capability=Capability.GET_TUPLE,
    unspecified=True,
)
def thread_number(s: Session, data: DataObject) -> None:
    """A thread_id that is not a str equals its text: 123 and "123" are the same thread."""
    number = data.draw(st.integers(0, 999))
    s.put(Ref("x", checkpoint_id(0)), config=at(number))
    s.expect_tuple(at(str(number)), Part.ID)
    s.put(Ref("x", checkpoint_id(1)), config=at(str(number)))
    s.expect_tuple(at(number), Part.ID)


@clause(
    "identity.thread.number.calls",
    cases=[("delete_thread",), ("copy_thread",), ("prune",), ("list",), ("put_writes",)],
    source="identity.thread.number; the base class does not specify it",
    severity=Severity.MAJOR,
    capability=Capability.GET_TUPLE,
    needs=[Capability.DELETE_THREAD],
    presumes=["identity.thread.number"],
    unspecified=True,
)
def thread_number_calls(s: Session, data: DataObject) -> None:
    """Every method takes the int 123 for the thread "123"."""
    methods = ["delete_thread", "copy_thread", "prune", "list", "put_writes"]
    method = data.draw(st.sampled_from(methods))
    if method in ("copy_thread", "prune") and Capability(method) not in s.claimed:
        return
    refs = [s.put(Ref("7", checkpoint_id(number)), changes={"a": [number]}) for number in range(2)]
    numbered = at(7, "", refs[0].id)
    calls: dict[str, tuple[Any, ...]] = {
        "delete_thread": (7,),
        "copy_thread": (7, 8),
        "prune": ([7],),
        "put_writes": (numbered, [("a", 1)], "task"),
    }
    if method in calls:
        s.call(method, *calls[method])
        getattr(s.model, method)(*calls[method])
    else:
        s.expect_list(at(7, None))
        s.expect_list(None, before=numbered)
    s.expect_list(at("7"), Part.WRITES, Part.VALUES)
    s.expect_list(at("8"), Part.VALUES)


@clause(
    "latest.by_id",
    cases=[([0, 1, 2, 3],), ([3, 2, 1, 0],)],
    source="Checkpoint.id: monotonically increasing, so can be used for sorting checkpoints",
    severity=Severity.MAJOR,
    capability=Capability.GET_TUPLE,
)
def latest(s: Session, data: DataObject) -> None:
    """The latest checkpoint is the checkpoint with the greatest id, in any order of puts."""
    order = data.draw(st.permutations(range(4)))
    for number in order:
        s.put(Ref("thread", checkpoint_id(number)))
    s.expect_tuple(at("thread"), Part.ID)


@clause(
    "get.by_id",
    cases=[({0, 1, 2, 3, 4},), ({2},)],
    source="BaseCheckpointSaver.get_tuple: the requested checkpoint tuple, or None if not found",
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
)
def by_id(s: Session, data: DataObject) -> None:
    """A config with a checkpoint_id returns that checkpoint, or None if it does not exist."""
    put = data.draw(st.sets(st.integers(0, 4), min_size=1))
    for number in put:
        s.put(Ref("thread", checkpoint_id(number)))
    for number in range(5):
        s.expect_tuple(Ref("thread", checkpoint_id(number)), Part.ID)
    s.expect_tuple(Ref("thread", checkpoint_id(0), "child"))


@clause(
    "get.unknown",
    cases=[(False,), (True,)],
    source="BaseCheckpointSaver.get_tuple: None if not found",
    severity=Severity.MAJOR,
    capability=Capability.GET_TUPLE,
)
def unknown(s: Session, data: DataObject) -> None:
    """get_tuple returns None for a thread or namespace without checkpoints."""
    if data.draw(st.booleans()):
        s.put(Ref("thread", checkpoint_id(0)))
    s.expect_tuple(at("other"))
    s.expect_tuple(at("thread", "child"))
    s.expect_tuple(at("other", id=checkpoint_id(0)))


@clause(
    "get.config",
    cases=[("",), ("child",)],
    source="CheckpointTuple.config: the runtime resumes, forks and lists from it",
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
)
def config(s: Session, data: DataObject) -> None:
    """The config of a tuple has its thread, namespace and checkpoint id."""
    ref = Ref("thread", checkpoint_id(0), data.draw(st.sampled_from(["", "child"])))
    s.put(ref)
    s.expect_tuple(at("thread", ref.ns), Part.CONFIG)
    s.expect_tuple(ref, Part.CONFIG)


@clause(
    "get.parent",
    source="CheckpointTuple.parent_config; put takes the parent as the config's checkpoint_id",
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
)
def parent(s: Session, data: DataObject) -> None:
    """The parent is the checkpoint in the config of put, or None without a checkpoint id."""
    ns = data.draw(st.sampled_from(["", "child"]))
    refs: list[Ref] = []
    for number in range(data.draw(st.integers(1, 4))):
        origin = data.draw(st.sampled_from([None, *refs]))
        refs.append(s.put(Ref("thread", checkpoint_id(number), ns), parent=origin))
    for ref in refs:
        s.expect_tuple(ref, Part.PARENT)


@clause(
    "get.checkpoint",
    cases=[(False,), (True,)],
    source="BaseCheckpointSaver.get: the checkpoint of get_tuple",
    capability=Capability.GET_TUPLE,
)
def get(s: Session, data: DataObject) -> None:
    """get returns the checkpoint of get_tuple, or None if it does not exist."""
    if data.draw(st.booleans()):
        s.put(Ref("thread", checkpoint_id(0)), changes={"channel": 1})
    name = s.script.name("got")
    found = s.call("get", at("thread"), bind=name)
    entry = s.model.get(at("thread"))
    if entry is None:
        s.expect(name, found, None)
        return
    if not isinstance(found, dict):
        s.differ(name, found, entry.checkpoint)
    s.expect(f'{name}["id"]', found.get("id"), entry.key.id)
    s.expect(f'{name}["channel_values"]', found.get("channel_values"), {"channel": 1})
