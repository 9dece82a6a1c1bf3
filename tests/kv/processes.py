"""Other processes and threads, for tests that need them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNPRIVILEGED = 65534


def fork() -> int:
    """`os.fork()`, also where newer Pythons advise against it because threads are running."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        while True:
            try:
                return os.fork()
            except RuntimeError as error:
                # Once filelock is imported, it refuses a fork while another thread forks.
                if "filelock" not in str(error):
                    raise


def in_fork(body: Callable[[], None]) -> None:
    """Run `body` in a forked child; fail if it fails there."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:  # noqa: BLE001 - the exit status reports it
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def in_new_process(code: str, *arguments: object) -> str:
    """Run `code` in another interpreter; return what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_thread(body: Callable[[], None]) -> None:
    """Run `body` in another thread; raise the error that it raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def drop_privileges(top: Path) -> None:
    """Drop the rights of root in a child. A test run by another user has none."""
    if os.getuid() == 0:
        for parent in (top, *top.parents)[:4]:  # only their owner can read folders of pytest
            parent.chmod(parent.stat().st_mode | 0o005)
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
