"""The tests of reliability detect stores and savers that lose data."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.reliability import kills, power_cuts, shim, syscall_order
from tests.reliability.disk_model import PAGE, SECTOR, Disk
from tests.reliability.oracle import KINDS, Worker
from tests.reliability.outcome import UnavailableError
from tests.reliability.shim import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(("done", "claimed"), [("off", "normal"), ("normal", "full")])
def test_weaker_order_of_system_calls_is_detected(done: str, claimed: str) -> None:
    try:
        events = syscall_order.traced(done, 5, 1)
    except UnavailableError as error:
        pytest.skip(str(error))
    with pytest.raises(AssertionError, match=" did "):
        syscall_order.check(events, claimed)


class DroppingSaver(LmdbSaver):
    """A saver that acknowledges writes but does not store them."""

    def put_writes(
        self, config: Any, writes: Sequence[Any], task_id: str, task_path: str = ""
    ) -> None:
        pass


class SplittingSaver(LmdbSaver):
    """A saver that stores each put in two commits, so that a kill between them stores half."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        super().put(config, checkpoint, {**metadata, "step": -1}, new_versions)
        return super().put(config, checkpoint, metadata, new_versions)


@pytest.mark.parametrize("saver", [DroppingSaver, SplittingSaver])
def test_saver_that_loses_acknowledged_data_is_detected(
    monkeypatch: pytest.MonkeyPatch, saver: type[LmdbSaver]
) -> None:
    monkeypatch.setattr(kills, "LmdbSaver", saver)
    with pytest.raises(AssertionError, match="differs"):
        kills.run(100, 1)


def test_workers_with_one_seed_draw_the_same_calls_of_every_kind() -> None:
    one, other = Worker("a"), Worker("a")
    kinds = Counter[str]()
    for turn in range(30):
        for worker in (one, other):
            worker.begin("seed", turn)
        for _ in range(20):
            operation, again = one.next(), other.next()
            kinds[operation.kind] += 1
            one.state, other.state = operation.after(one.state), again.after(other.state)
            assert one.state == other.state
    assert set(kinds) == set(KINDS)


def image_of(disk: Disk) -> set[bytes]:
    return {image[:PAGE] for image in disk.images(Random(1), 50)}


def test_flushed_page_is_on_the_disk_and_unflushed_page_may_be_torn() -> None:
    disk, old, new = Disk(), b"o" * PAGE, b"n" * PAGE
    disk.apply(Call(shim.WRITE, False, 0, 0, old))
    disk.apply(Call(shim.FLUSH, False, 0, 0, b""))
    assert image_of(disk) == {old}
    disk.apply(Call(shim.WRITE, False, 0, 0, new))
    torn = {new[: n * SECTOR] + old[n * SECTOR :] for n in range(1, PAGE // SECTOR)}
    assert {old, new} < image_of(disk) <= {old, new} | torn
    disk.apply(Call(shim.FLUSH, False, 0, 0, b""))
    assert image_of(disk) == {new}


def test_page_is_uncertain_after_a_failed_flush_until_it_is_written_again() -> None:
    disk, old, new = Disk(), b"o" * PAGE, b"n" * PAGE
    disk.apply(Call(shim.WRITE, True, 0, 0, old))
    disk.apply(Call(shim.WRITE, False, 0, 0, new))
    disk.apply(Call(shim.FLUSH, False, 5, 0, b""))
    disk.apply(Call(shim.FLUSH, False, 0, 0, b""))
    assert {old, new} <= image_of(disk)
    disk.apply(Call(shim.WRITE, True, 0, 0, new))
    assert image_of(disk) == {new}


def test_unflushed_length_may_be_any_earlier_length() -> None:
    disk = Disk()
    disk.apply(Call(shim.WRITE, True, 0, 0, b"a" * 3 * PAGE))
    disk.apply(Call(shim.FLUSH, False, 0, 0, b""))
    disk.apply(Call(shim.CUT, False, 0, PAGE, b""))
    assert {len(image) for image in disk.images(Random(1), 20)} == {PAGE, 3 * PAGE}


@pytest.mark.parametrize(
    ("sync", "breaks"), [("full", shim.WRITE), ("normal", shim.WRITE), ("normal", shim.FLUSH)]
)
def test_power_cut_after_a_failed_commit(sync: str, breaks: int) -> None:
    """The next commit does not depend on a failed meta page or on a failed flush.

    A failed meta page may be on the disk, and pages of a failed flush are never flushed. Stores
    were lost before the next commit rewrote both meta pages.
    """
    try:
        found = power_cuts.judge_run(sync, "1", breaks=breaks, samples=1)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert set(found) <= {power_cuts.BEFORE, power_cuts.AFTER, power_cuts.EARLIER}, found
