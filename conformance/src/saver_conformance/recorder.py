"""Calls of a saver: with a time limit, recorded, and reported when they fail."""

from __future__ import annotations

import copy
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from saver_conformance.capability import Api, Capability
from saver_conformance.equality import same
from saver_conformance.source import Name, resolve
from saver_conformance.timeouts import CallTimeoutError, Executors, ExitedError, described
from saver_conformance.violation import FailureKind, SlowError, UnplayableError, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from saver_conformance.lifecycle import OpenSaver
    from saver_conformance.script import Script
    from saver_conformance.spec import SaverSpec


class Recorder:
    """A saver whose calls are recorded.

    Args:
        opener: Function that opens the store; further calls reopen the same store.
        executors: Executors of the calls, with the time limit of a call.
        api: Function that returns the API of the next call.
        script: Recorder of the calls.
        path: Folder of the store.
        spec: Declaration of the saver.
    """

    def __init__(
        self,
        opener: Callable[..., OpenSaver],
        executors: Executors,
        api: Callable[[], Api],
        script: Script,
        path: Path,
        spec: SaverSpec,
    ) -> None:
        self.spec = spec
        self._opener = opener
        self._opened = opener()
        self.executors = executors
        self.choose_api = api
        self.script = script
        self.path = path
        self.apis: tuple[Api, ...] = ()
        self.claimed: frozenset[Capability] = frozenset()
        #: Ids of broken clauses, so that one fault is reported once.
        self.broken: frozenset[str] = frozenset()
        self.on_violation: Callable[[Violation], None] | None = None
        #: End of the time for this example, on the monotonic clock.
        self.deadline = math.inf
        #: True after the example ran out of time.
        self.slow = False

    @property
    def saver(self) -> Any:
        """The saver under test."""
        return self._opened.saver

    @property
    def api(self) -> Api:
        """The API of the next call."""
        return self.choose_api()

    def call(
        self,
        method: str,
        *args: Any,
        bind: str | None = None,
        api: Api | None = None,
        expected_errors: tuple[type[Exception], ...] = (),
        share: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call a method of the saver and record the call.

        Args:
            method: Sync name of the method.
            *args: Positional arguments.
            bind: Program variable for the result or the expected exception.
            api: API to call; None lets the session choose.
            expected_errors: Expected exceptions; an expected exception is returned, not raised.
            share: True to pass the arguments themselves instead of copies.
            **kwargs: Keyword arguments.

        Returns:
            Result of the saver; a list of the items for `list`.

        Raises:
            SlowError: If the example is out of time.
            Violation: If the saver raises or hangs.
        """
        if time.monotonic() > self.deadline:
            self.slow = True
            raise SlowError
        api = api or self.api
        expression = self.script.call(api, method, args, kwargs)
        line = f"{bind} = {expression}" if bind else expression
        if expected_errors:
            shown = f"{bind} = error" if bind else "print(error)"
            line = f"try:\n    {line}\nexcept Exception as error:\n    {shown}"
        self.script.line(line)
        resolved = resolve((args, kwargs))
        with self.guard(api.method(method)):
            try:
                # The saver gets copies: the model must see the arguments before any mutation.
                given, named = resolved if share else copy.deepcopy(resolved)
                return self.invoke(api, method, given, named)
            except (CallTimeoutError, ExitedError):
                raise
            except expected_errors as error:
                return error

    def invoke(
        self,
        api: Api,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        saver: Any = None,
    ) -> Any:
        """Call a method of the saver without recording the call.

        Args:
            api: API to call.
            method: Sync name of the method.
            args: Positional arguments.
            kwargs: Keyword arguments.
            saver: Saver to call, for example a clone; None calls the session's saver.

        Returns:
            Result of the saver; a list of the items for `list`.

        Raises:
            CallTimeoutError: If the call does not return in time.
            Exception: If the saver raises.
        """
        saver = self.saver if saver is None else saver
        seconds = self.executors.seconds
        if api is Api.SYNC:
            function = getattr(saver, method)
            if method == "list":
                return self.executors.worker.call(lambda: [*function(*args, **kwargs)], seconds)
            return self.executors.worker.call(lambda: function(*args, **kwargs), seconds)
        return self.executors.loop.run(acall(saver, method, args, kwargs), seconds)

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn any exception of the block into a violation.

        Args:
            what: Name of the call in messages.

        Raises:
            Violation: If the block raises.
        """
        try:
            yield
        except (Violation, UnplayableError):
            raise
        except CallTimeoutError as error:
            self.fail(f"{what} hung: {error}", FailureKind.HUNG)
        except Exception as error:  # noqa: BLE001
            text = described(error).split("\n")[0][:300]
            self.fail(f"{what} raised {text}", FailureKind.RAISED)

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Lower the time limit of the calls in a block.

        Args:
            seconds: Time limit of one call, in seconds.
        """
        usual, self.executors.seconds = self.executors.seconds, seconds
        try:
            yield
        finally:
            self.executors.seconds = usual

    def fail(self, message: str, kind: FailureKind = FailureKind.WRONG) -> NoReturn:
        """Fail the example: the saver broke the clause.

        Args:
            message: Expected and actual behavior.
            kind: Kind of the failure.

        Raises:
            Violation: Always.
        """
        comment = "\n".join(f"# {line}" for line in message.splitlines())
        self.script.line(comment)
        violation = Violation(message, self.script.program(), self.script.size, kind=kind)
        if self.on_violation is not None:
            self.on_violation(violation)
        raise violation

    def fail_assertion(self, condition: str, message: str) -> NoReturn:
        """Fail the example: an assertion of the program does not hold.

        Args:
            condition: Program expression that is true for a correct saver.
            message: Expected and actual behavior.

        Raises:
            Violation: Always.
        """
        self.script.line(f"assert {condition}")
        self.fail(message)

    def expect(self, expression: str, actual: Any, expected: Any, why: str = "") -> None:
        """Check that two values are the `same`.

        Args:
            expression: Program expression of the actual value.
            actual: Actual value.
            expected: Expected value.
            why: Prefix of the message.

        Raises:
            Violation: If they differ.
        """
        if not same(actual, expected):
            self.differ(expression, actual, expected, why)

    def differ(self, expression: str, actual: Any, expected: Any, why: str = "") -> NoReturn:
        """Fail the example: a value differs from the expected one.

        Args:
            expression: Program expression of the actual value.
            actual: Actual value.
            expected: Expected value.
            why: Prefix of the message.

        Raises:
            Violation: Always.
        """
        try:
            loose = bool(actual == expected)
        # Comparing a value of the saver may raise anything.
        except Exception:  # noqa: BLE001
            loose = True
        if isinstance(expected, bool):
            self.script.line(f"assert ({expression}) is {expected}, {expression}")
        elif loose:
            self.script.line(f"assert repr({expression}) == {repr(expected)!r}, {expression}")
        else:
            self.script.line(f"assert {expression} == {self.script.value(expected)}, {expression}")
        message = f"{expression} is {shorten(actual)}, expected {shorten(expected)}"
        self.fail(f"{why}: {message}" if why else message)

    def reopen(self, serde: Name | None = None) -> None:
        """Close the saver and reopen its store.

        Args:
            serde: Serializer for the reopened store; None uses the default.

        Raises:
            Violation: If closing or opening fails or hangs.
        """
        self.close()
        self.open_again(serde)

    def close(self) -> None:
        """Close the saver.

        Raises:
            Violation: If closing raises or hangs.
        """
        with self.guard("close"):
            self._opened.close()

    def open_again(self, serde: Name | None = None) -> None:
        """Reopen the closed store.

        Args:
            serde: Serializer for the reopened store; None uses the default.

        Raises:
            Violation: If opening fails or hangs.
        """
        self.script.reopen(serde.text if serde else None)
        with self.guard("open"):
            self._opened = self._opener(**({"serde": serde.value} if serde else {}))


async def acall(saver: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an async method and return its result; a `list` is consumed.

    Args:
        saver: Saver to call.
        method: Sync name of the method.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Returns:
        Its result.
    """
    function = getattr(saver, Api.ASYNC.method(method))
    if method == "list":
        return [item async for item in function(*args, **kwargs)]
    return await function(*args, **kwargs)


def shorten(value: Any) -> str:
    """Return the repr of a value, shortened if it is long.

    Args:
        value: Value to represent.

    Returns:
        At most about 160 characters.
    """
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:120]}... ({len(text)} characters)"
