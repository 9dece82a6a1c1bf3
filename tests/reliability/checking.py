"""What a store holds, and whether it is whole: the one place that looks inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.engine import reachability
from tests.reliability.oracle import State, Stored

if TYPE_CHECKING:
    from langgraph.checkpoint.lmdb import LmdbSaver


def assert_whole(saver: LmdbSaver) -> None:
    """Assert that nothing is half there: no garbage, no dangling reference, every count right."""
    reachability.check(saver._kv)
    found = saver.verify()
    assert found.ok, found.problems


def content(saver: LmdbSaver) -> State:
    """All that a saver shows, in the oracle's terms."""
    state: State = {}
    mortal = {thread.thread_id for thread in saver.threads() if thread.expires is not None}
    for found in saver.list(None):
        where: Any = found.config["configurable"]
        parent: Any = (found.parent_config or {}).get("configurable", {})
        state[where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"]] = Stored(
            parent.get("checkpoint_id"),
            dict(found.checkpoint["channel_versions"]),
            found.checkpoint["channel_values"],
            dict(found.metadata),
            tuple((task, channel, value) for task, channel, value in found.pending_writes or ()),
            where["thread_id"] in mortal,
        )
    return state


def difference(found: State, expected: State) -> str:
    """Where two states differ, for people to read."""
    lines = [f"missing {key}" for key in sorted(expected.keys() - found.keys())]
    lines += [f"too many {key}" for key in sorted(found.keys() - expected.keys())]
    for key in sorted(found.keys() & expected.keys()):
        pairs = zip(Stored._fields, found[key], expected[key], strict=True)
        lines += [f"{key}: {name} differs" for name, one, other in pairs if one != other]
    return "; ".join(lines[:8])


def of_worker(state: State, name: str) -> State:
    """The part of a state that belongs to one worker's threads."""
    return {key: one for key, one in state.items() if key[0].startswith(f"{name}-")}


def first_that_fits(found: State, possible: list[State]) -> State:
    """The state that the store shows; fail if it shows none of those that are possible."""
    for state in possible:
        if state == found:
            return state
    raise AssertionError(" / or: ".join(difference(found, state) for state in possible))
