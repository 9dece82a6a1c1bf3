"""Detection of data that a deletion left behind: store the same ids again and read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saver_conformance.parts import Part

if TYPE_CHECKING:
    from saver_conformance.session import Ref, Session
    from saver_conformance.source import Name


@dataclass(frozen=True)
class Known:
    """A record of the ids of a checkpoint before its deletion."""

    ref: Ref
    versions: dict[str, Name]


def remember(s: Session, ref: Ref) -> Known:
    """Return the versions under which a checkpoint's channels were stored.

    Args:
        s: Session of the example.
        ref: Checkpoint that was put.

    Returns:
        Input of `expect_no_leftovers`.
    """
    return Known(ref, s.versions_of(ref))


def expect_no_leftovers(s: Session, known: Known) -> None:
    """Put a checkpoint with the old id and versions, and check that it has no values or writes.

    Args:
        s: Session of the example.
        known: Record of the deleted checkpoint.

    Raises:
        Violation: If an old write or value is returned.
    """
    fields: dict[str, Any] = {"channel_versions": known.versions}
    s.expect_tuple(known.ref)
    s.put(known.ref, fields=fields)
    s.expect_tuple(known.ref, Part.VALUES, Part.WRITES)
