"""Contract of isolation: later changes of a value do not change the stored value.

A saver that stores only changes, and caches what it stored last, has to notice every change: in
place, at any depth, of the type alone, and by another saver of the store.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tests.contract.driver import SaverDriver, config, fresh_thread, identical, ids, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.lmdb import LmdbSaver

LEAVES = st.sampled_from(
    [0, 1, 1.0, True, False, None, "", "1", b"", b"1", "text " * 20, float("nan"), -0.0, 2**63]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "content"]), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(
            AIMessage,
            st.sampled_from(["", "said", "said " * 50]),
            id=st.sampled_from(["1", "2", None]),
            additional_kwargs=st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        )
        | st.builds(HumanMessage, st.sampled_from(["asked", "?"]), id=st.just("3"))
        | st.builds(ToolMessage, st.just("found"), tool_call_id=st.just("4"), artifact=inner)
    ),
    max_leaves=8,
)
EDITS = st.tuples(
    st.sampled_from(["append", "prepend", "replace", "delete", "edit", "reorder", "same"]),
    st.integers(0, 50),
    ANYTHING,
)


def alike(one: Any, other: Any) -> bool:
    """Return True for identical values; messages are compared by their content."""
    if isinstance(one, BaseMessage):
        return type(one) is type(other) and alike(one.__dict__, other.__dict__)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return [*one] == [*other] and all(alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return identical(one, other)


def edit(state: list[Any], how: str, place: int, thing: Any) -> None:
    """Change a list in place, as a node may."""
    at = place % len(state) if state else 0
    if how == "append" or not state:
        state.append(thing)
    elif how == "prepend":
        state.insert(0, thing)
    elif how == "replace":
        state[at] = thing
    elif how == "delete":
        del state[at]
    elif how == "reorder":
        state.reverse()
    elif how == "edit":
        edit_inside(state, at, place, thing)


def edit_inside(state: list[Any], at: int, place: int, thing: Any) -> None:
    """Change an element in place, or replace it if it has no content."""
    element = state[at]
    if isinstance(element, list):
        edit(element, "append" if place % 2 else "replace", place // 2, thing)
    elif isinstance(element, dict):
        element["edited" if place % 2 else next(iter(element), "first")] = thing
    elif isinstance(element, BaseMessage):
        if place % 2:
            element.content = f"edited {place}"
        else:
            element.additional_kwargs["edited"] = thing
    else:
        state[at] = thing


def rebuilt(value: Any) -> Any:
    """Return a value after one pass through the serializer. Tuples may become lists."""
    serde = JsonPlusSerializer()
    return serde.loads_typed(serde.dumps_typed(value))


@given(st.lists(EDITS, min_size=1, max_size=14), st.booleans())
def test_change_in_place_is_stored_by_the_next_put(
    driver: SaverDriver, edits: list[tuple[str, int, Any]], as_writes: bool
) -> None:
    """Each checkpoint has the state at the time of its put."""
    thread = fresh_thread()
    state: list[Any] = []
    expected: list[Any] = []
    for number, (how, place, thing) in enumerate(edits):
        edit(state, how, place, copy.deepcopy(thing))
        parent = f"c{number - 1:02}" if number else None
        if as_writes and parent:
            driver.put_writes(config(thread, id=parent), [("state", state)], "task")
        put(driver, f"c{number:02}", {"state": state}, thread=thread, parent=parent)
        expected.append(rebuilt(state))
        if place % 3 == 0:  # a reader that changes its result
            got = driver.get(config(thread))
            assert got is not None
            edit(got["channel_values"]["state"], "edit", place, "spoilt")
    for number, value in enumerate(expected):
        got = driver.get_tuple(config(thread, id=f"c{number:02}"))
        assert got is not None
        assert alike(got.checkpoint["channel_values"]["state"], value)
        if as_writes and number + 1 < len(expected):
            assert [alike(one, expected[number + 1]) for _, _, one in got.pending_writes or []] == [
                True
            ]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["put", "put", "put", "fork", "again", "delete", "prune", "copy", "run"]),
        st.integers(0, 5),
    ),
    max_size=16,
)


class Stored(NamedTuple):
    """A checkpoint of the model: a growing log, and a channel that never changes."""

    log: list[str]
    kept: str
    run: str


Model = dict[str, dict[str, Stored]]
"""Return the stored checkpoints by thread and id. A new thread starts with new ids."""

PUTS = [(0, "put", 0), (0, "put", 0), (0, "put", 0)]


@given(STEPS)
@example([*PUTS, (1, "delete", 0), *((1, *step) for _, *step in PUTS), (0, "put", 0)])
@example([*PUTS, (1, "again", 2), (0, "put", 0), (1, "run", 0), (0, "put", 1), (1, "prune", 0)])
@example([*PUTS, (0, "copy", 0), (1, "delete", 0), *PUTS, (1, "put", 0)])
def test_savers_of_one_store_see_all_changes(
    savers: list[SaverDriver], steps: list[tuple[int, str, int]]
) -> None:
    """The cache of one saver does not hide or damage the changes of another saver."""
    *two, onlooker = savers
    thread, other = fresh_thread(), fresh_thread()
    model: Model = {thread: {}, other: {}}
    for number, (who, what, place) in enumerate(steps):
        driver, stored, run = two[who], model[thread], f"{thread} {place}"
        chain = sorted(stored)
        if what == "delete":
            driver.delete_thread(thread)
            stored.clear()
        elif what == "prune":
            driver.prune([thread], keep_last=place + 1)
            for cid in chain[: -(place + 1)]:
                del stored[cid]
        elif what == "copy":
            driver.delete_thread(other)
            driver.copy_thread(thread, other)
            model[other] = copy.deepcopy(stored)
        elif what == "run":
            driver.delete_for_runs([run])
            for name, kept in model.items():
                model[name] = {cid: one for cid, one in kept.items() if one.run != run}
        else:
            parent = chain[place % len(chain) if what == "fork" else -1] if chain else None
            cid = chain[place % len(chain)] if what == "again" and chain else successor(chain)
            stored[cid] = grow(stored.get(parent or ""), number, run)
            put_stored(driver, thread, cid, parent, stored[cid], number)
        check_model(onlooker, model)  # reads would refresh the caches of the other two
    for driver in two:
        check_model(driver, model)


def successor(chain: list[str]) -> str:
    return f"c{int(chain[-1][1:]) + 1:02}" if chain else "c00"


def grow(parent: Stored | None, number: int, run: str) -> Stored:
    """Draw a child of a checkpoint, or the first of its thread. Most values are stored already."""
    log, kept = ([], f"kept {number % 2} " * 300) if parent is None else (parent.log, parent.kept)
    return Stored([*log, f"message {len(log)}, {number % 2} " * 100], kept, run)


def put_stored(
    driver: SaverDriver, thread: str, cid: str, parent: str | None, one: Stored, number: int
) -> None:
    """Put a checkpoint as LangGraph does: all values, and the versions of the new ones."""
    put(
        driver,
        cid,
        {"log": one.log, "kept": one.kept},
        thread=thread,
        parent=parent,
        versions={"log": number, "kept": one.kept[:6]},
        new={"log": number} if parent else {"log": number, "kept": one.kept[:6]},
        run_id=one.run,
    )


def check_model(driver: SaverDriver, model: Model) -> None:
    for thread, stored in model.items():
        listed = driver.list(config(thread))
        assert ids(listed) == sorted(stored, reverse=True)
        for one in listed:
            got = driver.get(config(thread, id=one.checkpoint["id"]))
            assert got == one.checkpoint
            expected = stored[got["id"]]
            assert got["channel_values"] == {"log": expected.log, "kept": expected.kept}


@pytest.fixture
def savers(open_saver: Callable[..., LmdbSaver]) -> list[SaverDriver]:
    """Three savers on one store, each with its own cache."""
    return [SaverDriver(open_saver()) for _ in range(3)]
