"""Forks while other threads use the store, and forks that Ctrl-C interrupts at any step."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from langgraph.checkpoint.lmdb import kv
from langgraph.checkpoint.lmdb.errors import StoreClosedError, UsageError
from langgraph.checkpoint.lmdb.kv import LmdbStore, forking
from langgraph.checkpoint.lmdb.kv.lmdb import environment, registry
from tests.kv.processes import in_fork, in_thread
from tests.kv.test_lmdb_sharing import content, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(120),
    # Python prints the error that a hook raises, and continues the fork.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Open = "Callable[..., LmdbStore]"

_FOLDER = str(Path(kv.__file__).parent)
_PATIENCE = 20  # seconds after which a child is considered hung


class Injector:
    """A profiler that raises KeyboardInterrupt once, at the n-th step of the package's code."""

    def __init__(self, step: int) -> None:
        self.left = step
        self.fired = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if self.fired or event not in ("call", "c_return"):
            return
        if not frame.f_code.co_filename.startswith(_FOLDER):
            return
        self.left -= 1
        if self.left < 0:
            self.fired = True
            raise KeyboardInterrupt


@contextmanager
def reading(store: LmdbStore) -> Iterator[None]:
    """Read in another thread while the block runs."""
    inside, stop = threading.Event(), threading.Event()

    def read() -> None:
        with store.read():
            inside.set()
            stop.wait()

    thread = threading.Thread(target=read)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def fork_interrupted(store: LmdbStore, step: int) -> bool:
    """Fork with an interrupt at a step of the hooks; return True if it came in either process."""
    injector = Injector(step)
    sys.setprofile(injector)
    pid = os.fork()
    sys.setprofile(None)
    if pid == 0:
        status = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
        try:
            with suppress(StoreClosedError):
                use(store)
            status = 2 if injector.fired else 0
        except BaseException:  # noqa: BLE001 - the exit status reports it
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 2)
    return injector.fired or status == 2


def use(store: LmdbStore) -> None:
    """Read and write, in this thread and in another one."""
    for run in (in_thread, lambda body: body()):
        run(lambda: store.write(put(b"parent")))
        run(lambda: content(store))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("reads", [False, True])
def test_interrupt_at_any_step_of_a_fork_blocks_no_caller(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(registry, "_FORK_PATIENCE", 0.0)
    store = LmdbStore.open(folder, sync="off")
    for step in count():
        store.write(put(b"k"))
        if reads:
            with reading(store):
                fired = fork_interrupted(store, step)
                in_thread(lambda: content(store))
        else:
            fired = fork_interrupted(store, step)
        use(store)
        in_fork(lambda: use(store))  # a child of an undisturbed fork can use the store
        use(store)
        if not fired:
            break
    assert step > 10
    store.close()


def test_fork_that_waits_can_be_interrupted(
    open_lmdb: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_FORK_PATIENCE", 60.0)
    main = threading.main_thread().ident
    assert main is not None
    store = open_lmdb()
    store.write(put(b"k"))
    in_fork(lambda: use(store))
    waits = environment.Environment.before_fork

    def interrupted(env: environment.Environment, end: float) -> None:
        signal.pthread_kill(main, signal.SIGINT)
        waits(env, end)

    with reading(store):
        with monkeypatch.context() as patch:
            patch.setattr(environment.Environment, "before_fork", interrupted)

            def lost() -> None:
                with pytest.raises(StoreClosedError, match="forked in the middle"):
                    content(store)

            in_fork(lost)
        in_thread(lambda: content(store))
    use(store)
    in_fork(lambda: use(store))
    use(store)


def test_fork_waits_for_a_long_read_only_for_a_limited_time(
    open_lmdb: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's calls raise an error; the parent's threads continue."""
    monkeypatch.setattr(registry, "_FORK_PATIENCE", 0.01)
    store = open_lmdb()
    store.write(put(b"k"))

    def lost() -> None:
        with pytest.raises(StoreClosedError, match="forked in the middle"):
            content(store)
        with pytest.raises(StoreClosedError, match="forked in the middle"):
            store.write(put(b"l"))
        store.close()

    with reading(store):
        in_fork(lost)
        in_thread(lambda: content(store))
    assert content(store) == {b"k": b"v"}


def test_fork_does_not_wait_for_threads_that_wait_to_write(open_lmdb: Open) -> None:
    store = open_lmdb()
    store.write(put(b"k"))
    begun = threading.Event()

    def write() -> None:
        begun.set()
        store.write(put(b"l"))

    env = store._env
    with env.writing:
        waiting = threading.Thread(target=write)
        waiting.start()
        begun.wait()
        in_fork(lambda: use(store))
    waiting.join()
    assert {b"k", b"l"} <= content(store).keys()


def test_child_keeps_no_lock_of_its_parent(open_lmdb: Open) -> None:
    """The child closes inherited files. The parent's writes are flushed, and its locks remain."""
    store = open_lmdb(sync="normal")
    store.write(put(b"k"))
    handles = len([*Path("/proc/self/fd").iterdir()])

    def body() -> None:
        store.close()
        assert len([*Path("/proc/self/fd").iterdir()]) <= handles

    in_fork(body)
    use(store)


def test_use_of_the_store_in_a_fork_hook_is_an_error(open_lmdb: Open) -> None:
    """A hook of the user runs after the hooks of the package."""
    store = open_lmdb()
    store.write(put(b"k"))
    seen: list[Any] = []

    def hook() -> None:
        for call in (lambda: content(store), lambda: store.write(put(b"l")), store.close):
            with pytest.raises(UsageError, match=r"middle of os.fork"):
                call()
        seen.append(True)

    forking.prepare(hook)
    try:
        in_fork(lambda: use(store))
    finally:
        forking._preparing.remove(hook)
    assert seen
    use(store)


def test_threads_can_fork_at_the_same_time(open_lmdb: Open) -> None:
    store = open_lmdb()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            use(store)

    def fork_often() -> None:
        for _ in range(5):
            in_fork(lambda: store.write(put(b"child")))

    working = [threading.Thread(target=work) for _ in range(2)]
    forks = [threading.Thread(target=fork_often) for _ in range(3)]
    for thread in (*working, *forks):
        thread.start()
    for thread in forks:
        thread.join()
    stop.set()
    for thread in working:
        thread.join()
    use(store)
