"""Records with valid checksums and hostile content, read by the public methods."""

from __future__ import annotations

import random

from langgraph.checkpoint.lmdb.format import envelope
from tests.fuzz.stores import ENTRIES, TARGETS, exercise, forged
from tests.reliability.outcome import Outcome


def run(rounds: int, seed: int) -> Outcome:
    """Forge a record in each of `rounds` stores, and call every public method on each."""
    print(f"forged records: seed {seed}")
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
        "a forged record with a valid checksum",
        rounds,
        (
            "every public method returns a result or raises an error of the package",
            "the forged thread is deleted, or deleting it raises an error of the package",
            "other threads keep all their data",
        ),
        {"stores with calls that raised": refused, "stores without": unharmed},
        (
            """\
The bytes are random here. `tests/fuzz` follows the structure of records and limits time and memory.
With atheris it follows coverage (`python -m tests.fuzz`). SECURITY.md describes the risks of
deserialization and of hostile LMDB pages.""",
        ),
    )
