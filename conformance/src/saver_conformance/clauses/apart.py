"""Clauses about confusable ids: operations on one id do not affect another id."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_step
from saver_conformance.confusable import FAMILIES, SEPARATORS
from saver_conformance.parts import ALL, Part
from saver_conformance.session import ABSENT, Ref, Session, at, checkpoint_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DataObject

_FIRST = Ref("thread", checkpoint_id(0))
_CASES = tuple((family, list(ids)) for family, ids in FAMILIES.items())
_apart = partial(
    clause,
    source="BaseCheckpointSaver: ids are str, so two different ids are never the same; "
    "langchain-ai/langgraph#6890: joined ids collided",
    severity=Severity.CRITICAL,
    cases=_CASES,
)
#: A rejected id cannot be confused with another id.
_REJECTED: dict[str, Any] = {"expected_errors": (Exception,)}


def _ids(data: DataObject, fewest: int = 2) -> list[str]:
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    ids = st.sampled_from(FAMILIES[family])
    return data.draw(st.lists(ids, min_size=fewest, max_size=4, unique=True))


def _store(s: Session, refs: Sequence[Ref], channels: Sequence[str] = ("a",)) -> list[Ref]:
    """Put checkpoints that differ in their ids and values only, and return the accepted ones."""
    versions = s.versions(len(refs))
    stored: list[Ref] = []
    for number, ref in enumerate(refs):
        # Keys of values may have the version: use the same version in different namespaces.
        older = sum(known.thread == ref.thread and known.ns == ref.ns for known in stored)
        new = dict.fromkeys(channels, versions[older].value)
        changes = {channel: [number, channel] for channel in channels}
        if s.try_put(ref, changes=changes, versions=new, metadata=_metadata(number), **_REJECTED):
            _write(s, ref, [number])
            stored.append(ref)
    return stored


def _write(s: Session, ref: Ref, value: Any, task: str = "task") -> None:
    """Put writes of a slot that keeps its first write and of a slot that keeps its last write."""
    for channel in ("a", "__interrupt__"):
        s.put_writes(ref, [(channel, value)], task, **_REJECTED)


def _metadata(number: int, **more: Any) -> dict[str, Any]:
    return {"source": "loop", "step": number, **more}


def _expect(s: Session, refs: Sequence[Ref]) -> None:
    """Check checkpoints by id, and the namespaces of ordinary ids by list."""
    for ref in refs:
        s.expect_tuple(ref, *ALL)
    for thread, ns in dict.fromkeys((ref.thread, ref.ns) for ref in refs):
        if sum((thread, ns) == (ref.thread, ref.ns) for ref in refs) == 1:
            s.expect_tuple(at(thread, ns), *ALL)
            s.expect_list(at(thread, ns), *ALL)


def _expect_apart(s: Session, refs: Sequence[Ref]) -> None:
    """Check that reads, overwrites and writes of each checkpoint affect that checkpoint only."""
    refs = _store(s, refs)
    _expect(s, refs)
    for number, ref in enumerate(refs[::2]):
        s.put(ref, changes={"a": ["new", number]}, newer_than=refs[-1], metadata=_metadata(-number))
        _write(s, ref, ["new", number])
    _expect(s, refs)


@_apart("identity.apart.thread", capability=Capability.GET_TUPLE)
def threads(s: Session, data: DataObject) -> None:
    """Threads with similar ids are distinct in reads, overwrites and writes."""
    _expect_apart(s, [Ref(text, _FIRST.id) for text in _ids(data)])


@_apart("identity.apart.namespace", capability=Capability.GET_TUPLE)
def namespaces(s: Session, data: DataObject) -> None:
    """Namespaces with similar names are distinct in reads, overwrites and writes."""
    _expect_apart(s, [Ref("thread", _FIRST.id, text) for text in _ids(data)])


@_apart("identity.apart.checkpoint", capability=Capability.GET_TUPLE)
def checkpoints(s: Session, data: DataObject) -> None:
    """Checkpoints with similar ids are distinct in reads, overwrites and writes."""
    # A config with an empty id names the latest checkpoint.
    ids = [text for text in _ids(data) if text]
    _expect_apart(s, [Ref("thread", text) for text in ids])
    for number, text in enumerate(ids):
        s.try_put(
            Ref("child", checkpoint_id(number)), parent=Ref("child", text), **_REJECTED
        ) and s.expect_tuple(Ref("child", checkpoint_id(number)), Part.PARENT)


@_apart(
    "identity.apart.joined",
    capability=Capability.GET_TUPLE,
    cases=[(list(SEPARATORS[start : start + 6]),) for start in range(0, len(SEPARATORS), 6)],
)
def joined(s: Session, data: DataObject) -> None:
    """Ids that are equal when a separator joins them are distinct."""
    separators = data.draw(
        st.lists(st.sampled_from(SEPARATORS), min_size=1, max_size=2, unique=True)
    )
    for number, sep in enumerate(separators):
        a, b, c, d = (f"{letter}{number}" for letter in "abcd")
        refs = [
            Ref(a, f"{c}{sep}{d}", b),
            Ref(a, d, f"{b}{sep}{c}"),
            Ref(f"{a}{sep}{b}", d, c),
            Ref(f"{a}{sep}{b}{sep}{c}", d),
            Ref(a, f"{b}{sep}{c}{sep}{d}"),
            Ref(a, c, b),
            Ref(a, b),
        ]
        stored = _store(s, refs, ("x", f"{c}{sep}x", f"{d}{sep}x", f"x{sep}"))
        for place, ref in enumerate(stored):
            for task in ("e", f"{d}{sep}e", f"{c}{sep}{d}{sep}e"):
                s.put_writes(ref, [("x", [place, task])], task, **_REJECTED)
        _expect(s, stored)
        if Capability.DELETE_THREAD in s.claimed:
            s.delete_thread(a)
            _expect(s, stored)


@_apart("identity.apart.channel", capability=Capability.PUT)
def channels(s: Session, data: DataObject) -> None:
    """Channels with similar names have their own values, versions and writes."""
    names = _ids(data)
    changes = {name: [n] for n, name in enumerate(names)}
    for name in names:
        alone = Ref("alone", checkpoint_id(names.index(name)))
        if s.try_put(alone, changes={name: changes[name]}, **_REJECTED) is None:
            return
    # Names that are accepted one by one are accepted together.
    first = s.put(_FIRST, changes=changes)
    s.put_writes(first, [(name, n) for n, name in enumerate(names)], **_REJECTED)
    second = s.put(
        Ref("thread", checkpoint_id(1)),
        parent=first,
        changes={name: ["new", n] for n, name in enumerate(names[::2])},
    )
    s.expect_tuple(first, *ALL)
    s.expect_tuple(second, *ALL)


@_apart("identity.apart.task", capability=Capability.PUT_WRITES)
def tasks(s: Session, data: DataObject) -> None:
    """Tasks with similar ids have their own writes."""
    ids = _ids(data)
    s.put(_FIRST)
    for value in ("first", "second"):
        for number, task in enumerate(ids):
            _write(s, _FIRST, [value, number], task)
    s.expect_tuple(_FIRST, *ALL)


@_apart(
    "identity.apart.slot",
    capability=Capability.PUT_WRITES,
    cases=[(["", "-"],), ([":", "_", "/", "|"],)],
    presumes=["writes.order.*"],
)
def slots(s: Session, data: DataObject) -> None:
    """Tasks whose ids are equal when the number of a write joins them have their own writes."""
    joints = st.sampled_from(["", *SEPARATORS])
    s.put(_FIRST)
    for number, sep in enumerate(data.draw(st.lists(joints, min_size=1, max_size=4, unique=True))):
        for task in (f"t{number}", f"t{number}{sep}1", f"t{number}{sep}-", f"t{number}{sep}0"):
            written = [("a", [task, position]) for position in range(12)]
            s.put_writes(_FIRST, [*written, ("__interrupt__", task)], task, **_REJECTED)
    s.expect_tuple(_FIRST, *ALL)


@_apart("identity.apart.path", capability=Capability.PUT_WRITES, presumes=["writes.order.*"])
def paths(s: Session, data: DataObject) -> None:
    """Writes with similar task paths are ordered by path as text, not by task."""
    texts = sorted(_ids(data), reverse=True)
    s.put(_FIRST)
    for number, path in enumerate(texts):
        s.put_writes(_FIRST, [("a", number)], f"task-{number:02}", task_path=path, **_REJECTED)
    s.expect_tuple(_FIRST, *ALL)


@_apart("delete_thread.apart", capability=Capability.DELETE_THREAD)
def deleted(s: Session, data: DataObject) -> None:
    """delete_thread keeps threads with similar ids, also if its own thread does not exist."""
    first, *others = _ids(data)
    refs = _store(s, [Ref(text, _FIRST.id, ns) for text in others for ns in ("", first)])
    s.delete_thread(first, **_REJECTED)
    _expect(s, refs)
    refs += _store(s, [Ref(first, _FIRST.id)])
    s.delete_thread(others[-1], **_REJECTED)
    _expect(s, refs)


@_apart("runs.apart", capability=Capability.DELETE_FOR_RUNS)
def runs(s: Session, data: DataObject) -> None:
    """delete_for_runs keeps the runs with similar ids."""
    ids = _ids(data)
    refs = []
    for number, run in enumerate(ids):
        ref = Ref(f"thread-{number % 2}", checkpoint_id(number))
        metadata = _metadata(number, run_id=run)
        # get_checkpoint_metadata removes NUL, so such runs are not distinct.
        if "\0" not in run and s.try_put(ref, metadata=metadata, **_REJECTED):
            refs.append(ref)
    for run in ids[::2]:
        s.delete_for_runs([run], **_REJECTED)
        _expect(s, refs)


@_apart("copy.apart", capability=Capability.COPY_THREAD)
def copied(s: Session, data: DataObject) -> None:
    """copy_thread reads and writes no thread with a similar id."""
    target, *others = _ids(data)
    refs = _store(s, [Ref(text, _FIRST.id, ns) for text in others for ns in ("", target)])
    s.copy_thread(others[0], target, **_REJECTED)
    _expect(s, [*refs, Ref(target, _FIRST.id), Ref(target, _FIRST.id, target)])


@_apart("prune.apart", capability=Capability.PRUNE)
def pruned(s: Session, data: DataObject) -> None:
    """prune keeps the checkpoints of threads and namespaces with similar ids."""
    ids = _ids(data)
    refs = _store(s, [Ref(text, checkpoint_id(n)) for text in ids for n in (0, 1)])
    refs += _store(s, [Ref("thread", checkpoint_id(0), text) for text in ids])
    s.prune([ids[0]], "delete", **_REJECTED)
    _expect(s, refs)
    s.prune([ids[1], "thread"], "keep_latest", **_REJECTED)
    _expect(s, refs)


@_apart("history.apart", capability=Capability.DELTA_HISTORY)
def histories(s: Session, data: DataObject) -> None:
    """Channels with similar names have their own history."""
    names = _ids(data)
    seeds = {name: [n] if n % 2 else ABSENT for n, name in enumerate(names)}
    first = Ref("thread", checkpoint_id(0))
    if s.try_put(first, changes=seeds, **_REJECTED) is None:
        return
    s.put_writes(first, [(name, n) for n, name in enumerate(names)], **_REJECTED)
    second = delta_step(s, 1, first, dict.fromkeys(names, ABSENT))
    s.expect_history(second.config, names)


@_apart("list.filter.apart", capability=Capability.LIST, presumes=["list.filter"])
def filtered(s: Session, data: DataObject) -> None:
    """A filter distinguishes similar values."""
    texts = [text for text in _ids(data) if "\0" not in text]
    for number, text in enumerate(texts):
        metadata = _metadata(number, user=text)
        s.try_put(Ref("thread", checkpoint_id(number)), metadata=metadata, **_REJECTED)
    for text in texts:
        s.expect_list(at("thread"), filter={"user": text})
