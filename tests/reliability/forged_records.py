"""Records of right checksums and hostile contents, through the public methods."""

from __future__ import annotations

import random

from langgraph.checkpoint.lmdb.format import envelope
from tests.fuzz.stores import ENTRIES, TARGETS, exercise, forged
from tests.reliability.outcome import Outcome


def run(rounds: int, seed: int) -> Outcome:
    """Forge `rounds` stores and call everything on each."""
    print(f"hostile records: seed {seed}")
    chance = random.Random(seed)
    refused = unharmed = 0
    for _ in range(rounds):
        key = chance.choice([*TARGETS])
        payload = bytearray(envelope.unseal(key, ENTRIES[key]))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(payload) + 1)
            payload[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
        if exercise(forged({key: bytes(payload)})):
            refused += 1
        else:
            unharmed += 1
    return Outcome(
        "a record forged, behind a checksum that is right",
        rounds,
        (
            "every public method gives a result or an error of ours",
            "the forged thread can be deleted, or that is refused",
            "a thread that has nothing to do with it keeps all it had",
        ),
        {"stores where calls refused": refused, "where none had to": unharmed},
        (
            """\
Random bytes, here. `tests/fuzz` goes by the structure of records, bounds time and memory, and
with atheris by coverage (`python -m tests.fuzz`). What deserialising may do, and hostile pages of
LMDB's, is in SECURITY.md.""",
        ),
    )
