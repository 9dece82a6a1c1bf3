"""Checks and repairs of encrypted stores."""

from __future__ import annotations

from random import Random

import pytest

from langgraph.checkpoint.lmdb import KvSaver
from langgraph.checkpoint.lmdb.encryption.key_source import HEADER
from langgraph.checkpoint.lmdb.encryption.open import open_encrypted
from langgraph.checkpoint.lmdb.kv.memory import MemoryStore
from langgraph.checkpoint.lmdb.verification.repair import repair
from langgraph.checkpoint.lmdb.verification.verify import verify
from tests.engine import reachability, stores
from tests.verification.damage import flipped, store_of

KEY = b"k" * 32


@pytest.fixture(scope="module")
def stored() -> dict[bytes, bytes]:
    """The stored records of an encrypted store."""
    inner = MemoryStore()
    saver = KvSaver(open_encrypted(inner, KEY), clock=stores.Clock())
    stores.grow(saver, "a", 1, 6)
    stores.grow(saver, "a", 1, 3, "sub:1")
    saver.copy_thread("a", "copy")
    saver.prune(["a"], keep_last=2)
    with inner.read() as reader:
        return dict(reader.range(b"", b"\xff" * 512))


def test_sound_encrypted_store_has_no_problems(stored: dict[bytes, bytes]) -> None:
    found = verify(open_encrypted(store_of(stored), KEY), stores.options())
    assert found.ok, found.problems
    assert found.checked["checkpoints"] > 5


@pytest.mark.parametrize("change", ["value", "key", "deleted"])
def test_changed_record_is_found_and_repaired(change: str, stored: dict[bytes, bytes]) -> None:
    random = Random(1)
    for key in random.sample(sorted(stored.keys() - {HEADER}), 25):
        changed = dict(stored)
        value = changed.pop(key)
        if change == "value":
            changed[key] = flipped(value, random)
        elif change == "key":
            changed[flipped(key, random)] = value
        kv = open_encrypted(store_of(changed), KEY)
        assert not verify(kv, stores.options()).ok, key
        found = repair(kv, stores.options())
        assert found.ok, (key, found.problems)
        reachability.check(kv)
        saver = KvSaver(kv, clock=stores.Clock())
        stores.grow(saver, "a", 50, 51)
        assert verify(kv, stores.options()).ok
