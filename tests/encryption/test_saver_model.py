"""The saver's model test on encrypted stores, whose key changes every now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.encryption import rotation
from langgraph.checkpoint.lmdb.encryption.opening import KeySource
from langgraph.checkpoint.lmdb.kv import MemoryStore
from tests.encryption.stores import KEY, OTHER, encrypted, stored
from tests.saver.test_model import Savers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph.checkpoint.lmdb.encryption.store import EncryptedStore


class Encrypted(Savers):
    """Savers on encrypted views of one store, each with keys of its own."""

    @initialize()
    def start(self) -> None:
        self.inner = MemoryStore()
        self.user_keys = [KEY]
        self.rotating: Iterator[None] = iter(())
        self.view: EncryptedStore = encrypted(self.inner, lambda: self.user_keys)
        self.kv = self.view
        self.open()

    def saver(self) -> LmdbSaver:
        return LmdbSaver.on(
            encrypted(self.inner, lambda: self.user_keys),
            cache_size=self.cache_size,
            clock=lambda: 1.0,
        )

    @rule(steps=st.integers(1, 4))
    def rotate(self, steps: int) -> None:
        """Some steps on the way to the other key; its end, if it is reached."""
        for _ in range(steps):
            if next(self.rotating, "end") == "end":
                self.user_keys = self.user_keys[:1]
                new = OTHER if self.user_keys == [KEY] else KEY
                self.user_keys = [new, *self.user_keys]
                self.rotating = self._steps(new)
                return

    def _steps(self, key: bytes) -> Iterator[None]:
        pending = rotation.rotate(self.view, KeySource(key))
        result = None
        while True:
            try:
                apply = pending.send(result)
            except StopIteration:
                return
            result = self.view.write(apply)
            yield

    @rule()
    def hide(self) -> None:
        """No name that was given is in what is stored."""
        for key, value in stored(self.view).items():
            for name in (b"run1", b"run2", b"call:", b"branch:to", b"__interrupt__"):
                assert name not in key
                assert name not in value


class Forgetful(Encrypted):
    """The same without any memory of values."""

    cache_size = 0


@pytest.mark.parametrize("machine", [Encrypted, Forgetful])
def test_an_encrypted_saver_is_what_its_model_is(
    machine: type[Encrypted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_LOOKED_AT", 10)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=settings().max_examples, stateful_step_count=30)
    )
