"""`python -m tests.reliability report` writes `tests/RELIABILITY.md`."""

from __future__ import annotations

import argparse

from tests.reliability import report


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("command", choices=["report"])
    parser.add_argument("--long", action="store_true", help="inject more faults of each kind")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report.write(arguments.seed, long=arguments.long)


if __name__ == "__main__":
    main()
