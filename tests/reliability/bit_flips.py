"""Bit flips, zeroed sectors, swapped pages and old versions of pages, anywhere in the file.

A separate process opens each image and calls all methods that read, because LMDB trusts its pages
and may crash on damaged ones.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb import KvSaver, LmdbSaver
from langgraph.checkpoint.lmdb.errors import LmdbSaverError
from langgraph.checkpoint.lmdb.kv.lmdb import page_check
from langgraph.checkpoint.lmdb.kv.lmdb.store import LmdbStore
from tests.engine import stores
from tests.kv.processes import fork
from tests.reliability.checking import content
from tests.reliability.disk_model import PAGE, SECTOR
from tests.reliability.oracle import Key, Stored
from tests.reliability.outcome import Outcome
from tests.reliability.processes import folder_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT_S = 30
"""Seconds in which a process must read one image."""

SAME = "all data is read as it was stored"
NAMED = "errors name the damaged data, all other data is read as it was stored"
REFUSED = "the store is refused"
ENDED = "LMDB ended the process; the page check finds the damage first"
ENDED_UNDETECTED = "LMDB ended the process; the page check finds nothing"
STUCK = "LMDB did not return"
SILENT = "data is missing or outdated without an error; verify finds that"
SILENT_UNDETECTED = "data is missing or outdated without an error; verify finds nothing"
WRONG = "a wrong value"


class Image(NamedTuple):
    """An undamaged image, from which all damaged images are made.

    Attributes:
        now: Bytes of the data file.
        before: Bytes of the data file at an earlier time.
        content: Checkpoints of the store.
        history: History of the channel that has no stored value.
        versions: All versions of each checkpoint.
    """

    now: bytes
    before: bytes
    content: dict[Key, Stored]
    history: dict[Key, Any]
    versions: dict[Key, list[Stored]]


def run(rounds: int, seed: int) -> Outcome:
    """Damage a store in `rounds` ways."""
    print(f"flipped bits: seed {seed}")
    seen: Counter[str] = Counter()
    with folder_in_memory() as folder:
        base = _base(Path(folder) / "base")
        path = Path(folder) / "store"
        path.mkdir(mode=0o700)
        for number in range(rounds):
            random = Random(f"{seed}/{number}")
            sort, image = _damaged(base, random)
            (path / "data.mdb").write_bytes(image)
            (path / "lock.mdb").unlink(missing_ok=True)
            found = _judged(base, path)
            assert not found.startswith(WRONG), f"seed {seed}, image {number}, {sort}: {found}"
            seen[f"{sort}: {found}"] += 1
    return Outcome(
        "bit flips, zeroed sectors, swapped pages, and old versions of pages",
        rounds,
        (
            "all data that is read was stored; otherwise an error of the package is raised",
            "only damage of LMDB's own pages makes data missing or outdated without an error",
        ),
        dict(sorted(seen.items())),
        (
            """\
Records have checksums that are bound to their keys. LMDB's pages have no checksums. A flipped
bit in a branch page makes keys unreachable. If the disk loses the latest version of a page, the
old version is valid. LMDB cannot detect either case, and reads return missing or outdated data.
`verify` checks the pages, and the counts and references across records. It cannot detect that
the whole store is some commits old, for example after the latest meta page is lost. LMDB ends
the process on some damaged pages. `langgraph-lmdb verify` checks the pages
before LMDB reads them, if lmdb is 3.0 or later.""",
        ),
    )


def _base(path: Path) -> Image:
    kv = LmdbStore.open(path, sync="off")
    saver = KvSaver(kv, clock=stores.Clock(), cache_size=0)
    versions: dict[Key, list[Stored]] = {}

    def note() -> dict[Key, Stored]:
        now = content(saver)
        for key, stored in now.items():
            if stored not in versions.setdefault(key, []):
                versions[key].append(stored)
        return now

    at = stores.config("a", "", "0004")
    steps: list[Callable[[], object]] = [
        lambda: stores.grow(saver, "a", 1, 5),
        lambda: stores.grow(saver, "a", 1, 3, "sub:1"),
        lambda: saver.copy_thread("a", "copy"),
        lambda: stores.grow(saver, "pruned", 1, 6),
        lambda: saver.prune(["pruned"], keep_last=2),
        lambda: saver.set_ttl("pruned", 60.0),
        lambda: stores.grow(saver, "deleted", 1, 3),
        lambda: saver.copy_thread("deleted", "heir"),
        lambda: saver.fork(stores.config("a", "", "0003"), "fork"),
        lambda: stores.grow(saver, "fork", 4, 6),
        lambda: saver.delete_thread("deleted"),
        lambda: stores.grow(saver, "copy", 5, 7),
        lambda: saver.put_writes(at, [("__interrupt__", "ask")], "task-9"),
        lambda: stores.grow(saver, "a", 5, 6),
    ]
    before = b""
    for number, step in enumerate(steps):
        step()
        note()
        if number == len(steps) // 2:
            before = (path / "data.mdb").read_bytes()
    now = note()
    history = {key: _history(saver, key) for key in now}
    kv.close()  # closing truncates the unused end of the file
    return Image((path / "data.mdb").read_bytes(), before, now, history, versions)


def _history(saver: LmdbSaver, key: Key) -> Any:
    return saver.get_delta_channel_history(config=stores.config(*key), channels=["delta"])


def _damaged(base: Image, random: Random) -> tuple[str, bytes]:
    image = bytearray(base.now)
    sort = random.choices(["bits", "sector", "swapped", "earlier"], [6, 2, 1, 2])[0]
    count = len(image) // PAGE
    if sort == "bits":
        for _ in range(random.randint(1, 8)):
            image[random.randrange(len(image))] ^= 1 << random.randrange(8)
    elif sort == "sector":
        at = random.randrange(len(image) // SECTOR) * SECTOR
        image[at : at + SECTOR] = bytes(SECTOR)
    elif sort == "swapped":
        one, other = (page * PAGE for page in random.sample(range(count), 2))
        image[one : one + PAGE], image[other : other + PAGE] = (
            image[other : other + PAGE],
            image[one : one + PAGE],
        )
    else:
        shared = min(count, len(base.before) // PAGE)
        offsets = [page * PAGE for page in range(shared)]
        changed = [at for at in offsets if base.before[at : at + PAGE] != image[at : at + PAGE]]
        at = random.choice(changed)
        image[at : at + PAGE] = base.before[at : at + PAGE]
    return sort, bytes(image)


def _judged(base: Image, path: Path) -> str:
    """Return the result of reading an image in a new process."""
    reading, writing = os.pipe()
    pid = fork()
    if not pid:
        _child(base, path, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGALRM:
        return STUCK
    if status:
        assert status < 0, f"the process that read ended with {status}: {found}"
        return ENDED if page_check.check(str(path)).problems else ENDED_UNDETECTED
    return found


def _child(base: Image, path: Path, writing: int) -> None:
    status = 1
    try:
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_TIMEOUT_S)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        try:
            found = _read_all(base, path)
        except BaseException as error:  # noqa: BLE001 - the parent raises it
            found = f"{WRONG} or a wrong error: {type(error).__name__}: {error}"
        os.write(writing, found[:4000].encode("utf-8", "replace"))
        status = 0
    finally:
        os._exit(status)


def _read_all(base: Image, path: Path) -> str:
    try:
        saver = LmdbSaver(path, readonly=True, cache_size=0, clock=stores.Clock())
    except LmdbSaverError:
        return REFUSED
    comparison = _Comparison(base)
    for key in base.content:
        comparison.check_one(key, lambda key=key: saver.get_tuple(stores.config(*key)))
        comparison.check_history(key, lambda key=key: _history(saver, key))
    for thread, namespace in {key[:2] for key in base.content}:
        comparison.check_several(lambda t=thread, n=namespace: saver.list(stores.config(t, n)))
        comparison.check_several(lambda t=thread, n=namespace: saver.history(stores.config(t, n)))
        comparison.check_latest(
            thread, namespace, lambda t=thread, n=namespace: saver.get_tuple(stores.config(t, n))
        )
    comparison.check_several(lambda: saver.list(None), set(base.content))
    comparison.check_several(lambda: saver.list(None, filter={"run_id": "a-run-1"}))
    comparison.check_several(lambda: iter(saver.children(stores.config("a", "", "0002"))))
    comparison.check_threads(saver.threads)
    if not comparison.silent:
        return NAMED if comparison.errors else SAME
    return SILENT_UNDETECTED if saver.verify().ok else SILENT


class _Comparison:
    """A comparison of what is read with what was stored."""

    def __init__(self, base: Image) -> None:
        self.base = base
        self.errors = 0
        self.silent = 0

    def _try(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except LmdbSaverError:
            self.errors += 1
            return self

    def check_one(self, key: Key, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is None:
            self.silent += 1
        elif found is not self:
            self._compare(found, key)

    def check_latest(self, thread: str, namespace: str, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is self:
            return
        ids = [key[2] for key in self.base.content if key[:2] == (thread, namespace)]
        if found is None or self._compare(found) != (thread, namespace, max(ids)):
            self.silent += 1

    def check_several(self, read: Callable[[], Any], wanted: set[Key] | None = None) -> None:
        keys: set[Key] = set()
        try:
            for found in read():
                keys.add(self._compare(found))
        except LmdbSaverError:
            self.errors += 1
            return
        if wanted is not None and keys != wanted:
            self.silent += 1

    def check_history(self, key: Key, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is not self and found != self.base.history[key]:
            known = {
                repr(row)
                for entry in self.base.history.values()
                for row in entry["delta"]["writes"]
            }
            rows = {repr(row) for row in found["delta"]["writes"]}
            assert rows <= known, f"unknown history: {key}"
            self.silent += 1

    def check_threads(self, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is not self and len(found) != len({key[0] for key in self.base.content}):
            self.silent += 1

    def _compare(self, found: Any, wanted: Key | None = None) -> Key:
        config = found.config["configurable"]
        key = (config["thread_id"], config["checkpoint_ns"], config["checkpoint_id"])
        assert wanted is None or key == wanted, f"{key} instead of {wanted}"
        parent = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        writes = tuple((t, c, v) for t, c, v in found.pending_writes or ())
        values = found.checkpoint["channel_values"]
        versions = dict(found.checkpoint["channel_versions"])
        now = self.base.content.get(key)
        shown = Stored(parent, versions, values, dict(found.metadata), writes, False)
        if now is not None and shown == now._replace(expires=False):
            return key
        assert any(_is_earlier(shown, one) for one in self.base.versions.get(key, ())), (
            f"unknown checkpoint: {key}"
        )
        self.silent += 1
        return key


def _is_earlier(shown: Stored, stored: Stored) -> bool:
    """Return True if a checkpoint equals a stored version, except for missing pending writes."""
    writes = shown.writes
    return set(map(repr, writes)) <= set(map(repr, stored.writes)) and shown._replace(
        writes=stored.writes
    ) == stored._replace(expires=False)
