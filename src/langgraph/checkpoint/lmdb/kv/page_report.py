"""The result of a check of a store's pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageCheck:
    """The problems that a check of the pages found."""

    problems: tuple[str, ...] = ()
    skipped_reason: str | None = None
    """Reason that nothing was checked. None: everything was checked."""
