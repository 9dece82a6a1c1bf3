"""The suite reports specs that raise, hang, leak or return nonsense, and never hangs itself."""

from __future__ import annotations

import _thread
import asyncio
import threading
import time
import weakref
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from profiles import FAST
from saver_conformance import CLAUSES, SaverSpec, Status, run
from saver_conformance.engine import PreparedData
from saver_conformance.reference import ReferenceSaver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


def _raises(path: Path) -> Any:
    raise OSError("disk failure")


def _hangs(path: Path) -> Any:
    time.sleep(60)


def _spins(path: Path) -> Any:
    while True:
        pass


def _is_nothing(path: Path) -> Any:
    return 42


@contextmanager
def _does_not_close(path: Path) -> Iterator[Any]:
    yield ReferenceSaver()
    raise RuntimeError("cannot close")


async def _hangs_on_event_loop(path: Path) -> Any:
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("opener", "message"),
    [
        (_raises, "OSError: disk failure"),
        (_hangs, "no answer within 1 s"),
        (_spins, "no answer within 1 s"),
        (_is_nothing, "has no get_tuple"),
        (_does_not_close, "cannot close"),
        (_hangs_on_event_loop, "no answer within 1 s"),
    ],
)
def test_saver_that_cannot_be_opened_fails(opener: Callable[..., Any], message: str) -> None:
    report = run(SaverSpec(name="bad", open=opener), profile=FAST, seed=0)
    assert not report.ok
    assert report["spec.opens"].status is Status.FAILED
    failure = report["spec.opens"].failure
    assert failure is not None
    assert message in failure.message
    assert report["put.config"].status is Status.NOT_RUN
    assert not [r for r in report.results if r.status is Status.PASSED]


@contextmanager
def _fails_to_enter() -> Iterator[None]:
    raise OSError("server is missing")
    yield


@contextmanager
def _fails_to_exit() -> Iterator[None]:
    yield
    raise OSError("server does not stop")


@contextmanager
def _hangs_on_enter() -> Iterator[None]:
    threading.Event().wait()
    yield


@asynccontextmanager
async def _fails_to_enter_on_event_loop() -> AsyncIterator[None]:
    raise OSError("server is missing")
    yield


@pytest.mark.parametrize(
    ("lifespan", "message", "clauses_run"),
    [
        (_fails_to_enter, "entering the spec's lifespan failed: OSError: server is missing", False),
        (_fails_to_enter_on_event_loop, "OSError: server is missing", False),
        (_hangs_on_enter, "entering the spec's lifespan failed: CallTimeoutError", False),
        (lambda: None, "must return a context manager, got NoneType", False),
        (_fails_to_exit, "exiting the spec's lifespan failed: OSError: server does not stop", True),
    ],
)
def test_faulty_lifespan_fails(
    lifespan: Callable[[], Any], message: str, clauses_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saver_conformance.lifespan.SECONDS", 1)
    spec = SaverSpec(name="bad", open=lambda path: ReferenceSaver(), lifespan=lifespan)
    report = run(spec, profile=FAST, seed=0, only=["spec.opens", "get.unknown"])
    assert not report.ok
    assert message in str(report["spec.opens"].failure)
    assert [r.clause.id for r in report.results if r.status is Status.PASSED] == (
        ["get.unknown"] if clauses_run else []
    )


def test_lifespan_exits_after_the_loop_hung() -> None:
    class Blocks(ReferenceSaver):
        async def aget_tuple(self, config: Any) -> Any:
            threading.Event().wait()

    ended = []

    @contextmanager
    def server() -> Iterator[None]:
        yield
        ended.append(True)

    run(SaverSpec(name="bad", open=lambda path: Blocks(), lifespan=server), profile=FAST, seed=0)
    assert ended


def test_resources_released_shortly_after_collection_are_not_a_leak() -> None:
    class Tidy(ReferenceSaver):
        def __init__(self) -> None:
            super().__init__()
            collected = threading.Event()
            weakref.finalize(self, collected.set)
            threading.Thread(target=_linger, args=(collected,), daemon=True).start()

    report = run(
        SaverSpec(name="tidy", open=lambda path: Tidy()), profile=FAST, seed=0, only=["spec.leak"]
    )
    assert report.ok, report["spec.leak"].failure


def _linger(collected: threading.Event) -> None:
    collected.wait()
    time.sleep(0.3)


class _Slow(ReferenceSaver):
    def put(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.3)
        return super().put(*args, **kwargs)


def test_example_with_slow_calls_is_not_run() -> None:
    profile = replace(FAST, example_seconds=0.1)
    spec = SaverSpec(name="slow", open=lambda path: _Slow())
    report = run(spec, profile=profile, seed=0, only=["writes.values"])
    assert report["writes.values"].status is Status.NOT_RUN
    assert "one example takes more than 0.1 s" in str(report["writes.values"].note)
    assert not report.ok


def test_machine_with_slow_calls_uses_finished_runs() -> None:
    profile = replace(FAST, machine=20, steps=10, example_seconds=0.1)
    spec = SaverSpec(name="slow", open=lambda path: _Slow())
    report = run(spec, profile=profile, seed=0, only=["machine.operations"])
    assert report["machine.operations"].status is Status.THIN
    assert report["machine.operations"].examples < 20


def test_pass_with_too_few_examples_is_thin() -> None:
    profile = replace(FAST, light=8, clause_seconds=0.5)
    spec = SaverSpec(name="slow", open=lambda path: _Slow())
    report = run(spec, profile=profile, seed=0, only=["put.isolated", "put.absent"])
    assert report["put.isolated"].status is Status.THIN
    assert "minimum 4" in str(report["put.isolated"].note)
    assert report["put.absent"].status is Status.THIN
    assert report.ok


def test_small_number_of_distinct_examples_is_not_thin() -> None:
    profile = replace(FAST, light=100)
    spec = SaverSpec(name="good", open=lambda path: ReferenceSaver())
    report = run(spec, profile=profile, seed=0, only=["spec.capabilities", "get.unknown"])
    assert [result.status for result in report.results] == [Status.PASSED] * 2
    assert report["get.unknown"].examples < 100


def test_boundary_cases_run_without_time_for_random_examples() -> None:
    class DropsEmptyDict(ReferenceSaver):
        def put(self, config: Any, checkpoint: Any, *args: Any) -> Any:
            values = {k: v for k, v in checkpoint["channel_values"].items() if v != {}}
            return super().put(config, {**checkpoint, "channel_values": values}, *args)

    profile = replace(FAST, clause_seconds=0)
    clause = "put.values.falsy"
    for saver, status in ((ReferenceSaver, Status.PASSED), (DropsEmptyDict, Status.FAILED)):
        spec = SaverSpec(name="boundary", open=lambda path, saver=saver: saver())
        report = run(spec, profile=profile, seed=0, only=[clause], shrink=False)
        assert report[clause].status is status
        assert report[clause].examples == 2 * len(CLAUSES[clause].cases)


def test_boundary_case_must_have_a_value_for_each_draw() -> None:
    data = PreparedData([1, [2]])
    assert data.draw(None) == 1
    with pytest.raises(ValueError, match="unused values"):
        data.check_consumed()
    assert data.draw(None) == [2]
    data.check_consumed()
    with pytest.raises(ValueError, match="too few values"):
        data.draw(None)


def test_method_that_always_hangs_is_named() -> None:
    class NoPut(ReferenceSaver):
        def put_writes(self, *args: Any, **kwargs: Any) -> None:
            threading.Event().wait()

    report = run(SaverSpec(name="bad", open=lambda path: NoPut()), profile=FAST, seed=0)
    assert "put_writes hung, no answer within 1 s" in str(report["spec.opens"].failure)


class _Broken(ReferenceSaver):
    """A saver that misbehaves after the probe."""

    calls = 0

    def misbehave(self) -> Any:
        """Misbehave in get_tuple."""
        raise NotImplementedError

    def get_tuple(self, config: Any) -> Any:
        if config["configurable"]["thread_id"] == "probe":
            return super().get_tuple(config)
        return self.misbehave()


class _Sleeps(_Broken):
    def misbehave(self) -> Any:
        threading.Event().wait()


class _Spins(_Broken):
    def misbehave(self) -> Any:
        while True:
            pass


class _Nonsense(_Broken):
    def misbehave(self) -> Any:
        return 42


class _Interrupts(_Broken):
    def misbehave(self) -> Any:
        raise KeyboardInterrupt


class _Exits(_Broken):
    def misbehave(self) -> Any:
        raise SystemExit(3)


class _Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("comparison failed")

    __hash__ = None  # type: ignore[assignment]


class _Trap(_Broken):
    def misbehave(self) -> Any:
        return _Incomparable()


@pytest.mark.parametrize(
    ("saver", "message"),
    [
        (_Sleeps, "get_tuple hung"),
        (_Spins, "get_tuple hung"),
        (_Nonsense, "is not a CheckpointTuple: 42"),
        (_Exits, "SystemExit: 3"),
        (_Interrupts, "KeyboardInterrupt"),
        (_Trap, "is not a CheckpointTuple"),
    ],
)
def test_saver_that_misbehaves_in_a_call_fails(saver: type[_Broken], message: str) -> None:
    spec = SaverSpec(name="bad", open=lambda path: saver())
    report = run(spec, profile=FAST, seed=0, only=["get.by_id", "list.limit"])
    failure = report["get.by_id"].failure
    assert failure is not None
    assert message in failure.message
    assert "saver.get_tuple(at('thread'" in failure.program
    assert report["list.limit"].status is Status.PASSED


def test_interrupt_by_the_user_ends_the_run() -> None:
    class Interrupted(_Broken):
        def misbehave(self) -> Any:
            _thread.interrupt_main()
            threading.Event().wait()

    spec = SaverSpec(name="good", open=lambda path: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run(spec, profile=FAST, seed=0, only=["get.by_id"])


def test_missing_base_capability_fails() -> None:
    class NoDelete(ReferenceSaver):
        def delete_thread(self, thread_id: str) -> None:
            raise NotImplementedError

        async def adelete_thread(self, thread_id: str) -> None:
            raise NotImplementedError

    spec = SaverSpec(name="no delete", open=lambda path: NoDelete())
    report = run(spec, profile=FAST, seed=0, only=["spec.capabilities", "delete_thread"])
    assert report["spec.capabilities"].status is Status.FAILED
    assert report["delete_thread.others"].status is Status.NOT_RUN
    assert not report.ok


def test_saver_without_methods_fails() -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    class Nothing(BaseCheckpointSaver[int]):
        pass

    spec = SaverSpec(name="nothing", open=lambda path: Nothing())
    report = run(spec, profile=FAST, seed=0)
    assert not report.ok
    assert "neither put and get_tuple nor aput and aget_tuple" in str(report["spec.opens"].failure)


def test_missing_api_is_not_claimed() -> None:
    class SyncOnly(ReferenceSaver):
        async def aget_tuple(self, config: Any) -> Any:
            raise NotImplementedError

    spec = SaverSpec(name="sync", open=lambda path: SyncOnly())
    report = run(spec, profile=FAST, seed=0, only=["async", "get.by_id"])
    assert report.apis == ("sync",)
    assert report["async.snapshot"].status is Status.NOT_CLAIMED
    assert report["get.by_id"].status is Status.PASSED
