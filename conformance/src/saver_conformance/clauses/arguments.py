"""Clauses about arguments: a call leaves its arguments unchanged."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.equality import same
from saver_conformance.recorder import shorten
from saver_conformance.session import Ref, Session, at, checkpoint_id, make_checkpoint
from saver_conformance.source import Name, resolve

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

_FIRST = Ref("thread", checkpoint_id(0))
_unchanged = partial(
    clause,
    source="the runtime and its callers use config, checkpoint, metadata and writes after the call",
    severity=Severity.MAJOR,
)


def _config(data: DataObject, *, named: bool | None = None) -> dict[str, Any]:
    """Draw a config, with or without a namespace, a checkpoint id and run metadata."""
    ns = "" if named else data.draw(st.sampled_from([None, ""]))
    named = data.draw(st.booleans()) if named is None else named
    config = at("thread", ns, _FIRST.id if named else None, user_id="user")
    if data.draw(st.booleans()):
        config |= {"metadata": {"tenant": "tenant"}, "tags": ["tag"]}
    return config


def _store(s: Session) -> None:
    metadata = {"source": "loop", "step": 0, "run_id": "run"}
    s.put(_FIRST, changes={"channel": [0]}, metadata=metadata)
    s.put_writes(_FIRST, [("channel", 1)])


def _expect_unchanged(
    s: Session, method: str, positional: dict[str, Any], keywords: dict[str, Any] | None = None
) -> None:
    """Call a method with named variables and check that it left their values unchanged."""
    values: dict[str, Any] = {}
    parameters: dict[str, Name] = {}
    for parameter, value in {**positional, **(keywords or {})}.items():
        # `checkpoint` is a function of the program.
        variable = s.script.name("stored" if parameter == "checkpoint" else parameter)
        s.script.line(f"{variable} = {s.script.argument(value)}")
        values[variable] = resolve(value)
        parameters[parameter] = Name(variable, values[variable])
    originals = copy.deepcopy(values)
    s.script.line(f"import copy\noriginals = copy.deepcopy([{', '.join(values)}])")
    named: dict[str, Any] = {k: parameters[k] for k in keywords or ()}
    s.call(method, *[parameters[parameter] for parameter in positional], share=True, **named)
    for position, (variable, value) in enumerate(values.items()):
        original = originals[variable]
        if same(value, original):
            continue
        message = f"{variable} is {shorten(value)} after {method}, expected {shorten(original)}"
        if value == original:
            condition = f"repr({variable}) == repr(originals[{position}])"
        else:
            condition = f"{variable} == originals[{position}]"
        s.fail_assertion(f"{condition}, {variable}", message)


@_unchanged("arguments.put", capability=Capability.PUT)
def put(s: Session, data: DataObject) -> None:
    """put leaves config, checkpoint, metadata and new_versions unchanged."""
    _store(s)
    [version] = s.versions(1, _FIRST)
    new = {"channel": version, "other": version}
    values = {"channel": [{"x": [1]}], "other": data.draw(st.sampled_from([None, 1, {"y": 2}]))}
    fields = {"versions_seen": {"node": {"channel": version}}, "updated_channels": ["channel"]}
    older = {"v": 1, "pending_sends": [], "channel_versions": {"z": version, **new}}
    metadata = {"source": "loop", "step": 1, "parents": {}, "tags": ["a", "b"]}
    whole = {"channel_versions": {"n": 7, "f": 1.5, **new}}
    for more, given in ((fields, metadata), (older, {"step": 1}), (whole, {"step": 1})):
        config = _config(data)
        config["configurable"].setdefault("checkpoint_ns", "")
        arguments = {
            "config": config,
            "checkpoint": make_checkpoint(checkpoint_id(1), values, new) | more,
            "metadata": given,
            "new_versions": new,
        }
        _expect_unchanged(s, "put", arguments)


@_unchanged("arguments.put_writes", capability=Capability.PUT_WRITES)
def put_writes(s: Session, data: DataObject) -> None:
    """put_writes leaves config and writes unchanged."""
    _store(s)
    channels = st.sampled_from(["channel", "other", "__interrupt__", "__error__"])
    values = st.sampled_from([None, 1, [1], {"x": [1]}])
    writes = data.draw(st.lists(st.tuples(channels, values), min_size=1, max_size=3))
    arguments = {"config": _config(data, named=True), "writes": writes, "task_id": "task"}
    _expect_unchanged(s, "put_writes", arguments, {"task_path": "path"})


@_unchanged("arguments.get_tuple", capability=Capability.GET_TUPLE)
def get_tuple(s: Session, data: DataObject) -> None:
    """get_tuple leaves config unchanged."""
    _store(s)
    _expect_unchanged(s, "get_tuple", {"config": _config(data)})


@_unchanged("arguments.list", capability=Capability.LIST)
def list_(s: Session, data: DataObject) -> None:
    """list leaves config, filter and before unchanged."""
    _store(s)
    s.put(Ref("thread", checkpoint_id(1)), parent=_FIRST)
    options = {
        "filter": st.sampled_from([{"source": "loop"}, {"source": "loop", "step": 0}]),
        "before": st.just(at("thread", "", checkpoint_id(1))),
        "limit": st.integers(1, 2),
    }
    narrowing = data.draw(st.fixed_dictionaries({}, optional=options))
    config = data.draw(st.booleans()) or None
    _expect_unchanged(s, "list", {"config": config and _config(data)}, narrowing)


@_unchanged("arguments.delete_for_runs", capability=Capability.DELETE_FOR_RUNS)
def delete_for_runs(s: Session, data: DataObject) -> None:
    """delete_for_runs leaves run_ids unchanged."""
    _store(s)
    run_ids = data.draw(st.permutations(["run", "other", "unknown"]))
    _expect_unchanged(s, "delete_for_runs", {"run_ids": run_ids})


@_unchanged("arguments.prune", capability=Capability.PRUNE)
def prune(s: Session, data: DataObject) -> None:
    """prune leaves thread_ids unchanged."""
    _store(s)
    thread_ids = data.draw(st.permutations(["thread", "other", "unknown"]))
    strategy = data.draw(st.sampled_from(["keep_latest", "delete"]))
    _expect_unchanged(s, "prune", {"thread_ids": thread_ids}, {"strategy": strategy})


@_unchanged("arguments.history", capability=Capability.DELTA_HISTORY)
def history(s: Session, data: DataObject) -> None:
    """get_delta_channel_history leaves config and channels unchanged."""
    _store(s)
    channels = data.draw(st.permutations(["channel", "other"]))
    arguments = {"config": _config(data), "channels": channels}
    _expect_unchanged(s, "get_delta_channel_history", {}, arguments)
