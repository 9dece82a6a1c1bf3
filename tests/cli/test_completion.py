"""The completion scripts, in real shells."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import COMMAND, environment

if TYPE_CHECKING:
    from pathlib import Path

BASH = """
eval "$(_LANGGRAPH_LMDB_COMPLETE=source_bash langgraph-lmdb)"
complete -p langgraph-lmdb
COMP_WORDS=({line}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_langgraph_lmdb_completion langgraph-lmdb
echo "${{COMPREPLY[*]}}"
"""
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -D'
zpty -w shell 'eval "$(_LANGGRAPH_LMDB_COMPLETE=source_zsh langgraph-lmdb)"; echo RE""ADY'
zpty -r shell shown '*READY*'
zpty -w -n shell $'{line}\\t'
zpty -r shell shown '*{expected}*'
print -r -- "$shown"
"""
FISH = """
_LANGGRAPH_LMDB_COMPLETE=source_fish langgraph-lmdb | source
complete -C "{line}"
"""


@pytest.fixture
def path_of_command(tmp_path: Path) -> str:
    """A PATH whose first folder has the command."""
    script = tmp_path / "bin" / "langgraph-lmdb"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    return os.pathsep.join((str(script.parent), os.environ["PATH"]))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("langgraph-lmdb th", "threads"),
        ("langgraph-lmdb recover-p", "recover-pages"),
        ("langgraph-lmdb threads --so", "--sort"),
        ("langgraph-lmdb serve store --allow", "--allow-changes"),
    ],
)
@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_shells_complete_commands_and_options(
    path_of_command: str, shell: str, script: str, line: str, expected: str
) -> None:
    if shutil.which(shell) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{shell} is not installed")
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-c", script.format(line=line, expected=expected)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(PATH=path_of_command, TERM="dumb"),
    )
    assert done.stderr == ""
    assert expected in done.stdout.splitlines()[-1]


def test_show_completion_prints_the_script_of_the_shell(path_of_command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", "langgraph-lmdb --show-completion; true"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=environment(PATH=path_of_command),
    )
    assert "complete -o default -F _langgraph_lmdb_completion langgraph-lmdb" in done.stdout
