"""Contract of `put` and `get_tuple`."""

from __future__ import annotations

import copy
import math
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import CheckpointMetadata, get_checkpoint_metadata

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from tests.contract.driver import (
    SaverDriver,
    checkpoint,
    config,
    fresh_thread,
    identical,
    ids,
    put,
    values,
    writes,
)
from tests.stored import thread_ids

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver

FALSY = [None, b"", 0, 0.0, -0.0, [], {}, "", False]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.sampled_from(FALSY[:5])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4))
def test_get_tuple_returns_the_values_of_put(driver: SaverDriver, content: dict[str, Any]) -> None:
    """Values, types and the order of keys are equal."""
    thread = fresh_thread()
    put(driver, "c1", content, thread=thread)
    driver.put_writes(config(thread, id="c1"), [*content.items()], "task")
    assert identical(values(driver, config(thread)), content) or (
        # Channels have no order. Only the order of keys within values counts.
        identical(
            dict(sorted(values(driver, config(thread)).items())), dict(sorted(content.items()))
        )
    )
    assert identical(writes(driver, config(thread)), [("task", *item) for item in content.items()])
    (listed,) = driver.list(config(thread))
    assert all(identical(listed.checkpoint["channel_values"][k], v) for k, v in content.items())


@pytest.mark.parametrize("value", [*FALSY, math.nan], ids=repr)
def test_false_values_are_stored(driver: SaverDriver, value: Any) -> None:
    """Among them are `None`, `b""`, `0`, `[]`, `False` and NaN."""
    put(driver, "c1", {"value": value})
    driver.put_writes(config(id="c1"), [("channel", value)], "task")
    assert identical(values(driver, config()), {"value": value})
    assert identical(writes(driver, config()), [("task", "channel", value)])


def test_all_keys_of_a_checkpoint_are_stored(driver: SaverDriver) -> None:
    """Unknown keys are stored too."""
    sent = {
        **checkpoint("c1", {"a": 1}, {"a": 3, "b": 4}),
        "versions_seen": {"node": {"a": 3}, "__input__": {}},
        "updated_channels": ["a"],
        "pending_sends": [],
    }
    driver.put(config(), copy.deepcopy(sent), {"source": "input", "step": -1}, {"a": 3})
    assert driver.get(config()) == sent


def test_absent_channel_differs_from_a_channel_with_none(driver: SaverDriver) -> None:
    put(driver, "c1", {"none": None}, versions={"none": 1, "absent": 1})
    assert values(driver, config()) == {"none": None}


def test_unchanged_channel_is_read_at_its_version(driver: SaverDriver) -> None:
    """`new_versions` names the changed channels. `channel_versions` has the versions of all."""
    put(driver, "c1", {"old": "first", "new": "first"}, versions={"old": 1, "new": 1})
    put(driver, "c2", {"new": "second"}, parent="c1", versions={"old": 1, "new": 2}, new={"new": 2})
    put(driver, "c3", {}, parent="c2", versions={"old": 1, "new": 1}, new={})
    assert values(driver, config(id="c2")) == {"old": "first", "new": "second"}
    assert values(driver, config(id="c3")) == {"old": "first", "new": "first"}


def test_version_belongs_to_its_thread_and_namespace(driver: SaverDriver) -> None:
    put(driver, "c1", {"value": "elsewhere"}, ns="child", versions={"value": 1})
    put(driver, "c1", {"value": "elsewhere"}, thread="other", versions={"value": 1})
    put(driver, "c1", {}, versions={"value": 1}, new={})
    assert values(driver, config()) == {}


def test_unchanged_channel_is_readable_after_its_checkpoint_is_deleted(driver: SaverDriver) -> None:
    put(
        driver,
        "c1",
        {"kept": "value", "dropped": 1},
        versions={"kept": 1, "dropped": 1},
        run_id="a",
    )
    put(driver, "c2", {}, parent="c1", versions={"kept": 1}, new={}, run_id="b")
    driver.delete_for_runs(["a"])
    assert ids(driver.list(config())) == ["c2"]
    assert values(driver, config()) == {"kept": "value"}
    put(driver, "c3", {}, parent="c2", versions={"kept": 1}, new={}, run_id="b")
    driver.prune(["t"], strategy="keep_latest")
    assert values(driver, config()) == {"kept": "value"}


def test_new_version_without_a_value_is_empty(driver: SaverDriver) -> None:
    """The channel is absent, whatever value it had before."""
    put(driver, "c1", {"value": "before"}, versions={"value": 1})
    put(driver, "c2", {}, parent="c1", versions={"value": 2}, new={"value": 2})
    assert values(driver, config(id="c2")) == {}
    assert values(driver, config(id="c1")) == {"value": "before"}
    put(
        driver, "c3", {"other": 1}, parent="c2", versions={"value": 2, "other": 1}, new={"other": 1}
    )
    assert values(driver, config(id="c3")) == {"other": 1}


def test_changing_arguments_after_put_changes_no_stored_value(driver: SaverDriver) -> None:
    inner = {"list": [1, 2]}
    message = AIMessage("said", id="1", additional_kwargs={"deep": [1]})
    sent = checkpoint("c1", {"value": [inner], "message": message}, {"value": 1, "message": 1})
    metadata: CheckpointMetadata = {"source": "loop", "parents": {"": "x"}}
    driver.put(config(), sent, metadata, {"value": 1, "message": 1})
    driver.put_writes(config(id="c1"), [("channel", inner)], "task")
    inner["list"].append(3)
    message.content = "unsaid"
    message.additional_kwargs["deep"].append(2)
    sent["channel_versions"]["value"] = 99
    sent["channel_values"].clear()
    metadata["parents"][""] = "y"
    got = driver.get_tuple(config())
    assert got is not None
    said = AIMessage("said", id="1", additional_kwargs={"deep": [1]})
    assert got.checkpoint["channel_values"] == {"value": [{"list": [1, 2]}], "message": said}
    assert got.checkpoint["channel_versions"] == {"value": 1, "message": 1}
    assert got.metadata["parents"] == {"": "x"}
    assert got.pending_writes == [("task", "channel", {"list": [1, 2]})]


def _deface(thing: Any) -> None:
    """Change every mutable part of a result."""
    if isinstance(thing, dict):
        for inner in [*thing.values()]:
            _deface(inner)
        thing["defaced"] = True
    elif isinstance(thing, list):
        for inner in thing:
            _deface(inner)
        thing.append("defaced")
    elif isinstance(thing, tuple):
        for inner in thing:
            _deface(inner)
    elif isinstance(thing, HumanMessage):
        _deface(thing.additional_kwargs)
        thing.content = "defaced"


def test_changing_a_result_changes_no_other_result(driver: SaverDriver) -> None:
    """Results share no objects, and a result contains each object once."""
    shared = [HumanMessage("said", id="1", additional_kwargs={"deep": {"list": [1]}}), {"a": []}]
    put(driver, "c1", {"one": shared, "two": shared}, parents={"": "x"})
    put(driver, "c2", {}, parent="c1", versions={"one": "c1", "two": "c1"}, new={})
    for cid in ("c1", "c2"):
        driver.put_writes(config(id=cid), [("channel", shared), ("other", shared)], "task")
    clean = [driver.get_tuple(config(id=cid)) for cid in ("c2", "c1")]
    held = [*clean, *driver.list(config())]
    reference = copy.deepcopy(held)
    defaced = held.pop()
    assert defaced is not None
    _deface(defaced.checkpoint["channel_values"]["one"])
    assert defaced.checkpoint["channel_values"]["two"] == shared
    _deface(defaced)
    assert held == reference[:-1]
    _deface(held)
    assert [driver.get_tuple(config(id=cid)) for cid in ("c2", "c1")] == reference[:2]
    assert driver.list(config()) == reference[2:]


def test_put_of_an_existing_id_replaces_the_checkpoint(driver: SaverDriver) -> None:
    """Values, metadata, parent and run are replaced."""
    put(driver, "a", {"value": 0}, run_id="r0")
    put(driver, "c1", {"value": 1, "dropped": 1}, parent="a", run_id="r1", key="first")
    driver.put_writes(config(id="c1"), [("channel", "kept")], "task")
    put(driver, "c1", {"value": 2}, versions={"value": 2}, run_id="r2")
    got = driver.get_tuple(config(id="c1"))
    assert got is not None
    assert got.checkpoint["channel_values"] == {"value": 2}
    assert got.parent_config is None
    assert "key" not in got.metadata
    assert got.pending_writes == [("task", "channel", "kept")]
    assert ids(driver.list(config())) == ["c1", "a"]
    driver.delete_for_runs(["r1"])
    assert ids(driver.list(config())) == ["c1", "a"]
    driver.delete_for_runs(["r2"])
    assert ids(driver.list(config())) == ["a"]


def test_put_of_an_existing_id_and_versions_replaces_the_values(driver: SaverDriver) -> None:
    put(driver, "c1", {"value": 1})
    put(driver, "c1", {"value": 2})
    assert values(driver, config()) == {"value": 2}


def test_metadata_contains_values_of_the_config(driver: SaverDriver) -> None:
    """The result equals the result of `get_checkpoint_metadata`."""
    at = config()
    at["configurable"] |= {"user": "u1", "__private": 1, "langgraph_step": 3, "tags": ["no"]}
    at["metadata"] = {"run_id": "r1", "source": "ignored", "nul": "a\x00b", "score": 0.5}
    metadata: CheckpointMetadata = {"source": "loop", "step": 2, "parents": {}}
    driver.put(at, checkpoint("c1", {}, {}), metadata, {})
    got = driver.get_tuple(config())
    assert got is not None
    assert got.metadata == get_checkpoint_metadata(at, metadata)
    assert got.metadata["user"] == "u1"  # type: ignore[typeddict-item]
    driver.delete_for_runs(["r1"])
    assert driver.list(config()) == []


def test_returned_configs_lead_to_the_checkpoint(driver: SaverDriver) -> None:
    """The configs of `put`, `get_tuple` and `list` lead to one checkpoint."""
    put(driver, "c1")
    returned = put(driver, "c2", {"value": 2}, parent="c1", ns="")
    assert returned == config(id="c2")
    got = driver.get_tuple(returned)
    assert got is not None
    assert got.config == returned
    assert got.parent_config == config(id="c1")
    assert driver.list(config(), limit=1)[0].config == returned
    latest = driver.get_tuple(config())
    assert latest is not None
    assert latest.config == returned


@pytest.mark.parametrize(
    "at", [config("missing"), config(ns="nowhere"), config(id="never")], ids=["thread", "ns", "id"]
)
def test_missing_checkpoint_reads_as_none(driver: SaverDriver, at: Any) -> None:
    put(driver, "c1")
    assert driver.get_tuple(at) is None
    assert driver.get(at) is None


UNSERIALIZABLE = {"fine": 1, "deep": [0, {"lock": threading.Lock()}]}


def test_unserializable_value_is_named(driver: SaverDriver, saver: LmdbSaver) -> None:
    """The error names the channel and the path. Nothing of the checkpoint is stored."""
    with pytest.raises(LmdbSaverError) as caught:
        put(driver, "c1", {"good": 1, "notes": UNSERIALIZABLE}, run_id="r1")
    for part in ("notes", "deep", "1", "lock"):
        assert part in str(caught.value)
    assert driver.get_tuple(config()) is None
    assert driver.list(None) == []
    assert thread_ids(saver) == set()
    put(driver, "c2", {}, versions={"good": "c1"}, new={})
    assert values(driver, config()) == {}


def test_unserializable_write_is_named(driver: SaverDriver) -> None:
    """The error names the channel and the path. No write of the call is stored."""
    put(driver, "c1")
    with pytest.raises(LmdbSaverError) as caught:
        driver.put_writes(config(id="c1"), [("good", 1), ("notes", UNSERIALIZABLE)], "task")
    for part in ("notes", "deep", "1", "lock"):
        assert part in str(caught.value)
    assert writes(driver, config()) == []


def test_unserializable_metadata_is_refused(driver: SaverDriver) -> None:
    """Nothing of the checkpoint is stored."""
    with pytest.raises(LmdbSaverError, match="lock"):
        put(driver, "c1", {"value": 1}, lock=threading.Lock())
    assert driver.list(None) == []
