"""`python -m saver_conformance.snapshots STORE`: check a snapshot store."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from saver_conformance.snapshots.runner import DEFAULT_EXAMPLES, run_checks
from saver_conformance.snapshots.spec import SnapshotStoreSpec
from saver_conformance.snapshots.specs import SPECS

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m saver_conformance.snapshots")
    parser.add_argument("store", help=f"{', '.join(SPECS)}, or MODULE:SPEC")
    parser.add_argument("--examples", type=int, default=DEFAULT_EXAMPLES, metavar="N")
    options = parser.parse_args(arguments)
    results = run_checks(_spec(options.store), options.examples)
    for name, found in results.items():
        print(f"{found.status}  {name}")
        if found.reason:
            print(f"  {found.reason}")
        if found.error:
            text = f"{type(found.error).__name__}: {found.error}"
            print(f"  {text if found.status.bad else text.partition(chr(10))[0]}")
    return 1 if any(found.status.bad for found in results.values()) else 0


def _spec(name: str) -> SnapshotStoreSpec:
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in SPECS:
            sys.exit(f"unknown store {name!r}: pass one of {', '.join(SPECS)}, or MODULE:SPEC")
        return SPECS[name]
    found = getattr(import_module(module), attribute)
    if not isinstance(found, SnapshotStoreSpec):
        sys.exit(f"{name} must be a SnapshotStoreSpec, got {found!r}")
    return found


def _exit(status: int) -> NoReturn:
    """Exit, even if a store left a thread behind that would keep the process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _exit(main())
