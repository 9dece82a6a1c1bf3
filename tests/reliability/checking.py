"""The content of a store, and assertions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.engine import reachability
from tests.reliability.oracle import State, Stored

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver


def assert_sound(saver: LmdbSaver) -> None:
    """Assert that the store has no garbage, no dangling references and no wrong counts."""
    reachability.check(saver._kv)
    found = saver.verify()
    assert found.ok, found.problems


def content(saver: LmdbSaver) -> State:
    """Return all checkpoints of a saver, in the form of the oracle."""
    state: State = {}
    expiring = {thread.thread_id for thread in saver.threads() if thread.expires is not None}
    for found in saver.list(None):
        where: Any = found.config["configurable"]
        parent: Any = (found.parent_config or {}).get("configurable", {})
        state[where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"]] = Stored(
            parent.get("checkpoint_id"),
            dict(found.checkpoint["channel_versions"]),
            found.checkpoint["channel_values"],
            dict(found.metadata),
            tuple((task, channel, value) for task, channel, value in found.pending_writes or ()),
            where["thread_id"] in expiring,
        )
    return state


def difference(found: State, expected: State) -> str:
    """Return a description of the difference between two states."""
    lines = [f"missing {key}" for key in sorted(expected.keys() - found.keys())]
    lines += [f"too many {key}" for key in sorted(found.keys() - expected.keys())]
    for key in sorted(found.keys() & expected.keys()):
        pairs = zip(Stored._fields, found[key], expected[key], strict=True)
        lines += [f"{key}: {name} differs" for name, one, other in pairs if one != other]
    return "; ".join(lines[:8])


def of_worker(state: State, name: str) -> State:
    """Return the part of a state that belongs to the threads of a worker."""
    return {key: one for key, one in state.items() if key[0].startswith(f"{name}-")}


def first_equal(found: State, possible: list[State]) -> State:
    """Return the first possible state that equals the found state; raise if no state does."""
    for state in possible:
        if state == found:
            return state
    raise AssertionError(" / or: ".join(difference(found, state) for state in possible))
