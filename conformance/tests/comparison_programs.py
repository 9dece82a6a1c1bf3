"""Run every program of SURVEY.md: `python tests/comparison_programs.py SURVEY.md`.

Each program must fail or hang without the suite; otherwise the comparison is wrong. Needs every
published saver, PostgreSQL, Redis, and the Redis port of the programs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import connect

from saver_conformance.servers import exported, postgres, redis

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 30

#: Clauses whose programs depend on timing, or describe a second process in comments.
_BY_CHANCE = ("async.cancelled", "async.loops", "concurrent.", "durable.", "processes.")
_REDIS_PORT = 6379


def programs(survey: str) -> Iterator[tuple[str, str, str]]:
    """Yield the saver, the clause and the program of each failure that has a program."""
    for saver in re.split(r"^## ", survey, flags=re.MULTILINE)[1:]:
        for entry in re.split(r"^### ", saver, flags=re.MULTILINE)[1:]:
            program = re.search(r"^```python\n(.*?)^```", entry, re.MULTILINE | re.DOTALL)
            if program is not None:
                yield saver.splitlines()[0], entry.split("`")[1], program[1]


def empty(conninfo: str) -> None:
    """Drop everything that the last program created in the database."""
    with connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def outcome(program: str) -> str | None:
    """Return how a program failed, or None if it passed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", program],
                cwd=folder,
                env={**os.environ, "TMPDIR": folder},
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "hangs"
    lines = done.stderr.strip().splitlines()
    return lines[-1][:100] if done.returncode and lines else None


def main(survey: Path) -> int:
    """Print the outcome of each program, and return the number of programs without a failure."""
    without_failure = 0
    with postgres() as conninfo, exported("DATABASE_URL", conninfo), redis(_REDIS_PORT):
        for saver, clause, program in programs(survey.read_text(encoding="utf-8")):
            empty(conninfo)
            failure = outcome(program)
            if failure is None and clause.startswith(_BY_CHANCE):
                failure = "no failure this time"
            without_failure += failure is None
            print(f"{saver}: {clause}: {failure or 'NO FAILURE'}", flush=True)
    return without_failure


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
