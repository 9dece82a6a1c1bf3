"""`tests/RELIABILITY.md`: what was tried, what held, what was seen."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.reliability import (
    bit_flips,
    contention,
    dropped_flushes,
    forged_records,
    full_disk,
    kills,
    power_cuts,
    syscall_faults,
    syscall_order,
    truncated_file,
)
from tests.reliability.outcome import Outcome, UnavailableError

if TYPE_CHECKING:
    from types import ModuleType

PAGE = Path(__file__).parents[1] / "RELIABILITY.md"


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        module: Has `run(rounds, seed) -> Outcome`, which raises if anything is lost.
        rounds: Faults in an ordinary run of the tests.
        long: Faults in a long one.
    """

    module: ModuleType
    rounds: int
    long: int

    @property
    def name(self) -> str:
        """The module's own name."""
        return self.module.__name__.rpartition(".")[2]

    def run(self, seed: int, *, long: bool) -> Outcome:
        """Run it."""
        outcome: Outcome = self.module.run(self.long if long else self.rounds, seed)
        return outcome


KINDS = (
    Kind(kills, 100, 10_000),
    Kind(syscall_order, 60, 2000),
    Kind(power_cuts, 2000, 50_000),
    Kind(syscall_faults, 2000, 20_000),
    Kind(full_disk, 60, 3000),
    Kind(bit_flips, 1000, 10_000),
    Kind(dropped_flushes, 200, 5000),
    Kind(forged_records, 300, 5000),
    Kind(contention, 5, 60),
    Kind(truncated_file, 3, 30),
)

_HEAD = """\
# Reliability

What was done to stores on purpose, and what became of them. This page is made by `make
reliability`, which runs everything on it and stops at the first loss; the same runs are part of
`make test`. `make reliability-long` does more of each. How a fault is made, and what is
asserted, is in [reliability/](reliability).

The oracle that knows what must be there is plain dicts ([oracle.py](reliability/oracle.py));
whether a store is whole is for an independent walker over its raw records
([reachability.py](engine/reachability.py)) to say.
"""

_LIMITS = """\
## What cannot be survived

Kinds that begin with *not to be survived* show it happening. Beside them:

- **A call that raised and is there all the same.** A write of LMDB's root can reach the file
  although the system tells an error. LMDB then puts the old root back; if that fails too, the
  call is there, whole, when the store has reopened by itself. The same call can be made again
  (`copy_thread` then says that the target exists). A call of several transactions, such as a
  prune of two threads, may have done some of them.
- **Another process, right after a root that failed.** The process that met the error settles both
  roots on the disk before its next commit. Another one that has the store open does not know of
  the error. If it commits first, and the power goes before that commit is flushed, and the root
  that failed is on the disk after all, the store may be damaged.
- **Errors that the system does not tell.** What a disk changes or loses silently is seen when it
  is read, not when it happens.
"""


def write(seed: int, *, long: bool) -> None:
    """Run every kind of fault, and write the page."""
    sections = [_HEAD, _about(seed)]
    for kind in KINDS:
        try:
            sections.append(_section(kind.run(seed, long=long)))
        except UnavailableError as error:
            sections.append(f"## {kind.name}\n\nNot run where this was made: {error}.\n")
    PAGE.write_text("\n".join([*sections, _LIMITS]))


def _about(seed: int) -> str:
    return (
        f"Made with seed {seed} on {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, lmdb {version('lmdb')}.\n"
    )


def _section(outcome: Outcome) -> str:
    title = outcome.kind[0].upper() + outcome.kind[1:]
    seen = [f"| {what} | {count} |" for what, count in outcome.seen.items()]
    lines = [f"## {title}", "", f"**{outcome.tried} tried.** What held each time:", ""]
    lines += [f"- {clause}" for clause in outcome.asserted]
    lines += ["", "| seen | times |", "|---|---:|", *seen, ""]
    for note in outcome.notes:
        lines += [note, ""]
    return "\n".join(lines)
