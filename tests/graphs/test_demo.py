"""The demo runs, prints its claims, and fails if a claim is false."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benches.demo import __main__ as demo
from benches.demo import agent
from benches.demo.console import ClaimError, Narrator
from benches.demo.effects import Workspace
from benches.demo.story import HELD

from langgraph.checkpoint.lmdb import LmdbSaver

if TYPE_CHECKING:
    from subprocess import CompletedProcess

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds until it counts as hung


def run(folder: Path) -> CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "benches.demo", "--keep", str(folder)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_demo_prints_all_claims(tmp_path: Path) -> None:
    """The store that the demo leaves supports the claims."""
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for claim in (
        r"died of SIGKILL",
        r"7 parallel tasks had finished, 3 were still at work",
        r"none of the \d+ finished tasks ran again",
        r"the 3 unfinished ones did",
        r"did nothing but publish",
        r"none of the surveys again",
        r"the first branch ends as it did",
        r"both hold the same run",
        r"of the disk",
        r"died of SIGKILL after step 2, another resumed at step 3",
        r"the task is complete: 5 steps, each run once",
    ):
        assert re.search(rf"✓ .*{claim}", done.stdout), claim
    effects = Workspace(tmp_path).effects()
    killed = effects[0].pid
    begun = {effect.task for effect in effects if effect.pid == killed}
    ended = {effect.task for effect in effects if effect.pid == killed and effect.event == "end"}
    assert begun - ended == {*HELD}
    assert not ended & {effect.task for effect in effects if effect.pid != killed}
    with LmdbSaver(tmp_path / "store") as saver:
        graph = agent.build(saver, Workspace(tmp_path / "unused"))
        last = graph.get_state(agent.CONFIG)
        assert last.next == ()
        assert last.values["report"] == (tmp_path / "imports.md").read_text("utf-8")


def test_demo_with_a_false_claim_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is not 0, and the output names the claim."""

    def tell(out: Narrator, folder: Path) -> None:
        out.claim("the folder is there", folder.is_dir())
        out.claim("the moon is cheese", holds=False)

    monkeypatch.setattr(demo, "tell", tell)
    monkeypatch.setattr(sys, "argv", ["benches.demo"])
    assert demo.main() == 1
    assert "not as claimed: the moon is cheese" in capsys.readouterr().err


def test_false_claim_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A claim is checked before it is printed."""
    narrator = Narrator()
    narrator.claim("this holds", True)
    with pytest.raises(ClaimError, match="this does not"):
        narrator.claim("this does not", False)
    printed = capsys.readouterr().out
    assert "this holds" in printed
    assert "this does not" not in printed
