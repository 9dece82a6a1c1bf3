"""`python -m saver_conformance.snapshots STORE`: check a snapshot store."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

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
    for name, error in results.items():
        print(f"{'failed' if error else 'passed'}  {name}")
        if error:
            print(f"  {type(error).__name__}: {error}")
    return 1 if any(results.values()) else 0


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


if __name__ == "__main__":
    sys.exit(main())
