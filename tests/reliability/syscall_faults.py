"""A fault at each system call of a commit and of opening a store, and the recovery."""

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
from tests.reliability.checking import assert_sound, content, difference
from tests.reliability.oracle import KINDS, Operation, State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import folder_in_memory

_COMMITTING = shim.WRITE | shim.FLUSH | shim.CUT
_OPENING = _COMMITTING | shim.OPEN | shim.RENAME | shim.MKDIR | shim.MAP
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Fault(NamedTuple):
    """A fault of a system call.

    Attributes:
        kinds: Kinds of calls that fail.
        error: The errno, or 0 for a short write without an error.
        keep: Bytes that a failing write still writes.
    """

    kinds: int
    error: int
    keep: int = 0


FAULTS = (
    Fault(_COMMITTING, errno.ENOSPC),
    Fault(_COMMITTING, errno.EDQUOT),
    Fault(_COMMITTING, errno.EIO),
    Fault(_COMMITTING, errno.EIO, shim.WHOLE_WRITE),
    Fault(shim.WRITE, errno.ENOSPC, 4096),
    Fault(shim.WRITE, 0, 0),
    Fault(shim.WRITE, 0, 100),
    Fault(shim.WRITE, 0, 4096),
)
OPENING_FAULTS = tuple(
    Fault(_OPENING, error) for error in (errno.EIO, errno.ENOSPC, errno.ENOMEM, errno.EMFILE)
)


def run(rounds: int, seed: int) -> Outcome:
    """Let at least `rounds` calls fail: one call, or one call and all calls after it."""
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
        "failing system calls: each call of a commit and of opening a store in turn",
        sum(seen.values()),
        (
            "the call raises the right error of the package, or stores everything",
            "the same saver reads all acknowledged data while the fault lasts",
            "after the fault the same saver writes again; it reopens the store if LMDB panicked",
            "no garbage, no dangling references, also after opening the store again",
        ),
        dict(sorted(seen.items())),
        (
            """\
The errors are ENOSPC, EDQUOT and EIO, with and without the write being done, and short writes.
While a store is opened, ENOMEM and EMFILE are also injected. Each error occurs once, or lasts
until it is removed.""",
        ),
    )


def commits(folder: str, sync: str, seed: str) -> dict[str, int]:
    """In the process with the shim: inject each fault into each system call of each call."""
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
                    worker.state = _match_state(
                        before, operation, found, error, fault, lasting=lasting
                    )
                    if hits:
                        seen[_outcome(worker.state == before, error)] += 1
                    _continue(saver, worker, operation, before)
        saver.close()
        saver = LmdbSaver(path, sync=sync)
        _assert_state(saver, worker.state)
    saver.close()
    return seen


def groups(folder: str, sync: str, seed: str) -> dict[str, int]:
    """In the process with the shim: inject faults into commits that four threads may share."""
    path = Path(folder) / "store"
    control, seen = shim.Shim(path), Counter[str]()
    workers = [Worker(name) for name in "abcd"]
    saver = LmdbSaver(path, sync=sync)
    for worker in workers:
        worker.begin(seed, 2)
        worker.state = _run(saver, worker.next("put"), worker.state)
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
                    worker.state = _match_state(
                        worker.state, operation, mine, error, fault, lasting=lasting
                    )
                if hits:
                    failed = any(errors)
                    seen[
                        f"groups of four calls: {'failed' if failed else 'stored in the end'}"
                    ] += 1
                for worker in workers:
                    if len(worker.state) > worker.MAX_CHECKPOINTS:
                        operation = worker.next("prune")
                        worker.state = _run(saver, operation, worker.state)
    state = {key: one for worker in workers for key, one in worker.state.items()}
    _assert_state(saver, state)
    saver.close()
    with LmdbSaver(path, sync=sync) as saver:
        _assert_state(saver, state)
    return seen


def openings(folder: str, sync: str, seed: str) -> dict[str, int]:
    """In the process with the shim: inject faults while a store is opened, used and closed."""
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
                        kind = error.kind
                    else:
                        kind = "none"
                    hits, nth = control.hits, nth + 1
                    control.disarm()
                    with LmdbSaver(place, sync=sync) as saver:
                        found = content(saver)
                        after = operation.after(before)
                        assert found == after or (found == before and not stored), difference(
                            found, after
                        )
                        worker.state = after if found == after else before
                        assert_sound(saver)
                        worker.state = _run(saver, worker.next("put"), worker.state)
                        _assert_state(saver, worker.state)
                    if hits:
                        seen[f"openings: {'succeeded' if stored else f'failed, {kind}'}"] += 1
    return seen


def _fill(place: Path, worker: Worker) -> None:
    with LmdbSaver(place, sync="full") as saver:
        for found in {key[0] for key in content(saver)}:
            saver.delete_thread(found)
        for _ in range(3):
            worker.state = _run(saver, worker.next("put"), worker.state)


def _next(saver: LmdbSaver, worker: Worker, kind: str) -> Operation:
    """Return a call of the kind, after calls that make it possible."""
    while len(worker.state) > worker.MAX_CHECKPOINTS or len(worker.threads()) >= 4:
        worker.state = _run(saver, worker.next("delete_thread"), worker.state)
    while len(worker.state) < 6:
        worker.state = _run(saver, worker.next("put"), worker.state)
    if len(worker.threads()) >= 4:
        worker.state = _run(saver, worker.next("delete_thread"), worker.state)
    if kind == "sweep":
        worker.state = _run(saver, worker.next("set_ttl"), worker.state)
    return worker.next(kind)


def _run(saver: LmdbSaver, operation: Operation, state: State) -> State:
    operation.call(saver)
    return operation.after(state)


def _error_of(operation: Operation, saver: LmdbSaver) -> LmdbSaverError | None:
    try:
        operation.call(saver)
    except LmdbSaverError as error:
        return error
    return None


def _match_state(
    before: State,
    operation: Operation,
    found: State,
    error: LmdbSaverError | None,
    fault: Fault,
    *,
    lasting: bool,
) -> State:
    """Return the state after a call: the complete change if it returned, else no change.

    A call with several transactions may raise after some of them. If a meta page was written
    although the write failed, and LMDB could not restore the old meta page, the complete change
    is stored.
    """
    possible = [*operation.partial_states(before)]
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
    result = "raised" if error else "returned"
    raise AssertionError(f"{operation.kind} {result}, then: {difference(found, possible[0])}")


def _continue(saver: LmdbSaver, worker: Worker, operation: Operation, before: State) -> None:
    """Assert that the failed call, or another one, succeeds now."""
    if worker.state == before and operation.after(before) != before:
        worker.state = _run(saver, operation, worker.state)
    else:
        worker.state = _run(saver, worker.next("put"), worker.state)
    _assert_state(saver, worker.state)


def _assert_state(saver: LmdbSaver, state: State) -> None:
    found = content(saver)
    assert found == state, difference(found, state)
    assert_sound(saver)


def _outcome(absent: bool, error: LmdbSaverError | None) -> str:
    if error is None:
        return "calls: stored despite the fault"
    return f"calls: {error.kind}, {'nothing stored' if absent else 'stored'}"
