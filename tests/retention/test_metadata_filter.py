"""Filters on metadata: an index finds what a comparison of all checkpoints finds."""

from __future__ import annotations

import enum
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.engine import checkpoints
from tests.contract.driver import SaverDriver, checkpoint, config, put
from tests.engine import reachability
from tests.retention.stores import CountingStore

if TYPE_CHECKING:
    from collections.abc import Mapping


class Plan(str, enum.Enum):
    FREE = "free"
    PAID = "run 1"


class Level(enum.IntEnum):
    LOW = 1


class Kind(enum.Enum):
    ONE = 1


KEYS = ["run_id", "source", "step", "user_id", "tenant", "langgraph_step", "é", "a\0b", ""]
VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, -1, 2, 2.5, 1e300, 2**53, 2**53 + 1, 2.0**53, 2**63, -(2**63),
    float("inf"), -float("inf"), float("nan"), -0.0, "", "1", "True", "loop", "input", "run 1",
    "free", "é", "\0", "a\0sb", "\udc80", "?", "x" * 500, b"1", [], [1], {}, {"a": 1}, (1,),
    Plan.FREE, Plan.PAID, Level.LOW, Kind.ONE, Decimal(1), Fraction(1), UUID(int=1),
]  # fmt: skip
NUMPY: list[Any] = []
try:
    import numpy as np
except ImportError:  # only some extras of LangGraph install numpy
    pass
else:
    NUMPY = [np.float64(1), np.int64(1), np.float32(2.5), np.bool_(True), np.str_("run 1")]


def is_stored(value: Any) -> bool:
    """Return True if LangGraph's serializer accepts a value."""
    try:
        JsonPlusSerializer().dumps_typed({"key": value})
    except Exception:  # noqa: BLE001 - any error
        return False
    return True


STORED = [value for value in [*VALUES, *NUMPY] if is_stored(value)]
assert len(STORED) > len(VALUES) - 5
stored_metadata = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(STORED), max_size=3)
wanted_metadata = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
IDS = ["1", "2", "20", "3\0", "x" * 200, "x" * 200 + "1", "x" * 200 + "2"]
refs = st.tuples(st.sampled_from("ab"), st.sampled_from(["", "sub"]), st.sampled_from(IDS))


def matches(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(bool(found.get(key) == value) for key, value in wanted.items())


def compare(saver: LmdbSaver, wanted: dict[str, Any], before: str | None = None) -> None:
    """Assert that a filter finds the same as a comparison of all checkpoints."""
    everything = [*saver.list(None)]
    for at in (None, config("a", None), config("a", ""), config("a", "sub", "2")):
        covered = everything if at is None else [*saver.list(at)]
        expected = [
            (one.config, one.metadata)
            for one in covered
            if matches(one.metadata, wanted) and (before is None or one.checkpoint["id"] < before)
        ]
        bound = None if before is None else config("any", id=before)
        for limit in (None, 1):
            found = [*saver.list(at, filter=wanted, before=bound, limit=limit)]
            rows = [repr((one.config, one.metadata)) for one in found]
            if limit is None:
                assert sorted(rows) == sorted(map(repr, expected))
                order = [one.checkpoint["id"] for one in found]
                assert order == sorted(order, reverse=True)
            else:
                assert [one.checkpoint["id"] for one in found] == [
                    at["configurable"]["checkpoint_id"] for at, _ in expected[:1]
                ]


@given(
    st.lists(st.tuples(refs, stored_metadata), max_size=12),
    wanted_metadata,
    st.none() | st.sampled_from(IDS),
    st.lists(st.sampled_from(["fork", "copy", "delete", "prune", "runs"]), max_size=2),
)
def test_filter_finds_same_as_comparison_of_all(
    stored: list[Any], wanted: dict[str, Any], before: str | None, changes: list[str]
) -> None:
    """For many types of values, also after forks, copies and deletions."""
    kv = CountingStore()
    saver = KvSaver(kv)
    driver = SaverDriver(saver)
    for (thread, ns, checkpoint_id), found in stored:
        saver.put(config(thread, ns), checkpoint(checkpoint_id, {}, {}), found, {})  # type: ignore[arg-type]
    compare(saver, wanted, before)
    for change in changes:
        if change == "fork":
            if driver.get_tuple(config("a")) is not None and driver.get_tuple(config("f")) is None:
                saver.fork(config("a"), "f")
        elif change == "copy":
            if driver.get_tuple(config("c", None)) is None:
                saver.delete_thread("c")
                saver.copy_thread("a", "c")
        elif change == "delete":
            saver.delete_thread("a")
        elif change == "prune":
            saver.prune(["a", "b"])
        else:
            saver.delete_for_runs(["run 1"])
        compare(saver, wanted, before)
    reachability.check(kv)


@pytest.mark.parametrize("value", STORED, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("key", ["run_id", "source", "step", "user_id"])
def test_filter_finds_every_equal_value(key: str, value: Any) -> None:
    """True, 1 and 1.0 are equal, for example."""
    saver = KvSaver(CountingStore())
    saver.put(config("a"), checkpoint("1", {}, {}), {key: value}, {})  # type: ignore[misc]
    for wanted in VALUES:
        compare(saver, {key: wanted})


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**64, 10**30])
def test_filter_accepts_very_large_numbers(value: int) -> None:
    """As metadata, a number that the serializer refuses raises TypeError."""
    saver = KvSaver(CountingStore())
    put(SaverDriver(saver), "1", user_id=1)
    compare(saver, {"user_id": value})
    compare(saver, {"step": value})
    if is_stored(value):
        put(SaverDriver(saver), "2", user_id=value)
    else:
        with pytest.raises(TypeError, match="metadata"):
            put(SaverDriver(saver), "2", user_id=value)
    compare(saver, {"user_id": value})


def test_filter_finds_replaced_metadata(kv: CountingStore) -> None:
    saver = KvSaver(kv)
    driver = SaverDriver(saver)
    for user in ("u", "v"):
        put(driver, "1", user_id=user, run_id=user, step=user)
        for wanted in ("u", "v"):
            for key in ("user_id", "run_id", "step"):
                compare(saver, {key: wanted})
                assert len([*saver.list(None, filter={key: wanted})]) == (wanted == user)
    reachability.check(kv)


def test_delete_for_runs_deletes_equal_run_ids(kv: CountingStore) -> None:
    saver = KvSaver(kv)
    for number, run_id in enumerate(("free", Plan.FREE, "\udc80", 7, "7")):
        put(SaverDriver(saver), f"{number}", run_id=run_id)
    for run_ids in ([Plan.FREE], ["\udc80"], ["7"]):
        before = saver.stats().checkpoints
        saver.delete_for_runs(run_ids)
        assert saver.stats().checkpoints == before - (1 if run_ids == ["\udc80"] else 2)


def test_filter_finds_keys_of_configurable(kv: CountingStore) -> None:
    """LangGraph adds the other keys of `configurable` to the metadata."""
    saver = KvSaver(kv)
    for thread, user in (("a", "ada"), ("b", "bob"), ("c", "ada")):
        at: Any = config(thread)
        at["configurable"]["user_id"] = user
        at["metadata"] = {"run_id": f"run of {thread}"}
        saver.put(at, checkpoint("1", {}, {}), {}, {})
    found = saver.list(None, filter={"user_id": "ada"})
    assert {one.config["configurable"]["thread_id"] for one in found} == {"a", "c"}
    assert len([*saver.list(None, filter={"user_id": "ada", "run_id": "run of c"})]) == 1


@pytest.mark.parametrize(
    ("wanted", "limit"),
    [
        ({"run_id": "run 7"}, 6),
        ({"source": "input"}, 60),
        ({"step": 7}, 60),
        ({"step": -1}, 0),
        ({"user_id": "user 7"}, 30),
        ({"tenant": 7}, 30),
        ({"run_id": "none"}, 0),
        ({"user_id": "none"}, 0),
        ({"run_id": "run 7", "user_id": "user 2"}, 6),
    ],
    ids=str,
)
def test_filter_reads_only_matching_checkpoints_or_threads(
    kv: CountingStore, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], limit: int
) -> None:
    """The number of decoded checkpoints does not depend on the size of the store."""
    saver = KvSaver(kv)
    driver = SaverDriver(saver)
    for number in range(300):
        put(
            driver,
            f"{number:05}",
            thread=f"{number // 10}",
            run_id=f"run {number // 6}",
            user_id=f"user {number // 20}",
            tenant=number // 20,
            source="input" if number % 10 == 0 else "loop",
            step=number % 10,
        )
    decoded = []
    decode = checkpoints.decode
    monkeypatch.setattr(
        checkpoints, "decode", lambda *args: decoded.append(args[0]) or decode(*args)
    )
    uncached = KvSaver(kv, cache_size=0)
    found = [*uncached.list(None, filter=wanted)]
    assert len({*decoded}) <= limit
    assert bool(found) == bool(limit)
    with kv.counting() as counts:
        assert len([*uncached.list(None, filter=wanted, limit=1)]) == bool(limit)
        assert counts.reads <= 150


def test_filter_with_thread_reads_only_that_thread(kv: CountingStore) -> None:
    saver = KvSaver(kv, cache_size=0)
    driver = SaverDriver(saver)
    for number in range(300):
        put(driver, "1", thread=f"{number}", source="input", step=number, run_id=None)
    for wanted in ({"source": "input"}, {"run_id": None, "source": "input"}, {"step": 5}):
        with kv.counting() as counts:
            found = [*saver.list(config("5"), filter=wanted)]
            assert len(found) == 1
            assert counts.reads < 40
