"""The order of the system calls of a commit, recorded by strace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.reliability import shim
from tests.reliability.oracle import Worker
from tests.reliability.outcome import Outcome, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_META_PAGES_END = 8192
"""Offset after the two meta pages."""
COMMIT = {"full": "WS", "normal": "W", "off": "W"}
"""The events of a commit: a record of the log, flush."""
MERGE = {"full": "P+FR", "normal": "P+FR", "off": "P+r"}
"""The events of a merge: pages, flush, meta page (R written through, r only written)."""
LOG_CREATED = "w+snf"
"""The events of the creation of a log: zeros, flush, rename, flush of the folder."""
META_PAGES_REWRITTEN = "rF"
"""The events before the first commit after opening: both meta pages, flush."""
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
    """A system call on a file of the store, or a mark.

    Attributes:
        letter: P for pages, R for a meta page that is written through, r for a meta page, F for a
            flush, C for a truncation, N for a rename, D for mkdir. B and E mark the begin and the
            end of a call of the saver.
        path: The file, or the text of the mark.
        offset: Offset of a write.
    """

    letter: str
    path: str
    offset: int = 0


def run(rounds: int, seed: int) -> Outcome:
    """Check the system calls of `rounds` calls of a saver, for each value of `sync`."""
    print(f"order of system calls: seed {seed}")
    seen: Counter[str] = Counter()
    for sync in COMMIT:
        events = traced(sync, rounds, seed)
        seen[f'commits at "{sync}"'] = check(events, sync)
        check_creation(events, durable=sync != "off")
    return Outcome(
        "order of system calls, recorded by strace",
        sum(seen.values()),
        (
            '"full": a commit is one write to the log, and one flush',
            '"normal" and "off": a commit is one write to the log',
            "a merge writes pages and flushes them, then writes the meta page with O_DSYNC",
            "the two meta pages are written in turn, and a merge writes nothing after them",
            "both meta pages are flushed before the first merge after opening",
            "a new log and its folder are flushed before the merge that begins to use it",
            "a new store: both files are flushed before they are renamed, and the folder after",
        ),
        dict(seen),
    )


def check(events: list[Event], sync: str) -> int:
    """Assert the order of the system calls of each commit; return the number of commits."""
    commits = 0
    flushed, last_meta_page = True, -1
    for name, section in _sections(events):
        on_data = [e for e in section if e.path.endswith("/data.mdb") and "/.new/" not in e.path]
        merges = "".join(event.letter for event in on_data)
        # A new store flushes its folder before its first log is created.
        letters = "".join(map(_letter, section)).removeprefix("f")
        if name == "close":
            merges, letters = merges.removesuffix("C"), letters.removesuffix("C")
        if name == "open":
            flushed = sync == "off"
        if merges:
            expected = f"{'' if flushed else META_PAGES_REWRITTEN}({MERGE[sync]})+"
            assert re.fullmatch(expected, merges), f"{name} at {sync!r} did {merges}"
            flushed = True
        merge = f"({LOG_CREATED})?({META_PAGES_REWRITTEN})?{MERGE[sync]}"
        expected = f"({COMMIT[sync]}|{merge})*"
        assert re.fullmatch(expected, letters), f"{name} at {sync!r} did {letters}"
        assert letters or name != "put", "a checkpoint without a commit"
        commits += letters.count("W")
        for event in on_data:
            if event.letter in "Rr" and event.offset:
                assert event.offset // 4096 != last_meta_page, "the same meta page twice"
                last_meta_page = event.offset // 4096
                commits += 1
    return commits


def _letter(event: Event) -> str:
    """Return the letter of an event that belongs to a commit, a merge or a new log; else nothing.

    W is a write to the log, S its flush. Of a log that is being created: w, s, and n for its
    rename; f is the flush of the folder after it.
    """
    if event.path.endswith("/log.mdb"):
        return "S" if event.letter == "F" else "W"
    if event.path.endswith("/log.new"):
        return {"F": "s", "N": "n"}.get(event.letter, "w")
    if event.path.endswith("/data.mdb") and "/.new/" not in event.path:
        return event.letter
    return "f" if event.letter == "F" and event.path.endswith("/store") else ""


def check_creation(events: list[Event], *, durable: bool) -> None:
    """Assert that a new store's files are flushed before they are renamed, if it is durable."""
    section = next(section for name, section in _sections(events) if name == "open")
    before_log = takewhile(lambda event: not Path(event.path).name.startswith("log"), section)
    created = [event for event in before_log if event.letter in "FND"]
    renames = [event for event in created if event.letter == "N"]
    assert len(renames) == 2
    for rename in renames:
        before = created[: created.index(rename)]
        assert any(e.letter == "F" and e.path == rename.path for e in before) == durable
    folder = str(Path(renames[0].path).parents[1])
    after = created[created.index(renames[1]) :]
    assert any(e.letter == "F" and e.path == folder for e in after) == durable
    above = created[
        created.index(next(e for e in created if e.letter == "D" and e.path == folder)) :
    ]
    assert any(e.letter == "F" and e.path == str(Path(folder).parent) for e in above) == durable


def write(folder: str, sync: str, rounds: int, seed: int) -> None:
    """In the traced process: make calls, each between two marks."""
    null = os.open("/dev/null", os.O_WRONLY)

    def marked(name: str, call: Callable[[], Any]) -> Any:
        os.write(null, f"B {name}".encode())
        result = call()
        os.write(null, f"E {name}".encode())
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
    """Return the events of `write`.

    Raises:
        UnavailableError: strace is missing or not permitted.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise UnavailableError("strace is missing")
    tried = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        raise UnavailableError(f"strace is not permitted: {tried.stderr.decode().strip()}")
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
                # LMDB seeks before writev, and only for pages.
                offset = (
                    int(rest.rpartition(",")[2]) if call["call"] == "pwrite64" else _META_PAGES_END
                )
                meta_page = "R" if durable[call["fd"]] else "r"
                yield Event("P" if offset >= _META_PAGES_END else meta_page, path, offset)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the log, with calls that other threads interrupted joined at their end."""
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
    """Yield the name of each call of the saver, with its events."""
    section: list[Event] = []
    for event in events:
        if event.letter == "B":
            section = []
        elif event.letter == "E":
            yield event.path, section
            section = []
        else:
            section.append(event)
    assert not section, f"events outside of a call: {section}"
