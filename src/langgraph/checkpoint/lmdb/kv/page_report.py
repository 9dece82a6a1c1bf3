"""What a check of a store's pages comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageCheck:
    """What a check of the pages found."""

    problems: tuple[str, ...] = ()
    skipped_reason: str | None = None
    """Why nothing was checked; None: everything was."""
