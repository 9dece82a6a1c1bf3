"""Run the demo: `python -m benches.demo [--keep FOLDER]`."""

from __future__ import annotations

import sys

from benches.demo import command
from benches.demo.story import tell


def main() -> int:
    """Run the demo; return 0 if every claim holds."""
    return command.run(tell, "benches.demo", __doc__)


if __name__ == "__main__":
    sys.exit(main())
