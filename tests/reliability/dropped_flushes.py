"""Disks that say they have flushed, and have not: what no store survives, as a control.

The images are those of `power_cuts.py`. Were none of them lost here, those would prove nothing.
"""

from __future__ import annotations

from collections import Counter

from tests.reliability import power_cuts
from tests.reliability.outcome import Outcome


def run(rounds: int, seed: int) -> Outcome:
    """Open at least `rounds` images of disks that dropped every flush, and of sync="off"."""
    print(f"disks that lie: seed {seed}")
    seen: Counter[str] = Counter()
    turn = 0
    while sum(seen.values()) < rounds:
        for sync in ("full", "off"):
            found = power_cuts.judge_run(sync, f"{seed}/{turn}", drop_flushes=True, samples=1)
            words = "flushes dropped" if sync == "full" else 'sync="off"'
            for what, count in found.items():
                seen[f"{words}: {_briefly(what)}"] += count
        turn += 1
    lost = {what: n for what, n in seen.items() if "survived" not in what}
    assert lost, "images that lack what was flushed are as good as any: this proves nothing"
    return Outcome(
        'not to be survived: a disk that only says it has flushed, or sync="off", and a power cut',
        sum(seen.values()),
        ("images are lost, or the images of the power cuts above would prove nothing",),
        dict(sorted(seen.items())),
        (
            """\
Without flushes nothing says in which order pages reach the disk. LMDB has no checksum of its
pages: a tree with missing pages is refused where this package looks at it first, and otherwise
may trip an assertion of LMDB's, which ends the process.""",
        ),
    )


def _briefly(what: str) -> str:
    if what in (power_cuts.BEFORE, power_cuts.AFTER, power_cuts.EARLIER):
        return "survived by luck"
    for sort in ("refused", "the process ended", "not whole"):
        if what.startswith(sort):
            return sort
    return "a wrong state, that only the oracle noticed"
