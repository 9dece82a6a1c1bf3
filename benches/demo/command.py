"""The command that tells a story."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benches.demo.console import ClaimError, Narrator

if TYPE_CHECKING:
    from collections.abc import Callable


def run(tell: Callable[[Narrator, Path], object], program: str, about: str | None) -> int:
    """Parse the arguments and tell a story; return 0 if every claim holds.

    Args:
        tell: Tells the story, in a folder.
        program: Name of the module that is run.
        about: What `--help` says.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="work in this folder and keep it"
    )
    keep: Path | None = parser.parse_args().keep
    try:
        if keep is not None:
            tell(Narrator(), keep)
        else:
            with tempfile.TemporaryDirectory(prefix=f"langgraph-lmdb-{program}-") as folder:
                tell(Narrator(), Path(folder))
    except ClaimError as error:
        print(f"not as claimed: {error}", file=sys.stderr)
        return 1
    return 0
