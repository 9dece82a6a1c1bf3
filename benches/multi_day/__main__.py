"""Run the example: `python -m benches.multi_day [--keep FOLDER]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benches.demo.console import ClaimError, Narrator
from benches.multi_day.story import tell


def main() -> int:
    """Run the example; return 0 if every claim holds."""
    parser = argparse.ArgumentParser(prog="python -m benches.multi_day", description=__doc__)
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="work in this folder and keep it"
    )
    keep: Path | None = parser.parse_args().keep
    try:
        if keep is not None:
            tell(Narrator(), keep)
        else:
            with tempfile.TemporaryDirectory(prefix="langgraph-lmdb-projects-") as folder:
                tell(Narrator(), Path(folder))
    except ClaimError as error:
        print(f"not as claimed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
