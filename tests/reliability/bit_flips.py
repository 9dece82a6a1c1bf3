"""Bits flipped, sectors zeroed, pages swapped or put back to what they were, anywhere in the file.

Each image is opened and read by all reading methods in a process of its own, since LMDB trusts its
pages and may end the process that reads damaged ones.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.lmdb import LmdbSaver
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

_PATIENCE = 30  # seconds for a process that reads one image

SAME = "all is read as it was stored"
NAMED = "errors name what is damaged, all else is read as it was stored"
REFUSED = "the store is refused"
ENDED = "LMDB ended the process; the check of pages notices beforehand"
ENDED_UNNOTICED = "LMDB ended the process; the check of pages notices nothing"
STUCK = "LMDB did not come to an end"
SILENT = "something is silently missing, or as it was at an earlier time"
SILENT_UNNOTICED = "the same, and verify does not notice it"
WRONG = "a wrong value"


class Image(NamedTuple):
    """The base of all images.

    Attributes:
        now: The bytes of the data file.
        before: What it was at an earlier time.
        content: All that the store holds.
        history: What channels without a value of their own are rebuilt from.
        versions: All that each checkpoint ever was.
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
        "bits flipped, sectors zeroed, pages swapped, and pages that are as they were before",
        rounds,
        (
            "what is read was stored; instead of it comes nothing but an error of ours, or nothing",
            "what is silently missing, or as it was before, is an effect of LMDB's own pages",
        ),
        dict(sorted(seen.items())),
        (
            """\
Records have checksums and are bound to their keys; LMDB's pages have none. A flipped bit in a
branch page makes keys unreachable, and a page that the disk lost, so that it is as it was before,
opens cleanly: LMDB cannot notice, and reading shows less, or what was there earlier. `verify` looks
at the pages by themselves, and at counts and references across records. What it cannot notice is a
store that is as a whole what it was some commits ago, as when the page of the newest root is lost.
On some pages LMDB ends the process. `python -m langgraph.checkpoint.lmdb verify` looks at the pages
before LMDB does, if lmdb is 3.0 or later.""",
        ),
    )


def _base(path: Path) -> Image:
    kv = LmdbStore.open(path, sync="off")
    saver = LmdbSaver.on(kv, clock=stores.Clock(), cache_size=0)
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
        lambda: stores.grow(saver, "gone", 1, 3),
        lambda: saver.copy_thread("gone", "heir"),
        lambda: saver.fork(stores.config("a", "", "0003"), "fork"),
        lambda: stores.grow(saver, "fork", 4, 6),
        lambda: saver.delete_thread("gone"),
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
    kv.close()  # which cuts off the room for what is to come
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
        places = [page * PAGE for page in range(shared)]
        changed = [at for at in places if base.before[at : at + PAGE] != image[at : at + PAGE]]
        at = random.choice(changed)
        image[at : at + PAGE] = base.before[at : at + PAGE]
    return sort, bytes(image)


def _judged(base: Image, path: Path) -> str:
    """What became of an image, found out in a process of its own."""
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
        return ENDED if page_check.check(str(path)).problems else ENDED_UNNOTICED
    return found


def _child(base: Image, path: Path, writing: int) -> None:
    status = 1
    try:
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)
        try:
            found = _read_all(base, path)
        except BaseException as error:  # noqa: BLE001 - told to the parent
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
    seen = _Seen(base)
    for key in base.content:
        seen.one(key, lambda key=key: saver.get_tuple(stores.config(*key)))
        seen.history(key, lambda key=key: _history(saver, key))
    for thread, namespace in {key[:2] for key in base.content}:
        seen.several(lambda t=thread, n=namespace: saver.list(stores.config(t, n)))
        seen.several(lambda t=thread, n=namespace: saver.history(stores.config(t, n)))
        seen.latest(
            thread, namespace, lambda t=thread, n=namespace: saver.get_tuple(stores.config(t, n))
        )
    seen.several(lambda: saver.list(None), set(base.content))
    seen.several(lambda: saver.list(None, filter={"run_id": "a-run-1"}))
    seen.several(lambda: iter(saver.children(stores.config("a", "", "0002"))))
    seen.threads(saver.threads)
    if not seen.silent:
        return NAMED if seen.errors else SAME
    return SILENT_UNNOTICED if saver.verify().ok else SILENT


class _Seen:
    """Compares what is read with what was stored."""

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

    def one(self, key: Key, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is None:
            self.silent += 1
        elif found is not self:
            self._compare(found, key)

    def latest(self, thread: str, namespace: str, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is self:
            return
        ids = [key[2] for key in self.base.content if key[:2] == (thread, namespace)]
        if found is None or self._compare(found) != (thread, namespace, max(ids)):
            self.silent += 1

    def several(self, read: Callable[[], Any], wanted: set[Key] | None = None) -> None:
        keys: set[Key] = set()
        try:
            for found in read():
                keys.add(self._compare(found))
        except LmdbSaverError:
            self.errors += 1
            return
        if wanted is not None and keys != wanted:
            self.silent += 1

    def history(self, key: Key, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is not self and found != self.base.history[key]:
            known = {
                repr(row)
                for entry in self.base.history.values()
                for row in entry["delta"]["writes"]
            }
            rows = {repr(row) for row in found["delta"]["writes"]}
            assert rows <= known, f"a history that never was: {key}"
            self.silent += 1

    def threads(self, read: Callable[[], Any]) -> None:
        found = self._try(read)
        if found is not self and len(found) != len({key[0] for key in self.base.content}):
            self.silent += 1

    def _compare(self, found: Any, wanted: Key | None = None) -> Key:
        where = found.config["configurable"]
        key = (where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"])
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
            f"what never was stored: {key}"
        )
        self.silent += 1
        return key


def _is_earlier(shown: Stored, stored: Stored) -> bool:
    """Whether a checkpoint is as it once was, perhaps before some of its writes came."""
    writes = shown.writes
    return set(map(repr, writes)) <= set(map(repr, stored.writes)) and shown._replace(
        writes=stored.writes
    ) == stored._replace(expires=False)
