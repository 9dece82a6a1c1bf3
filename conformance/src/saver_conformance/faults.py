"""Known faults of savers, by the clause that finds them; `explain` prints them."""

from __future__ import annotations

import json
from importlib import resources


def known_faults(clause_id: str) -> list[str]:
    """Return the faults that a clause finds in the mutants of this suite.

    Args:
        clause_id: Id of the clause.

    Returns:
        One sentence for each fault.
    """
    text = resources.files("saver_conformance").joinpath("faults.json").read_text("utf-8")
    found: list[str] = json.loads(text).get(clause_id, [])
    return found
