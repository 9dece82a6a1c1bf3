"""How hard a run looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from saver_conformance.clause import Load


@dataclass(frozen=True)
class Profile:
    """The effort of a run.

    Attributes:
        name: What the command line calls it.
        light: Examples of a clause that only makes calls.
        heavy: Examples of a clause that starts processes or runs graphs.
        machine: Runs of a state machine.
        steps: Operations in each of them.
        call_seconds: Limit of one call.
        example_seconds: After this, an example is broken off before its next call.
        clause_seconds: After this, a clause makes no further examples.
        shrink_seconds: After this, a failing clause makes no smaller ones.
    """

    name: str
    light: int
    heavy: int
    machine: int
    steps: int
    call_seconds: float
    example_seconds: float
    clause_seconds: float
    shrink_seconds: float

    def examples(self, load: Load) -> int:
        """Return how many examples a clause gets on each face.

        Args:
            load: What one of them costs.

        Returns:
            Their number, at most.
        """
        counts = {Load.LIGHT: self.light, Load.HEAVY: self.heavy, Load.MACHINE: self.machine}
        return counts.get(load, 1)


QUICK: Final = Profile("quick", 8, 1, 10, 15, 5, 30, 10, 6)
DEFAULT: Final = Profile("default", 50, 4, 80, 40, 10, 60, 60, 20)
THOROUGH: Final = Profile("thorough", 400, 20, 400, 50, 60, 300, 900, 120)

PROFILES: Final = {profile.name: profile for profile in (QUICK, DEFAULT, THOROUGH)}
