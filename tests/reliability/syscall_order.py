"""The order of system calls of a commit, as the kernel sees them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.reliability import shim
from tests.reliability.oracle import Worker
from tests.reliability.outcome import Outcome, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PAGES = 8192  # where the two roots end
COMMIT = {"full": "P+FR", "normal": "P+Fr", "off": "P+r"}
"""A commit as letters: pages, flush, the root flushed as it is written, the root only written."""
SETTLING = "rF"
"""Before the first commit after opening: both roots as they are, flush."""
_TRACED = (
    "openat,rename,renameat,renameat2,mkdir,write,pwrite64,writev,pwritev,pwritev2,"
    "fsync,fdatasync,msync,ftruncate"
)
_OPENED = re.compile(r'openat\(.*?, "(?P<path>.*?)", (?P<flags>[A-Z_|]+).* = (?P<fd>\d+)')
_ON_FILE = re.compile(
    r"(?P<call>\w+)\((?P<fd>\d+)<(?P<path>.*?)>(?P<rest>.*)\) += (?P<result>-?\d+)"
)
_ON_PATH = re.compile(r'(?P<call>rename\w*|mkdir)\(.*?"(?P<path>.*?)".* = 0')


class Event(NamedTuple):
    """A call on a file of the store, or a mark.

    Attributes:
        letter: P pages, R and r the root, F flush, C cut, N rename, D mkdir, B and E mark where a
            call of the saver begins and ends.
        path: The file, or the text of the mark.
        offset: Where a write begins.
    """

    letter: str
    path: str
    offset: int = 0


def run(rounds: int, seed: int) -> Outcome:
    """Look at the system calls of `rounds` calls of a saver, at each setting of `sync`."""
    print(f"order of system calls: seed {seed}")
    seen: Counter[str] = Counter()
    for sync in COMMIT:
        events = traced(sync, rounds, seed)
        seen[f'commits at "{sync}"'] = check(events, sync)
        check_made_durably(events, durable=sync != "off")
    return Outcome(
        "order of system calls, seen by strace",
        sum(seen.values()),
        (
            'at "full": pages, then their flush, then the root through O_DSYNC, then the return',
            'at "normal": pages, their flush, then the root, which the next commit flushes first',
            "the two roots are written in turn, and nothing after them",
            "both are settled on the disk before the first commit after opening",
            "a new store: both files flushed before they get their names, the folder after",
        ),
        dict(seen),
    )


def check(events: list[Event], sync: str) -> int:
    """Assert the order of each commit; how many there were."""
    commits = 0
    settled, last_root = True, -1
    for name, section in _sections(events):
        on_data = [e for e in section if e.path.endswith("/data.mdb") and "/.new/" not in e.path]
        letters = "".join(event.letter for event in on_data)
        if name == "close":
            assert letters in ("", "C"), f"closing did {letters}"
            continue
        if name == "open":
            settled = sync == "off"
        if letters:
            expected = f"{'' if settled else SETTLING}({COMMIT[sync]})+"
            assert re.fullmatch(expected, letters), f"{name} at {sync!r} did {letters}"
            settled = True
        assert letters or name != "put", "a checkpoint without a commit"
        for event in on_data:
            if event.letter in "Rr" and event.offset:
                assert event.offset // 4096 != last_root, "the same root twice"
                last_root = event.offset // 4096
                commits += 1
    return commits


def check_made_durably(events: list[Event], *, durable: bool) -> None:
    """Assert that a new store's files are on disk before their names are, if it is to last."""
    section = next(section for name, section in _sections(events) if name == "open")
    made = [event for event in section if event.letter in "FND"]
    names = [event for event in made if event.letter == "N"]
    assert len(names) == 2
    for name in names:
        before = made[: made.index(name)]
        assert any(e.letter == "F" and e.path == name.path for e in before) == durable
    folder = str(Path(names[0].path).parents[1])
    after = made[made.index(names[1]) :]
    assert any(e.letter == "F" and e.path == folder for e in after) == durable
    above = made[made.index(next(e for e in made if e.letter == "D" and e.path == folder)) :]
    assert any(e.letter == "F" and e.path == str(Path(folder).parent) for e in above) == durable


def write(folder: str, sync: str, rounds: int, seed: int) -> None:
    """In the process that is watched: make calls, each between two marks."""
    nowhere = os.open("/dev/null", os.O_WRONLY)

    def marked(name: str, call: Callable[[], Any]) -> Any:
        os.write(nowhere, f"B {name}".encode())
        result = call()
        os.write(nowhere, f"E {name}".encode())
        return result

    def opened() -> LmdbSaver:
        return LmdbSaver(Path(folder) / "store", sync=sync)

    saver: LmdbSaver = marked("open", opened)
    worker = Worker("a")
    worker.begin(f"{seed}", 0)
    for number in range(rounds):
        if number == rounds // 2:
            marked("close", saver.close)
            saver = marked("open", opened)
        operation = worker.next()
        marked(operation.kind, partial(operation.call, saver))
        worker.state = operation.after(worker.state)
    marked("close", saver.close)


def traced(sync: str, rounds: int, seed: int) -> list[Event]:
    """What strace sees of `write`.

    Raises:
        UnavailableError: There is no strace, or it may not trace.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise UnavailableError("there is no strace")
    tried = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        raise UnavailableError(f"strace may not trace: {tried.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        options = (strace, "-f", "-qq", "-y", "-s", "60", "-e", f"trace={_TRACED}", "-o", str(log))
        shim.in_process(
            "tests.reliability.syscall_order:write",
            under=options,
            folder=folder,
            sync=sync,
            rounds=rounds,
            seed=seed,
        )
        return list(_parse(log.read_text(errors="replace").splitlines(), f"{folder}/store"))


def _parse(lines: Iterable[str], store: str) -> Iterator[Event]:
    durable: dict[str, bool] = {}
    for line in _joined(lines):
        if opened := _OPENED.search(line):
            durable[opened["fd"]] = "DSYNC" in opened["flags"]
        elif named := _ON_PATH.search(line):
            if named["path"].startswith(store):
                yield Event("D" if named["call"] == "mkdir" else "N", named["path"])
        elif call := _ON_FILE.search(line):
            path, rest = call["path"], call["rest"]
            if path == "/dev/null" and (mark := re.search(r'"([BE]) (\w+)"', rest)):
                yield Event(mark[1], mark[2])
            if not path.startswith(store) and path != str(Path(store).parent):
                continue
            assert int(call["result"]) >= 0, line
            if "sync" in call["call"]:
                yield Event("F", path)
            elif call["call"] == "ftruncate":
                yield Event("C", path)
            elif "write" in call["call"]:
                # writev follows a seek, and LMDB seeks for pages only.
                offset = int(rest.rpartition(",")[2]) if call["call"] == "pwrite64" else _PAGES
                root = "R" if durable[call["fd"]] else "r"
                yield Event("P" if offset >= _PAGES else root, path, offset)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Calls that another thread interrupted in the log, in one piece where they ended."""
    begun: dict[str, str] = {}
    for line in lines:
        thread, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"\s*<\.\.\. \w+ resumed>(.*)", rest):
            yield begun.pop(thread) + resumed[1]
        else:
            yield rest


def _sections(events: list[Event]) -> Iterator[tuple[str, list[Event]]]:
    """The calls of the saver by name, each with what it did."""
    section: list[Event] = []
    for event in events:
        if event.letter == "B":
            section = []
        elif event.letter == "E":
            yield event.path, section
            section = []
        else:
            section.append(event)
    assert not section, f"outside of any call: {section}"
