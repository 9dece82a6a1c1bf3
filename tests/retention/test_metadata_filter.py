"""A filter on metadata: an index leads to what a comparison of everything finds."""

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

from langgraph.checkpoint.lmdb import LmdbSaver
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
except ImportError:  # it comes with some installations of LangGraph's extras, not with all
    pass
else:
    NUMPY = [np.float64(1), np.int64(1), np.float32(2.5), np.bool_(True), np.str_("run 1")]


def is_stored(value: Any) -> bool:
    """Whether LangGraph's serialiser takes it."""
    try:
        JsonPlusSerializer().dumps_typed({"key": value})
    except Exception:  # noqa: BLE001 - whatever it raises
        return False
    return True


STORED = [value for value in [*VALUES, *NUMPY] if is_stored(value)]
assert len(STORED) > len(VALUES) - 5
stored_metadata = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(STORED), max_size=3)
wanted_metadata = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
IDS = ["1", "2", "20", "3\0", "x" * 200, "x" * 200 + "1", "x" * 200 + "2"]
places = st.tuples(st.sampled_from("ab"), st.sampled_from(["", "sub"]), st.sampled_from(IDS))


def matches(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(bool(found.get(key) == value) for key, value in wanted.items())


def compare(saver: LmdbSaver, wanted: dict[str, Any], before: str | None = None) -> int:
    """That a filter finds what comparing all finds, in the same order; how many there are."""
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
    return len(everything)


@given(
    st.lists(st.tuples(places, stored_metadata), max_size=12),
    wanted_metadata,
    st.none() | st.sampled_from(IDS),
    st.lists(st.sampled_from(["fork", "copy", "delete", "prune", "runs"]), max_size=2),
)
def test_any_filter_finds_what_comparing_finds(
    stored: list[Any], wanted: dict[str, Any], before: str | None, changes: list[str]
) -> None:
    """For all values that metadata may have, also after forks, copies and deletions."""
    kv = CountingStore()
    saver = LmdbSaver.on(kv)
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
def test_every_value_equals_what_it_equals(key: str, value: Any) -> None:
    """Each value is found by every other one that equals it: True, 1 and 1.0, say."""
    saver = LmdbSaver.on(CountingStore())
    saver.put(config("a"), checkpoint("1", {}, {}), {key: value}, {})  # type: ignore[misc]
    for wanted in VALUES:
        compare(saver, {key: wanted})


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**64, 10**30])
def test_numbers_that_are_very_large(value: int) -> None:
    """In a filter they find nothing, or what equals them; stored, they are what the serialiser
    makes of them, or its error."""
    saver = LmdbSaver.on(CountingStore())
    put(SaverDriver(saver), "1", user_id=1)
    compare(saver, {"user_id": value})
    compare(saver, {"step": value})
    if is_stored(value):
        put(SaverDriver(saver), "2", user_id=value)
    else:
        with pytest.raises(TypeError, match="metadata"):
            put(SaverDriver(saver), "2", user_id=value)
    compare(saver, {"user_id": value})


def test_replaced_metadata(kv: CountingStore) -> None:
    saver = LmdbSaver.on(kv)
    driver = SaverDriver(saver)
    for user in ("u", "v"):
        put(driver, "1", user_id=user, run_id=user, step=user)
        for wanted in ("u", "v"):
            for key in ("user_id", "run_id", "step"):
                compare(saver, {key: wanted})
                assert len([*saver.list(None, filter={key: wanted})]) == (wanted == user)
    reachability.check(kv)


def test_runs_are_deleted_by_what_their_ids_equal(kv: CountingStore) -> None:
    saver = LmdbSaver.on(kv)
    for number, run_id in enumerate(("free", Plan.FREE, "\udc80", 7, "7")):
        put(SaverDriver(saver), f"{number}", run_id=run_id)
    for run_ids in ([Plan.FREE], ["\udc80"], ["7"]):
        before = saver.stats().checkpoints
        saver.delete_for_runs(run_ids)
        assert saver.stats().checkpoints == before - (1 if run_ids == ["\udc80"] else 2)


def test_keys_of_the_configurable(kv: CountingStore) -> None:
    """LangGraph adds what stands in `configurable` to the metadata; that is found, too."""
    saver = LmdbSaver.on(kv)
    for thread, user in (("a", "ada"), ("b", "bob"), ("c", "ada")):
        at: Any = config(thread)
        at["configurable"]["user_id"] = user
        at["metadata"] = {"run_id": f"run of {thread}"}
        saver.put(at, checkpoint("1", {}, {}), {}, {})
    found = saver.list(None, filter={"user_id": "ada"})
    assert {one.config["configurable"]["thread_id"] for one in found} == {"a", "c"}
    assert len([*saver.list(None, filter={"user_id": "ada", "run_id": "run of c"})]) == 1


@pytest.mark.parametrize(
    ("wanted", "most"),
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
def test_nothing_else_is_read(
    kv: CountingStore, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], most: int
) -> None:
    """The cost is that of what is found, or of the threads that have it, not of the store."""
    saver = LmdbSaver.on(kv)
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
    forgetful = LmdbSaver.on(kv, cache_size=0)
    found = [*forgetful.list(None, filter=wanted)]
    assert len({*decoded}) <= most
    assert bool(found) == bool(most)
    with kv.counting() as counts:
        assert len([*forgetful.list(None, filter=wanted, limit=1)]) == bool(most)
        assert counts.reads <= 150


def test_a_thread_is_not_searched_for_in_the_whole_store(kv: CountingStore) -> None:
    """A filter with a thread costs what the thread does."""
    saver = LmdbSaver.on(kv, cache_size=0)
    driver = SaverDriver(saver)
    for number in range(300):
        put(driver, "1", thread=f"{number}", source="input", step=number, run_id=None)
    for wanted in ({"source": "input"}, {"run_id": None, "source": "input"}, {"step": 5}):
        with kv.counting() as counts:
            found = [*saver.list(config("5"), filter=wanted)]
            assert len(found) == 1
            assert counts.reads < 40
