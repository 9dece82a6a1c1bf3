"""`python -m saver_conformance.snapshots STORE`: check a snapshot store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver_conformance.snapshots.runner import run_checks
from saver_conformance.snapshots.spec import SnapshotStoreSpec
from saver_conformance.snapshots.specs import SPECS
from saver_conformance.store_checks import leave, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 1 if a check failed."""
    prog = "python -m saver_conformance.snapshots"
    return run_command(prog, run_checks, SPECS, SnapshotStoreSpec, arguments)


if __name__ == "__main__":
    leave(main())
