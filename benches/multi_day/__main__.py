"""Run the example: `python -m benches.multi_day [--keep FOLDER]`."""

from __future__ import annotations

import sys

from benches.demo import command
from benches.multi_day.story import tell


def main() -> int:
    """Run the example; return 0 if every claim holds."""
    return command.run(tell, "benches.multi_day", __doc__)


if __name__ == "__main__":
    sys.exit(main())
