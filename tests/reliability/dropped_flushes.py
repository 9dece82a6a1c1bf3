"""A control for `power_cuts.py`: disks that acknowledge flushes without doing them.

No store survives these disks. If no image were damaged here, `power_cuts.py` would prove nothing.
"""

from __future__ import annotations

from collections import Counter

from tests.reliability import power_cuts
from tests.reliability.outcome import Outcome


def run(rounds: int, seed: int) -> Outcome:
    """Open at least `rounds` images of disks that drop every flush, and of sync="off"."""
    print(f"dropped flushes: seed {seed}")
    seen: Counter[str] = Counter()
    turn = 0
    while sum(seen.values()) < rounds:
        for sync in ("full", "off"):
            found = power_cuts.judge_run(sync, f"{seed}/{turn}", drop_flushes=True, samples=1)
            words = "flushes dropped" if sync == "full" else 'sync="off"'
            for what, count in found.items():
                seen[f"{words}: {_category(what)}"] += count
        turn += 1
    lost = {what: n for what, n in seen.items() if "survived" not in what}
    assert lost, "no image is damaged although flushes are dropped, so power_cuts.py proves nothing"
    return Outcome(
        'not survivable: a power cut with a disk that drops flushes, or with sync="off"',
        sum(seen.values()),
        ("some images are damaged, so the images of the power cuts above can show damage",),
        dict(sorted(seen.items())),
        (
            """\
Without flushes, pages reach the disk in any order. LMDB pages have no checksums. If this package
finds a missing page when it opens the store, it refuses the store. Otherwise an assertion of LMDB
may end the process.""",
        ),
    )


def _category(what: str) -> str:
    if what in (power_cuts.BEFORE, power_cuts.AFTER, power_cuts.EARLIER):
        return "survived by chance"
    for sort in ("refused", "the process ended", "not sound"):
        if what.startswith(sort):
            return sort
    return "a wrong state that only the oracle finds"
