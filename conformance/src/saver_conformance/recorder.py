"""Calls of a saver that are limited in time, written down, and blamed when they fail."""

from __future__ import annotations

import copy
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from saver_conformance.capability import Capability, Face
from saver_conformance.compare import same
from saver_conformance.limits import CallTimeoutError, ExitedError, Lanes, described
from saver_conformance.source import Name, resolve
from saver_conformance.violation import SlowError, UnplayableError, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from saver_conformance.opening import OpenSaver
    from saver_conformance.script import Script
    from saver_conformance.spec import SaverSpec


class Recorder:
    """A saver whose every call is recorded.

    Args:
        opener: Opens the store; a second call opens the same one again.
        lanes: Where calls run, and how long each may take.
        face: Chooses the face of the next call.
        script: Records the calls.
        path: The folder of the store.
        spec: The saver's declaration.
    """

    def __init__(
        self,
        opener: Callable[..., OpenSaver],
        lanes: Lanes,
        face: Callable[[], Face],
        script: Script,
        path: Path,
        spec: SaverSpec,
    ) -> None:
        self.spec = spec
        self._opener = opener
        self._opened = opener()
        self.lanes = lanes
        self.choose_face = face
        self.script = script
        self.path = path
        self.faces: tuple[Face, ...] = ()
        self.claimed: frozenset[Capability] = frozenset()
        #: Clauses that the saver is known to break, so that one fault is not told twice.
        self.broken: frozenset[str] = frozenset()
        self.on_violation: Callable[[Violation], None] | None = None
        #: When the example is broken off, on the monotonic clock.
        self.deadline = math.inf
        #: Whether it was.
        self.slow = False

    @property
    def saver(self) -> Any:
        """The saver itself."""
        return self._opened.saver

    @property
    def face(self) -> Face:
        """The face of the next call."""
        return self.choose_face()

    def call(
        self,
        method: str,
        *args: Any,
        bind: str | None = None,
        face: Face | None = None,
        refusal: tuple[type[Exception], ...] = (),
        share: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call a method of the saver and write the call down.

        Args:
            method: Its synchronous name.
            *args: Positional arguments.
            bind: A variable that gets the result in the program, or the refusal.
            face: The face to call; None lets the session choose.
            refusal: Exceptions that are an answer; one is returned instead of raised.
            share: Pass the very objects of `args`, not copies of them.
            **kwargs: Keyword arguments.

        Returns:
            What the saver returned; for `list`, all of it.

        Raises:
            SlowError: If the example has taken too long by now.
            Violation: If the saver raises or does not return in time.
        """
        if time.monotonic() > self.deadline:
            self.slow = True
            raise SlowError
        face = face or self.face
        expression = self.script.call(face, method, args, kwargs)
        line = f"{bind} = {expression}" if bind else expression
        if refusal:
            refused = f"{bind} = error" if bind else "print(error)"
            line = f"try:\n    {line}\nexcept Exception as error:\n    {refused}"
        self.script.line(line)
        resolved = resolve(args)
        with self.guard(face.method(method)):
            try:
                given = resolved if share else copy.deepcopy(resolved)
                return self.invoke(face, method, given, kwargs)
            except (CallTimeoutError, ExitedError):
                raise
            except refusal as error:
                return error

    def invoke(
        self,
        face: Face,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        saver: Any = None,
    ) -> Any:
        """Call a method of the saver and write nothing down.

        Args:
            face: The face to call.
            method: Its synchronous name.
            args: Positional arguments.
            kwargs: Keyword arguments.
            saver: Another saver, such as a clone; None stands for the session's.

        Returns:
            What the saver returned; for `list`, all of it.

        Raises:
            CallTimeoutError: If it does not return in time.
            Exception: Whatever the saver raises.
        """
        saver = self.saver if saver is None else saver
        seconds = self.lanes.seconds
        if face is Face.SYNC:
            function = getattr(saver, method)
            if method == "list":
                return self.lanes.worker.call(lambda: [*function(*args, **kwargs)], seconds)
            return self.lanes.worker.call(lambda: function(*args, **kwargs), seconds)
        return self.lanes.loop.run(acall(saver, method, args, kwargs), seconds)

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn whatever a saver raises into a violation.

        Args:
            what: The call, as a message names it.

        Raises:
            Violation: If the block raises anything.
        """
        try:
            yield
        except (Violation, UnplayableError):
            raise
        except CallTimeoutError as error:
            self.fail(f"{what} hung: {error}", hung=True)
        except Exception as error:  # noqa: BLE001
            text = described(error).split("\n")[0][:300]
            self.fail(f"{what} raised {text}")

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Give the calls of a block less time than the profile does.

        Args:
            seconds: The limit of one call.
        """
        usual, self.lanes.seconds = self.lanes.seconds, seconds
        try:
            yield
        finally:
            self.lanes.seconds = usual

    def fail(self, message: str, *, hung: bool = False) -> NoReturn:
        """End the example: the saver broke the clause.

        Args:
            message: What was expected and what came instead.
            hung: Whether the saver did not answer.

        Raises:
            Violation: Always.
        """
        comment = "\n".join(f"# {line}" for line in message.splitlines())
        self.script.line(comment)
        violation = Violation(message, self.script.program(), self.script.size, hung=hung)
        if self.on_violation is not None:
            self.on_violation(violation)
        raise violation

    def refute(self, condition: str, message: str) -> NoReturn:
        """End the example: what the program asserts does not hold.

        Args:
            condition: What holds for a saver that keeps the clause, as the program writes it.
            message: What was expected and what came instead.

        Raises:
            Violation: Always.
        """
        self.script.line(f"assert {condition}")
        self.fail(message)

    def expect(self, expression: str, actual: Any, expected: Any, why: str = "") -> None:
        """Demand that two values are the `same`.

        Args:
            expression: What yields the actual value in the program.
            actual: The actual value.
            expected: What it has to be.
            why: What to say besides.

        Raises:
            Violation: If they differ.
        """
        if not same(actual, expected):
            self.differ(expression, actual, expected, why)

    def differ(self, expression: str, actual: Any, expected: Any, why: str = "") -> NoReturn:
        """End the example: a value is not what it has to be.

        Args:
            expression: What yields the actual value in the program.
            actual: The actual value.
            expected: What it has to be.
            why: What to say besides.

        Raises:
            Violation: Always.
        """
        try:
            loose = bool(actual == expected)
        # The value is the saver's; comparing it can fail in any way.
        except Exception:  # noqa: BLE001
            loose = True
        if isinstance(expected, bool):
            self.script.line(f"assert ({expression}) is {expected}, {expression}")
        elif loose:
            self.script.line(f"assert repr({expression}) == {repr(expected)!r}, {expression}")
        else:
            self.script.line(f"assert {expression} == {self.script.value(expected)}, {expression}")
        message = f"{expression} is {shorten(actual)}, not {shorten(expected)}"
        self.fail(f"{why}: {message}" if why else message)

    def reopen(self, serde: Name | None = None) -> None:
        """Close the saver and open its store again.

        Args:
            serde: A serializer to open it with.

        Raises:
            Violation: If either fails or hangs.
        """
        self.close()
        self.open_again(serde)

    def close(self) -> None:
        """Close the saver.

        Raises:
            Violation: If it raises or hangs.
        """
        with self.guard("close"):
            self._opened.close()

    def open_again(self, serde: Name | None = None) -> None:
        """Open the store, after it was closed.

        Args:
            serde: A serializer to open it with.

        Raises:
            Violation: If opening fails or hangs.
        """
        self.script.reopen(serde.text if serde else None)
        with self.guard("open"):
            self._opened = self._opener(**({"serde": serde.value} if serde else {}))


async def acall(saver: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an asynchronous method, drawing a `list` to its end.

    Args:
        saver: The saver.
        method: The synchronous name of the method.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Returns:
        Its result.
    """
    function = getattr(saver, Face.ASYNC.method(method))
    if method == "list":
        return [item async for item in function(*args, **kwargs)]
    return await function(*args, **kwargs)


def shorten(value: Any) -> str:
    """Return a value's repr, cut in the middle of a sentence if it is long.

    Args:
        value: Any value.

    Returns:
        At most about 160 characters.
    """
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:120]}... ({len(text)} characters)"
