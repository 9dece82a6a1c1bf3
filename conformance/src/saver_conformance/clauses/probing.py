"""Looks behind a store without knowing it: what deletion left is seen by who uses the ids again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saver_conformance.aspects import Aspect

if TYPE_CHECKING:
    from saver_conformance.session import Ref, Session
    from saver_conformance.source import Name


@dataclass(frozen=True)
class Known:
    """What was stored under some ids before they were deleted."""

    ref: Ref
    versions: dict[str, Name]


def remember(s: Session, ref: Ref) -> Known:
    """Note under which versions a checkpoint's channels were stored.

    Args:
        s: The session.
        ref: A checkpoint that was put.

    Returns:
        What `expect_no_leftovers` needs.
    """
    return Known(ref, s.versions_of(ref))


def expect_no_leftovers(s: Session, known: Known) -> None:
    """Put a checkpoint of the same id that points at the old versions, and demand that it is bare.

    Args:
        s: The session.
        known: What was stored.

    Raises:
        Violation: If an old write or an old value shows.
    """
    fields: dict[str, Any] = {"channel_versions": known.versions}
    s.expect_tuple(known.ref)
    s.put(known.ref, fields=fields)
    s.expect_tuple(known.ref, Aspect.VALUES, Aspect.WRITES)
