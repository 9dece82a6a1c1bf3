"""The page `tests/RELIABILITY.md`: the injected faults and their results."""

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
        module: Module with `run(rounds, seed) -> Outcome`, which raises if data is lost.
        rounds: Number of faults in an ordinary run of the tests.
        long: Number of faults in a long run.
    """

    module: ModuleType
    rounds: int
    long: int

    @property
    def name(self) -> str:
        """Name of the module."""
        return self.module.__name__.rpartition(".")[2]

    def run(self, seed: int, *, long: bool) -> Outcome:
        """Inject the faults."""
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

This page lists the faults that were injected into stores, and the results. `make reliability`
writes it: it injects every fault and stops at the first loss of data. The same runs are part of
`make test-reliability`. `make reliability-long` injects more faults of each kind. The code is in
[reliability/](reliability).

An oracle of plain dicts ([oracle.py](reliability/oracle.py)) defines the expected content of a
store. An independent walker over the raw records ([reachability.py](engine/reachability.py)) checks
that a store is sound.
"""

_LIMITS = """\
## Limits

The kinds of faults that begin with *not survivable* show limits. These are further limits:

- **A call that raises may be stored.** A write of LMDB's meta page can reach the file although the
  kernel reports an error. LMDB then restores the old meta page. If that fails too, the store
  reopens, and the call is stored completely. The call can be repeated (`copy_thread` then raises
  `ThreadExistsError`). A call with several transactions, for example a prune of two threads, may
  have committed some of them.
- **Another process may merge after a compaction whose meta page failed.** After a failed
  merge, the next process that merges first rewrites and flushes both meta pages. After a failed
  compaction only its own process does. The store may be damaged if another process merges first,
  the power fails before the merge is flushed, and the failed meta page is on the disk.
- **A damaged record ends the log.** A record of the log that the disk has changed without an error
  looks like the end of the log. Processes that have the store open report the damage. When the
  store is opened after a kill or a power failure, the calls after the record are lost without an
  error.
- **Silent errors are found late.** If a disk changes or loses data without an error, the damage is
  found when the data is read.
"""


def write(seed: int, *, long: bool) -> None:
    """Inject every kind of fault, and write the page."""
    sections = [_HEAD, _about(seed)]
    for kind in KINDS:
        try:
            sections.append(_section(kind.run(seed, long=long)))
        except UnavailableError as error:
            sections.append(f"## {kind.name}\n\nNot run on this machine: {error}.\n")
    PAGE.write_text("\n".join([*sections, _LIMITS]))


def _about(seed: int) -> str:
    return (
        f"Written with seed {seed} on {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, lmdb {version('lmdb')}.\n"
    )


def _section(outcome: Outcome) -> str:
    title = outcome.kind[0].upper() + outcome.kind[1:]
    seen = [f"| {result} | {count} |" for result, count in outcome.seen.items()]
    lines = [f"## {title}", "", f"**{outcome.tried} tried.** After each:", ""]
    lines += [f"- {statement}" for statement in outcome.asserted]
    lines += ["", "| result | times |", "|---|---:|", *seen, ""]
    for note in outcome.notes:
        lines += [note, ""]
    return "\n".join(lines)
