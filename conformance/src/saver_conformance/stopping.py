"""Stops a process within a call, at a moment that neither its speed nor the load decides."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Modules of the standard library whose functions reach files, sockets and databases.
_OUTSIDE = frozenset({"posix", "nt", "io", "_io", "fcntl", "socket", "_socket", "sqlite3", "time"})


class CalledFunctions:
    """A counter of the functions that every later thread of this process calls.

    Args:
        outside_only: True to count only C functions that may reach files, sockets and databases.

    Attributes:
        count: Number of calls of Python and C functions since `stop_at`.
    """

    def __init__(self, *, outside_only: bool = False) -> None:
        self.count = self._last = 0
        self._stop: Callable[[], object] = lambda: None
        self._outside_only = outside_only
        threading.setprofile(self._note)

    def stop_at(self, number: int, stop: Callable[[], object]) -> None:
        """Count from 0 again, and call a function at a number.

        Args:
            number: Number of the call before which `stop` is called, from 1; 0 never calls it.
            stop: Function that stops the thread or the process.
        """
        self.count, self._last, self._stop = 0, number, stop

    def _note(self, frame: object, event: str, function: Any) -> None:  # noqa: ARG002
        if event == "c_call":
            counted = not self._outside_only or _is_outside(function)
        else:
            counted = event == "call" and not self._outside_only
        if counted:
            self.count += 1
            if self.count == self._last:
                self._stop()


def _is_outside(function: Any) -> bool:
    owner = function.__self__
    name = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__
    package = name.partition(".")[0]
    if package in _OUTSIDE:
        return bool(function.__name__ != "fspath")
    return package not in sys.stdlib_module_names
