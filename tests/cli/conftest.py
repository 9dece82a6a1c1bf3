"""The command, in a process of its own, and a store that real graphs have written."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langgraph.checkpoint.lmdb import LmdbSaver
from tests.cli.fork_server import run_forked
from tests.views import graphs

SCRIPT = Path(sys.executable).with_name("langgraph-lmdb")
COMMAND = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "langgraph.checkpoint.lmdb"]

READ_BY_IMPORTS = {"PYTHONPATH", "LANGGRAPH_STRICT_MSGPACK"}
"""Variables of the environment that are read when Python or LangGraph is imported."""


def environment(**more: str) -> dict[str, str]:
    """Return an environment without settings of the command."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LANGGRAPH_") and name not in ("NO_COLOR", "COLUMNS", "TERM")
    }
    return {**kept, "TZ": "UTC", **more}


def run(
    *arguments: str | Path, status: int = 0, new: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with its output in files, and check its exit status.

    Args:
        arguments: Arguments of the command.
        status: Expected exit status.
        new: Whether a new interpreter runs it, as for a user. By default, a process that has
            imported the command already is forked.
        variables: Further variables of the environment.
    """
    texts = [str(one) for one in arguments]
    if new or READ_BY_IMPORTS & variables.keys():
        done = subprocess.run(
            [*COMMAND, *texts],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment(**variables),
        )
    else:
        done = run_forked(texts, environment(**variables))
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def run_json(
    *arguments: str | Path, status: int = 0, new: bool = False, **variables: str
) -> list[dict[str, Any]]:
    """Run the command with --json, and return its objects."""
    done = run(*arguments, "--json", status=status, new=new, **variables)
    return [json.loads(line) for line in done.stdout.splitlines()]


def on_terminal(*arguments: str | Path, answer: str = "", **variables: str) -> tuple[int, str]:
    """Run the command on a terminal of 100 columns, and return its status and output."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(**{"TERM": "xterm-256color", "COLUMNS": "100", **variables}),
    )
    os.close(terminal)
    os.write(controller, answer.encode())
    output = b""
    try:
        while part := os.read(controller, 65536):
            output += part
    except OSError:  # the last process closed the terminal
        pass
    os.close(controller)
    return process.wait(timeout=60), output.decode()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a thread of each graph, which tests only read."""
    path = tmp_path_factory.mktemp("filled") / "store"
    with LmdbSaver(path) as saver:
        graphs.fill(saver)
    return path


@pytest.fixture
def copied(filled: Path, tmp_path: Path) -> Path:
    """A copy of that store, which a test may change."""
    return Path(shutil.copytree(filled, tmp_path / "copied"))
