"""Profiles: the effort of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from saver_conformance.clause import Load


@dataclass(frozen=True)
class Profile:
    """A profile: the effort of a run.

    Attributes:
        name: Name on the command line.
        light: Examples of a clause that only calls the saver.
        heavy: Examples of a clause that starts processes or runs graphs.
        machine: Runs of a state machine clause.
        steps: Operations in one run of a state machine.
        call_seconds: Time limit of one call, in seconds.
        example_seconds: Time after which an example stops before its next call, in seconds.
        clause_seconds: Time after which a clause starts no more examples, in seconds.
        shrink_seconds: Time for finding a smaller failing example, in seconds.
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
        """Return the number of examples for each API.

        Args:
            load: Cost class of one example.

        Returns:
            Maximum number of examples.
        """
        counts = {Load.LIGHT: self.light, Load.HEAVY: self.heavy, Load.MACHINE: self.machine}
        return counts.get(load, 1)

    def minimum(self, load: Load) -> int:
        """Return the number of examples for each API below which a pass is thin.

        Args:
            load: Cost class of one example.

        Returns:
            Half of the maximum number, rounded up.
        """
        return (self.examples(load) + 1) // 2


QUICK: Final = Profile("quick", 8, 1, 10, 15, 5, 30, 10, 6)
DEFAULT: Final = Profile("default", 50, 4, 80, 40, 10, 60, 60, 20)
THOROUGH: Final = Profile("thorough", 400, 20, 400, 50, 60, 300, 900, 120)

PROFILES: Final = {profile.name: profile for profile in (QUICK, DEFAULT, THOROUGH)}
