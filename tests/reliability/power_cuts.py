"""Power cuts: open the disk images that a power cut could leave during a recorded run."""

from __future__ import annotations

import errno
import faulthandler
import hashlib
import os
import shutil
import traceback
from collections import Counter
from itertools import chain
from multiprocessing import Pipe
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from langgraph.checkpoint.lmdb import LmdbSaver
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.log import log_file
from tests.reliability import shim
from tests.reliability.checking import assert_sound, content, difference
from tests.reliability.disk_model import Folder, Image
from tests.reliability.oracle import State, Worker
from tests.reliability.outcome import Outcome
from tests.reliability.processes import assert_ended_well, folder_in_memory, fork_and_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from typing_extensions import Self

    from tests.reliability.shim import Call

_CALLS = 40
"""Calls of a saver in one recorded run."""
_FLUSHED = ("full", "normal")
_LOG_SIZE = 1 << 15
"""Bytes of the log in a recorded run, so that it is merged often."""
_NAMES = ("data.mdb", "log.mdb", "log-lock.mdb")
"""Names of the files of an image."""
BEFORE, AFTER, EARLIER = (
    "opened as the last acknowledged state",
    "opened as the last acknowledged state and the call in progress",
    "opened as an earlier state",
)
_BREAKS = (
    (shim.FLUSH, errno.EIO, 0),
    (shim.WRITE, errno.EIO, shim.WHOLE_WRITE),
    (shim.WRITE, errno.EIO, 0),
    (shim.WRITE, errno.ENOSPC, 100),
)


class States(NamedTuple):
    """The states in which a store may be at one moment.

    Attributes:
        acknowledged: The state after the last acknowledged call.
        in_progress: The states after later calls, complete or partial.
        earlier: All earlier states.
    """

    acknowledged: list[State]
    in_progress: list[State]
    earlier: list[State]


def run(rounds: int, seed: int) -> Outcome:
    """Open at least `rounds` images of recorded runs, with sync="full" and "normal"."""
    print(f"power cuts: seed {seed}")
    seen: Counter[str] = Counter()
    turn = 0
    while sum(seen.values()) < rounds:
        for sync in _FLUSHED:
            for breaks in (0, shim.WRITE | shim.FLUSH):
                found = judge_run(sync, f"{seed}/{turn}", breaks=breaks)
                bad = {what: n for what, n in found.items() if what not in _allowed(sync)}
                assert not bad, f"seed {seed}, run {turn} at {sync!r}, breaks={breaks}: {bad}"
                seen.update({f'"{sync}": {what}': n for what, n in found.items()})
        turn += 1
    return Outcome(
        "power cut at any moment of a commit: torn images",
        sum(seen.values()),
        (
            '"full": the store has the last acknowledged state, or that and the call in progress',
            '"normal": the store may also have an earlier state',
            "every value is the stored value; the store has no garbage and no dangling references",
            "the store opens, and the next call is stored",
        ),
        dict(sorted(seen.items())),
        (
            """\
An image has the data file, the log, and the counters that are never flushed. It holds, for each
page that was written since the last flush, any version of the page since then, torn at any sector
of 512 bytes. A file has any of its lengths since then. A log that was created or removed is there
or not until its folder is flushed. In half of the runs writes and flushes also fail. A page whose
flush failed may have any version until it is written and flushed again.""",
        ),
    )


def _allowed(sync: str) -> tuple[str, ...]:
    return (BEFORE, AFTER) if sync == "full" else (BEFORE, AFTER, EARLIER)


def judge_run(
    sync: str, seed: str, *, breaks: int = 0, drop_flushes: bool = False, samples: int = 4
) -> Counter[str]:
    """Record a run, cut the power after each of its system calls, and count the results.

    Args:
        sync: Option of the saver.
        seed: Seed of the calls and of the images.
        breaks: Kinds of system calls that sometimes fail.
        drop_flushes: Whether the disk acknowledges flushes without doing them.
        samples: Number of images of each sort after each system call.
    """
    with folder_in_memory() as folder:
        shim.in_process(
            "tests.reliability.power_cuts:record",
            folder=folder,
            sync=sync,
            seed=seed,
            breaks=breaks,
        )
        calls = shim.calls(Path(folder) / "record")
        random, seen, known = Random(seed), Counter[str](), set[tuple[bytes, int, int]]()
        with _Opener(Path(folder) / "image") as opener:
            for disk, states in _moments(calls, seed, drop_flushes=drop_flushes):
                for image in disk.images(random, samples):
                    moment = _digest(image), len(states.earlier), len(states.in_progress)
                    if moment not in known:
                        known.add(moment)
                        seen[opener.open(image, states)] += 1
        return seen


def _digest(image: Image) -> bytes:
    digest = hashlib.blake2b()
    for part in image:
        digest.update(b"-" if part is None else b"+%d " % len(part) + part)
    return digest.digest()


def record(folder: str, sync: str, seed: str, breaks: int) -> None:
    """Call a saver in the recorded process, and mark the acknowledged calls in the record."""
    path, random = Path(folder) / "store", Random(seed)
    control = shim.Shim(path, Path(folder) / "record")
    worker = Worker("a")
    worker.begin(seed, 0)
    log_file.SIZE = _LOG_SIZE  # type: ignore[misc]
    saver = LmdbSaver(path, sync=sync)
    for _ in range(_CALLS):
        operation = worker.next()
        control.mark("begin")
        if breaks and random.random() < 0.3:
            kind, error, keep = random.choice([one for one in _BREAKS if one[0] & breaks])
            nth = random.randint(1, 4) if kind == shim.WRITE else 1
            control.arm(kind, nth, error, keep=keep, lasting=random.random() < 0.2)
        try:
            operation.call(saver)
            control.disarm()
            control.mark("acknowledged")
            worker.state = operation.after(worker.state)
        except LmdbSaverError:
            control.disarm()
            found = content(saver)
            states = list(operation.partial_states(worker.state))
            assert found in states, difference(found, worker.state)
            chosen = states.index(found)
            worker.state = states[chosen]
            control.mark(f"failed {chosen}")
        if random.random() < 0.1:
            saver.close()
            saver = LmdbSaver(path, sync=sync)
    saver.close()


def _moments(
    calls: list[Call], seed: str, *, drop_flushes: bool
) -> Iterator[tuple[Folder, States]]:
    """Yield the disk after each system call, with the states in which the store may be."""
    disk, worker = Folder(), Worker("a")
    worker.begin(seed, 0)
    states = States([worker.state], [], [])
    possible: list[State] = []
    for call in calls:
        if call.kind != shim.MARK:
            if not (drop_flushes and call.kind == shim.FLUSH):
                disk.apply(call)
            if possible:
                yield disk, states
            continue
        mark, _, chosen = call.data.decode().partition(" ")
        if mark == "begin":
            possible = list(worker.next().partial_states(worker.state))
            states = states._replace(in_progress=[*states.in_progress, *possible])
        elif mark == "acknowledged":
            worker.state = possible[-1]
            states = States([worker.state], [], [*chain(*states)])
        else:  # a failed call may be stored or not until a later call succeeds
            worker.state = possible[int(chosen)]


class _Opener:
    """A process that opens images. LMDB may crash the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = 0
        self._sent: States | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def open(self, image: Image, states: States) -> str:
        """Return the result of opening an image."""
        if not self._pid:
            self._pipe, theirs = Pipe()
            self._pid = fork_and_run(lambda: self._serve(theirs))
            self._sent = None
            theirs.close()
        try:
            self._path.mkdir(exist_ok=True)
            for name, part in zip(_NAMES, image, strict=True):
                if part is None:
                    (self._path / name).unlink(missing_ok=True)
                else:
                    (self._path / name).write_bytes(part)
            self._pipe.send(None if states is self._sent else states)
            self._sent = states
            return str(self._pipe.recv())
        except EOFError:
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            self._pid = 0
            shutil.rmtree(self._path)
            return f"the process ended with {status}"

    def _serve(self, pipe: Connection) -> None:
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LMDB prints failed assertions
        log_file.SIZE = _LOG_SIZE  # type: ignore[misc]
        states = States([], [], [])
        while (received := pipe.recv()) != "end":
            states = received or states
            pipe.send(_judge(self._path, states))

    def _stop(self) -> None:
        if self._pid:
            self._pipe.send("end")
            self._pipe.close()
            assert_ended_well(self._pid)


def _judge(path: Path, states: States) -> str:
    try:
        with LmdbSaver(path, sync="off") as saver:
            found = content(saver)
            assert_sound(saver)
            probe = Worker("probe")
            probe.next("put").call(saver)
            assert len(content(saver)) == len(found) + 1, "the next call was not stored"
    except LmdbSaverError as error:
        return f"refused: {error.kind}"
    except Exception:  # noqa: BLE001 - it becomes the result
        return f"not sound: {traceback.format_exc()}"
    if found in states.acknowledged:
        return BEFORE
    if found in states.in_progress:
        return AFTER
    if found in states.earlier:
        return EARLIER
    return f"unknown state: {difference(found, states.acknowledged[0])}"
