"""Forks beside busy threads, and forks that Ctrl-C interrupts at any step."""

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
    pytest.mark.timeout(120),
    # Python prints what a hook raises, and goes on with the fork.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Open = "Callable[..., LmdbStore]"

_FOLDER = str(Path(kv.__file__).parent)
_PATIENCE = 20  # seconds after which a child counts as hung


class Injector:
    """Raises KeyboardInterrupt once, at the n-th step of the package's code in this thread."""

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
    """Another thread reads meanwhile."""
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
    """Fork with an interrupt at a step of the hooks; return whether it came, here or there."""
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
        except BaseException:  # noqa: BLE001 - told by the status
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 2)
    return injector.fired or status == 2


def use(store: LmdbStore) -> None:
    """Read and write, in this thread and in another."""
    for run in (in_thread, lambda body: body()):
        run(lambda: store.write(put(b"parent")))
        run(lambda: content(store))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("reads", [False, True])
def test_an_interrupt_at_any_step_of_a_fork(
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


def test_ctrl_c_while_a_fork_waits(open_lmdb: Open, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_fork_does_not_wait_for_long_for_an_old_read(
    open_lmdb: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child cannot use the store, and says so; the parent's threads go on."""
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


def test_a_fork_does_not_wait_for_who_waits_to_write(open_lmdb: Open) -> None:
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


def test_a_child_leaves_no_lock_of_its_parent_shut(open_lmdb: Open) -> None:
    """It closes what it inherited; the parent's writes are flushed, and others stay out."""
    store = open_lmdb(sync="normal")
    store.write(put(b"k"))
    handles = len([*Path("/proc/self/fd").iterdir()])

    def body() -> None:
        store.close()
        assert len([*Path("/proc/self/fd").iterdir()]) <= handles

    in_fork(body)
    use(store)


def test_the_store_in_the_middle_of_a_fork_is_an_error(open_lmdb: Open) -> None:
    """As in a hook of the user's, which runs after ours."""
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


def test_forks_of_several_threads(open_lmdb: Open) -> None:
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
