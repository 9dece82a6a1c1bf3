"""A fault at every system call of a commit and of an opening, and the way back."""

from __future__ import annotations

import errno
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import (
    LmdbSaverError,
    RetryableError,
    StoreFullError,
    StoreIOError,
)
from tests.reliability import shim
from tests.reliability.checking import assert_whole, content, difference
from tests.reliability.oracle import KINDS, Operation, State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import folder_in_memory

_COMMITTING = shim.WRITE | shim.FLUSH | shim.CUT
_OPENING = _COMMITTING | shim.OPEN | shim.RENAME | shim.MKDIR | shim.MAP
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Fault(NamedTuple):
    """What a failing call does.

    Attributes:
        kinds: The calls that may fail.
        error: The errno; 0 is a write that stops short without one.
        keep: Bytes of a failing write that are written all the same.
    """

    kinds: int
    error: int
    keep: int = 0


FAULTS = (
    Fault(_COMMITTING, errno.ENOSPC),
    Fault(_COMMITTING, errno.EDQUOT),
    Fault(_COMMITTING, errno.EIO),
    Fault(_COMMITTING, errno.EIO, shim.ALL_OF_IT),
    Fault(shim.WRITE, errno.ENOSPC, 4096),
    Fault(shim.WRITE, 0, 0),
    Fault(shim.WRITE, 0, 100),
    Fault(shim.WRITE, 0, 4096),
)
OPENING_FAULTS = tuple(
    Fault(_OPENING, error) for error in (errno.EIO, errno.ENOSPC, errno.ENOMEM, errno.EMFILE)
)


def run(rounds: int, seed: int) -> Outcome:
    """Let at least `rounds` calls fail, one after the other and all that follow."""
    print(f"faults: seed {seed}")
    seen: Counter[str] = Counter()
    turn = 0
    while sum(seen.values()) < rounds:
        for program in ("commits", "groups", "openings"):
            for sync in ("full", "normal"):
                with folder_in_memory() as folder:
                    seen.update(
                        shim.in_process(
                            f"tests.reliability.syscall_faults:{program}",
                            folder=folder,
                            sync=sync,
                            seed=f"{seed}/{turn}",
                        )
                    )
        turn += 1
    return Outcome(
        "a failing system call: each one of a commit and of an opening in turn",
        sum(seen.values()),
        (
            "the call raises an error of the tree, the right one, or has stored all of it",
            "all that was acknowledged is read by the same saver while the fault lasts",
            "once it is gone the same saver writes again; it reopens by itself after LMDB's panic",
            "no garbage, no dangling reference; the same after opening anew",
        ),
        dict(sorted(seen.items())),
        (
            """\
The errors: ENOSPC, EDQUOT and EIO, with the write done or not; short writes; on opening also
ENOMEM and EMFILE. Each once, and lasting until it is lifted.""",
        ),
    )


def commits(folder: str, sync: str, seed: str) -> dict[str, int]:
    """In the process with the shim: each kind of call, each fault, each system call in turn."""
    path = Path(folder) / "store"
    control, seen, worker = shim.Shim(path), Counter[str](), Worker("a")
    worker.begin(seed, 1)
    saver = LmdbSaver(path, sync=sync)
    for kind in KINDS:
        for fault in FAULTS:
            for lasting in (False, True):
                nth = hits = 1
                while hits:
                    operation = _next(saver, worker, kind)
                    before = worker.state
                    control.arm(fault.kinds, nth, fault.error, keep=fault.keep, lasting=lasting)
                    error = _error_of(operation, saver)
                    found = content(saver)
                    hits, nth = control.hits, nth + 1
                    control.disarm()
                    worker.state = _settle(before, operation, found, error, fault, lasting=lasting)
                    if hits:
                        seen[_told(worker.state == before, error)] += 1
                    _goes_on(saver, worker, operation, before)
        saver.close()
        saver = LmdbSaver(path, sync=sync)
        _assert_shows(saver, worker.state)
    saver.close()
    return seen


def groups(folder: str, sync: str, seed: str) -> dict[str, int]:
    """In the process with the shim: four threads whose calls may share a commit that fails."""
    path = Path(folder) / "store"
    control, seen = shim.Shim(path), Counter[str]()
    workers = [Worker(name) for name in "abcd"]
    saver = LmdbSaver(path, sync=sync)
    for worker in workers:
        worker.begin(seed, 2)
        worker.state = _done(saver, worker.next("put"), worker.state)
    for fault in FAULTS:
        for lasting in (False, True):
            for nth in range(1, 8):
                operations = [worker.next("put") for worker in workers]
                errors: list[LmdbSaverError | None] = [None] * len(workers)

                def call(index: int, operation: Operation, errors: list = errors) -> None:
                    errors[index] = _error_of(operation, saver)

                threads = [
                    threading.Thread(target=call, args=each) for each in enumerate(operations)
                ]
                control.arm(fault.kinds, nth, fault.error, keep=fault.keep, lasting=lasting)
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                found = content(saver)
                hits = control.hits
                control.disarm()
                for worker, operation, error in zip(workers, operations, errors, strict=True):
                    mine = {key: one for key, one in found.items() if key[0][0] == worker.name}
                    worker.state = _settle(
                        worker.state, operation, mine, error, fault, lasting=lasting
                    )
                if hits:
                    failed = any(errors)
                    seen[
                        f"groups of four calls: {'failed' if failed else 'stored in the end'}"
                    ] += 1
                for worker in workers:
                    if len(worker.state) > worker.MOST_CHECKPOINTS:
                        operation = worker.next("prune")
                        worker.state = _done(saver, operation, worker.state)
    state = {key: one for worker in workers for key, one in worker.state.items()}
    _assert_shows(saver, state)
    saver.close()
    with LmdbSaver(path, sync=sync) as saver:
        _assert_shows(saver, state)
    return seen


def openings(folder: str, sync: str, seed: str) -> dict[str, int]:
    """In the process with the shim: making a store, opening it, writing once, closing it."""
    path = Path(folder) / "store"
    control, seen = shim.Shim(path), Counter[str]()
    for fault in OPENING_FAULTS:
        for lasting in (False, True):
            for new in (True, False):
                nth = hits = 1
                while hits:
                    place = path / f"{new}-{errno.errorcode[fault.error]}-{lasting}-{nth * new}"
                    worker = Worker("a")
                    worker.begin(seed, 3)
                    if not new:
                        _fill(place, worker)
                    operation = worker.next("put")
                    before = worker.state
                    stored = False
                    control.arm(fault.kinds, nth, fault.error, lasting=lasting)
                    try:
                        with LmdbSaver(place, sync=sync) as saver:
                            operation.call(saver)
                            stored = True
                    except LmdbSaverError as error:
                        told = error.kind
                    else:
                        told = "none"
                    hits, nth = control.hits, nth + 1
                    control.disarm()
                    with LmdbSaver(place, sync=sync) as saver:
                        found = content(saver)
                        after = operation.after(before)
                        assert found == after or (found == before and not stored), difference(
                            found, after
                        )
                        worker.state = after if found == after else before
                        assert_whole(saver)
                        worker.state = _done(saver, worker.next("put"), worker.state)
                        _assert_shows(saver, worker.state)
                    if hits:
                        seen[f"openings: {'done' if stored else f'refused, {told}'}"] += 1
    return seen


def _fill(place: Path, worker: Worker) -> None:
    with LmdbSaver(place, sync="full") as saver:
        for found in {key[0] for key in content(saver)}:
            saver.delete_thread(found)
        for _ in range(3):
            worker.state = _done(saver, worker.next("put"), worker.state)


def _next(saver: LmdbSaver, worker: Worker, kind: str) -> Operation:
    """A call of this kind, with whatever has to be there for it."""
    while len(worker.state) > worker.MOST_CHECKPOINTS or len(worker.threads()) >= 4:
        worker.state = _done(saver, worker.next("delete_thread"), worker.state)
    while len(worker.state) < 6:
        worker.state = _done(saver, worker.next("put"), worker.state)
    if len(worker.threads()) >= 4:
        worker.state = _done(saver, worker.next("delete_thread"), worker.state)
    if kind == "sweep":
        worker.state = _done(saver, worker.next("set_ttl"), worker.state)
    return worker.next(kind)


def _done(saver: LmdbSaver, operation: Operation, state: State) -> State:
    operation.call(saver)
    return operation.after(state)


def _error_of(operation: Operation, saver: LmdbSaver) -> LmdbSaverError | None:
    try:
        operation.call(saver)
    except LmdbSaverError as error:
        return error
    return None


def _settle(
    before: State,
    operation: Operation,
    found: State,
    error: LmdbSaverError | None,
    fault: Fault,
    *,
    lasting: bool,
) -> State:
    """The state that a call led to: all of it if it returned, else nothing.

    A call of several transactions may raise half way. And where a root was written although an
    error was told, and LMDB then could not put the old one back, the call is there, whole.
    """
    possible = [*operation.cut_off(before)]
    if error is None:
        possible = possible[-1:]
    elif len(operation.effects) == 1 and not (lasting and fault.keep):
        possible = possible[:1]
    if error is not None:
        assert isinstance(error, RetryableError), repr(error)
        if fault.error:
            of_fault = StoreFullError if fault.error in _FULL else StoreIOError
            assert isinstance(error, of_fault), repr(error)
    for state in possible:
        if state == found:
            return state
    told = "raised" if error else "returned"
    raise AssertionError(f"{operation.kind} {told}, then: {difference(found, possible[0])}")


def _goes_on(saver: LmdbSaver, worker: Worker, operation: Operation, before: State) -> None:
    """What did not happen can be done now; else something new can."""
    if worker.state == before and operation.after(before) != before:
        worker.state = _done(saver, operation, worker.state)
    else:
        worker.state = _done(saver, worker.next("put"), worker.state)
    _assert_shows(saver, worker.state)


def _assert_shows(saver: LmdbSaver, state: State) -> None:
    found = content(saver)
    assert found == state, difference(found, state)
    assert_whole(saver)


def _told(absent: bool, error: LmdbSaverError | None) -> str:
    if error is None:
        return "calls: stored in spite of it"
    return f"calls: {error.kind}, {'nothing of it stored' if absent else 'stored all the same'}"
