"""The writer refuses what no reader could read. All stored data can be read and deleted."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import InvalidVersionError, LmdbSaverError, UsageError
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from tests.contract.driver import checkpoint, config
from tests.encryption.stores import everything
from tests.saver.hostile import Fraction, Number, Text, Word, spoiled

if TYPE_CHECKING:
    from collections.abc import Callable

METADATA = {"source": "loop", "step": 1, "parents": {"": "c1"}, "run_id": "r", "user": "u"}
WHERE = {"configurable": {"thread_id": "t", "checkpoint_ns": "sub:1", "checkpoint_id": "c1"}}
VALUES = {"a": 1, "long": "x" * 2000, "list": [1, 2]}
VERSIONS = {"a": 1, "long": 1.5, "list": "1"}
GOOD: dict[str, list[Any]] = {
    "put": [
        {**WHERE, "metadata": {"user_id": "u"}},
        checkpoint("c2", VALUES, VERSIONS),
        METADATA,
        VERSIONS,
    ],
    "put_writes": [WHERE, [("a", 1), ("__error__", "no"), ("long", "x" * 2000)], "task", "path"],
    "delete_thread": ["t"],
    "delete_for_runs": [["r", "q"]],
    "copy_thread": ["t", "target"],
    "prune": [["t"]],
    "fork": [config("t", id="c1"), "target"],
    "set_ttl": ["t", 5],
    "sweep": [1_000_000, 5],
}


def new_saver(kv: MemoryStore, **options: Any) -> LmdbSaver:
    return KvSaver(kv, **options)


def grow(saver: LmdbSaver) -> None:
    for number in (1, 2):
        versions = dict.fromkeys(VALUES, number)
        where = config("t", id=f"c{number - 1}" if number > 1 else None)
        saver.put(where, checkpoint(f"c{number}", VALUES, versions), METADATA, versions)  # type: ignore[arg-type]
        saver.put_writes(config("t", id=f"c{number}"), [("a", number)], "task")


def assert_sound(kv: MemoryStore) -> None:
    """Check that a saver without a cache can read and delete all stored data."""
    saver = new_saver(kv)
    assert saver.verify().ok, saver.verify().problems
    listed = [*saver.list(None)]
    infos = saver.threads()
    assert saver.stats().checkpoints == len(listed) == sum(info.checkpoints for info in infos)
    for found in listed:
        assert repr(saver.get_tuple(found.config)) == repr(found)  # NaN differs from itself
        assert repr(next(saver.history(found.config))) == repr(found)
        saver.get_delta_channel_history(config=found.config, channels=["a", "never"])
    for info in infos:
        saver.copy_thread(info.thread_id, "the copy")
        saver.delete_thread("the copy")
        saver.delete_thread(info.thread_id)
    assert [*saver.list(None)] == []
    assert saver.verify().ok


@given(data=st.data(), method=st.sampled_from([*GOOD]))
def test_accepted_data_can_be_read(data: st.DataObject, method: str) -> None:
    kv = MemoryStore()
    saver = new_saver(kv)
    grow(saver)
    arguments = [*GOOD[method]]
    at = data.draw(st.integers(0, len(arguments) - 1))
    arguments[at] = data.draw(spoiled(arguments[at])).value
    before = everything(kv)
    try:
        getattr(saver, method)(*arguments)
    except LmdbSaverError:
        assert everything(kv) == before
    assert_sound(kv)


def test_thread_without_runs_leaves_no_index_term(saver: LmdbSaver) -> None:
    grow(saver)
    saver.delete_for_runs(["r"])
    assert [*saver.list(None, filter={"user": "u"})] == []
    assert saver.verify().ok


def stored_then(saver: LmdbSaver, call: Callable[[], object], error: type[Exception]) -> str:
    """Return the message of the error of a call, and check that the call stored nothing."""
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, LmdbSaverError)
    assert [*saver.list(None)] == []
    assert saver.threads() == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("writes", "said"),
    [
        ([(1, 2)], "each channel of writes must be a str, got 1"),
        ([("a", 1), (None, 2)], "each channel of writes must be a str, got None"),
        (["ab"], "each of writes must be a pair of a channel and a value, got 'ab'"),
        ([("a",)], "each of writes must be a pair"),
        ({"a": 1}, "writes must be a list"),
        ("ab", "writes must be a list"),
        (5, "writes must be a list, got 5"),
    ],
)
def test_invalid_writes_are_refused(saver: LmdbSaver, writes: Any, said: str) -> None:
    message = stored_then(saver, lambda: saver.put_writes(WHERE, writes, "t"), UsageError)  # type: ignore[arg-type]
    assert message.startswith(said)


def test_writes_can_be_an_iterator(saver: LmdbSaver) -> None:
    """An operation may be prepared twice. An iterator yields its writes only once."""
    saver.put(config(), checkpoint("c1", {}, {}), {}, {})
    for number in (1, 2):
        rows: Any = iter([("a", number), ("b", number)])
        saver.put_writes(config(id="c1"), rows, f"task {number}")
        saver.copy_thread("t", f"copy {number}")
    found = saver.get_tuple(config())
    assert found is not None
    assert len(found.pending_writes or []) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, 'checkpoint["id"] must be a str, got None'),
        ({"id": ""}, 'checkpoint["id"] must be a str that is not empty'),
        ({"id": {}}, 'checkpoint["id"] must be a str'),
        ({"channel_values": {1: 2}}, 'each channel of checkpoint["channel_values"] must be a str'),
        ({"channel_versions": {1: 2}}, 'each channel of checkpoint["channel_versions"] must be'),
        ({"channel_values": [("a", 1)]}, 'checkpoint["channel_values"] must be a dict'),
        ({"channel_versions": None}, 'checkpoint["channel_versions"] must be a dict, got None'),
    ],
)
def test_invalid_checkpoint_is_refused(saver: LmdbSaver, change: Any, said: str) -> None:
    given: Any = {**checkpoint("c1", {"a": 1}, {"a": 1}), **change}
    message = stored_then(saver, lambda: saver.put(config(), given, {}, {}), UsageError)
    assert message.startswith(said)


@pytest.mark.parametrize("key", ["id", "channel_values", "channel_versions"])
def test_checkpoint_without_a_key_is_refused(saver: LmdbSaver, key: str) -> None:
    given: Any = checkpoint("c1", {"a": 1}, {"a": 1})
    del given[key]
    message = stored_then(saver, lambda: saver.put(config(), given, {}, {}), UsageError)
    assert f"checkpoint must be a dict with '{key}'" in message


@pytest.mark.parametrize("version", [None, [], (1,), b"1", 2**64, -(2**63) - 1, 10**30, 1j])
def test_invalid_version_is_refused(saver: LmdbSaver, version: Any) -> None:
    given = checkpoint("c1", {"a": 1}, {"a": version})
    call = lambda: saver.put(config(), given, {}, {"a": version})  # noqa: E731
    assert "channel 'a'" in stored_then(saver, call, InvalidVersionError)


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        (Word.ONE, "one"), (Text("v"), "v"), (Number.ONE, 1), (Fraction(1.5), 1.5),
        (True, True), (-(2**63), -(2**63)), (2**64 - 1, 2**64 - 1), (float("inf"), float("inf")),
    ],
)  # fmt: skip
def test_versions_are_read_as_plain_values(
    saver: LmdbSaver, open_saver: Callable[..., LmdbSaver], version: Any, kept: Any
) -> None:
    """Versions from the cache equal versions from the store."""
    saver.put(config(), checkpoint("c1", {"a": 1}, {"a": version}), {}, {"a": version})
    for reader in (saver, open_saver(cache_size=0)):
        found = reader.get_tuple(config())
        assert found is not None
        (got,) = found.checkpoint["channel_versions"].values()
        assert (type(got), got) == (type(kept), kept)


class Name(str, enum.Enum):
    THREAD = "t"
    CHANNEL = "a"
    NAMESPACE = "sub"
    ID = "c1"
    TASK = "task"
    PATH = "path"


def test_enumeration_members_are_names(
    saver: LmdbSaver, open_saver: Callable[..., LmdbSaver]
) -> None:
    """The members are equal to their texts."""
    where: Any = config(Name.THREAD, Name.NAMESPACE)
    given: Any = checkpoint(Name.ID, {Name.CHANNEL: 1}, {Name.CHANNEL: 1})
    at: Any = saver.put(where, given, {"source": "input"}, {Name.CHANNEL: 1})
    assert at == config("t", "sub", "c1")
    saver.put_writes(config(Name.THREAD, Name.NAMESPACE, Name.ID), [(Name.CHANNEL, 5)], Name.TASK)
    for reader in (saver, open_saver(cache_size=0)):
        found = reader.get_tuple(config("t", "sub"))
        assert found is not None
        assert found == reader.get_tuple(where)
        assert found.pending_writes == [("task", "a", 5)]
        channels = [*found.checkpoint["channel_values"], *found.checkpoint["channel_versions"]]
        assert [(type(name), name) for name in channels] == [(str, "a"), (str, "a")]
    assert [info.thread_id for info in saver.threads(prefix=Name.THREAD)] == ["t"]
    saver.delete_thread(Name.THREAD)
    assert saver.threads() == []


@pytest.mark.parametrize("thread_id", [None, {}, config()])
def test_config_in_place_of_a_thread_id_is_refused(saver: LmdbSaver, thread_id: Any) -> None:
    """Nothing is deleted."""
    for call in (
        lambda: saver.delete_thread(thread_id),
        lambda: saver.copy_thread(thread_id, "x"),
        lambda: saver.copy_thread("x", thread_id),
        lambda: saver.prune([thread_id]),
        lambda: saver.delete_for_runs([thread_id]),
        lambda: saver.set_ttl(thread_id, 5),
        lambda: saver.branches(thread_id),
    ):
        with pytest.raises(UsageError, match="must be a str, got"):
            call()


class Tags(JsonPlusSerializer):
    """A serializer that returns any bytes and any name of an encoding."""

    def __init__(self, tag: Any, payload: Any) -> None:
        super().__init__()
        self.answer = (tag, payload)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return self.answer if obj == "odd" else super().dumps_typed(obj)


@pytest.mark.parametrize(
    "answer",
    [(None, b"x"), (5, b"x"), (b"msgpack", b"x"), ("t", None), ("t", 5), ("t", "x"), ("t", [1])],
)
@pytest.mark.parametrize("method", ["put", "put_writes", "metadata"])
def test_invalid_result_of_a_serializer_is_refused(
    open_saver: Callable[..., LmdbSaver], answer: Any, method: str
) -> None:
    saver = open_saver(serde=Tags(*answer))
    given: Any = checkpoint("c1", {"a": "odd"}, {"a": 1})
    if method == "put":
        call: Any = lambda: saver.put(config(), given, {}, {"a": 1})  # noqa: E731
    elif method == "put_writes":
        call = lambda: saver.put_writes(config(id="c1"), [("a", "odd")], "t")  # noqa: E731
    else:
        call = lambda: saver.put(config(), "odd", {}, {})  # type: ignore[arg-type]  # noqa: E731
    stored_then(saver, call, UsageError if method == "metadata" else TypeError)


@pytest.mark.parametrize(
    "time",
    [253_402_300_800, 1e15, 1e300, float("nan"), float("inf"), None, "1", "x", [1], 1j, b"5"],
)
@pytest.mark.parametrize("method", ["put", "put_writes"])
def test_invalid_time_of_the_clock_is_refused(method: str, time: Any) -> None:
    """Stored data remains readable."""
    kv = MemoryStore()
    grow(new_saver(kv))
    broken = new_saver(kv, clock=lambda: time)
    with pytest.raises(UsageError, match="clock must return seconds since the epoch"):
        getattr(broken, method)(*GOOD[method])
    assert len([*broken.list(None)]) == 2
    assert_sound(kv)


def test_latest_possible_time_is_accepted() -> None:
    kv = MemoryStore()
    grow(new_saver(kv, clock=lambda: 253_402_300_799.999))
    new_saver(kv).set_ttl("t", 1000 * 365 * 24 * 60)
    assert_sound(kv)
