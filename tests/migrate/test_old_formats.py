"""Checkpoints of old formats, whose pending sends are not a channel yet, from real graphs."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.serde.types import TASKS
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from psycopg.types.json import Jsonb

from langgraph.checkpoint.lmdb.migrate import migrate
from tests.graphs.driving import at_thread, facts

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = (1, 2, 3)


class State(TypedDict):
    """A state with a list."""

    log: Annotated[list[str], operator.add]


def graph(saver: Any) -> Any:
    """Return a graph that stops when two sends are pending."""
    builder = StateGraph(State)
    builder.add_node("plan", lambda _: {"log": ["plan"]})
    builder.add_node("tool", lambda call: {"log": [f"tool {call['number']}"]})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda _: [Send("tool", {"number": number}) for number in (1, 2)]
    )
    return builder.compile(checkpointer=saver, interrupt_before=["tool"])


def without_tasks(checkpoint: dict[str, Any], version: int) -> list[Send]:
    """Change a checkpoint to an old format, and return its pending sends."""
    checkpoint["v"] = version
    for seen in checkpoint["versions_seen"].values():
        seen.pop(TASKS, None)
    checkpoint["channel_versions"].pop(TASKS, None)
    checkpoint.pop("updated_channels", None)
    sends: list[Send] = checkpoint["channel_values"].pop(TASKS, [])
    return sends


def make_old_sqlite(saver: Any, version: int) -> None:
    """Change all checkpoints to an old format, as old releases of SqliteSaver stored them."""
    for found in [*saver.list(None)]:
        checkpoint: Any = found.checkpoint
        checkpoint["pending_sends"] = without_tasks(checkpoint, version)
        saver.conn.execute(
            "UPDATE checkpoints SET type = ?, checkpoint = ? WHERE checkpoint_id = ?",
            (*saver.serde.dumps_typed(checkpoint), checkpoint["id"]),
        )
    saver.conn.commit()


def make_old_postgres(saver: Any, version: int) -> None:
    """The same for PostgresSaver, which found pending sends among the writes of the parent."""
    for checkpoint_id, checkpoint in [
        (row["checkpoint_id"], row["checkpoint"])
        for row in saver.conn.execute("SELECT checkpoint_id, checkpoint FROM checkpoints")
    ]:
        without_tasks(checkpoint, version)
        saver.conn.execute(
            "UPDATE checkpoints SET checkpoint = %s WHERE checkpoint_id = %s",
            (Jsonb(checkpoint), checkpoint_id),
        )


MAKE_OLD = {"sqlite": make_old_sqlite, "postgres": make_old_postgres}


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("kind", MAKE_OLD)
@pytest.mark.parametrize("other", ["lmdb", "memory", "sqlite", "postgres"])
def test_pending_sends_of_an_old_format_are_kept(
    kind: str, other: str, version: int, open_kind: Callable[..., Any]
) -> None:
    source, target = open_kind(kind), open_kind(other)
    graph(source).invoke({"log": ["begin"]}, at_thread("t"))
    MAKE_OLD[kind](source, version)
    report = migrate(source, target)
    assert report.differences == ()
    assert migrate(source, target).copied_checkpoints == 0
    seen, results = [], []
    for saver in (source, target):
        seen.append(
            [
                (facts(state), state.config["configurable"], [task.id for task in state.tasks])
                for state in graph(saver).get_state_history(at_thread("t"))
            ]
        )
        results.append(graph(saver).invoke(None, at_thread("t")))
    assert seen[0] == seen[1]
    assert seen[1][0][0]["next"] == ("tool", "tool")
    assert results[0] == results[1] == {"log": ["begin", "plan", "tool 1", "tool 2"]}
    assert target.get_tuple(at_thread("t")).checkpoint["v"] > 3


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("kind", MAKE_OLD)
def test_a_checkpoint_keeps_its_format(
    kind: str, version: int, open_kind: Callable[..., Any]
) -> None:
    """The format decides about the ids of tasks, to which pending writes belong."""
    source, target = open_kind(kind), open_kind("lmdb")
    graph(source).invoke({"log": ["begin"]}, at_thread("t"))
    MAKE_OLD[kind](source, version)
    assert migrate(source, target).ok
    assert {found.checkpoint["v"] for found in target.list(None)} == {version}
    assert not any(found.checkpoint.get("pending_sends") for found in target.list(None))
