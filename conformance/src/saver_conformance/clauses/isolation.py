"""Clauses about objects that a saver keeps or returns: changing them changes no other answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.clauses.deltas import delta_step
from saver_conformance.parts import ALL, Part
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.source import Name

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DataObject

_MUTATIONS: dict[str, Callable[[Any], object]] = {
    '.checkpoint["channel_values"]["a"][0]["x"].append(2)': lambda got: got.checkpoint[
        "channel_values"
    ]["a"][0]["x"].append(2),
    '.checkpoint["channel_values"].clear()': lambda got: got.checkpoint["channel_values"].clear(),
    '.checkpoint["channel_versions"].clear()': lambda got: got.checkpoint[
        "channel_versions"
    ].clear(),
    '.checkpoint["versions_seen"]["node"].clear()': lambda got: got.checkpoint["versions_seen"][
        "node"
    ].clear(),
    '.metadata["tags"].append("b")': lambda got: got.metadata["tags"].append("b"),
    ".pending_writes[0][2].append(2)": lambda got: got.pending_writes[0][2].append(2),
    '.config["configurable"].update(checkpoint_id="other")': lambda got: got.config[
        "configurable"
    ].update(checkpoint_id="other"),
}


@clause(
    "list.isolated",
    cases=[(mutation,) for mutation in _MUTATIONS],
    source="graphs mutate the values that list returned to get_state_history",
    severity=Severity.CRITICAL,
    capability=Capability.LIST,
)
def listed(s: Session, data: DataObject) -> None:
    """Mutating a listed tuple changes neither the store nor the tuple of another reader."""
    mutation = data.draw(st.sampled_from(sorted(_MUTATIONS)))
    fields = {"versions_seen": {"node": {"a": 1}}}
    metadata = {"source": "loop", "tags": ["a"]}
    ref = Ref("thread", checkpoint_id(0))
    s.put(ref, changes={"a": [{"x": [1]}]}, fields=fields, metadata=metadata)
    s.put_writes(ref, [("a", [1])])
    for method, config in (("list", at("thread")), ("get_tuple", ref.config)):
        name = s.script.name("mine")
        found = s.call(method, config, bind=name)
        item, shown = (found[0], f"{name}[0]") if method == "list" else (found, name)
        s.script.line(f"{shown}{mutation}")
        with s.guard("reading a tuple"):
            _MUTATIONS[mutation](item)
        s.expect_list(at("thread"), *ALL)
        s.expect_tuple(ref, *ALL)


@clause(
    "history.isolated",
    cases=[(False,), (True,)],
    source="the runtime folds the writes of a history into its seed",
    severity=Severity.CRITICAL,
    capability=Capability.DELTA_HISTORY,
    presumes=["history.path", "history.seed"],
)
def history(s: Session, data: DataObject) -> None:
    """Mutating a returned history changes neither the store nor the history of another reader."""
    first = delta_step(s, 0, None, {"log": ["seed"]})
    s.put_writes(first, [("log", ["write"])])
    delta_step(s, 1, first)
    arguments: dict[str, Any] = {"config": at("thread"), "channels": ["log"]}
    name = s.script.name("mine")
    found = s.call("get_delta_channel_history", bind=name, **arguments)
    with s.guard("reading a history"):
        if data.draw(st.booleans()):
            s.script.line(f'{name}["log"]["writes"].clear()')
            found["log"]["writes"].clear()
        else:
            s.script.line(f'{name}["log"]["seed"].append(1)')
            found["log"]["seed"].append(1)
            s.script.line(f'{name}["log"]["writes"][0][2].append(1)')
            found["log"]["writes"][0][2].append(1)
    s.expect_history(at("thread"), ["log"])


@clause(
    "put.config.own",
    cases=[(2,), (3,)],
    source="BaseCheckpointSaver.put: the runtime keeps the config of each step",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
    presumes=["put.config"],
)
def returned_config(s: Session, data: DataObject) -> None:
    """Later puts do not change a config that put returned; changing it changes no checkpoint."""
    returned: list[tuple[str, Any]] = []
    for number in range(data.draw(st.integers(2, 3))):
        checkpoint = make_checkpoint(checkpoint_id(number))
        name = s.script.name("stored")
        metadata = {"source": "loop", "step": number}
        returned.append((name, s.call("put", at("thread"), checkpoint, metadata, {}, bind=name)))
        s.model.put(at("thread"), checkpoint, metadata)
    for number, (name, config) in enumerate(returned):
        expression = f'{name}["configurable"]["checkpoint_id"]'
        s.expect(expression, config["configurable"]["checkpoint_id"], checkpoint_id(number))
        s.script.line(f'{name}["configurable"]["checkpoint_id"] = "other"')
        config["configurable"]["checkpoint_id"] = "other"
    s.expect_list(at("thread"), Part.CONFIG, Part.PARENT)


@clause(
    "put.isolated.bytearray",
    cases=[(True,), (False,)],
    source="JsonPlusSerializer returns a bytearray itself instead of a copy, and turns one inside "
    "a list or a dict into bytes; the base class does not say who copies it",
    severity=Severity.MAJOR,
    capability=Capability.PUT,
    unspecified=True,
)
def isolated_bytearray(s: Session, data: DataObject) -> None:
    """A bytearray that is changed after put or get_tuple has returned is stored as it was put."""
    version = s.version_after(None)
    ref = Ref("thread", checkpoint_id(0))
    value = bytearray(b"ab")
    s.script.line('value = bytearray(b"ab")')
    checkpoint = make_checkpoint(ref.id, {"a": value}, {"a": version.value})
    s.model.put(at("thread"), checkpoint, {"source": "loop"})
    text = f'checkpoint({ref.id!r}, {{"a": value}}, {{"a": {version.text}}})'
    arguments = (Name(text, checkpoint), {"source": "loop"}, {"a": version})
    s.call("put", at("thread"), *arguments, share=True)
    if data.draw(st.booleans()):
        s.script.line("value[0] = 0")
        value[0] = 0
    else:
        name = s.script.name("mine")
        mine = s.call("get_tuple", ref.config, bind=name)
        s.script.line(f'{name}.checkpoint["channel_values"]["a"][0] = 0')
        with s.guard("reading a tuple"):
            mine.checkpoint["channel_values"]["a"][0] = 0
    s.expect_tuple(ref, Part.VALUES)
