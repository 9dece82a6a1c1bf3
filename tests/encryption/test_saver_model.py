"""The saver's model test on encrypted stores with key rotations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.encryption import rotation
from langgraph.checkpoint.lmdb.encryption.key_source import KeySource
from langgraph.checkpoint.lmdb.encryption.rotation import KeyRotation
from langgraph.checkpoint.lmdb.kv import MemoryStore
from tests.encryption.stores import KEY, OTHER, encrypted, stored
from tests.saver.test_model import Savers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.encryption.rotation import RotationProgress
    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore


class Encrypted(Savers):
    """Savers on encrypted views of one store, each with its own keys."""

    @initialize()
    def start(self) -> None:
        self.inner = MemoryStore()
        self.user_keys = [KEY]
        self.rotating: Iterator[None] = iter(())
        self.view: EncryptedStore = encrypted(self.inner, lambda: self.user_keys)
        self.kv = self.view
        self.open()

    def saver(self) -> LmdbSaver:
        return KvSaver(
            encrypted(self.inner, lambda: self.user_keys),
            cache_size=self.cache_size,
            clock=lambda: 1.0,
        )

    @rule(steps=st.integers(1, 4))
    def rotate(self, steps: int) -> None:
        """Run some steps of a rotation to the other key, and end it if there are no more."""
        for _ in range(steps):
            if next(self.rotating, "end") == "end":
                self.user_keys = self.user_keys[:1]
                new = OTHER if self.user_keys == [KEY] else KEY
                self.user_keys = [new, *self.user_keys]
                self.rotating = self._steps(new)
                return

    def _steps(self, key: bytes) -> Iterator[None]:
        rotation = KeyRotation(self.view, KeySource(key).first())
        progress: RotationProgress | None = self.view.write(rotation.begin)
        yield
        while progress is not None:
            progress = self.view.write(partial(rotation.proceed, progress=progress))
            yield

    @rule()
    def check_names_are_hidden(self) -> None:
        """Assert that no name is in the stored data."""
        for key, value in stored(self.view).items():
            for name in (b"first-run", b"second-run", b"call:", b"branch:to", b"__interrupt__"):
                assert name not in key
                assert name not in value


class Uncached(Encrypted):
    """Encrypted savers without a cache of values."""

    cache_size = 0


@pytest.mark.parametrize("machine", [Encrypted, Uncached])
def test_encrypted_saver_equals_its_model(
    machine: type[Encrypted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_BATCH_VALUES", 10)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=settings().max_examples, stateful_step_count=30)
    )
