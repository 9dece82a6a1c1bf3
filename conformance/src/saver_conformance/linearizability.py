"""A check of recorded concurrent calls: is there an order of the calls that explains all results?

The algorithm is by Wing and Gong, with the memory of visited states by Lowe.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

#: Returns the state after a call and the result of the call.
Apply = Callable[[Any, Any], tuple[Hashable, Any]]


@dataclass(frozen=True)
class Event:
    """A call of a concurrent history.

    Attributes:
        call: Description of the call, for the function that applies it.
        result: Result of the call.
        began: Time of the call, in nanoseconds.
        ended: Time of the return, in nanoseconds.
    """

    call: Any
    result: Any
    began: int
    ended: int


def linearizable(events: Sequence[Event], state: Hashable, apply: Apply) -> bool:
    """Return True if an order of the calls respects their times and explains their results.

    Args:
        events: Recorded calls.
        state: State before the first call; immutable.
        apply: Function that applies a call to a state.

    Returns:
        True if the history is linearizable.
    """
    visited: set[tuple[frozenset[int], Hashable]] = set()
    stack = [(frozenset(range(len(events))), state)]
    while stack:
        remaining, current = node = stack.pop()
        if not remaining:
            return True
        if node in visited:
            continue
        visited.add(node)
        # The next call of the order began before every remaining call ended.
        bound = min(events[index].ended for index in remaining)
        for index in remaining:
            if events[index].began <= bound:
                after, result = apply(current, events[index].call)
                if result == events[index].result:
                    stack.append((remaining - {index}, after))
    return False
