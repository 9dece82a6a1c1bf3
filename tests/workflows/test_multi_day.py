"""The example of projects over several days runs, and its log and store support its claims."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benches.demo.effects import Workspace
from benches.multi_day.project import PROJECTS, TASKS
from benches.multi_day.story import HELD

from langgraph.checkpoint.lmdb import LmdbSaver

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 120.0


def test_the_projects_of_several_days(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benches.multi_day", "--keep", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("✓") == 12
    effects = Workspace(tmp_path).effects()
    days = list(dict.fromkeys(effect.pid for effect in effects))
    assert len(days) == 4
    begun = Counter(effect.task for effect in effects if effect.event == "begin")
    tasks = [f"{project} {task}" for project in PROJECTS for task in ("plan", *TASKS, "publish")]
    assert begun == Counter(tasks) + Counter(HELD)
    ended = {effect.task for effect in effects if effect.event == "end"}
    assert ended == {*tasks}
    cut_off = [effect for effect in effects if effect.pid == days[1] and effect.task in HELD]
    assert {effect.event for effect in cut_off} == {"begin"}
    with LmdbSaver(tmp_path / "store") as saver:
        assert saver.stats().threads == 0
