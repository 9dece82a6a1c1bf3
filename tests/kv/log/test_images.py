"""After a power failure at any point, a store with a log has all that was acknowledged."""

from __future__ import annotations

import random
import shutil
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.log import log_file
from langgraph.checkpoint.lmdb.kv.log.store import LogStore
from tests.kv.log.images import Base, Contents, Disk, contents, recovered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langgraph.checkpoint.lmdb.kv import Writer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def batch(chance: random.Random, number: int) -> Contents:
    """Changes of one commit; an empty value deletes the key."""
    count = chance.choice((1, 1, 2, 5))
    keys = [b"key%d" % chance.randrange(12) for _ in range(count)]
    size = chance.choice((1, 40, 300, 900, 2500))
    return {key: chance.choice((b"", b"%d." % number + chance.randbytes(size))) for key in keys}


def applying(changes: Contents) -> Callable[[Writer], None]:
    def apply(writer: Writer) -> None:
        for key, value in changes.items():
            if value:
                writer.put(key, value)
            else:
                writer.delete(key)

    return apply


class Run:
    """A run of commits, with images of every step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = tmp_path / "store"
        self.folder.mkdir()
        self.disk = Disk(monkeypatch, self.folder, seed)
        self.base = Base(self.folder)
        self.base.on_commit = self.disk_changed
        self.disk.on_change = self.disk_changed
        self.states: list[Contents] = [{}]
        """The contents after each commit, the one that is under way included."""
        self.acknowledged = 0
        self.images = 0
        self.flushes = True
        self.target = tmp_path / "image"
        self.busy = False
        self.refused = 0

    def fail(self, one_in: int) -> None:
        """Let one call in so many fail."""
        self.base.fails = self.disk.fails = lambda: (
            not self.busy and self.chance.randrange(one_in) == 0
        )

    def disk_changed(self) -> None:
        """Open some images of what the disk may hold now."""
        if self.busy:
            return
        self.busy = True
        for _ in range(2):
            before, after = recovered(self.disk.image(self.target, self.base))
            first = self.acknowledged if self.flushes else 0
            assert before in self.states[first:]
            assert after == {**before, b"after": b"the power came back"}
            shutil.rmtree(self.target)
            self.images += 1
        self.busy = False

    def commit(self, store: LogStore) -> None:
        changes = batch(self.chance, len(self.states))
        before = self.states[-1]
        state = {key: value for key, value in {**before, **changes}.items() if value}
        self.states.append(state)
        try:
            store.write(applying(changes))
        except LmdbSaverError:
            self.states.append(before)
            self.refused += 1
        else:
            self.acknowledged = len(self.states) - 1

    def go(self, images: int) -> None:
        """Commit, merge, close and open until so many images were checked."""
        while self.images < images:
            try:
                store = LogStore(self.base, "full" if self.flushes else "normal")
            except LmdbSaverError:
                continue
            with suppress(LmdbSaverError), closing(store):
                for _ in range(self.chance.randrange(1, 30)):
                    self.commit(store)
                    assert contents(store) == self.states[-1]
                    if self.chance.random() < 0.05:
                        with suppress(LmdbSaverError):
                            store.merge()


@pytest.mark.parametrize("flushes", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, flushes: bool) -> None:
    run = Run(monkeypatch, tmp_path, seed)
    run.flushes = flushes
    run.go(200)


@pytest.mark.parametrize("seed", range(2))
def test_images_with_failing_calls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    run = Run(monkeypatch, tmp_path, seed)
    run.fail(8)
    run.go(200)
    assert run.refused


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200, 210))
def test_ten_thousand_images_with_failing_calls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    run = Run(monkeypatch, tmp_path, seed)
    run.fail(1 + seed % 10)
    run.go(1000)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_thousand_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int) -> None:
    run = Run(monkeypatch, tmp_path, seed)
    run.flushes = seed % 3 > 0
    run.go(1000)


def test_the_images_show_a_missing_flush(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = Run(monkeypatch, tmp_path, 1)
    monkeypatch.setattr(log_file.LogFile, "flush", lambda file: None)
    with pytest.raises(AssertionError):
        run.go(2000)
