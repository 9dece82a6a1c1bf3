"""Clauses about list: selection, order and limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import ALL
from saver_conformance.session import Ref, Session, at, checkpoint_id

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_LIST = "BaseCheckpointSaver.list"
_AGREED = "InMemorySaver, SqliteSaver and PostgresSaver agree, and so does the official suite"


def _fill(s: Session, order: list[int], ns: str = "", **metadata: Any) -> list[Ref]:
    refs = {}
    for number in order:
        complete = {"source": "loop", "step": number, **metadata}
        refs[number] = s.put(Ref("thread", checkpoint_id(number), ns), metadata=complete)
    return [refs[number] for number in sorted(refs)]


@clause(
    "list.order",
    cases=[([0, 1, 2, 3],), ([3, 2, 1, 0],)],
    source="Checkpoint.id can be used for sorting; the runtime uses the first item as the latest",
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
)
def order(s: Session, data: DataObject) -> None:
    """The checkpoints of a namespace are listed by descending id, in any order of puts."""
    _fill(s, data.draw(st.permutations(range(4))))
    s.expect_list(at("thread"))


@clause(
    "list.order.global",
    source=f"{_LIST} specifies no order across threads and namespaces",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    unspecified=True,
)
def order_global(s: Session, data: DataObject) -> None:
    """Checkpoints of several threads and namespaces are listed by descending id."""
    places = data.draw(st.permutations([("a", ""), ("b", ""), ("a", "child"), ("a", "")]))
    for number, (thread, ns) in enumerate(places):
        s.put(Ref(thread, checkpoint_id(number), ns))
    name = s.script.name("listed")
    found = s.call("list", None, bind=name)
    wanted = [entry.key.id for entry in s.model.matching(None)]
    s.expect(f'[t.checkpoint["id"] for t in {name}]', [t.checkpoint["id"] for t in found], wanted)


@clause(
    "list.tuples",
    source=f"{_LIST}: iterator of matching checkpoint tuples",
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
    presumes=["put.unchanged"],
)
def tuples(s: Session, data: DataObject) -> None:
    """Each listed tuple equals the tuple that get_tuple returns for its config."""
    refs: list[Ref] = []
    for number in range(data.draw(st.integers(1, 3))):
        ref = Ref("thread", checkpoint_id(number))
        s.put(ref, parent=refs[-1] if refs else None, changes={"a": number, f"b{number}": [number]})
        s.put_writes(ref, [("a", number)])
        refs.append(ref)
    s.expect_list(at("thread"), *ALL)


@clause(
    "list.thread",
    source=f"{_LIST}: base configuration for filtering checkpoints",
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
)
def thread(s: Session, data: DataObject) -> None:
    """A config lists the checkpoints of its thread only."""
    for number in range(data.draw(st.integers(1, 4))):
        s.put(Ref(data.draw(st.sampled_from(["a", "ab", "b"])), checkpoint_id(number)))
    for name in ("a", "ab", "b"):
        s.expect_list(at(name))


@clause(
    "list.all_namespaces",
    cases=[(["", "child", "child|inner"],)],
    source=_AGREED,
    capability=Capability.LIST,
    presumes=["identity.namespace"],
)
def all_namespaces(s: Session, data: DataObject) -> None:
    """A config without checkpoint_ns lists every namespace of its thread."""
    for number, ns in enumerate(data.draw(st.permutations(["", "child", "child|inner"]))):
        s.put(Ref("thread", checkpoint_id(number), ns))
    s.expect_list(at("thread", None))


@clause(
    "list.namespace",
    cases=[(["", "child", "child|inner"],)],
    source=_AGREED,
    capability=Capability.LIST,
    presumes=["identity.namespace"],
)
def namespace(s: Session, data: DataObject) -> None:
    """A config with checkpoint_ns lists that namespace only, including the empty one."""
    for number, ns in enumerate(data.draw(st.permutations(["", "child", "child|inner"]))):
        s.put(Ref("thread", checkpoint_id(number), ns))
    for ns in ("", "child", "none"):
        s.expect_list(at("thread", ns))


@clause(
    "list.everything",
    source=f"{_LIST}: config is RunnableConfig | None",
    capability=Capability.LIST,
)
def everything(s: Session, data: DataObject) -> None:
    """A list without a config returns the checkpoints of every thread."""
    for number in range(data.draw(st.integers(0, 4))):
        thread_id = data.draw(st.sampled_from(["a", "b", "c"]))
        s.put(Ref(thread_id, checkpoint_id(number), data.draw(st.sampled_from(["", "child"]))))
    s.expect_list(None)


@clause(
    "list.by_id",
    cases=[(0,), (2,), (3,)],
    source=_AGREED,
    severity=Severity.MINOR,
    capability=Capability.LIST,
)
def by_id(s: Session, data: DataObject) -> None:
    """A config with a checkpoint_id lists that checkpoint only."""
    _fill(s, [0, 1, 2])
    s.expect_list(at("thread", "", checkpoint_id(data.draw(st.integers(0, 3)))))


@clause(
    "list.limit",
    cases=[(1,), (4,), (5,)],
    source=f"{_LIST}: maximum number of checkpoints to return",
    capability=Capability.LIST,
)
def limit(s: Session, data: DataObject) -> None:
    """limit=n returns the n newest checkpoints."""
    _fill(s, [0, 1, 2, 3])
    s.expect_list(at("thread"), limit=data.draw(st.integers(1, 5)))


@clause(
    "list.limit.zero",
    cases=[(1,), (3,)],
    source=f"{_LIST}: maximum number of checkpoints to return",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    presumes=["list.limit"],
)
def limit_zero(s: Session, data: DataObject) -> None:
    """limit=0 returns nothing."""
    _fill(s, list(range(data.draw(st.integers(1, 3)))))
    s.expect_list(at("thread"), limit=0)


@clause(
    "list.before.strict",
    cases=[(Ref("thread", checkpoint_id(0)),), (Ref("thread", checkpoint_id(3)),)],
    source=f"{_LIST}: list checkpoints created before this configuration",
    capability=Capability.LIST,
)
def before(s: Session, data: DataObject) -> None:
    """before excludes the checkpoint that it names and every newer one."""
    refs = _fill(s, [0, 1, 2, 3])
    s.expect_list(at("thread"), before=data.draw(st.sampled_from(refs)).config)


@clause(
    "list.before.unknown",
    cases=[(1,), (3,), (5,)],
    source=f"{_LIST}: created before this configuration; the checkpoint may have been deleted",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    presumes=["list.before.strict"],
)
def before_unknown(s: Session, data: DataObject) -> None:
    """before may name a checkpoint that does not exist, and still selects by id."""
    _fill(s, [0, 2, 4])
    s.expect_list(
        at("thread"), before=at("thread", "", checkpoint_id(data.draw(st.sampled_from([1, 3, 5]))))
    )


@clause(
    "list.paging",
    cases=[(1,), (2,), (3,)],
    source="get_state_history(before=..., limit=...) pages through the history",
    capability=Capability.LIST,
    presumes=["list.before.strict", "list.limit"],
)
def paging(s: Session, data: DataObject) -> None:
    """Pages with before and limit return every checkpoint exactly once."""
    _fill(s, [0, 1, 2, 3, 4])
    size = data.draw(st.integers(1, 3))
    page = s.expect_list(at("thread"), limit=size)
    while page:
        last = at("thread", "", page[-1].checkpoint["id"])
        page = s.expect_list(at("thread"), before=last, limit=size)


@clause(
    "list.filter",
    source=f"{_LIST}: additional filtering criteria for metadata",
    capability=Capability.LIST,
)
def filtered(s: Session, data: DataObject) -> None:
    """A filter returns the checkpoints whose metadata has every given value."""
    for number in range(4):
        metadata = {
            "source": data.draw(st.sampled_from(["input", "loop"])),
            "step": data.draw(st.integers(0, 2)),
            "user": data.draw(st.sampled_from(["ann", "bob", "an"])),
        }
        s.put(Ref("thread", checkpoint_id(number)), metadata=metadata)
    wanted = {
        "source": st.just("loop"),
        "step": st.integers(0, 2),
        "user": st.sampled_from(["ann", "an"]),
    }
    keys = data.draw(st.lists(st.sampled_from(sorted(wanted)), min_size=1, unique=True))
    s.expect_list(at("thread"), filter={key: data.draw(wanted[key]) for key in keys})


@clause(
    "list.filter.merged",
    cases=[("configurable",), ("metadata",)],
    source=f"{_LIST}: filters by the metadata of a checkpoint, of which the scalars of the config "
    "are a part",
    capability=Capability.LIST,
    presumes=["list.filter", "metadata.merged"],
)
def filter_merged(s: Session, data: DataObject) -> None:
    """A filter finds metadata that put took from the config."""
    origin = data.draw(st.sampled_from(["configurable", "metadata"]))
    for number, user in enumerate(["a", "b", "a"]):
        config = at("thread", user_id=user) if origin == "configurable" else at("thread")
        if origin == "metadata":
            config["metadata"] = {"user_id": user}
        s.put(Ref("thread", checkpoint_id(number)), config=config)
    s.expect_list(at("thread"), filter={"user_id": "a"})
    s.expect_list(at("thread"), filter={"user_id": "b", "source": "loop"})
    s.expect_list(at("thread"), filter={"user_id": "c"})


@clause(
    "list.filter.limit",
    source=f"{_LIST}: maximum number of checkpoints to return, out of those that match",
    capability=Capability.LIST,
    presumes=["list.filter", "list.limit"],
)
def filter_limit(s: Session, data: DataObject) -> None:
    """limit counts the checkpoints that match the filter."""
    for number in range(5):
        source = data.draw(st.sampled_from(["input", "loop"]))
        s.put(Ref("thread", checkpoint_id(number)), metadata={"source": source, "step": number})
    s.expect_list(at("thread"), filter={"source": "input"}, limit=data.draw(st.integers(1, 3)))


@clause(
    "list.filter.nested",
    cases=[([0, 1, 2, 3], 0), ([0, 1, 2, 3], 2), ([3, 4], 3)],
    source=f"{_LIST}: additional filtering criteria for metadata, whose values may be containers",
    capability=Capability.LIST,
    presumes=["list.filter"],
)
def filter_nested(s: Session, data: DataObject) -> None:
    """A filter value may be a list or a dict of any depth."""
    shapes = [{"x": 1}, {"x": 2}, {"y": {"z": ["a"]}}, ["a", "b"], ["c"], {}, []]
    chosen = data.draw(st.lists(st.sampled_from(range(5)), min_size=2, max_size=4))
    for number, shape in enumerate(chosen):
        metadata = {"source": "loop", "step": number, "extra": shapes[shape]}
        s.put(Ref("thread", checkpoint_id(number)), metadata=metadata)
    s.expect_list(at("thread"), filter={"extra": shapes[data.draw(st.sampled_from(chosen))]})


@clause(
    "list.filter.none",
    cases=[([None, 0, "", "x"],)],
    source=f"{_LIST}: additional filtering criteria for metadata, whose values may be None",
    capability=Capability.LIST,
    presumes=["list.filter"],
)
def filter_none(s: Session, data: DataObject) -> None:
    """A filter value of None matches only a stored None."""
    values = data.draw(st.lists(st.sampled_from([None, 0, "", "x"]), min_size=1, max_size=4))
    for number, value in enumerate(values):
        metadata = {"source": "loop", "step": number, "user": value}
        s.put(Ref("thread", checkpoint_id(number)), metadata=metadata)
    s.expect_list(at("thread"), filter={"user": None})


@clause(
    "list.filter.subset",
    cases=[(0,), (3,)],
    source=f"{_LIST} does not specify whether a container in a filter matches a superset",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    unspecified=True,
    presumes=["list.filter"],
)
def filter_subset(s: Session, data: DataObject) -> None:
    """A container in a filter matches an equal value only, not a superset or a member."""
    extra = {"x": 1, "y": data.draw(st.integers(0, 3))}
    for number, value in enumerate([extra, {}, ["x", "y"], [], "x"]):
        metadata = {"source": "loop", "step": number, "extra": value}
        s.put(Ref("thread", checkpoint_id(number)), metadata=metadata)
    for wanted in ({"x": 1}, extra, {}, ["x"], ["y", "x"], [], ["x", "y"], "x"):
        s.expect_list(at("thread"), filter={"extra": wanted})


@clause(
    "list.filter.types",
    cases=[([1, True, 1.0, "1"],), ([0, False, 0.0, "", None],), ([1.5, 2, 1],)],
    source=f"{_LIST} does not specify it; InMemorySaver compares with ==, and JSON has no ints",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    unspecified=True,
    presumes=["list.filter"],
)
def filter_types(s: Session, data: DataObject) -> None:
    """A filter value matches the values that are equal in Python: 1, 1.0 and True, but not "1"."""
    kinds = st.sampled_from([0, 1, 1.0, True, "1", None, 1.5, 2])
    values = data.draw(st.lists(kinds, min_size=2, max_size=4))
    for number, value in enumerate(values):
        metadata = {"source": "loop", "step": number, "value": value}
        s.put(Ref("thread", checkpoint_id(number)), metadata=metadata)
    for value in values:
        s.expect_list(at("thread"), filter={"value": value})


@clause(
    "list.filter.any_key",
    cases=[("a.b",), ("a b",), ("a'b",), ('a"b',), ("a[0]",), ("$",)],
    source=f"{_LIST} does not restrict filter keys; SqliteSaver rejects most punctuation",
    severity=Severity.MINOR,
    capability=Capability.LIST,
    unspecified=True,
    presumes=["list.filter"],
)
def filter_any_key(s: Session, data: DataObject) -> None:
    """A filter key may be any text, including dots, spaces and quotes."""
    key = data.draw(st.sampled_from(["a.b", "a b", "a'b", 'a"b', "a[0]", "$", "ä"]))
    s.put(Ref("thread", checkpoint_id(0)), metadata={"source": "loop", "step": 0, key: "x"})
    s.put(Ref("thread", checkpoint_id(1)), metadata={"source": "loop", "step": 1, key: "y"})
    s.expect_list(at("thread"), filter={key: "x"})
