"""The suite for key-value stores passes correct stores, and each of its checks kills a mutant."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from saver_conformance.kv import CHECKS, KeyValueSpec, check, run_checks
from saver_conformance.kv.specs import SPECS
from saver_conformance.result import Status
from saver_conformance.store_checks import StoreViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Store:
    """A correct store: a dict that a transaction copies."""

    def __init__(self, folder: Any) -> None:
        self.content: dict[bytes, bytes] = {}
        self.lock = threading.Lock()
        self.inside = threading.local()
        self.closed = False

    def _enter(self) -> None:
        if self.closed or getattr(self.inside, "yes", False):
            raise RuntimeError("the store is closed, or this thread is inside it")
        self.inside.yes = True

    @contextmanager
    def read(self) -> Iterator[Any]:
        self._enter()
        transaction = self.transaction(dict(self.content))
        try:
            yield transaction
        finally:
            self.inside.yes = False
            transaction.ended = True

    def write(self, apply: Callable[[Any], Any]) -> Any:
        self._enter()
        try:
            with self.lock:
                transaction = self.transaction(dict(self.content))
                try:
                    result = apply(transaction)
                finally:
                    transaction.ended = True
                self.content = transaction.content
                return result
        finally:
            self.inside.yes = False

    def transaction(self, content: dict[bytes, bytes]) -> Transaction:
        return Transaction(content)

    def close(self) -> None:
        self.closed = True


class Transaction:
    def __init__(self, content: dict[bytes, bytes]) -> None:
        self.content = content
        self.ended = False

    def _check(self, key: bytes = b"k") -> None:
        if self.ended:
            raise RuntimeError("the transaction is closed")
        if not 0 < len(key) <= 511:
            raise ValueError("a key is 1 to 511 bytes long")

    def get(self, key: bytes) -> bytes | None:
        self._check(key)
        return self.content.get(key)

    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Any]:
        here: bytes | None = None
        while True:
            self._check()
            inside = [k for k in self.content if start <= k < stop]
            ahead = [k for k in inside if here is None or (k < here if reverse else k > here)]
            if not ahead:
                return
            here = max(ahead) if reverse else min(ahead)
            yield here, self.content[here]

    def keys(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[bytes]:
        return (key for key, _ in self.range(start, stop, reverse=reverse))

    def put(self, key: bytes, value: bytes) -> None:
        self._check(key)
        self.content[key] = value

    def delete(self, key: bytes) -> bool:
        self._check(key)
        return self.content.pop(key, None) is not None

    def delete_range(self, start: bytes, stop: bytes) -> int:
        self._check()
        inside = [key for key in self.content if start <= key < stop]
        for key in inside:
            del self.content[key]
        return len(inside)


class _IncludesStop(Transaction):
    def delete_range(self, start: bytes, stop: bytes) -> int:
        return super().delete_range(start, stop + b"\x00")


class _LongKeysCut(Transaction):
    def put(self, key: bytes, value: bytes) -> None:
        super().put(key[:510], value)


class _LargeValuesCut(Transaction):
    def put(self, key: bytes, value: bytes) -> None:
        super().put(key, value[: 1 << 20])


class _DeletesOnePage(Transaction):
    def delete_range(self, start: bytes, stop: bytes) -> int:
        inside = sorted(key for key in self.content if start <= key < stop)[:1000]
        return sum(self.delete(key) for key in inside)


class _IteratesOverCopy(Transaction):
    def range(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Any]:
        self._check()
        inside = sorted((p for p in self.content.items() if start <= p[0] < stop), reverse=reverse)
        for pair in inside:
            self._check()
            yield pair


class _EndlessTransactions(Transaction):
    ended = property(lambda self: False, lambda self, value: None)  # type: ignore[assignment]


def _with(transaction: type[Transaction]) -> type[Store]:
    class Faulty(Store):
        def transaction(self, content: dict[bytes, bytes]) -> Transaction:
            return transaction(content)

    return Faulty


class _ReadsLive(Store):
    @contextmanager
    def read(self) -> Iterator[Any]:
        with super().read() as transaction:
            transaction.content = self.content
            yield transaction

    def write(self, apply: Callable[[Any], Any]) -> Any:
        before = self.content
        result = super().write(apply)
        after, self.content = self.content, before
        before.clear()
        before.update(after)
        return result


class _LosesUpdates(Store):
    def write(self, apply: Callable[[Any], Any]) -> Any:
        self._enter()
        transaction = Transaction(dict(self.content))
        try:
            result = apply(transaction)
        finally:
            self.inside.yes = False
            transaction.ended = True
        # The other threads take their copies while this one waits.
        self.arrived = getattr(self, "arrived", 0) + 1
        if self.arrived % 2:
            threading.Event().wait(0.002)
        self.content = transaction.content
        return result


_MUTANTS = {
    "model": _with(_IncludesStop),
    "keys": _with(_LongKeysCut),
    "large": _with(_LargeValuesCut),
    "many": _with(_DeletesOnePage),
    "changing": _with(_IteratesOverCopy),
    "snapshots": _ReadsLive,
    "writers": _LosesUpdates,
    "misuse": _with(_EndlessTransactions),
}


@pytest.mark.parametrize("name", ["reference", *SPECS])
def test_correct_store_passes(name: str) -> None:
    spec = SPECS.get(name) or KeyValueSpec("reference", Store, is_durable=False)
    check(spec, examples=25)


@pytest.mark.parametrize("name", CHECKS)
def test_check_kills_its_mutant(name: str) -> None:
    spec = KeyValueSpec("mutant", _MUTANTS[name], is_durable=False)
    found = run_checks(spec, only=[name])[name]
    assert found.status is Status.FAILED


def test_store_that_loses_its_content_is_not_durable() -> None:
    spec = KeyValueSpec("lost", Store, is_durable=True)
    with pytest.raises(StoreViolation, match="lost fails 1 checks\nmodel: failed"):
        check(spec, examples=10)


def test_command_checks_a_store() -> None:
    command = [sys.executable, "-m", "saver_conformance.kv", "memory", "--examples", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"passed  {name}" for name in CHECKS]
