"""Clauses about values that put does not receive, and about a parent that changes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_SILENT = "the base class does not say what a channel without a value and without a new version has"
_branch = partial(clause, severity=Severity.CRITICAL, capability=Capability.PUT, unspecified=True)


def _expect_value(
    s: Session, number: int, parent: Ref, version: Any, wanted: dict[str, Any]
) -> None:
    """Put a checkpoint without a value for the channel `a`, and check its values."""
    checkpoint = make_checkpoint(checkpoint_id(number), {}, {"a": version})
    s.call("put", parent.config, checkpoint, {"source": "loop", "step": number}, {})
    name = s.script.name("got")
    got = s.call("get_tuple", Ref("thread", checkpoint_id(number)).config, bind=name)
    with s.guard("reading a tuple"):
        values = got.checkpoint["channel_values"]
    s.expect(f'{name}.checkpoint["channel_values"]', values, wanted)


@_branch(
    "branch.inherited",
    source=f"{_SILENT}; InMemorySaver and PostgresSaver return the value of its version",
    cases=[(1,), (4,)],
)
def inherited(s: Session, data: DataObject) -> None:
    """A channel without a value and without a new version has the value that its version has."""
    version = s.version_after(None).value
    first = Ref("thread", checkpoint_id(0))
    s.put(first, changes={"a": ["first"]}, versions={"a": version})
    for number in range(1, data.draw(st.integers(1, 4))):
        _expect_value(
            s, number, Ref("thread", checkpoint_id(number - 1)), version, {"a": ["first"]}
        )
    # The latest checkpoint of the namespace is on another branch and has another version.
    later = s.version_after(s.version_after(None)).value
    s.put(Ref("thread", checkpoint_id(8)), changes={"a": ["other"]}, versions={"a": later})
    _expect_value(s, 5, first, version, {"a": ["first"]})


@_branch(
    "branch.inherited.own",
    source=f"{_SILENT}; versions of two branches may be equal",
    cases=[(0,), (1,)],
)
def inherited_own(s: Session, data: DataObject) -> None:
    """A checkpoint has no value of a version that only another branch has."""
    first = s.put(Ref("thread", checkpoint_id(0)), changes={"b": [0]})
    [version] = s.versions(1, first)
    sibling = Ref("thread", checkpoint_id(1))
    s.put(sibling, parent=first, changes={"a": ["sibling"]}, versions={"a": version.value})
    parent = first
    if data.draw(st.integers(0, 1)):
        parent = s.put(Ref("thread", checkpoint_id(2)), parent=first, changes={"b": [1]})
    _expect_value(s, 5, parent, version.value, {})


@_branch(
    "branch.handed_over.alone",
    source="Checkpoint.channel_values; the base class does not say whether each value needs a "
    "version, and whether the parent must be stored",
    cases=[(False,), (True,)],
)
def alone(s: Session, data: DataObject) -> None:
    """A checkpoint has the values that put received, without their versions or their parent."""
    ref, missing = Ref("thread", checkpoint_id(1)), Ref("thread", checkpoint_id(0))
    versions = {"a": 1} if data.draw(st.booleans()) else {"a": 1, "b": 2}
    checkpoint = make_checkpoint(ref.id, {"a": [1], "b": [2]}, versions)
    new = versions if len(versions) == 1 else {}
    s.model.put(missing.config, checkpoint, {"source": "loop"})
    s.call("put", missing.config, checkpoint, {"source": "loop"}, new)
    s.expect_tuple(ref, Part.VALUES, Part.VERSIONS)


@_branch(
    "put.again.parent",
    source="InMemorySaver and SqliteSaver replace the parent of a checkpoint that is put again; "
    "PostgresSaver keeps it",
    cases=[(0,), (1,)],
)
def again(s: Session, data: DataObject) -> None:
    """Putting an id again under another parent, or under none, replaces its parent."""
    refs = [Ref("thread", checkpoint_id(number)) for number in range(3)]
    s.put(refs[0], changes={"a": [0]})
    s.put(refs[1], parent=refs[0], changes={"a": [1]})
    s.put(refs[2], parent=refs[1], changes={"a": [2]})
    parent = [None, refs[0]][data.draw(st.integers(0, 1))]
    s.put(refs[2], parent=parent, inherits=refs[2], all_new=True)
    s.expect_tuple(refs[2], *ALL)
    s.expect_list(at("thread"), *ALL)
