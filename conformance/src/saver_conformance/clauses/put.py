"""Clauses about put: a checkpoint is returned as it was put."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from saver_conformance.capability import Api, Capability
from saver_conformance.clause import Severity, clause
from saver_conformance.parts import Part
from saver_conformance.session import (
    ABSENT,
    Ref,
    Session,
    at,
    checkpoint_id,
    make_checkpoint,
)
from saver_conformance.source import Name
from saver_conformance.values import METADATA, SIMPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DataObject

_FIRST = Ref("thread", checkpoint_id(0))
_SECOND = Ref("thread", checkpoint_id(1))
_VALUES = "Checkpoint.channel_values: the values of the channels at the time of the checkpoint"


@clause(
    "put.config",
    cases=[("",), ("child",)],
    source="BaseCheckpointSaver.put: updated configuration after storing the checkpoint",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def returned_config(s: Session, data: DataObject) -> None:
    """put returns a config that names the stored checkpoint."""
    ns = data.draw(st.sampled_from(["", "child"]))
    ref = Ref("thread", checkpoint_id(0), ns)
    s.put(ref)
    name = s.script.name("stored")
    checkpoint = make_checkpoint(checkpoint_id(1))
    stored = s.call("put", ref.config, checkpoint, {"source": "loop", "step": 1}, {}, bind=name)
    s.model.put(ref.config, checkpoint, {"source": "loop", "step": 1})
    if not isinstance(stored, dict) or "configurable" not in stored:
        s.differ(name, stored, at("thread", ns, checkpoint_id(1)))
    for key, wanted in at("thread", ns, checkpoint_id(1))["configurable"].items():
        s.expect(f'{name}["configurable"].get("{key}")', stored["configurable"].get(key), wanted)


@clause(
    "put.fields",
    source="Checkpoint: v, ts, versions_seen, updated_channels",
    capability=Capability.PUT,
)
def fields(s: Session, data: DataObject) -> None:
    """The other fields of a checkpoint are returned unchanged."""
    version = s.version_after(None).value
    seen = st.dictionaries(st.sampled_from(["node", "other"]), st.just({"channel": version}))
    s.put(
        _FIRST,
        fields={
            "v": data.draw(st.just(4)),
            "ts": data.draw(st.datetimes()).isoformat() + "+00:00",
            "versions_seen": data.draw(seen),
            "updated_channels": data.draw(
                st.none() | st.lists(st.sampled_from(["channel", "other"]), unique=True)
            ),
        },
    )
    s.expect_tuple(_FIRST, Part.FIELDS)


@clause(
    "put.absent",
    cases=[(None,), (1,)],
    source=_VALUES,
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def absent(s: Session, data: DataObject) -> None:
    """A channel without a value remains absent, and a channel with the value None is present."""
    s.put(_FIRST, changes={"channel": data.draw(st.sampled_from([None, 1])), "other": ABSENT})
    s.expect_tuple(_FIRST, Part.VALUES, Part.VERSIONS)
    s.put(_SECOND, parent=_FIRST, changes={"channel": ABSENT, "other": None})
    s.expect_tuple(_SECOND, Part.VALUES, Part.VERSIONS)


@clause(
    "put.unchanged",
    source="BaseCheckpointSaver.put: new_versions are the versions as of this write; "
    "an unchanged channel has the value that was stored with its version",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def unchanged(s: Session, data: DataObject) -> None:
    """An unchanged channel keeps its value, no matter how many checkpoints ago it was stored."""
    changed = st.dictionaries(st.sampled_from(["a", "b", "c"]), SIMPLE, max_size=2)
    refs: list[Ref] = []
    for number in range(data.draw(st.integers(2, 5))):
        ref = Ref("thread", checkpoint_id(number))
        refs.append(s.put(ref, parent=refs[-1] if refs else None, changes=data.draw(changed)))
    for ref in refs:
        s.expect_tuple(ref, Part.VALUES)


@clause(
    "put.fork",
    cases=[(4,)],
    source="get_next_version of the same parent may give both branches the same version",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def fork(s: Session, data: DataObject) -> None:
    """Two checkpoints with the same parent keep their own values."""
    s.put(_FIRST, changes={"channel": 0})
    branches = [Ref("thread", checkpoint_id(n)) for n in range(1, data.draw(st.integers(3, 4)))]
    for number, ref in enumerate(branches):
        s.put(ref, parent=_FIRST, changes={"channel": [number]})
    # Replay one branch on top of another.
    replayed = Ref("thread", checkpoint_id(5))
    s.put(replayed, parent=branches[0], inherits=branches[-1])
    for ref in [_FIRST, *branches, replayed]:
        s.expect_tuple(ref, Part.VALUES)


@clause(
    "put.versions",
    cases=[(int,), (float,), (str,), ("large",)],
    source="ChannelVersions = dict[str, str | int | float]",
    capability=Capability.PUT,
)
def versions(s: Session, data: DataObject) -> None:
    """Channel versions may be int, float or str, and keep their type and value."""
    # No float has a value between the large ones.
    kinds = {int: (1, 2), float: (1.5, 2.5), str: ("01", "02"), "large": (2**53 + 1, 2**53 + 2)}
    first, second = kinds[data.draw(st.sampled_from([*kinds]))]
    s.put(_FIRST, changes={"a": [1], "b": [1]}, versions={"a": first, "b": first})
    s.put(_SECOND, parent=_FIRST, changes={"a": [2]}, versions={"a": second})
    for ref in (_FIRST, _SECOND):
        s.expect_tuple(ref, Part.VERSIONS, Part.VALUES)


@clause(
    "versions.increase",
    cases=[(12,), (130,)],
    source="BaseCheckpointSaver.get_next_version: the next version, which must be increasing",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def increase(s: Session, data: DataObject) -> None:
    """Each version is greater than the version before it."""
    before = s.version_after(None)
    for _ in range(data.draw(st.integers(9, 12))):
        after = s.version_after(before)
        if not after.value > before.value:
            s.fail_assertion(
                f"{after.text} > {before.text}, ({before.text}, {after.text})",
                f"{after.value!r} follows {before.value!r} and is not greater",
            )
        before = after


@clause(
    "versions.foreign",
    cases=[(0,), (5,), (2.5,), (2.0**53,), (f"{7:032}.0000000000000001",)],
    source="ChannelVersions: str, int or float; a migrated thread continues with versions of "
    "another saver; the base class leaves it to the saver which kinds it continues",
    severity=Severity.MAJOR,
    capability=Capability.PUT,
    unspecified=True,
)
def foreign(s: Session, data: DataObject) -> None:
    """The version after another saver's is of the same kind and greater, or raises ValueError."""
    before: Any = data.draw(st.sampled_from([0, 5, 2.5, 2.0**53, f"{7:032}.0000000000000001"]))
    for _ in range(2):
        name = s.script.name("v")
        options: dict[str, Any] = {"api": Api.SYNC, "expected_errors": (ValueError,)}
        found = s.call("get_next_version", before, None, bind=name, **options)
        if isinstance(found, ValueError):
            return
        after = Name(name, found)
        if type(after.value) is not type(before) or not after.value > before:
            s.fail_assertion(
                f"type({after.text}) is {type(before).__name__} and {after.text} > {before!r}, "
                f"{after.text}",
                f"{after.value!r} follows {before!r} and is not greater",
            )
        before = after.value


@clause(
    "put.replace",
    source="InMemorySaver, SqliteSaver and PostgresSaver replace a checkpoint with the same id",
    capability=Capability.PUT,
)
def replace(s: Session, data: DataObject) -> None:
    """Putting an existing id replaces its values and its metadata."""
    s.put(_FIRST, changes={"channel": [0]}, metadata={"source": "loop", "step": 0})
    s.put(_SECOND, parent=_FIRST, changes={"channel": [1]}, metadata={"source": "loop", "step": 1})
    s.put(
        _SECOND,
        parent=_FIRST,
        newer_than=_SECOND,
        changes={"channel": [data.draw(st.integers(2, 9))]},
        metadata={"source": "update", "step": 2},
    )
    s.expect_tuple(_SECOND, Part.VALUES, Part.METADATA)
    s.expect_list(at("thread"))


@clause(
    "metadata.values",
    cases=[({"user": None},), ({"user": {"a": {"b": [1, None]}}, "tags": [], "score": ""},)],
    source="CheckpointMetadata; BaseCheckpointSaver.put: additional metadata for the checkpoint",
    capability=Capability.PUT,
)
def metadata(s: Session, data: DataObject) -> None:
    """Metadata is returned unchanged, including nested values, None and any text."""
    extra = data.draw(st.dictionaries(st.sampled_from(["user", "tags", "score"]), METADATA))
    s.put(_FIRST, metadata={"source": "loop", "step": 1, "parents": {}, **extra})
    s.expect_tuple(_FIRST, Part.METADATA)


@clause(
    "metadata.merged",
    cases=[("x",), (7,), (True,)],
    source="get_checkpoint_metadata: merges metadata and configurable of the config, "
    "without overriding the metadata of put",
    capability=Capability.PUT,
)
def merged(s: Session, data: DataObject) -> None:
    """Scalars of the config's metadata and configurable become metadata of the checkpoint."""
    value = data.draw(st.sampled_from(["x", 7, True]))
    config = at("thread", user_id=value, step=9)
    s.put(_FIRST, config={**config, "metadata": {"tenant": value, "source": "mine"}})
    s.expect_tuple(_FIRST, Part.METADATA)


@clause(
    "metadata.excluded",
    cases=[("__pregel_x",), ("langgraph_node",), ("langgraph_step",)],
    source="EXCLUDED_METADATA_KEYS and get_checkpoint_metadata: exclude keys that start with two "
    "underscores and keys that locate the checkpoint",
    severity=Severity.MINOR,
    capability=Capability.PUT,
)
def excluded(s: Session, data: DataObject) -> None:
    """Ids and private keys of the config do not become metadata."""
    private = data.draw(st.sampled_from(["__pregel_x", "langgraph_node", "langgraph_step"]))
    s.put(_FIRST, config=at("thread", **{private: "x"}))
    name = s.script.name("got")
    got = s.call("get_tuple", at("thread"), bind=name)
    for key in (private, "thread_id", "checkpoint_ns"):
        found = None if got is None else key in got.metadata
        s.expect(f"{key!r} in {name}.metadata", found, False)


@clause(
    "put.isolated",
    source="the runtime keeps mutating channel values after put has returned",
    severity=Severity.CRITICAL,
    capability=Capability.PUT,
)
def isolated(s: Session, data: DataObject) -> None:
    """Mutating the arguments after put has returned does not change the stored checkpoint."""
    version = s.version_after(None)
    checkpoint = make_checkpoint(
        checkpoint_id(0), {"channel": [{"x": [1]}]}, {"channel": version.value}
    )
    metadata: dict[str, Any] = {"source": "loop", "step": 0, "tags": ["a"]}
    s.model.put(at("thread"), checkpoint, metadata)
    s.script.line(
        'values = {"channel": [{"x": [1]}]}\n'
        'metadata = {"source": "loop", "step": 0, "tags": ["a"]}'
    )
    stored = f'checkpoint({checkpoint_id(0)!r}, values, {{"channel": {version.text}}})'
    arguments = (Name(stored, checkpoint), Name("metadata", metadata), {"channel": version})
    s.call("put", at("thread"), *arguments, share=True)
    values = checkpoint["channel_values"]
    line, mutate = data.draw(
        st.sampled_from(
            [
                (
                    'values["channel"][0]["x"].append(2)',
                    lambda: values["channel"][0]["x"].append(2),
                ),
                ('values["channel"] = "other"', lambda: values.update(channel="other")),
                ('metadata["tags"].append("b")', lambda: metadata["tags"].append("b")),
            ]
        )
    )
    s.script.line(line)
    mutate()
    s.expect_tuple(_FIRST, Part.VALUES, Part.METADATA)


_MUTABLE = {"channel": [{"x": [1]}]}
_MUTATIONS: dict[str, Callable[[Any], object]] = {
    '.checkpoint["channel_values"]["channel"][0]["x"].append(2)': lambda got: got.checkpoint[
        "channel_values"
    ]["channel"][0]["x"].append(2),
    '.checkpoint["channel_values"].clear()': lambda got: got.checkpoint["channel_values"].clear(),
    '.metadata["tags"].append("b")': lambda got: got.metadata["tags"].append("b"),
    ".pending_writes[0][2].append(2)": lambda got: got.pending_writes[0][2].append(2),
    ".pending_writes.clear()": lambda got: got.pending_writes.clear(),
}


@clause(
    "get.isolated",
    cases=[(mutation,) for mutation in _MUTATIONS],
    source="graphs mutate the values that get_tuple returned to the runtime",
    severity=Severity.CRITICAL,
    capability=Capability.GET_TUPLE,
)
def got_isolated(s: Session, data: DataObject) -> None:
    """Mutating a returned tuple changes neither the store nor the tuple of another reader."""
    metadata = {"source": "loop", "tags": ["a"]}
    bare = s.put(Ref("thread", checkpoint_id(1)), changes=_MUTABLE, metadata=metadata)
    s.put(_FIRST, changes=_MUTABLE, metadata=metadata)
    s.put_writes(_FIRST, [("channel", [1])])
    _mutate(s, _FIRST, data.draw(st.sampled_from(sorted(_MUTATIONS))))
    _mutate(s, bare, '.checkpoint["channel_values"].clear()')
    s.expect_list(at("thread"), Part.VALUES, Part.METADATA, Part.WRITES)


def _mutate(s: Session, ref: Ref, mutation: str) -> None:
    """Mutate a tuple that get_tuple returned, and check the next one."""
    s.expect_tuple(ref, Part.VALUES)
    name = s.script.name("mine")
    mine = s.call("get_tuple", ref.config, bind=name)
    s.script.line(f"{name}{mutation}")
    with s.guard("reading a tuple"):
        _MUTATIONS[mutation](mine)
    s.expect_tuple(ref, Part.VALUES, Part.METADATA, Part.WRITES)
