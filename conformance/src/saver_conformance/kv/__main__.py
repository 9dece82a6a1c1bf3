"""`python -m saver_conformance.kv STORE`: check a key-value store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saver_conformance.kv.runner import run_checks
from saver_conformance.kv.spec import KeyValueSpec
from saver_conformance.kv.specs import SPECS
from saver_conformance.store_checks import leave, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 1 if a check failed."""
    return run_command("python -m saver_conformance.kv", run_checks, SPECS, KeyValueSpec, arguments)


if __name__ == "__main__":
    leave(main())
