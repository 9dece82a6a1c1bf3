"""Threads with a DeltaChannel, as the runtime stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saver_conformance.session import ABSENT, Ref, Session, checkpoint_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def delta_step(
    s: Session,
    number: int,
    parent: Ref | None,
    changes: Mapping[str, Any] | None = None,
    *,
    ns: str = "",
    **metadata: Any,
) -> Ref:
    """Put a checkpoint of a thread whose channel `log` is a DeltaChannel.

    Args:
        s: Session of the example.
        number: Position of the checkpoint id.
        parent: Parent checkpoint.
        changes: New channel values; None writes to `log` without a snapshot.
        ns: Namespace.
        **metadata: Further metadata.

    Returns:
        Checkpoint.
    """
    changed = changes or {"log": ABSENT}
    complete = {
        "source": "loop",
        "step": number,
        "counters_since_delta_snapshot": {key: [number + 1, number + 1] for key in changed},
        **metadata,
    }
    ref = Ref("thread", checkpoint_id(number), ns)
    return s.put(ref, parent=parent, changes=changed, metadata=complete)


def delta_chain(
    s: Session, count: int, metadata: Callable[[int], dict[str, Any]] = lambda _: {}
) -> list[Ref]:
    """Put a chain of checkpoints, each with its number as a write to the DeltaChannel `log`.

    Args:
        s: Session of the example.
        count: Number of checkpoints.
        metadata: Function that returns further metadata for a number.

    Returns:
        Checkpoints, oldest first.
    """
    refs: list[Ref] = []
    for number in range(count):
        refs.append(delta_step(s, number, refs[-1] if refs else None, **metadata(number)))
        s.put_writes(refs[-1], [("log", number)])
    return refs
