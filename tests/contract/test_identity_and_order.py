"""Contract of ids and of the order of checkpoints."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from tests.contract.driver import (
    SaverDriver,
    config,
    fresh_thread,
    ids,
    put,
    put_chain,
    values,
    writes,
)

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver

# Characters that savers have used as separators or could not store, and adjacent characters.
AWKWARD = st.text(st.sampled_from("ab01\x00\x01/|:.%_*'\"\\ \t\n\u00e9\u2028\U0001f9ea\uffff"))
IDS = AWKWARD | st.text(st.characters(exclude_categories=["Cs"])) | st.just("x" * 10_000)
PLACES = st.tuples(IDS, IDS, IDS.filter(bool))
PEERS_FIRST = InMemorySaver().get_next_version(None, None)


def test_thread_id_is_converted_to_text(driver: SaverDriver) -> None:
    """`123` and `"123"` are one thread."""
    put(driver, "c1", {"value": 1}, thread=123)
    put(driver, "c2", {"value": 2}, thread="123", parent="c1")
    driver.put_writes(config(123, id="c2"), [("channel", "written")], "task")
    for thread in (123, "123"):
        assert values(driver, config(thread)) == {"value": 2}
        assert writes(driver, config(thread)) == [("task", "channel", "written")]
        assert ids(driver.list(config(thread))) == ["c2", "c1"]
    driver.copy_thread(123, 456)  # type: ignore[arg-type]
    assert ids(driver.list(config("456"))) == ["c2", "c1"]
    driver.prune([123], strategy="keep_latest")  # type: ignore[list-item]
    assert ids(driver.list(config("123"))) == ["c2"]
    driver.delete_thread(123)  # type: ignore[arg-type]
    assert driver.list(config("123")) == []


@given(st.lists(PLACES, min_size=2, max_size=6, unique=True))
@example([("a", "b|c", "1"), ("a|b", "c", "1"), ("a", "b", "c|1"), ("a|b|c", "", "1")])
@example([("t", "", "1"), ("t", "", "10"), ("t1", "", "0"), ("t\x00", "", "1"), ("t", "\x00", "1")])
@example([("t", "n", "x" * 1000 + end) for end in ("b", "", "a", "\x00")])
@example([("x" * 10_000, "n", "1"), ("x" * 10_001, "n", "1"), ("x", "n" * 10_000, "i" * 10_000)])
def test_any_ids_are_distinct(driver: SaverDriver, places: list[tuple[str, str, str]]) -> None:
    """Ids have any length and any characters. Prefixes and separators do not collide."""
    own = fresh_thread()
    places = [(own + thread, ns, cid) for thread, ns, cid in places]
    for number, (thread, ns, cid) in enumerate(places):
        put(driver, cid, {"value": number}, thread=thread, ns=ns)
        driver.put_writes(config(thread, ns, cid), [("channel", number)], "task")
    for number, (thread, ns, cid) in enumerate(places):
        at = config(thread, ns, cid)
        assert values(driver, at) == {"value": number}
        assert writes(driver, at) == [("task", "channel", number)]
        same = sorted((i for t, n, i in places if (t, n) == (thread, ns)), reverse=True)
        assert ids(driver.list(config(thread, ns))) == same
    deleted = places[0][0]
    driver.delete_thread(deleted)
    for number, (thread, ns, cid) in enumerate(places):
        got = driver.get(config(thread, ns, cid))
        assert (got is None) == (thread == deleted)
        assert got is None or got["channel_values"] == {"value": number}


@given(st.lists(IDS, min_size=2, max_size=4, unique=True))
def test_ids_of_channels_tasks_and_runs_are_arbitrary(
    driver: SaverDriver, names: list[str]
) -> None:
    """Ids have any length and any characters."""
    thread = fresh_thread()
    content = {name: f"value {number}" for number, name in enumerate(names)}
    runs = [
        f"{thread} {name}".replace("\x00", "NUL") for name in names
    ]  # metadata cannot contain NUL
    for run in runs:
        put(driver, run, content, thread=thread, run_id=run)
    latest = config(thread, id=max(runs))
    for name in names:
        driver.put_writes(latest, [(name, name)], task_id=name, task_path=name)
    assert values(driver, latest) == content
    assert sorted(writes(driver, latest)) == sorted((name, name, name) for name in names)
    driver.delete_for_runs([min(runs)])
    assert ids(driver.list(config(thread))) == sorted(runs, reverse=True)[:-1]


def test_empty_namespace_is_an_ordinary_namespace(driver: SaverDriver) -> None:
    """Without the key, `get_tuple` reads the namespace "" and `list` lists all namespaces."""
    put(driver, "1", {"value": "root"}, ns="")
    put(driver, "2", {"value": "child"}, ns="child")
    assert values(driver, config(ns=None)) == {"value": "root"}
    assert driver.get(config(ns=None, id="2")) is None
    assert ids(driver.list(config(ns=""))) == ["1"]
    assert ids(driver.list(config(ns="child"))) == ["2"]
    assert sorted(ids(driver.list(config(ns=None)))) == ["1", "2"]
    driver.put_writes(config(ns=None, id="1"), [("channel", 1)], "task")
    assert writes(driver, config(ns="")) == [("task", "channel", 1)]


@given(st.permutations(["", "1", "10", "2", "9", "A", "a", "\u00e9", "\U0001f9ea", "z"]))
def test_order_is_by_id_and_not_by_time(driver: SaverDriver, order: list[str]) -> None:
    """The latest checkpoint is that with the greatest `checkpoint_id`."""
    thread = fresh_thread()
    stored = [f"id {cid}" for cid in order]
    for cid in stored:
        put(driver, cid, {"value": cid}, thread=thread)
    newest_first = sorted(stored, reverse=True)
    assert ids(driver.list(config(thread))) == newest_first
    assert values(driver, config(thread)) == {"value": newest_first[0]}
    driver.prune([thread], strategy="keep_latest")
    assert ids(driver.list(config(thread))) == newest_first[:1]


def test_list_of_several_namespaces_is_ordered_by_id(driver: SaverDriver) -> None:
    for cid, ns in zip("bdface", itertools.cycle(["", "a", "b"]), strict=False):
        put(driver, cid, ns=ns)
    assert ids(driver.list(config(ns=None))) == [*"fedcba"]


@pytest.mark.parametrize("version", [1, 1.5, "00000000000000000000000000000001.0123456789012345"])
def test_version_keeps_its_type(driver: SaverDriver, version: Any) -> None:
    """Channel versions may be `int`, `float` or `str`."""
    put(driver, "c1", {"value": "first"}, versions={"value": version})
    put(driver, "c2", {}, parent="c1", versions={"value": version}, new={})
    got = driver.get(config(id="c2"))
    assert got is not None
    assert got["channel_versions"] == {"value": version}
    assert type(got["channel_versions"]["value"]) is type(version)
    assert got["channel_values"] == {"value": "first"}


def test_each_version_has_its_own_value(driver: SaverDriver) -> None:
    """Versions are numbers or text."""
    versions: list[Any] = [1, 2, 10, 1.5, 10.25, "1", "10", "2"]
    for version in versions:
        put(driver, f"c{version!r}", {"value": repr(version)}, versions={"value": version})
    for version in versions:
        assert values(driver, config(id=f"c{version!r}")) == {"value": repr(version)}


@pytest.mark.parametrize("first", [None, 1, 2**53, 0.5, pytest.param(PEERS_FIRST, id="a peer's")])
def test_next_version_is_greater_and_has_the_type_of_the_first(
    saver: LmdbSaver, first: Any
) -> None:
    chain = [saver.get_next_version(first, None)]
    for _ in range(120):
        chain.append(saver.get_next_version(chain[-1], None))
    before = [first, *chain] if first is not None else chain
    assert all(one < following for one, following in itertools.pairwise(before))
    assert {type(version) for version in before} == {type(before[0])}


@given(st.integers(0, 10**20), st.floats(0, 1, exclude_max=True))
def test_next_version_is_greater_than_the_text_of_another_saver(
    saver: LmdbSaver, number: int, salt: float
) -> None:
    current = f"{number:032}.{salt:016}"
    assert saver.get_next_version(current, None) > current


def test_namespace_may_be_longer_than_an_lmdb_key(driver: SaverDriver) -> None:
    """Nested subgraphs have long namespaces."""
    ns = "|".join(f"agent:{depth:032}" for depth in range(40))
    put_chain(driver, ["1", "2", "3"], ns=ns)
    assert ids(driver.list(config(ns=ns))) == ["3", "2", "1"]
    assert values(driver, config(ns=ns)) == {"value": "value of 3"}
    driver.prune(["t"], strategy="keep_latest")
    assert ids(driver.list(config(ns=ns))) == ["3"]
