"""Checks of stores: named functions that raise if a store breaks a rule, and their command."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeVar

from saver_conformance.result import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

DEFAULT_EXAMPLES = 100
"""Examples of each property."""


class StoreSpec(Protocol):
    """A declaration of a store of any kind."""

    @property
    def name(self) -> str:
        """The name in reports."""

    @property
    def known_failures(self) -> Mapping[str, str]:
        """Reasons of the checks that are known to fail, by the name of the check."""


S = TypeVar("S", bound=StoreSpec)


class StoreViolation(AssertionError):  # noqa: N818 - the name of a result, not of a bug here
    """A store that breaks rules. Its text has the failed checks."""


class CheckResult(NamedTuple):
    """A result of one check."""

    status: Status
    """Passed or failed; or, of a check that the spec declares as failing, a known failure or an
    unexpected pass."""
    error: Exception | None
    """What the check raised."""
    reason: str | None
    """The reason that the spec declares."""

    def __str__(self) -> str:
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return ": ".join(filter(None, (str(self.status), self.reason, error)))


def run_checks(
    checks: Mapping[str, Callable[[S, int], None]],
    spec: S,
    examples: int = DEFAULT_EXAMPLES,
    only: Iterable[str] | None = None,
) -> dict[str, CheckResult]:
    """Return the result of each check.

    Args:
        checks: The checks by name. Each takes a spec and a number of examples.
        spec: The store.
        examples: The number of examples of each property.
        only: Names of checks. None: all.

    Raises:
        ValueError: The spec declares a failure of an unknown check.
    """
    unknown = spec.known_failures.keys() - checks.keys()
    if unknown:
        raise ValueError(f"known_failures must name checks, got {sorted(unknown)}")
    return {name: _run_check(checks[name], name, spec, examples) for name in only or checks}


def _run_check(check: Callable[[S, int], None], name: str, spec: S, examples: int) -> CheckResult:
    reason = spec.known_failures.get(name)
    try:
        check(spec, examples)
    except Exception as error:  # noqa: BLE001 - a store may raise anything
        status = Status.FAILED if reason is None else Status.KNOWN_FAILURE
        return CheckResult(status, error, reason)
    return CheckResult(Status.PASSED if reason is None else Status.UNEXPECTED_PASS, None, reason)


def require(
    checks: Mapping[str, Callable[[S, int], None]], spec: S, examples: int = DEFAULT_EXAMPLES
) -> None:
    """Run every check of a store.

    Args:
        checks: The checks by name.
        spec: The store.
        examples: The number of examples of each property.

    Raises:
        StoreViolation: A check failed, or passed although the spec declares it as failing.
    """
    results = run_checks(checks, spec, examples)
    bad = {name: found for name, found in results.items() if found.status.bad}
    if bad:
        lines = [f"{name}: {found}" for name, found in bad.items()]
        raise StoreViolation("\n".join([f"{spec.name} fails {len(bad)} checks", *lines]))


def run_command(
    prog: str,
    run: Callable[[S, int], dict[str, CheckResult]],
    specs: Mapping[str, S],
    kind: type[S],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run the command of a suite; return the exit status: 1 if a check failed.

    Args:
        prog: Name of the command.
        run: Function that runs every check of a spec with a number of examples.
        specs: Built-in specs by name.
        kind: Class of the specs.
        arguments: Arguments of the command. None: the arguments of the process.
    """
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("store", help=f"{', '.join(specs)}, or MODULE:SPEC")
    parser.add_argument("--examples", type=int, default=DEFAULT_EXAMPLES, metavar="N")
    options = parser.parse_args(arguments)
    results = run(_spec(options.store, specs, kind), options.examples)
    for name, found in results.items():
        print(f"{found.status}  {name}")
        if found.reason:
            print(f"  {found.reason}")
        if found.error:
            text = f"{type(found.error).__name__}: {found.error}"
            print(f"  {text if found.status.bad else text.partition(chr(10))[0]}")
    return 1 if any(found.status.bad for found in results.values()) else 0


def _spec(name: str, specs: Mapping[str, S], kind: type[S]) -> S:
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in specs:
            sys.exit(f"unknown store {name!r}: pass one of {', '.join(specs)}, or MODULE:SPEC")
        return specs[name]
    found: Any = getattr(import_module(module), attribute)
    if not isinstance(found, kind):
        sys.exit(f"{name} must be a {kind.__name__}, got {found!r}")
    return found


def leave(status: int) -> NoReturn:
    """Exit, even if a store left a thread behind that would keep the process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
