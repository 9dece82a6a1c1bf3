"""Clauses about large threads, stores and values; each runs once for each API."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Load, Severity, clause
from saver_conformance.clauses.deltas import delta_step
from saver_conformance.parts import Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.source import Name

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_FIRST = Ref("thread", checkpoint_id(0))
_COUNT = 520
_scale = partial(
    clause,
    source="the base class has no limit; long conversations and wide graphs exceed pages and rows",
    severity=Severity.CRITICAL,
    load=Load.SCALE,
)


def _chain(s: Session, thread: str = "thread") -> list[Ref]:
    refs: list[Ref] = []
    for number in range(_COUNT):
        # The value of `a` is as old as the thread; `b` is new in every checkpoint.
        changes = {"b": [number]} if number else {"a": ["first"], "b": [0]}
        metadata = {"source": "loop", "step": number, "run_id": f"run-{number}"}
        parent = refs[-1] if refs else None
        ref = Ref(thread, checkpoint_id(number))
        refs.append(s.put(ref, parent=parent, changes=changes, metadata=metadata))
    s.put_writes(refs[0], [("a", "oldest")])
    s.put_writes(refs[-1], [("a", "latest")])
    return refs


@_scale("scale.checkpoints", capability=Capability.LIST)
def checkpoints(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Hundreds of checkpoints are listed, filtered, paged and read."""
    refs = _chain(s)
    s.expect_list(at("thread"), Part.VALUES, Part.PARENT, Part.WRITES)
    s.expect_list(at("thread"), limit=_COUNT - 1)
    s.expect_list(at("thread"), before=refs[5].config)
    s.expect_list(at("thread"), filter={"step": 1})
    s.expect_tuple(refs[0], Part.VALUES, Part.WRITES)
    s.expect_tuple(at("thread"), Part.VALUES, Part.WRITES)


@_scale("scale.delete_thread", capability=Capability.DELETE_THREAD)
def deleted(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Deleting a thread deletes hundreds of checkpoints."""
    refs = _chain(s)
    s.put(Ref("other", checkpoint_id(0)), changes={"a": [0]})
    s.delete_thread("thread")
    s.expect_list(at("thread"))
    s.expect_tuple(refs[0])
    s.expect_everything(Part.VALUES)


@_scale("scale.runs", capability=Capability.DELETE_FOR_RUNS)
def runs(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Deleting hundreds of runs deletes all their checkpoints, and no other checkpoint."""
    _chain(s)
    s.delete_for_runs([f"run-{number}" for number in range(_COUNT - 2)])
    s.expect_list(at("thread"), Part.VALUES, Part.WRITES)


@_scale("scale.copy", capability=Capability.COPY_THREAD)
def copied(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A copy has hundreds of checkpoints."""
    _chain(s)
    s.copy_thread("thread", "copy")
    s.expect_list(at("copy"), Part.VALUES, Part.PARENT, Part.WRITES)


@_scale("scale.prune", capability=Capability.PRUNE)
def pruned(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """prune deletes hundreds of checkpoints of a thread, and prunes hundreds of threads."""
    _chain(s)
    names = [f"thread-{number}" for number in range(_COUNT)]
    for name in names:
        first = s.put(Ref(name, checkpoint_id(0)), changes={"a": [name]})
        if name in names[::50]:
            s.put(Ref(name, checkpoint_id(1)), parent=first, changes={"b": [name]})
    s.prune(["thread", *names], "keep_latest")
    s.expect_list(at("thread"), Part.VALUES, Part.WRITES)
    for name in names[::50]:
        s.expect_list(at(name), Part.VALUES)
    s.prune(names, "delete")
    for name in names[::50]:
        s.expect_list(at(name))


@_scale("scale.threads", capability=Capability.LIST, presumes=["list.everything"])
def threads(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Hundreds of threads and namespaces are listed together."""
    for number in range(_COUNT):
        ref = Ref(f"thread-{number}", checkpoint_id(number), "child" if number % 2 else "")
        s.put(ref, changes={"a": [number]})
    s.expect_list(None, Part.VALUES)
    s.expect_list(None, limit=_COUNT - 1)


@_scale("scale.writes", capability=Capability.PUT_WRITES, presumes=["writes.order.*"])
def writes(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A checkpoint has hundreds of tasks and more than a thousand writes."""
    s.put(_FIRST)
    for number in range(_COUNT):
        path = f"path-{_COUNT - number:04}"
        s.put_writes(_FIRST, [("a", number), ("b", [number])], f"task-{number}", task_path=path)
    s.put_writes(_FIRST, [("a", number) for number in range(1100)], "wide")
    s.expect_tuple(_FIRST, Part.WRITES)
    s.expect_list(at("thread"), Part.WRITES)


@_scale("scale.channels", capability=Capability.PUT)
def channels(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """A checkpoint has hundreds of channels."""
    first = s.put(_FIRST, changes={f"channel-{n}": [n] for n in range(_COUNT * 2)})
    second = Ref("thread", checkpoint_id(1))
    s.put(second, parent=first, changes={f"channel-{n}": ["new"] for n in range(0, _COUNT, 2)})
    s.expect_tuple(first, Part.VALUES, Part.VERSIONS)
    s.expect_tuple(second, Part.VALUES, Part.VERSIONS)


@_scale("scale.deltas", capability=Capability.DELTA_HISTORY)
def deltas(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """The history of a delta channel reaches back through hundreds of checkpoints."""
    last = delta_step(s, 0, None, {"log": ["seed"]})
    for number in range(1, _COUNT):
        s.put_writes(last, [("log", number)])
        last = delta_step(s, number, last)
    s.expect_history(at("thread"), ["log"])


@_scale("scale.values", capability=Capability.PUT)
def values(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Values of 2 and 6 MB are returned unchanged, as channels and as writes."""
    s.script.need("random", "Random")
    texts = [_bytes(seed, megabytes) for seed, megabytes in ((0, 2), (1, 6))]
    texts.append(Name('"ä" * 3_000_000', "ä" * 3_000_000))
    changes = {f"channel-{n}": value for n, value in enumerate(texts)}
    s.put(_FIRST, changes={**changes, "nested": {"x": [texts[0]]}})
    s.put_writes(_FIRST, [*changes.items()])
    name = s.script.name("got")
    got = s.call("get_tuple", _FIRST.config, bind=name)
    with s.guard("reading a tuple"):
        found = got.checkpoint["channel_values"]
        written = [write[2] for write in got.pending_writes]
    for n, value in enumerate(texts):
        expression = f'{name}.checkpoint["channel_values"].get("channel-{n}") == {value.text}'
        s.expect(expression, found.get(f"channel-{n}") == value.value, True)
        s.expect(
            f"{name}.pending_writes[{n}][2] == {value.text}",
            len(written) > n and written[n] == value.value,
            True,
        )
    nested = f'{name}.checkpoint["channel_values"].get("nested") == {{"x": [{texts[0].text}]}}'
    s.expect(nested, found.get("nested") == {"x": [texts[0].value]}, True)


@_scale("scale.metadata", capability=Capability.PUT)
def large_metadata(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Metadata of a megabyte is returned unchanged, and a filter finds its checkpoint."""
    text = Name('"x" * 1_000_000', "x" * 1_000_000)
    metadata = {"source": "loop", "step": 1, "text": text, "list": list(range(20_000))}
    s.put(_FIRST)
    second = Ref("thread", checkpoint_id(1))
    complete = {**metadata, "text": text.value}
    s.call("put", at("thread"), make_checkpoint(second.id), metadata, {})
    s.model.put(at("thread"), make_checkpoint(second.id), complete)
    s.expect_tuple(second, Part.METADATA)
    s.expect_list(at("thread"), Part.METADATA, filter={"step": 1})


@_scale("scale.versions", capability=Capability.PUT)
def many_versions(s: Session, data: DataObject) -> None:  # noqa: ARG001
    """Each of more than ten thousand versions of a channel is greater than the one before."""
    s.script.line(
        f"versions = [saver.get_next_version(None, None)]\n"
        f"for _ in range({_COUNT * 20}):\n"
        "    versions.append(saver.get_next_version(versions[-1], None))"
    )
    versions: list[Any] = [s.invoke(Api.SYNC, "get_next_version", (None, None), {})]

    def continued() -> None:
        for _ in range(_COUNT * 20):
            versions.append(s.saver.get_next_version(versions[-1], None))

    with s.guard("get_next_version"):
        s.executors.worker.call(continued, s.executors.seconds)
    rising = all(before < after for before, after in pairwise(versions))
    s.expect("sorted(set(versions)) == versions", rising, True)


def _bytes(seed: int, megabytes: int) -> Name:
    """Return bytes that no compression makes smaller."""
    size = megabytes * 1_000_000
    return Name(f"Random({seed}).randbytes({size})", Random(seed).randbytes(size))  # noqa: S311
