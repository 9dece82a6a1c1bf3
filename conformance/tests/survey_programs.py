"""Runs every program of a survey by itself. `python tests/survey_programs.py SURVEY.md`

Each has to fail or hang without the suite around it, or the survey accuses wrongly. It needs what
the survey needs, and the port that the programs for Redis name.
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

#: Programs of these clauses tell in comments what a second process does, or need the right moment.
_BY_CHANCE = ("async.cancelled", "async.loops", "concurrent.", "durable.", "processes.")
_REDIS_PORT = 6379


def programs(survey: str) -> Iterator[tuple[str, str, str]]:
    """Yield saver, clause and program of each accusation that has one."""
    for saver in re.split(r"^## ", survey, flags=re.MULTILINE)[1:]:
        for entry in re.split(r"^### ", saver, flags=re.MULTILINE)[1:]:
            program = re.search(r"^```python\n(.*?)^```", entry, re.MULTILINE | re.DOTALL)
            if program is not None:
                yield saver.splitlines()[0], entry.split("`")[1], program[1]


def empty(conninfo: str) -> None:
    """Drop whatever the last program left in the database."""
    with connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def outcome(program: str) -> str | None:
    """Return how a program failed, or None if it did not."""
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
    """Print what each program did, and return how many show no fault."""
    innocent = 0
    with postgres() as conninfo, exported("DATABASE_URL", conninfo), redis(_REDIS_PORT):
        for saver, clause, program in programs(survey.read_text(encoding="utf-8")):
            empty(conninfo)
            told = outcome(program)
            if told is None and clause.startswith(_BY_CHANCE):
                told = "not shown this time"
            innocent += told is None
            print(f"{saver}: {clause}: {told or 'SHOWS NO FAULT'}", flush=True)
    return innocent


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
